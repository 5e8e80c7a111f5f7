/**
 * Sends an IPv6 packet with a new tuple: route, checks, rewriting; as send4.ts does for IPv4. Nothing is ever fragmented on the way.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as route from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as answer6 from "./answer6.ts";
import * as contexts from "./context.ts";
import type { Context } from "./context.ts";
import * as fragment from "./fragment.ts";
import * as rewrite from "./rewrite.ts";
import * as hops from "./route.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_HOST_NOT_MINE } = counters;
const { ROUTE_LOCAL } = route;
const { ETHERTYPE_IPV6 } = ethernet;
const { IPV6_HOP_LIMIT, IPV6_SRC } = ipv6;
const { answerTimeExceeded6, answerTooBig6 } = answer6;
const { count, drop, FRAGMENT_FIRST, VERDICT_DROP } = contexts;
const { leaveDatagram, sendDatagram, SENT_6 } = fragment;
const { completeHalfDone, rewrite6 } = rewrite;
const { countNoWay, HOP_ADJACENCY, HOP_MTU, HOP_SLOT, hop6, puntIn, puntKu, transmit } = hops;

/**
 * Sends the packet with the tuple opposite to the one at `tupleAt` (9 words) of `words`: a session's reply tuple for a client's
 * packet, its original tuple for a pod's.
 */
export function send6(c: Context, words: Int32Array, tupleAt: number): number {
  if (c.fragment === FRAGMENT_FIRST && !sendDatagram(c, SENT_6, words, tupleAt, 9)) return VERDICT_DROP;
  const hop = hop6(c, words, tupleAt);
  const hops6 = c.hops6;
  if (
    hops6[hop + HOP_SLOT] < 0 || c.end - c.l3 > hops6[hop + HOP_MTU] ||
    c.view.getUint8(c.l3 + IPV6_HOP_LIMIT) <= 1
  ) return sendExceptional6(c, words, tupleAt, hop);
  rewrite6(c, words, tupleAt, 1);
  return transmit(c, hops6, hop, c.l3, ETHERTYPE_IPV6);
}

/** `send6` for packets that cannot simply leave. Checks come before rewriting: an answer quotes what its receiver sent. */
function sendExceptional6(c: Context, words: Int32Array, tupleAt: number, hop: number): number {
  const l3 = c.l3;
  const local = c.hops6[hop + HOP_ADJACENCY] === ROUTE_LOCAL;
  if (!local && c.view.getUint8(l3 + IPV6_HOP_LIMIT) <= 1) return answerTimeExceeded6(c);
  const mtu = c.hops6[hop + HOP_MTU];
  if (c.end - l3 > mtu) return answerTooBig6(c, mtu);
  const sourceKept = keepsSource(c, words, tupleAt + 4);
  // The kernel forwards it and takes its own one from the hop limit.
  rewrite6(c, words, tupleAt, 0);
  countNoWay(c, c.hops6, hop);
  if (sourceKept && c.inSlot !== 0) return puntIn(c);
  return puntKu(c, l3, ETHERTYPE_IPV6);
}

function keepsSource(c: Context, words: Int32Array, at: number): boolean {
  for (let i = 0; i < 4; i++) {
    if (words[at + i] !== c.view.getInt32(c.l3 + IPV6_SRC + (i << 2))) return false;
  }
  return true;
}

/**
 * Gives a packet that is none of ku's to the kernel where it came from; only a half-done checksum is completed. What the kernel itself
 * sent by ku0 is dropped: it would come round again by the route that led it here, until its TTL ends.
 */
export function puntUntouched6(c: Context, reason: number): number {
  if (c.inSlot === 0) return drop(c, COUNT_HOST_NOT_MINE);
  count(c, reason);
  if (c.fragment === FRAGMENT_FIRST) leaveDatagram(c);
  completeHalfDone(c, false);
  return puntIn(c);
}
