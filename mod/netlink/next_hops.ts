/*
 * From the kernel's view of the network (links, routes, neighbors) to what the datapath's tables hold: route entries
 * and adjacencies. Pure: same input, same output, nothing is asked of the kernel. Rule: when in doubt, punt. A
 * packet that is punted takes the kernel's own decision; one that is sent wrongly is lost.
 *
 * How the kernel's lookup is followed:
 * - Longest prefix first; at one prefix the local table before main, then the lowest metric, then the kernel's order
 *   (net/ipv4/fib_trie.c; with the default rules both IPv4 tables are one trie). Other tables are not looked at.
 * - A link that is down takes its ways away; one without carrier keeps them, but they punt.
 * - Multipath: the first usable way carries everything. Sessions are spread over pods, not over ways, and a hash that
 *   differs from the kernel's would only make the two disagree.
 * - Routes that depend on more than the destination (TOS, IPv6 source prefixes), encapsulating ways, nexthop objects
 *   that are not spelled out, and every type that is neither unicast nor local: punt.
 * - A connected prefix punts (so that the kernel resolves the neighbor), except for its known neighbors, each of which
 *   is a host entry of its own. Point-to-point links and links without Ethernet addresses punt. On an Ethernet link
 *   without ARP the kernel writes the link's own MAC as the destination (net/ipv4/arp.c arp_constructor).
 * - ku's own VIP routes are left out: they lead to ku itself.
 */

import { RT_TABLE_LOCAL, RT_TABLE_MAIN, RTNH_F_DEAD } from "../../ffi/rtnetlink.ts";
import { ARPHRD_ETHER } from "../../ffi/rtnetlink.ts";
import { addressKey } from "./address.ts";
import { type Link, type Neighbor, neighborUsable, type NextHop, type Route } from "./messages.ts";

/** RTPROT number of the routes ku makes, by which it knows them again ("k"). */
export const KU_ROUTE_PROTOCOL = 0x6b;

/** Adjacency "index" of destinations on this node. */
export const ROUTE_LOCAL = -2;
/** Index of the adjacency that leads nowhere but into the kernel. Always there. */
export const PUNT_ADJACENCY = 0;

const NO_MAC = new Uint8Array(6);

/** One prefix and where it leads: an index into `adjacencies`, or ROUTE_LOCAL. Host bits are zero. */
export interface RouteEntry {
  /** 4 or 16 bytes, network order. */
  address: Uint8Array;
  prefixLength: number;
  adjacency: number;
}

/** Where and how a packet leaves. */
export interface Adjacency {
  /** Slot of the egress interface; -1 = not attached, punt. */
  slot: number;
  /** Both MACs are known and the link can send; otherwise punt. */
  resolved: boolean;
  /** 6 bytes; zero while unresolved. */
  dstMac: Uint8Array;
  srcMac: Uint8Array;
  /** The link's MTU, or the route's if that is smaller. */
  mtuBytes: number;
  /** 0 only for PUNT_ADJACENCY. */
  ifindex: number;
  /** The neighbor's address (gateway or destination); null = a connected prefix as a whole. For text: addressText. */
  nextHop: Uint8Array | null;
}

/** What `buildNextHops` reads. `Mirror` has all of it but the slots. */
export interface NextHopInput {
  links: ReadonlyMap<number, Link>;
  routes: Iterable<Route>;
  /** By `neighborKey`. */
  neighbors: ReadonlyMap<string, Neighbor>;
  /** Attached interfaces: ifindex → slot. */
  slots: ReadonlyMap<number, number>;
}

/** What `buildNextHops` makes. No prefix occurs twice. */
export interface NextHops {
  routes4: RouteEntry[];
  routes6: RouteEntry[];
  adjacencies: Adjacency[];
}

/** Key of a neighbor in a Map: the same address may be known on several links. */
export function neighborKey(ifindex: number, address: Uint8Array): string {
  return `${ifindex} ${addressKey(address)}`;
}

/** Route entries and adjacencies for the datapath, by the rules at the top of this file. */
export function buildNextHops(input: NextHopInput): NextHops {
  const adjacencies = new AdjacencyList(input);
  const chosen4 = new PrefixMap(32);
  const chosen6 = new PrefixMap(128);
  for (const route of input.routes) {
    consider(route, route.address.length === 4 ? chosen4 : chosen6, input.links);
  }
  for (const neighbor of input.neighbors.values()) {
    addHost(neighbor, neighbor.address.length === 4 ? chosen4 : chosen6, input);
  }
  const entries = (chosen: PrefixMap) =>
    chosen.values().map(({ route, hop, local }) => ({
      address: route.address,
      prefixLength: route.prefixLength,
      adjacency: local
        ? ROUTE_LOCAL
        : hop === null
        ? PUNT_ADJACENCY
        : adjacencies.indexOf(hop, route.mtuBytes),
    }));
  return { routes4: entries(chosen4), routes6: entries(chosen6), adjacencies: adjacencies.list };
}

/** The part of a Route that an entry keeps. */
type Prefix = Pick<Route, "address" | "prefixLength" | "mtuBytes">;

/** The decision for one prefix. `hop` null and not local: punt. Lower rank wins. */
interface Choice {
  route: Prefix;
  rank: number;
  local: boolean;
  hop: NextHop | null;
}

/** Decisions by prefix, with longest-prefix lookup. One family. */
class PrefixMap {
  readonly #bits: number;
  readonly #byPrefix = new Map<string, Choice>();
  readonly #countByLength: number[];
  readonly #masked: Uint8Array;

  constructor(bits: number) {
    this.#bits = bits;
    this.#countByLength = new Array<number>(bits + 1).fill(0);
    this.#masked = new Uint8Array(bits / 8);
  }

