/*
 * What is there now: each kind of object, asked for once. For a view that stays current see mirror.ts.
 */

import * as rt from "../../ffi/rtnetlink.ts";
import { forEachAttribute, type Message, type MessageWriter, need, readU32 } from "./codec.ts";
import { type Address, decodeAddress, decodeLink, decodeNeighbor, decodeRoute } from "./messages.ts";
import type { Link, Neighbor, Route } from "./messages.ts";
import type { RequestSocket } from "./request.ts";

/** All links of this network namespace. */
export function dumpLinks(socket: RequestSocket): Link[] {
  const fill = (writer: MessageWriter) => {
    writer.struct(rt.IFINFOMSG_BYTES);
    writer.attributeU32(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS);
  };
  return socket.dump(rt.RTM_GETLINK, "links", fill, decodeLink);
}

/** All addresses, both families. */
export function dumpAddresses(socket: RequestSocket): Address[] {
  return socket.dump(
    rt.RTM_GETADDR,
    "addresses",
    (writer) => writer.struct(rt.IFADDRMSG_BYTES),
    decodeAddress,
  );
}

/** All routes of a family (4 or 6), every table. */
export function dumpRoutes(socket: RequestSocket, family: 4 | 6): Route[] {
  const fill = (writer: MessageWriter) => {
    writer.struct(rt.RTMSG_BYTES).setUint8(rt.RTM_FAMILY, family === 4 ? rt.AF_INET : rt.AF_INET6);
  };
  return socket.dump(rt.RTM_GETROUTE, `IPv${family} routes`, fill, decodeRoute);
}

/** All neighbors, both families. */
export function dumpNeighbors(socket: RequestSocket): Neighbor[] {
  return socket.dump(rt.RTM_GETNEIGH, "neighbors", (writer) => writer.struct(rt.NDMSG_BYTES), decodeNeighbor);
}

/** The kernel's own rules: lookup local (priority 0), main (32766) and, for IPv4, default (32767). */
const DEFAULT_RULES = [[0, rt.RT_TABLE_LOCAL], [32766, rt.RT_TABLE_MAIN], [32767, 253]];

/** Number of policy routing rules, both families, beside the kernel's own. */
export function countForeignRules(socket: RequestSocket): number {
  let count = 0;
  for (const family of [rt.AF_INET, rt.AF_INET6]) {
    const fill = (writer: MessageWriter) => writer.struct(rt.FIB_RULE_HEADER_BYTES).setUint8(0, family);
    count += socket.dump(rt.RTM_GETRULE, "rules", fill, foreignRule).length;
  }
  return count;
}

/** True for a rule of the administrator's, null for one of the kernel's. Rule and route messages begin alike. */
function foreignRule(view: DataView, { at, end }: Message): true | null {
  need(end - at, rt.FIB_RULE_HEADER_BYTES, "fib_rule_hdr");
  const table = view.getUint8(at + rt.FIB_RULE_TABLE);
  const action = view.getUint8(at + rt.FIB_RULE_ACTION);
  let priority = 0;
  forEachAttribute(view, at + rt.FIB_RULE_HEADER_BYTES, end, (type, at, length) => {
    if (type === rt.FRA_PRIORITY) priority = readU32(view, at, length);
  });
  const own = action === rt.FR_ACT_TO_TBL && DEFAULT_RULES.some(([p, t]) => p === priority && t === table);
  return own ? null : true;
}
