/*
 * The kernel's links, addresses, routes and neighbors, kept current. It subscribes first and dumps then, so that
 * nothing falls between; notifications that repeat what a dump had are harmless. Rule: the mirror is never quietly
 * wrong. Whatever notifications do not tell is dumped again:
 * - everything, after the kernel reported lost notifications (ENOBUFS), or sent one that cannot be read;
 * - routes, after a link went up or down or away, an IPv4 address went or a nexthop object changed: the kernel then
 *   drops or disables routes without saying so (net/ipv4/fib_frontend.c fib_disable_ip, fib_sync_down_addr).
 *
 * Waiting happens on a pool thread, reading and decoding on this one; changes are gathered for a few milliseconds.
 *
 * References: rtnetlink(7), netlink(7) (ENOBUFS).
 */

import { ENOBUFS, SystemError } from "../../ffi/errno.ts";
import { NetlinkSocket, Waiter } from "../../ffi/netlink_socket.ts";
import * as rt from "../../ffi/rtnetlink.ts";
import { addressKey, sameBytes } from "./address.ts";
import { type Message, NetlinkDecodeError, readMessages } from "./codec.ts";
import { countForeignRules, dumpAddresses, dumpLinks, dumpNeighbors, dumpRoutes } from "./dumps.ts";
import { type Address, decodeAddress, decodeLink, decodeNeighbor, decodeRoute } from "./messages.ts";
import { type Link, type Neighbor, neighborUsable, type Route } from "./messages.ts";
import { KU_ROUTE_PROTOCOL, neighborKey } from "./next_hops.ts";
import { RequestSocket } from "./request.ts";
import { type Applied, RouteSet } from "./route_set.ts";

/** What a change was about. "rules": `foreignRuleCount`; "own routes": one that ku itself had set has gone. */
export type ChangeKind = "links" | "addresses" | "routes" | "own routes" | "neighbors" | "rules";
export type ChangeCallback = (kinds: ReadonlySet<ChangeKind>) => void;

const GROUPS = [
  rt.RTNLGRP_LINK,
  rt.RTNLGRP_NEIGH,
  rt.RTNLGRP_IPV4_IFADDR,
  rt.RTNLGRP_IPV4_ROUTE,
  rt.RTNLGRP_IPV4_RULE,
  rt.RTNLGRP_IPV6_IFADDR,
  rt.RTNLGRP_IPV6_ROUTE,
  rt.RTNLGRP_IPV6_RULE,
  rt.RTNLGRP_NEXTHOP,
];
/** Notifications are gathered this long before they are read. */
const GATHER_MS = 5;
/** Dumping again takes at most one part in this many of the time. */
const DUMP_TIME_SHARE = 5;
/** Datagrams read before the event loop gets its turn. */
const READ_COUNT = 1000;

/** What has to be dumped again. */
type Dump = "links" | "addresses" | "routes4" | "routes6" | "neighbors" | "rules";
const ALL_DUMPS: readonly Dump[] = ["links", "addresses", "routes4", "routes6", "neighbors", "rules"];

/** A living copy. Its collections change only between a caller's turns of the event loop; treat them as read-only. */
export class Mirror {
  /** By ifindex. */
  readonly links = new Map<number, Link>();
  /** By interface, address and prefix length; iterate. */
  readonly addresses = new Map<string, Address>();
  /** By `neighborKey`. Those in state NOARP (multicast …) are as last dumped: the kernel does not tell of them. */
  readonly neighbors = new Map<string, Neighbor>();
  /** Tables main and local. */
  readonly routes4 = new RouteSet();
  readonly routes6 = new RouteSet();
  /** Policy routing rules beside the kernel's own. The mirror does not follow them: say so when it is not 0. */
  foreignRuleCount = 0;

  readonly #notifications = new NetlinkSocket(GROUPS);
  readonly #requests = new RequestSocket();
  readonly #waiter = new Waiter(this.#notifications.fd);
  readonly #callbacks = new Set<ChangeCallback>();
  readonly #stale = new Set<Dump>(ALL_DUMPS);
  #changed = new Set<ChangeKind>();
  readonly #births = new Map<number, number>();
  /** How often all links were read anew: what came and went meanwhile is not known. */
  linkDumps = 0;
  /** Notifications were lost and the rest of them is not read yet. */
  #lost = false;
  #dumpNotBefore = 0;
  #running: Promise<void> | null = null;
  #closed = false;
  #wake: () => void = () => {};

