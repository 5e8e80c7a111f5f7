/*
 * The typed content of rtnetlink messages: links, addresses, routes and neighbors, decoded from one message each.
 * Addresses are copies in network order, 4 bytes for IPv4 and 16 for IPv6. A decoder returns null for a message of
 * its type that is about something else (another address family, a cached route), and throws NetlinkDecodeError for
 * one that is malformed. Attributes ku has no use for are skipped.
 *
 * References: rtnetlink(7); net/core/rtnetlink.c rtnl_fill_ifinfo, net/ipv4/fib_semantics.c fib_dump_info,
 * net/ipv6/route.c rt6_fill_node, net/core/neighbour.c neigh_fill_info.
 */

import * as rt from "../../ffi/rtnetlink.ts";
import { forEachAttribute, type Message, need, NetlinkDecodeError } from "./codec.ts";
import { readBytes, readText, readU32, readU8 } from "./codec.ts";

/** How an XDP program is attached (XDP_ATTACHED_*); "multi" is several of them. */
export type XdpMode = "none" | "native" | "generic" | "offload" | "multi";
const XDP_MODES: readonly XdpMode[] = ["none", "native", "generic", "offload", "multi"];

/** A network interface. */
export interface Link {
  index: number;
  name: string;
  /** "veth", "bridge", "vlan", "vxlan" …; null for hardware and the loopback. */
  kind: string | null;
  /** ARPHRD_*; 1 = Ethernet. */
  hardwareType: number;
  mtuBytes: number;
  /** 6 bytes, or null when the link has no Ethernet address. */
  mac: Uint8Array | null;
  /** Administratively up (IFF_UP). */
  up: boolean;
  /** Operational (IFF_RUNNING): has a carrier, or does not know one. */
  running: boolean;
  noArp: boolean;
  loopback: boolean;
  pointToPoint: boolean;
  rxQueueCount: number;
  txQueueCount: number;
  /** IFLA_LINK: a veth's peer, a vlan's lower device; 0 = none. In another namespace if `peerNetnsId` is a number. */
  peerIndex: number;
  peerNetnsId: number | null;
  /** Index of the bridge, bond or VRF this link is a port of; 0 = none. */
  masterIndex: number;
  xdpMode: XdpMode;
  /** Id of the attached XDP program, 0 = none. */
  xdpProgramId: number;
}

/** An address of an interface. */
export interface Address {
  ifindex: number;
  /** The interface's own address (IFA_LOCAL). */
  address: Uint8Array;
  prefixLength: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
  /** IPv4: not the first of its subnet; IPv6: temporary. */
  secondary: boolean;
  /** May be used as a source: not tentative, deprecated or found to be a duplicate. */
  preferred: boolean;
}

/** Kernel's route types (RTN_*). */
export type RouteType = typeof rt.ROUTE_TYPES[number];

/** One way a route may take. */
export interface NextHop {
  /** 0 = none (blackhole and the like). */
  ifindex: number;
  /** Gateway's address, of either family (RTA_VIA); null = the destination is on the link. */
  gateway: Uint8Array | null;
  /** RTNH_F_*, as dumped: the kernel does not report when a link's carrier changes them. */
  flags: number;
  /** The packet would be encapsulated (RTA_ENCAP: MPLS, SRv6 …). */
  encapsulated: boolean;
}

/** A route of any table. */
export interface Route {
  address: Uint8Array;
  prefixLength: number;
  /** IPv6 source-specific routes: bits of the source prefix; 0 otherwise. */
  sourcePrefixLength: number;
  tos: number;
  table: number;
  type: RouteType;
  /** Who made it (RTPROT_*). */
  protocol: number;
  scope: number;
  /** Priority; lower wins. */
  metric: number;
  /** RTAX_MTU, 0 = the link's. */
  mtuBytes: number;
  preferredSource: Uint8Array | null;
  /** Id of the nexthop object, 0 = none. Its ways are in `nextHops` unless sysctl nexthop_compat_mode is 0. */
  nexthopId: number;
  nextHops: NextHop[];
}