  /** Keeps the better of two choices for one prefix; the earlier one if they are equal. */
  offer(choice: Choice): void {
    const key = this.#key(choice.route.address, choice.route.prefixLength);
    const before = this.#byPrefix.get(key);
    if (before !== undefined && before.rank <= choice.rank) return;
    if (before === undefined) this.#countByLength[choice.route.prefixLength]++;
    this.#byPrefix.set(key, choice);
  }

  /** The choice of the longest prefix that covers `address`. */
  find(address: Uint8Array): Choice | undefined {
    for (let length = this.#bits; length >= 0; length--) {
      if (this.#countByLength[length] === 0) continue;
      const choice = this.#byPrefix.get(this.#key(address, length));
      if (choice !== undefined) return choice;
    }
    return undefined;
  }

  values(): Choice[] {
    return [...this.#byPrefix.values()];
  }

  #key(address: Uint8Array, length: number): string {
    if (length === this.#bits) return addressKey(address);
    const masked = this.#masked;
    for (let i = 0; i < masked.length; i++) {
      const keep = length - i * 8;
      masked[i] = keep >= 8 ? address[i] : keep <= 0 ? 0 : address[i] & 0xff00 >> keep;
    }
    return addressKey(masked) + String.fromCharCode(length);
  }
}

/** Ranks: what punts for sure, then the local table, then main by metric (32 bits). */
const RANK_CONDITIONAL = -2;
const RANK_LOCAL_TABLE = -1;
const RANK_NEIGHBOR = -3;

function consider(route: Route, chosen: PrefixMap, links: ReadonlyMap<number, Link>): void {
  if (route.table !== RT_TABLE_MAIN && route.table !== RT_TABLE_LOCAL) return;
  if (route.protocol === KU_ROUTE_PROTOCOL) return;
  const conditional = route.tos !== 0 || route.sourcePrefixLength !== 0;
  const rank = conditional
    ? RANK_CONDITIONAL
    : route.table === RT_TABLE_LOCAL
    ? RANK_LOCAL_TABLE
    : route.metric;
  const local = !conditional && (route.type === "local" || route.type === "anycast");
  if (conditional || route.type !== "unicast" || (route.nexthopId !== 0 && route.nextHops.length === 0)) {
    chosen.offer({ route, rank, local, hop: null });
    return;
  }
  const hop = route.nextHops.find((hop) => (hop.flags & RTNH_F_DEAD) === 0 && links.get(hop.ifindex)?.up);
  if (hop !== undefined) chosen.offer({ route, rank, local, hop: hop.encapsulated ? null : hop });
}

/** Whether frames on the link are addressed to single neighbors by MAC. */
function hasNeighbors(link: Link | undefined): link is Link & { mac: Uint8Array } {
  return link !== undefined && link.hardwareType === ARPHRD_ETHER && link.mac !== null && !link.pointToPoint;
}

/** Makes a host entry of a neighbor that is reached directly, by the routes, over the link it is known on. */
function addHost(neighbor: Neighbor, chosen: PrefixMap, { links, slots }: NextHopInput): void {
  const { address, ifindex } = neighbor;
  if (!neighborUsable(neighbor) || !slots.has(ifindex) || !hasNeighbors(links.get(ifindex))) return;
  if (address.length === 16 && address[0] === 0xfe && (address[1] & 0xc0) === 0x80) return; // never forwarded
  const over = chosen.find(address);
  if (over === undefined || over.local || over.hop === null) return;
  if (over.hop.gateway !== null || over.hop.ifindex !== ifindex) return;
  chosen.offer({
    route: { address, prefixLength: address.length * 8, mtuBytes: over.route.mtuBytes },
    rank: RANK_NEIGHBOR,
    local: false,
    hop: { ifindex, gateway: address, flags: 0, encapsulated: false },
  });
}

/** Adjacencies, one for each (link, next hop, MTU). */
class AdjacencyList {
  readonly list: Adjacency[] = [
    { slot: -1, resolved: false, dstMac: NO_MAC, srcMac: NO_MAC, mtuBytes: 0, ifindex: 0, nextHop: null },
  ];
  readonly #indexByKey = new Map<string, number>();
  readonly #input: NextHopInput;

  constructor(input: NextHopInput) {
    this.#input = input;
  }

  indexOf({ ifindex, gateway }: NextHop, routeMtuBytes: number): number {
    const link = this.#input.links.get(ifindex);
    if (!hasNeighbors(link)) return PUNT_ADJACENCY;
    const mtuBytes = routeMtuBytes > 0 ? Math.min(routeMtuBytes, link.mtuBytes) : link.mtuBytes;
    const hopKey = gateway === null ? `${ifindex}` : neighborKey(ifindex, gateway);
    const key = mtuBytes === link.mtuBytes ? hopKey : `${mtuBytes} of ${hopKey}`;
    let index = this.#indexByKey.get(key);
    if (index === undefined) {
      const dstMac = this.#dstMac(link, gateway === null ? null : hopKey);
      const slot = this.#input.slots.get(ifindex) ?? -1;
      const resolved = dstMac !== null && link.running;
      index = this.list.length;
      this.list.push({
        slot,
        resolved,
        dstMac: dstMac ?? NO_MAC,
        srcMac: link.mac,
        mtuBytes,
        ifindex,
        nextHop: gateway,
      });
      this.#indexByKey.set(key, index);
    }
    return index;
  }

  #dstMac(link: Link, neighborKey: string | null): Uint8Array | null {
    const neighbor = neighborKey === null ? undefined : this.#input.neighbors.get(neighborKey);
    if (neighbor !== undefined && neighborUsable(neighbor)) return neighbor.mac;
    return link.noArp ? link.mac : null;
  }
}
