/*
 * The veth pair ku0/ku1, through which packets pass between the kernel (ku0) and the rings (ku1). Rule: a ku0 that is
 * not ku's is never touched. ku's own is known by its kind and MAC, so that a daemon finds what an earlier one left.
 *
 * ku0 has no ARP (the kernel writes ku0's own MAC as destination) and no address. The kernel forwards what arrives on
 * it, whatever its source: those are packets of clients and pods, seen from the "wrong" side (rp_filter), or with an
 * address of this node as their source (accept_local). ku1 takes no part in IP at all.
 *
 * References: Documentation/networking/ip-sysctl.rst (rp_filter, accept_local, forwarding).
 */

import { queuesOf, setQueues } from "../../ffi/ethtool.ts";
import { parseMac, sameBytes } from "./address.ts";
import { dumpLinks } from "./dumps.ts";
import { createVethPair, deleteLink, disableLinkLocal, setLink } from "./links.ts";
import type { Link } from "./messages.ts";
import type { RequestSocket } from "./request.ts";
import { readInterfaceSysctl, writeInterfaceSysctl } from "./sysctl.ts";

export const KU0 = "ku0";
export const KU1 = "ku1";
/** 02:6b:75 ("ku", locally administered); in 02:6b:75:00:x:y the last two bytes are a slot, ku0's is 0. */
export const KU0_MAC = parseMac("02:6b:75:00:00:00")!;
/** Outside of the slots' range. */
export const KU1_MAC = parseMac("02:6b:75:01:00:00")!;

/** The pair as it is now, up and configured. */
export interface Pair {
  ku0: Link;
  ku1: Link;
  /** It was there already. */
  adopted: boolean;
}

/** ku0 or ku1 is somebody else's. */
export class ForeignPairError extends Error {
  override name = "ForeignPairError";
}

/**
 * Makes the pair with `room` queues at each end, or adopts the one that is there; one with fewer than `queueCount` is made
 * anew. Configures it and brings it up. Throws ForeignPairError, SystemError, or Error naming a setting.
 */
export function ensurePair(
  socket: RequestSocket,
  queueCount: number,
  mtuBytes?: number,
  room = queueCount,
): Pair {
  let found = findPair(socket);
  if (found !== null && [found.ku0, found.ku1].some((end) => queues(end) < queueCount)) {
    deleteLink(socket, found.ku0.index);
    found = null;
  }
  if (found === null) {
    createVethPair(socket, { name: KU0, mac: KU0_MAC }, { name: KU1, mac: KU1_MAC }, room);
  }
  const { ku0, ku1 } = findPair(socket)!;
  for (const end of [ku0, ku1]) {
    setLink(socket, end.index, { noArp: true, mtuBytes });
    if (readInterfaceSysctl("ipv6", end.name, "disable_ipv6") !== null) disableLinkLocal(socket, end.index);
  }
  setSysctls();
  for (const end of [ku0, ku1]) setLink(socket, end.index, { up: true });
  return { ...findPair(socket)!, adopted: found !== null };
}

/** Has the pair use `count` of its queues, if the kernel can. */
export function setPairQueues(count: number): void {
  const grows = queuesOf(KU0).tx < count;
  // drivers/net/veth.c veth_set_channels: ku1, which has an XDP program, receives by as many as ku0 sends by, at any moment.
  for (const name of grows ? [KU1, KU0] : [KU0, KU1]) setQueues(name, count);
}

/** Deletes the pair. Nothing to delete is no error; somebody else's ku0 stays and throws ForeignPairError. */
export function deletePair(socket: RequestSocket): void {
  const pair = findPair(socket);
  if (pair !== null) deleteLink(socket, pair.ku0.index);
}

function queues(end: Link): number {
  return Math.min(end.rxQueueCount, end.txQueueCount);
}

/** ku's pair, or null when neither name is taken. */
export function findPair(socket: RequestSocket): { ku0: Link; ku1: Link } | null {
  const links = dumpLinks(socket);
  const ku0 = links.find((link) => link.name === KU0);
  const ku1 = links.find((link) => link.name === KU1);
  if (ku0 === undefined && ku1 === undefined) return null;
  if (ku0 === undefined) throw new ForeignPairError(`${KU1} : exists without ${KU0}, rename or delete it`);
  if (ku0.kind !== "veth" || !sameBytes(ku0.mac, KU0_MAC)) {
    throw new ForeignPairError(`${KU0} : is not ku's (another kind or MAC address), rename or delete it`);
  }
  if (ku1 === undefined || ku0.peerNetnsId !== null || ku0.peerIndex !== ku1.index) {
    throw new ForeignPairError(`${KU0} : its other end is not ${KU1}, delete ${KU0}`);
  }
  return { ku0, ku1 };
}

function setSysctls(): void {
  // The kernel takes the larger of all's and the interface's rp_filter: with 1 (strict) in "all", only 2 (loose) helps.
  const all = readInterfaceSysctl("ipv4", "all", "rp_filter") ?? 0;
  writeInterfaceSysctl("ipv4", KU0, "rp_filter", all === 0 ? 0 : 2);
  writeInterfaceSysctl("ipv4", KU0, "accept_local", 1);
  writeInterfaceSysctl("ipv4", KU0, "forwarding", 1);
  writeInterfaceSysctl("ipv4", KU0, "send_redirects", 0);
  if (readInterfaceSysctl("ipv6", KU0, "disable_ipv6") === null) return; // a kernel without IPv6
  writeInterfaceSysctl("ipv6", KU0, "disable_ipv6", 0);
  writeInterfaceSysctl("ipv6", KU0, "accept_ra", 0);
  writeInterfaceSysctl("ipv6", KU0, "forwarding", 1);
  writeInterfaceSysctl("ipv6", KU1, "disable_ipv6", 1);
}