/** An ARP or NDP entry. */
export interface Neighbor {
  ifindex: number;
  address: Uint8Array;
  /** 6 bytes, or null when unknown or no Ethernet address. */
  mac: Uint8Array | null;
  /** NUD_* */
  state: number;
  /** NTF_* */
  flags: number;
}

/** Whether the neighbor's MAC address may be used for sending. */
export function neighborUsable(neighbor: Neighbor): boolean {
  return neighbor.mac !== null && (neighbor.state & rt.NUD_VALID) !== 0;
}

/** A link from RTM_NEWLINK or RTM_DELLINK; null for what concerns a bridge port or IPv6 settings of one. */
export function decodeLink(view: DataView, { at, end }: Message): Link | null {
  need(end - at, rt.IFINFOMSG_BYTES, "ifinfomsg");
  if (view.getUint8(at + rt.IFI_FAMILY) !== rt.AF_UNSPEC) return null;
  const flags = view.getUint32(at + rt.IFI_FLAGS, true);
  const link: Link = {
    index: view.getInt32(at + rt.IFI_INDEX, true),
    name: "",
    kind: null,
    hardwareType: view.getUint16(at + rt.IFI_TYPE, true),
    mtuBytes: 0,
    mac: null,
    up: (flags & rt.IFF_UP) !== 0,
    running: (flags & rt.IFF_RUNNING) !== 0,
    noArp: (flags & rt.IFF_NOARP) !== 0,
    loopback: (flags & rt.IFF_LOOPBACK) !== 0,
    pointToPoint: (flags & rt.IFF_POINTOPOINT) !== 0,
    rxQueueCount: 1,
    txQueueCount: 1,
    peerIndex: 0,
    peerNetnsId: null,
    masterIndex: 0,
    xdpMode: "none",
    xdpProgramId: 0,
  };
  forEachAttribute(view, at + rt.IFINFOMSG_BYTES, end, (type, at, length) => {
    linkAttribute(link, view, type, at, length);
  });
  return link;
}

function linkAttribute(link: Link, view: DataView, type: number, at: number, length: number): void {
  switch (type) {
    case rt.IFLA_IFNAME:
      link.name = readText(view, at, length);
      break;
    case rt.IFLA_MTU:
      link.mtuBytes = readU32(view, at, length);
      break;
    case rt.IFLA_ADDRESS:
      if (length === 6) link.mac = readBytes(view, at, length);
      break;
    case rt.IFLA_LINK:
      link.peerIndex = readU32(view, at, length);
      break;
    case rt.IFLA_LINK_NETNSID:
      link.peerNetnsId = readU32(view, at, length) | 0;
      break;
    case rt.IFLA_MASTER:
      link.masterIndex = readU32(view, at, length);
      break;
    case rt.IFLA_NUM_RX_QUEUES:
      link.rxQueueCount = readU32(view, at, length);
      break;
    case rt.IFLA_NUM_TX_QUEUES:
      link.txQueueCount = readU32(view, at, length);
      break;
    case rt.IFLA_LINKINFO:
      forEachAttribute(view, at, at + length, (inner, at, length) => {
        if (inner === rt.IFLA_INFO_KIND) link.kind = readText(view, at, length);
      });
      break;
    case rt.IFLA_XDP:
      forEachAttribute(view, at, at + length, (inner, at, length) => {
        if (inner === rt.IFLA_XDP_ATTACHED) link.xdpMode = XDP_MODES[readU8(view, at, length)] ?? "multi";
        if (inner === rt.IFLA_XDP_PROG_ID) link.xdpProgramId = readU32(view, at, length);
      });
      break;
  }
}

/** Bytes of an address of `family`, or null for a family ku does not know. */
function familyBytes(family: number): 4 | 16 | null {
  return family === rt.AF_INET ? 4 : family === rt.AF_INET6 ? 16 : null;
}