  private constructor() {}

  /** Subscribes, dumps, and begins to follow. Throws SystemError. */
  static open(): Promise<Mirror> {
    const mirror = new Mirror();
    try {
      mirror.#dumpStale();
    } catch (error) {
      mirror.#release();
      return Promise.reject(error);
    }
    mirror.#changed.clear();
    mirror.#running = mirror.#follow();
    return Promise.resolve(mirror);
  }

  /** Changes when an interface of this index comes: one that is deleted and made anew may have the old one's index and name. */
  bornOf(index: number): number {
    return this.#births.get(index) ?? 0;
  }

  /** Routes of both families. */
  get routes(): Iterable<Route> {
    return [...this.routes4, ...this.routes6];
  }

  /** The link of that name. */
  linkByName(name: string): Link | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  /**
   * Calls `callback` after changes, every few milliseconds at most, with what they were about. A neighbor that only
   * moves between states in which its MAC may be used is no change. Returns a function that ends this.
   */
  onChange(callback: ChangeCallback): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  /** Stops following and frees the sockets. Resolves within milliseconds; rejects if following had failed. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#waiter.interrupt();
      this.#wake();
    }
    await this.#running;
  }

  /** Resolves after `close`; rejects when the kernel can no longer be followed. */
  get done(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** The mirror's life after the first dump. */
  async #follow(): Promise<void> {
    try {
      let isEmpty = true;
      while (!this.#closed) {
        if (this.#stale.size === 0 && isEmpty && !await this.#waiter.waitReadable()) break;
        await this.#sleep(Math.max(GATHER_MS, this.#dumpDelayMs()));
        if (this.#closed) break;
        isEmpty = this.#readNotifications();
        if (isEmpty && this.#dumpDelayMs() === 0) this.#dumpStale();
        this.#report();
      }
    } finally {
      this.#closed = true;
      this.#release();
    }
  }

  /** Ends early on `close`. */
  #sleep(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, durationMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #dumpDelayMs(): number {
    return this.#stale.size === 0 ? 0 : Math.max(0, this.#dumpNotBefore - performance.now());
  }

  #release(): void {
    this.#notifications.close();
    this.#requests.close();
    this.#waiter.close();
  }

  #report(): void {
    if (this.#changed.size === 0) return;
    const kinds = this.#changed;
    this.#changed = new Set();
    for (const callback of this.#callbacks) callback(kinds);
  }

  /**
   * Reads what is there. True if that was all: only then may be dumped, or old notifications would follow the dump.
   * NB: the kernel reports a loss ahead of what it had queued before, and goes on losing until the queue is empty
   * (af_netlink.c netlink_overrun, netlink_rcv_wake). So after ENOBUFS all of the queue is thrown away.
   */
  #readNotifications(): boolean {
    const view = this.#notifications.view;
    for (let count = 0; count < READ_COUNT; count++) {
      try {
        const length = this.#notifications.receive();
        if (length < 0) {
          this.#lost = false;
          return true;
        }
        if (this.#lost) continue;
        for (const message of readMessages(view, length)) this.#apply(view, message);
      } catch (error) {
        if (error instanceof SystemError && error.errno === ENOBUFS) this.#lost = true;
        else if (!(error instanceof NetlinkDecodeError)) throw error;
        for (const dump of ALL_DUMPS) this.#stale.add(dump);
      }
    }
    return false;
  }

  #apply(view: DataView, message: Message): void {
    switch (message.type) {
      case rt.RTM_NEWLINK:
      case rt.RTM_DELLINK:
        return this.#applyLink(decodeLink(view, message), message.type === rt.RTM_NEWLINK);
      case rt.RTM_NEWADDR:
      case rt.RTM_DELADDR:
        return this.#applyAddress(decodeAddress(view, message), message.type === rt.RTM_NEWADDR);
      case rt.RTM_NEWROUTE:
      case rt.RTM_DELROUTE:
        return this.#applyRoute(decodeRoute(view, message), message);
      case rt.RTM_NEWNEIGH:
      case rt.RTM_DELNEIGH:
        return this.#applyNeighbor(decodeNeighbor(view, message), message.type === rt.RTM_NEWNEIGH);
      case rt.RTM_NEWRULE:
      case rt.RTM_DELRULE:
        this.#stale.add("rules");
        return;
      case rt.RTM_NEWNEXTHOP:
      case rt.RTM_DELNEXTHOP:
        this.#stale.add("routes4").add("routes6");
        return;
    }
  }

  #applyLink(link: Link | null, present: boolean): void {
    if (link === null) return;
    const before = this.links.get(link.index);
    if (present && before === undefined) this.#births.set(link.index, this.bornOf(link.index) + 1);
    if (present) this.links.set(link.index, link);
    else this.links.delete(link.index);
    if (!present) {
      for (const [key, neighbor] of this.neighbors) {
        if (neighbor.ifindex === link.index) this.neighbors.delete(key);
      }
    }
    this.#changed.add("links");
    const sameRoutes = present && before !== undefined && before.up === link.up &&
      before.running === link.running &&
      before.masterIndex === link.masterIndex;
    if (!sameRoutes) this.#stale.add("routes4").add("routes6");
  }

