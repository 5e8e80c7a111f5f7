/**
 * Sends an IPv6 packet with a new tuple: route, checks, rewriting; as send4.ts does for IPv4. Nothing is ever fragmented on the way.
 *
 * @module
 */

import * as adjacency from "../table/adjacency.ts";
import * as routes from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as answer6 from "./answer6.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as rewrite from "./rewrite.ts";
import * as route from "./route.ts";

// Own constants: see context.ts, "Speed".
const { ADJ_FLAGS, ADJ_MTU, ADJ_RESOLVED, ADJ_SLOT, ADJ_STRIDE } = adjacency;
const { ROUTE_LOCAL } = routes;
const { ETHERTYPE_IPV6 } = ethernet;
const { IPV6_HOP_LIMIT, IPV6_SRC } = ipv6;
const { answerTimeExceeded6, answerTooBig6 } = answer6;
const { count } = contexts;
const { completeHalfDone, rewrite6 } = rewrite;
const { adjacency6, countNoWay, puntIn, puntKu, transmit } = route;

/**
 * Sends the packet with the tuple opposite to the one at `tupleAt` (9 words) of `words`: a session's reply tuple for a client's
 * packet, its original tuple for a pod's.
 */
export function send6(c: Context, words: Int32Array, tupleAt: number): number {
  const index = adjacency6(c, words, tupleAt);
  const row = index * ADJ_STRIDE;
  const adjacencies = c.adjacencies;
  if (
    index < 0 || (adjacencies[row + ADJ_FLAGS] & ADJ_RESOLVED) === 0 || adjacencies[row + ADJ_SLOT] < 0 ||
    c.end - c.l3 > adjacencies[row + ADJ_MTU] || c.view.getUint8(c.l3 + IPV6_HOP_LIMIT) <= 1
  ) return sendExceptional6(c, words, tupleAt, index);
  rewrite6(c, words, tupleAt, 1);
  return transmit(c, row, c.l3, ETHERTYPE_IPV6);
}

/** `send6` for packets that cannot simply leave. Checks come before rewriting: an answer quotes what its receiver sent. */
function sendExceptional6(c: Context, words: Int32Array, tupleAt: number, index: number): number {
  const l3 = c.l3;
  if (index !== ROUTE_LOCAL && c.view.getUint8(l3 + IPV6_HOP_LIMIT) <= 1) return answerTimeExceeded6(c);
  if (index >= 0) {
    const mtu = c.adjacencies[index * ADJ_STRIDE + ADJ_MTU];
    if (c.end - l3 > mtu) return answerTooBig6(c, mtu);
  }
  const sourceKept = keepsSource(c, words, tupleAt + 4);
  // The kernel forwards it and takes its own one from the hop limit.
  rewrite6(c, words, tupleAt, 0);
  countNoWay(c, index);
  if (sourceKept && c.inSlot !== 0) return puntIn(c);
  return puntKu(c, l3, ETHERTYPE_IPV6);
}

function keepsSource(c: Context, words: Int32Array, at: number): boolean {
  for (let i = 0; i < 4; i++) {
    if (words[at + i] !== c.view.getInt32(c.l3 + IPV6_SRC + (i << 2))) return false;
  }
  return true;
}

/** Gives a packet that is none of ku's to the kernel where it came from; only a half-done checksum is completed. */
export function puntUntouched6(c: Context, reason: number): number {
  count(c, reason);
  completeHalfDone(c, false);
  return puntIn(c);
}
