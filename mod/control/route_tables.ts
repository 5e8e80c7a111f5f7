/**
 * From the mirror of the kernel's network to the tables the datapath reads: routes, adjacencies, interfaces by slot, and
 * the node's own addresses for the steering maps.
 *
 * @module
 */

import { to16Bytes } from "../config/address.ts";
import type { InterfaceSpec } from "../config/model.ts";
import { type Adjacency, buildNextHops } from "../netlink/next_hops.ts";
import type { Address, Link } from "../netlink/messages.ts";
import type { Mirror } from "../netlink/mirror.ts";
import { KU0_MAC } from "../netlink/pair.ts";
import { AdjacencyTable } from "../table/adjacency.ts";
import { IF_NAT4_IN, IF_NAT6_IN, IF_PRESENT, IF_XDP_OUT, InterfaceTable } from "../table/interface.ts";
import { RouteTable } from "../table/route.ts";

// include/uapi/linux/rtnetlink.h enum rt_scope_t
const SCOPE_UNIVERSE = 0;
const SCOPE_HOST = 254;

/** An interface that has a slot and is there. */
export interface SlottedLink {
  slot: number;
  link: Link;
  spec: InterfaceSpec;
  /** It sends frames that an XDP program redirects to it. */
  takesXdp: boolean;
}

/** The buffers of one generation, as far as they come from the network. */
export interface RouteBuffers {
  routes: SharedArrayBuffer;
  adjacencies: SharedArrayBuffer;
  interfaces: SharedArrayBuffer;
}

export interface RouteTables {
  buffers: RouteBuffers;
  adjacencies: readonly Adjacency[];
}

/** The tables for the mirror's present state. `ku0` is the host's side, slot 0. */
export function buildRouteTables(mirror: Mirror, attached: readonly SlottedLink[], ku0: Link): RouteTables {
  const slots = new Map(attached.map(({ slot, link }) => [link.index, slot]));
  const hops = buildNextHops({
    links: mirror.links,
    routes: mirror.routes,
    neighbors: mirror.neighbors,
    slots,
  });
  const adjacencies = new AdjacencyTable(
    new SharedArrayBuffer(AdjacencyTable.bytesFor(hops.adjacencies.length)),
  );
  hops.adjacencies.forEach((hop, index) => {
    adjacencies.set(index, hop.slot, hop.resolved ? hop.dstMac : null, hop.srcMac, hop.mtuBytes);
  });
  return {
    buffers: {
      routes: RouteTable.build(hops.routes4, hops.routes6).buffer,
      adjacencies: adjacencies.buffer,
      interfaces: buildInterfaces(mirror, attached, ku0),
    },
    adjacencies: hops.adjacencies,
  };
}

function buildInterfaces(mirror: Mirror, attached: readonly SlottedLink[], ku0: Link): SharedArrayBuffer {
  const slots = attached.reduce((highest, { slot }) => Math.max(highest, slot), 0) + 1;
  const table = new InterfaceTable(new SharedArrayBuffer(InterfaceTable.bytesFor(slots)));
  const ofIndex = new Map<number, Address[]>();
  for (const address of mirror.addresses.values()) {
    const of = ofIndex.get(address.ifindex);
    if (of === undefined) ofIndex.set(address.ifindex, [address]);
    else of.push(address);
  }
  const anyAddress = [...mirror.addresses.values()];
  table.set(0, {
    // Servers on the node itself answer by the route to the VIP, that is by ku0 (mod/datapath/source.ts, useVipSource4).
    flags: IF_PRESENT | IF_NAT4_IN | IF_NAT6_IN,
    mtuBytes: ku0.mtuBytes,
    mac: KU0_MAC,
    ip4: primary(anyAddress, 4),
    ip6: primary(anyAddress, 16),
    ifindex: ku0.index,
  });
  for (const { slot, link, spec, takesXdp } of attached) {
    const own = ofIndex.get(link.index) ?? [];
    table.set(slot, {
      flags: IF_PRESENT | (spec.nat4 ? IF_NAT4_IN : 0) | (spec.nat6 ? IF_NAT6_IN : 0) |
        (takesXdp ? IF_XDP_OUT : 0),
      mtuBytes: link.mtuBytes,
      mac: link.mac ?? KU0_MAC,
      // An interface without an address of its own borrows one, as the kernel does (inet_select_addr).
      ip4: primary(own, 4) ?? primary(anyAddress, 4),
      ip6: primary(own, 16) ?? primary(anyAddress, 16),
      ifindex: link.index,
    });
  }
  return table.buffer;
}

/** The first address the kernel would use as a source to the outside: global, preferred, not secondary. */
function primary(addresses: readonly Address[], bytes: 4 | 16): Uint8Array | null {
  const fits = addresses.filter((each) =>
    each.address.length === bytes && each.scope === SCOPE_UNIVERSE && each.preferred
  );
  return (fits.find((each) => !each.secondary) ?? fits[0])?.address ?? null;
}

/** The addresses on which node ports are served, 16 bytes each: all of the node's but the loopback's and link-local ones. */
export function nodeAddresses(mirror: Mirror): Uint8Array[] {
  const addresses: Uint8Array[] = [];
  for (const { address, scope } of mirror.addresses.values()) {
    if (
      scope === SCOPE_HOST || (address.length === 16 && address[0] === 0xfe && (address[1] & 0xc0) === 0x80)
    ) {
      continue;
    }
    addresses.push(to16Bytes(address));
  }
  return addresses;
}