  #applyAddress(address: Address | null, present: boolean): void {
    if (address === null) return;
    if (present) this.addresses.set(ownKey(address), address);
    else this.addresses.delete(ownKey(address));
    if (!present && address.address.length === 4) this.#stale.add("routes4"); // those with it as their source
    this.#changed.add("addresses");
  }

  #applyRoute(route: Route | null, message: Message): void {
    if (route === null || !mirrored(route)) return;
    const six = route.address.length === 16;
    const set = six ? this.routes6 : this.routes4;
    const applied: Applied = message.type === rt.RTM_NEWROUTE
      ? set.added(route, message.flags)
      : set.removed(route);
    if (applied === "changed") {
      // They lead no packet of ku's, and that they are there is no news: ten thousand of them are the echo of one command.
      const own = route.protocol === KU_ROUTE_PROTOCOL;
      if (!own || message.type === rt.RTM_DELROUTE) this.#changed.add(own ? "own routes" : "routes");
    }
    if (applied === "unsure") this.#stale.add(six ? "routes6" : "routes4");
  }

  #applyNeighbor(neighbor: Neighbor | null, present: boolean): void {
    if (neighbor === null) return;
    const key = neighborKey(neighbor.ifindex, neighbor.address);
    const before = this.neighbors.get(key);
    if (present) this.neighbors.set(key, neighbor);
    else this.neighbors.delete(key);
    const macBefore = before !== undefined && neighborUsable(before) ? before.mac : null;
    const mac = present && neighborUsable(neighbor) ? neighbor.mac : null;
    if (!sameBytes(macBefore, mac)) this.#changed.add("neighbors");
  }

  /** Dumps what is marked stale. Links come first, so that nothing else names a link that is not there yet. */
  #dumpStale(): void {
    if (this.#stale.size === 0) return;
    const start = performance.now();
    for (const dump of ALL_DUMPS) if (this.#stale.delete(dump)) this.#dumpOne(dump);
    const end = performance.now();
    this.#dumpNotBefore = end + (end - start) * (DUMP_TIME_SHARE - 1);
  }

  #dumpOne(dump: Dump): void {
    switch (dump) {
      case "links":
        refill(this.links, dumpLinks(this.#requests), (link) => link.index);
        this.linkDumps++;
        break;
      case "addresses":
        refill(this.addresses, dumpAddresses(this.#requests), ownKey);
        break;
      case "routes4":
        this.routes4.reset(dumpRoutes(this.#requests, 4).filter(mirrored));
        break;
      case "routes6":
        this.routes6.reset(dumpRoutes(this.#requests, 6).filter(mirrored));
        break;
      case "neighbors":
        refill(
          this.neighbors,
          dumpNeighbors(this.#requests),
          ({ ifindex, address }) => neighborKey(ifindex, address),
        );
        break;
      case "rules":
        this.foreignRuleCount = countForeignRules(this.#requests);
        break;
    }
    this.#changed.add(dump === "routes4" || dump === "routes6" ? "routes" : dump);
  }
}

function ownKey({ ifindex, address, prefixLength }: Address): string {
  return `${ifindex} ${prefixLength} ${addressKey(address)}`;
}

function mirrored(route: Route): boolean {
  return route.table === rt.RT_TABLE_MAIN || route.table === rt.RT_TABLE_LOCAL;
}

function refill<K, V>(map: Map<K, V>, items: readonly V[], key: (item: V) => K): void {
  map.clear();
  for (const item of items) map.set(key(item), item);
}