/** A copy of an address attribute that must have `bytes` bytes. */
function readAddress(view: DataView, at: number, length: number, bytes: number): Uint8Array {
  if (length !== bytes) throw new NetlinkDecodeError(`address of ${length} bytes where ${bytes} belong`);
  return readBytes(view, at, length);
}

/** An address from RTM_NEWADDR or RTM_DELADDR; null for another family than IPv4 and IPv6. */
export function decodeAddress(view: DataView, { at, end }: Message): Address | null {
  need(end - at, rt.IFADDRMSG_BYTES, "ifaddrmsg");
  const bytes = familyBytes(view.getUint8(at + rt.IFA_MSG_FAMILY));
  if (bytes === null) return null;
  let flags = view.getUint8(at + rt.IFA_MSG_FLAGS);
  let prefixAddress: Uint8Array | null = null;
  let local: Uint8Array | null = null;
  forEachAttribute(view, at + rt.IFADDRMSG_BYTES, end, (type, at, length) => {
    if (type === rt.IFA_ADDRESS) prefixAddress = readAddress(view, at, length, bytes);
    if (type === rt.IFA_LOCAL) local = readAddress(view, at, length, bytes);
    if (type === rt.IFA_FLAGS) flags = readU32(view, at, length);
  });
  const address = local ?? prefixAddress; // IPv6 has IFA_LOCAL only on point-to-point links
  if (address === null) throw new NetlinkDecodeError("ifaddrmsg without an address");
  return {
    ifindex: view.getUint32(at + rt.IFA_MSG_INDEX, true),
    address,
    prefixLength: prefixLength(view.getUint8(at + rt.IFA_MSG_PREFIX_LENGTH), bytes),
    scope: view.getUint8(at + rt.IFA_MSG_SCOPE),
    secondary: (flags & rt.IFA_F_SECONDARY) !== 0,
    preferred: (flags & (rt.IFA_F_TENTATIVE | rt.IFA_F_DADFAILED | rt.IFA_F_DEPRECATED)) === 0,
  };
}

function prefixLength(bits: number, bytes: number): number {
  if (bits > bytes * 8) throw new NetlinkDecodeError(`prefix length ${bits} of a ${bytes}-byte address`);
  return bits;
}

/** A route from RTM_NEWROUTE or RTM_DELROUTE; null for cached copies and families other than IPv4 and IPv6. */
export function decodeRoute(view: DataView, { at, end }: Message): Route | null {
  need(end - at, rt.RTMSG_BYTES, "rtmsg");
  const bytes = familyBytes(view.getUint8(at + rt.RTM_FAMILY));
  const flags = view.getUint32(at + rt.RTM_FLAGS, true);
  if (bytes === null || (flags & rt.RTM_F_CLONED) !== 0) return null;
  const route: Route = {
    address: new Uint8Array(bytes),
    prefixLength: prefixLength(view.getUint8(at + rt.RTM_DST_LEN), bytes),
    sourcePrefixLength: view.getUint8(at + rt.RTM_SRC_LEN),
    tos: view.getUint8(at + rt.RTM_TOS),
    table: view.getUint8(at + rt.RTM_TABLE),
    type: rt.ROUTE_TYPES[view.getUint8(at + rt.RTM_TYPE)] ?? "unspec",
    protocol: view.getUint8(at + rt.RTM_PROTOCOL),
    scope: view.getUint8(at + rt.RTM_SCOPE),
    metric: 0,
    mtuBytes: 0,
    preferredSource: null,
    nexthopId: 0,
    nextHops: [],
  };
  const single: NextHop = { ifindex: 0, gateway: null, flags: flags & 0xff, encapsulated: false };
  forEachAttribute(view, at + rt.RTMSG_BYTES, end, (type, at, length) => {
    if (nextHopAttribute(single, view, type, at, length, bytes)) return;
    routeAttribute(route, view, type, at, length, bytes);
  });
  if (route.nextHops.length === 0 && single.ifindex !== 0) route.nextHops.push(single);
  return route;
}

