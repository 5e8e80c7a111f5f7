/**
 * Sends an IPv4 packet with a new tuple: route, checks, rewriting.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as route from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as answer4 from "./answer4.ts";
import * as contexts from "./context.ts";
import type { Context } from "./context.ts";
import * as fragment from "./fragment.ts";
import * as rewrite from "./rewrite.ts";
import * as hops from "./route.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_HOST_NOT_MINE, COUNT_PUNT_FRAGMENT } = counters;
const { ROUTE_LOCAL } = route;
const { ETHERTYPE_IPV4 } = ethernet;
const { IPV4_DONT_FRAGMENT, IPV4_FRAGMENT, IPV4_SRC, IPV4_TTL } = ipv4;
const { answerTimeExceeded4, answerTooBig4 } = answer4;
const { count, drop, FRAGMENT_FIRST, VERDICT_DROP } = contexts;
const { leaveDatagram, sendDatagram, SENT_4 } = fragment;
const { completeHalfDone, rewrite4, swapPorts } = rewrite;
const { countNoWay, HOP_ADJACENCY, HOP_MTU, HOP_SLOT, hop4, puntIn, puntKu, transmit } = hops;

/**
 * Sends the packet with the tuple opposite to the one at `tupleAt` of `words`: a session's reply tuple for a client's packet, its
 * original tuple for a pod's.
 */
export function send4(c: Context, words: Int32Array, tupleAt: number): number {
  if (c.fragment === FRAGMENT_FIRST && !sendDatagram(c, SENT_4, words, tupleAt, 3)) return VERDICT_DROP;
  const destination = words[tupleAt];
  const hop = hop4(c, destination);
  const hops4 = c.hops4;
  if (
    hops4[hop + HOP_SLOT] < 0 || c.end - c.l3 > hops4[hop + HOP_MTU] || c.view.getUint8(c.l3 + IPV4_TTL) <= 1
  ) return sendExceptional4(c, words, tupleAt, hop);
  rewrite4(c, words[tupleAt + 1], destination, swapPorts(words[tupleAt + 2]), 1);
  return transmit(c, hops4, hop, c.l3, ETHERTYPE_IPV4);
}

/** `send4` for packets that cannot simply leave. Checks come before rewriting: an answer quotes what its receiver sent. */
function sendExceptional4(c: Context, words: Int32Array, tupleAt: number, hop: number): number {
  const view = c.view;
  const l3 = c.l3;
  const local = c.hops4[hop + HOP_ADJACENCY] === ROUTE_LOCAL;
  if (!local && view.getUint8(l3 + IPV4_TTL) <= 1) return answerTimeExceeded4(c);
  const mtu = c.hops4[hop + HOP_MTU];
  const tooBig = c.end - l3 > mtu;
  if (tooBig && (view.getUint16(l3 + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT) !== 0) return answerTooBig4(c, mtu);
  const source = words[tupleAt + 1];
  const sourceKept = source === view.getInt32(l3 + IPV4_SRC);
  // The kernel forwards it and takes its own one from the TTL.
  rewrite4(c, source, words[tupleAt], swapPorts(words[tupleAt + 2]), 0);
  if (tooBig) count(c, COUNT_PUNT_FRAGMENT);
  else countNoWay(c, c.hops4, hop);
  if (sourceKept && c.inSlot !== 0) return puntIn(c);
  return puntKu(c, l3, ETHERTYPE_IPV4);
}

/**
 * Gives a packet that is none of ku's to the kernel where it came from; only a half-done checksum is completed. What the kernel itself
 * sent by ku0 is dropped: it would come round again by the route that led it here, until its TTL ends.
 */
export function puntUntouched4(c: Context, reason: number): number {
  if (c.inSlot === 0) return drop(c, COUNT_HOST_NOT_MINE);
  count(c, reason);
  if (c.fragment === FRAGMENT_FIRST) leaveDatagram(c);
  completeHalfDone(c, true);
  return puntIn(c);
}
