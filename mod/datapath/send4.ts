/**
 * Sends an IPv4 packet with a new tuple: route, checks, rewriting. The common case (an attached egress with a known neighbor, small
 * enough, TTL left) runs straight through `send4`.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as adjacency from "../table/adjacency.ts";
import * as routes from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as answer4 from "./answer4.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as rewrite from "./rewrite.ts";
import * as route from "./route.ts";

// Own constants: see context.ts, "Speed".
const { COUNT_PUNT_FRAGMENT } = counters;
const { ADJ_FLAGS, ADJ_MTU, ADJ_RESOLVED, ADJ_SLOT, ADJ_STRIDE } = adjacency;
const { ROUTE_LOCAL } = routes;
const { ETHERTYPE_IPV4 } = ethernet;
const { IPV4_DONT_FRAGMENT, IPV4_FRAGMENT, IPV4_SRC, IPV4_TTL } = ipv4;
const { answerTimeExceeded4, answerTooBig4 } = answer4;
const { count } = contexts;
const { completeHalfDone, rewrite4, swapPorts } = rewrite;
const { adjacency4, countNoWay, puntIn, puntKu, transmit } = route;

/** An MTU that no IP packet exceeds. */
const NO_MTU = 0x10000;

/**
 * Sends the packet with the tuple opposite to the one at `tupleAt` of `words`: a session's reply tuple for a client's packet, its
 * original tuple for a pod's.
 */
export function send4(c: Context, words: Int32Array, tupleAt: number): number {
  const destination = words[tupleAt];
  const index = adjacency4(c, destination);
  const row = index * ADJ_STRIDE;
  const adjacencies = c.adjacencies;
  if (
    index < 0 || (adjacencies[row + ADJ_FLAGS] & ADJ_RESOLVED) === 0 || adjacencies[row + ADJ_SLOT] < 0 ||
    c.end - c.l3 > adjacencies[row + ADJ_MTU] || c.view.getUint8(c.l3 + IPV4_TTL) <= 1
  ) return sendExceptional4(c, words, tupleAt, index);
  rewrite4(c, words[tupleAt + 1], destination, swapPorts(words[tupleAt + 2]), 1);
  return transmit(c, row, c.l3, ETHERTYPE_IPV4);
}

/** `send4` for packets that cannot simply leave. Checks come before rewriting: an answer quotes what its receiver sent. */
function sendExceptional4(c: Context, words: Int32Array, tupleAt: number, index: number): number {
  const view = c.view;
  const l3 = c.l3;
  if (index !== ROUTE_LOCAL && view.getUint8(l3 + IPV4_TTL) <= 1) return answerTimeExceeded4(c);
  const mtu = index < 0 ? NO_MTU : c.adjacencies[index * ADJ_STRIDE + ADJ_MTU];
  const tooBig = c.end - l3 > mtu;
  if (tooBig && (view.getUint16(l3 + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT) !== 0) {
    return answerTooBig4(c, mtu);
  }
  const source = words[tupleAt + 1];
  const sourceKept = source === view.getInt32(l3 + IPV4_SRC);
  // The kernel forwards it and takes its own one from the TTL.
  rewrite4(c, source, words[tupleAt], swapPorts(words[tupleAt + 2]), 0);
  if (tooBig) count(c, COUNT_PUNT_FRAGMENT);
  else countNoWay(c, index);
  if (sourceKept && c.inSlot !== 0) return puntIn(c);
  return puntKu(c, l3, ETHERTYPE_IPV4);
}

/** Gives a packet that is none of ku's to the kernel where it came from; only a half-done checksum is completed. */
export function puntUntouched4(c: Context, reason: number): number {
  count(c, reason);
  completeHalfDone(c, true);
  return puntIn(c);
}