function routeAttribute(
  route: Route,
  view: DataView,
  type: number,
  at: number,
  length: number,
  bytes: number,
): void {
  switch (type) {
    case rt.RTA_DST:
      route.address = readAddress(view, at, length, bytes);
      break;
    case rt.RTA_TABLE:
      route.table = readU32(view, at, length);
      break;
    case rt.RTA_PRIORITY:
      route.metric = readU32(view, at, length);
      break;
    case rt.RTA_PREFSRC:
      route.preferredSource = readAddress(view, at, length, bytes);
      break;
    case rt.RTA_NH_ID:
      route.nexthopId = readU32(view, at, length);
      break;
    case rt.RTA_METRICS:
      forEachAttribute(view, at, at + length, (inner, at, length) => {
        if (inner === rt.RTAX_MTU) route.mtuBytes = readU32(view, at, length);
      });
      break;
    case rt.RTA_MULTIPATH:
      route.nextHops = decodeMultipath(view, at, at + length, bytes);
      break;
  }
}

/** Takes an attribute that describes a way (of the route itself or of one of its ways); false if it is another. */
function nextHopAttribute(
  hop: NextHop,
  view: DataView,
  type: number,
  at: number,
  length: number,
  bytes: number,
): boolean {
  switch (type) {
    case rt.RTA_OIF:
      hop.ifindex = readU32(view, at, length);
      return true;
    case rt.RTA_GATEWAY:
      hop.gateway = readAddress(view, at, length, bytes);
      return true;
    case rt.RTA_VIA: {
      need(length, 2, "rtvia");
      const viaBytes = familyBytes(view.getUint16(at, true));
      if (viaBytes === null) throw new NetlinkDecodeError("gateway of an unknown family");
      hop.gateway = readAddress(view, at + 2, length - 2, viaBytes);
      return true;
    }
    case rt.RTA_ENCAP:
    case rt.RTA_ENCAP_TYPE:
      hop.encapsulated = true;
      return true;
    default:
      return false;
  }
}

function decodeMultipath(view: DataView, at: number, end: number, bytes: number): NextHop[] {
  const hops: NextHop[] = [];
  while (end - at >= rt.RTNEXTHOP_BYTES) {
    const length = view.getUint16(at + rt.RTNH_LEN, true);
    if (length < rt.RTNEXTHOP_BYTES || length > end - at) {
      throw new NetlinkDecodeError(`rtnexthop length ${length}, ${end - at} left`);
    }
    const hop: NextHop = {
      ifindex: view.getInt32(at + rt.RTNH_IFINDEX, true),
      gateway: null,
      flags: view.getUint8(at + rt.RTNH_FLAGS),
      encapsulated: false,
    };
    forEachAttribute(view, at + rt.RTNEXTHOP_BYTES, at + length, (type, at, length) => {
      nextHopAttribute(hop, view, type, at, length, bytes);
    });
    hops.push(hop);
    at += (length + 3) & ~3;
  }
  return hops;
}

/** A neighbor from RTM_NEWNEIGH or RTM_DELNEIGH; null for bridge FDB and proxy entries. */
export function decodeNeighbor(view: DataView, { at, end }: Message): Neighbor | null {
  need(end - at, rt.NDMSG_BYTES, "ndmsg");
  const bytes = familyBytes(view.getUint8(at + rt.NDM_FAMILY));
  const flags = view.getUint8(at + rt.NDM_FLAGS);
  if (bytes === null || (flags & rt.NTF_PROXY) !== 0) return null;
  let address: Uint8Array | null = null;
  let mac: Uint8Array | null = null;
  forEachAttribute(view, at + rt.NDMSG_BYTES, end, (type, at, length) => {
    if (type === rt.NDA_DST) address = readAddress(view, at, length, bytes);
    if (type === rt.NDA_LLADDR && length === 6) mac = readBytes(view, at, length);
  });
  if (address === null) throw new NetlinkDecodeError("ndmsg without an address");
  return {
    ifindex: view.getInt32(at + rt.NDM_IFINDEX, true),
    address,
    mac,
    state: view.getUint16(at + rt.NDM_STATE, true),
    flags,
  };
}
