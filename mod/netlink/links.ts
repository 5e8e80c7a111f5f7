/*
 * Orders about links, routes and neighbors, carried out by rtnetlink (never by calling `ip`). Each function either
 * did what it says when it returns or throws a SystemError naming it.
 *
 * References: rtnetlink(7); net/core/rtnetlink.c rtnl_newlink, do_setlink; drivers/net/veth.c veth_newlink;
 * net/ipv4/fib_frontend.c inet_rtm_newroute; net/core/neighbour.c neigh_add.
 */

import type { SystemError } from "../../ffi/errno.ts";
import * as rt from "../../ffi/rtnetlink.ts";
import { addressText } from "./address.ts";
import { MessageWriter } from "./codec.ts";
import { dumpRoutes } from "./dumps.ts";
import type { Route } from "./messages.ts";
import { KU_ROUTE_PROTOCOL } from "./next_hops.ts";
import type { Order, RequestSocket } from "./request.ts";

/** One end of a veth pair to make. */
export interface VethEnd {
  name: string;
  /** 6 bytes. */
  mac: Uint8Array;
}

/** Makes a veth pair, both ends down, with `queueCount` receive and as many transmit queues each. */
export function createVethPair(socket: RequestSocket, end: VethEnd, peer: VethEnd, queueCount: number): void {
  const writer = new MessageWriter(rt.RTM_NEWLINK, rt.NLM_F_CREATE | rt.NLM_F_EXCL);
  const writeEnd = ({ name, mac }: VethEnd) => {
    writer.attributeText(rt.IFLA_IFNAME, name)
      .attribute(rt.IFLA_ADDRESS, mac)
      .attributeU32(rt.IFLA_NUM_RX_QUEUES, queueCount)
      .attributeU32(rt.IFLA_NUM_TX_QUEUES, queueCount);
  };
  writer.struct(rt.IFINFOMSG_BYTES);
  writeEnd(end);
  writer.nested(rt.IFLA_LINKINFO, () => {
    writer.attributeText(rt.IFLA_INFO_KIND, "veth").nested(rt.IFLA_INFO_DATA, () => {
      writer.nested(rt.VETH_INFO_PEER, () => {
        writer.struct(rt.IFINFOMSG_BYTES);
        writeEnd(peer);
      });
    });
  });
  socket.execute({
    message: writer.finish(),
    action: "create veth pair",
    object: `${end.name} ${peer.name}`,
  });
}

/** Deletes a link (of a veth pair: both ends). */
export function deleteLink(socket: RequestSocket, ifindex: number): void {
  const writer = linkWriter(rt.RTM_DELLINK, ifindex);
  socket.execute({ message: writer.finish(), action: "delete link", object: `number ${ifindex}` });
}

/** What to change of a link; what is left out stays as it is. */
export interface LinkSettings {
  up?: boolean;
  noArp?: boolean;
  mtuBytes?: number;
  /** 6 bytes. */
  mac?: Uint8Array;
}

/** Changes a link's settings, all in one step. */
export function setLink(socket: RequestSocket, ifindex: number, settings: LinkSettings): void {
  let flags = 0;
  let change = 0;
  if (settings.up !== undefined) {
    change |= rt.IFF_UP;
    if (settings.up) flags |= rt.IFF_UP;
  }
  if (settings.noArp !== undefined) {
    change |= rt.IFF_NOARP;
    if (settings.noArp) flags |= rt.IFF_NOARP;
  }
  const writer = linkWriter(rt.RTM_NEWLINK, ifindex, flags, change);
  if (settings.mtuBytes !== undefined) writer.attributeU32(rt.IFLA_MTU, settings.mtuBytes);
  if (settings.mac !== undefined) writer.attribute(rt.IFLA_ADDRESS, settings.mac);
  socket.execute({ message: writer.finish(), action: "change link", object: `number ${ifindex}` });
}

/** Keeps the kernel from giving the link an IPv6 link-local address (addr_gen_mode none). */
export function disableLinkLocal(socket: RequestSocket, ifindex: number): void {
  const writer = linkWriter(rt.RTM_NEWLINK, ifindex);
  writer.nested(rt.IFLA_AF_SPEC, () => {
    writer.nested(rt.AF_INET6, () => {
      writer.attributeU8(rt.IFLA_INET6_ADDR_GEN_MODE, rt.IN6_ADDR_GEN_MODE_NONE);
    });
  });
  socket.execute({
    message: writer.finish(),
    action: "set addr_gen_mode of link",
    object: `number ${ifindex}`,
  });
}

function linkWriter(type: number, ifindex: number, flags = 0, change = 0): MessageWriter {
  const writer = new MessageWriter(type, 0);
  const info = writer.struct(rt.IFINFOMSG_BYTES);
  info.setInt32(rt.IFI_INDEX, ifindex, true);
  info.setUint32(rt.IFI_FLAGS, flags, true);
  info.setUint32(rt.IFI_CHANGE, change, true);
  return writer;
}

/** A route of ku's own: a prefix that leads to a link. */
export interface OwnRoute {
  /** 4 or 16 bytes, network order, host bits zero. */
  address: Uint8Array;
  prefixLength: number;
  ifindex: number;
  /** Source address for what the node itself sends there. */
  source?: Uint8Array;
  metric?: number;
}

/** Adds routes to the main table, marked as ku's. One result each: null, or why not (EEXIST: somebody has it). */
export function addRoutes(socket: RequestSocket, routes: readonly OwnRoute[]): (SystemError | null)[] {
  return socket.executeAll(routes.map((route) => {
    return routeOrder(rt.RTM_NEWROUTE, rt.NLM_F_CREATE | rt.NLM_F_EXCL, "add route", route);
  }));
}

/** Deletes routes that `addRoutes` added; other people's routes to the same prefix stay. Results as there. */
export function deleteRoutes(socket: RequestSocket, routes: readonly OwnRoute[]): (SystemError | null)[] {
  return socket.executeAll(routes.map((route) => routeOrder(rt.RTM_DELROUTE, 0, "delete route", route)));
}

/** All routes in the main table that are marked as ku's. */
export function listOwnRoutes(socket: RequestSocket): OwnRoute[] {
  return [...dumpRoutes(socket, 4), ...dumpRoutes(socket, 6)].filter(isOwn).map((route) => ({
    address: route.address,
    prefixLength: route.prefixLength,
    ifindex: route.nextHops[0].ifindex,
    metric: route.metric,
  }));
}

function isOwn(route: Route): boolean {
  return route.protocol === KU_ROUTE_PROTOCOL && route.table === rt.RT_TABLE_MAIN &&
    route.nextHops.length === 1;
}

function routeOrder(type: number, flags: number, action: string, route: OwnRoute): Order {
  const { address, prefixLength, ifindex, source, metric } = route;
  const writer = new MessageWriter(type, flags, 128);
  const header = writer.struct(rt.RTMSG_BYTES);
  header.setUint8(rt.RTM_FAMILY, address.length === 4 ? rt.AF_INET : rt.AF_INET6);
  header.setUint8(rt.RTM_DST_LEN, prefixLength);
  header.setUint8(rt.RTM_TABLE, rt.RT_TABLE_MAIN);
  header.setUint8(rt.RTM_PROTOCOL, KU_ROUTE_PROTOCOL);
  header.setUint8(rt.RTM_SCOPE, address.length === 4 ? rt.RT_SCOPE_LINK : rt.RT_SCOPE_UNIVERSE);
  header.setUint8(rt.RTM_TYPE, rt.RTN_UNICAST);
  writer.attribute(rt.RTA_DST, address).attributeU32(rt.RTA_OIF, ifindex);
  if (source !== undefined) writer.attribute(rt.RTA_PREFSRC, source);
  if (metric !== undefined) writer.attributeU32(rt.RTA_PRIORITY, metric);
  const object = `${addressText(address)}/${prefixLength} on link ${ifindex}`;
  return { message: writer.finish(), action, object };
}

/** A neighbor by link and address (4 or 16 bytes). */
export interface NeighborId {
  ifindex: number;
  address: Uint8Array;
}

/**
 * Tells the kernel that the neighbors are in use (NTF_USE): it resolves unknown ones and checks stale ones. The
 * outcome arrives later, as a change of the mirror. Results as with `addRoutes`.
 */
export function useNeighbors(
  socket: RequestSocket,
  neighbors: readonly NeighborId[],
): (SystemError | null)[] {
  return socket.executeAll(neighbors.map((neighbor) => {
    const writer = neighborWriter(rt.RTM_NEWNEIGH, rt.NLM_F_CREATE, neighbor, 0, rt.NTF_USE);
    return neighborOrder(writer, "resolve neighbor", neighbor);
  }));
}

/** Sets a neighbor's MAC for good (NUD_PERMANENT). */
export function setNeighbor(socket: RequestSocket, neighbor: NeighborId, mac: Uint8Array): void {
  const flags = rt.NLM_F_CREATE | rt.NLM_F_REPLACE;
  const writer = neighborWriter(rt.RTM_NEWNEIGH, flags, neighbor, rt.NUD_PERMANENT, 0);
  socket.execute(neighborOrder(writer.attribute(rt.NDA_LLADDR, mac), "set neighbor", neighbor));
}

/** Forgets a neighbor. */
export function deleteNeighbor(socket: RequestSocket, neighbor: NeighborId): void {
  socket.execute(
    neighborOrder(neighborWriter(rt.RTM_DELNEIGH, 0, neighbor, 0, 0), "delete neighbor", neighbor),
  );
}

function neighborWriter(
  type: number,
  messageFlags: number,
  { ifindex, address }: NeighborId,
  state: number,
  neighborFlags: number,
): MessageWriter {
  const writer = new MessageWriter(type, messageFlags, 128);
  const header = writer.struct(rt.NDMSG_BYTES);
  header.setUint8(rt.NDM_FAMILY, address.length === 4 ? rt.AF_INET : rt.AF_INET6);
  header.setInt32(rt.NDM_IFINDEX, ifindex, true);
  header.setUint16(rt.NDM_STATE, state, true);
  header.setUint8(rt.NDM_FLAGS, neighborFlags);
  return writer.attribute(rt.NDA_DST, address);
}

function neighborOrder(writer: MessageWriter, action: string, { ifindex, address }: NeighborId): Order {
  return { message: writer.finish(), action, object: `${addressText(address)} on link ${ifindex}` };
}
