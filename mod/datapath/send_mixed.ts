/**
 * Sends a packet with a new tuple of the other family: route, checks, translation; as send4.ts and send6.ts do within one.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as tables from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as answer4 from "./answer4.ts";
import * as answer6 from "./answer6.ts";
import * as contexts from "./context.ts";
import type { Context } from "./context.ts";
import * as fragment from "./fragment.ts";
import * as mixed from "./mixed.ts";
import * as pieces from "./pieces.ts";
import * as route from "./route.ts";
import * as sends6 from "./send6.ts";
import * as forth from "./translate46.ts";
import * as back from "./translate64.ts";

// Own constants: see "Speed" in context.ts.
const {
  COUNT_FRAGMENTED,
  COUNT_MALFORMED,
  COUNT_PUNT_FRAGMENT,
  COUNT_UDP_NO_CHECKSUM,
  COUNT_UNTRANSLATABLE,
} = counters;
const { ROUTE_LOCAL } = tables;
const { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } = ethernet;
const { IPV4_DONT_FRAGMENT, IPV4_FRAGMENT_OFFSET_MASK, IPV4_ID, IPV4_TTL } = ipv4;
const { IPV6_HOP_LIMIT, IPV6_MIN_MTU_BYTES } = ipv6;
const { answerSourceRoute4, answerTimeExceeded4, answerTooBig4 } = answer4;
const { answerTimeExceeded6, answerTooBig6 } = answer6;
const { count, drop, FRAGMENT_FIRST, VERDICT_DROP } = contexts;
const { sendDatagram, SENT_46, SENT_64 } = fragment;
const { isMapped, mixedProtocol, nextIdentification } = mixed;
const { cutIntoPieces } = pieces;
const { send6 } = sends6;
const { countNoWay, hop4, hop6, HOP_ADJACENCY, HOP_MTU, HOP_SLOT, puntKu, transmit } = route;
const { lengthOf46, refusal46, REFUSE_NO_CHECKSUM, REFUSE_NOTHING, REFUSE_SOURCE_ROUTE, translate46 } = forth;
const { lengthOf64, MAX_WITHOUT_DF_BYTES, refusal64, translate64 } = back;

/** Sends an IPv6 packet with the tuple opposite to the one at `tupleAt` of `words`, of whichever family that is. */
export function sendOn6(c: Context, words: Int32Array, tupleAt: number): number {
  if (c.mixed && isMapped(words, tupleAt)) return send64(c, words, tupleAt);
  return send6(c, words, tupleAt);
}

/** Sends the parsed IPv4 packet as IPv6, with the tuple opposite to the one at `tupleAt` (9 words) of `words`. */
export function send46(c: Context, words: Int32Array, tupleAt: number): number {
  const refusal = refusal46(c);
  if (refusal !== REFUSE_NOTHING) return refuse(c, refusal);
  if (c.fragment === FRAGMENT_FIRST && !sendDatagram(c, SENT_46, words, tupleAt, 9)) return VERDICT_DROP;
  const hops = c.hops6;
  const hop = hop6(c, words, tupleAt);
  if (hops[hop + HOP_ADJACENCY] !== ROUTE_LOCAL && c.view.getUint8(c.l3 + IPV4_TTL) <= 1) {
    return answerTimeExceeded4(c);
  }
  // What the sender may send is as much smaller as the packet grows (RFC 7915 §4).
  const growth = lengthOf46(c) - (c.end - c.l3);
  const mtu = hops[hop + HOP_MTU] - growth;
  if (c.end - c.l3 > mtu) return sendTooBig46(c, words, tupleAt, hop, mtu);
  const leaves = hops[hop + HOP_SLOT] >= 0;
  translate46(c, words, tupleAt, leaves ? 1 : 0);
  c.limit = c.end;
  if (leaves) return transmit(c, hops, hop, c.l3, ETHERTYPE_IPV6);
  countNoWay(c, hops, hop);
  return puntKu(c, c.l3, ETHERTYPE_IPV6);
}

/** `send46` for a packet of more than `mtu` bytes. */
function sendTooBig46(c: Context, words: Int32Array, tupleAt: number, hop: number, mtu: number): number {
  const word = c.view.getInt32(c.l3 + IPV4_ID); // identification 16, flags 3, offset 13
  if ((word & IPV4_DONT_FRAGMENT) !== 0) return answerTooBig4(c, mtu);
  // A fragment that reaches beyond the longest packet: nobody can put it together.
  if (((word & IPV4_FRAGMENT_OFFSET_MASK) << 3) + c.end - c.l4 > 0xffff) return drop(c, COUNT_MALFORMED);
  translate46(c, words, tupleAt, c.hops6[hop + HOP_SLOT] >= 0 ? 1 : 0);
  const protocol = mixedProtocol(c.protocol);
  count(c, COUNT_FRAGMENTED);
  return cutIntoPieces(c, hop, protocol, word);
}

/** Sends the parsed IPv6 packet as IPv4, with the tuple opposite to the one at `tupleAt` (9 words) of `words`. */
export function send64(c: Context, words: Int32Array, tupleAt: number): number {
  const refusal = refusal64(c);
  if (refusal !== REFUSE_NOTHING) return refuse(c, refusal);
  if (c.fragment === FRAGMENT_FIRST && !sendDatagram(c, SENT_64, words, tupleAt, 9)) return VERDICT_DROP;
  const hops = c.hops4;
  const hop = hop4(c, words[tupleAt + 3]);
  if (hops[hop + HOP_ADJACENCY] !== ROUTE_LOCAL && c.view.getUint8(c.l3 + IPV6_HOP_LIMIT) <= 1) {
    return answerTimeExceeded6(c);
  }
  const bytes = lengthOf64(c);
  const tooBig = bytes > hops[hop + HOP_MTU];
  if (tooBig && !mayBeFragmented(c, bytes)) {
    const mtu = hops[hop + HOP_MTU] + c.end - c.l3 - bytes;
    return answerTooBig6(c, Math.max(mtu, IPV6_MIN_MTU_BYTES));
  }
  const leaves = hops[hop + HOP_SLOT] >= 0 && !tooBig;
  translate64(c, words, tupleAt, leaves ? 1 : 0, nextIdentification(c));
  c.limit = c.end;
  if (leaves) return transmit(c, hops, hop, c.l3, ETHERTYPE_IPV4);
  if (tooBig) count(c, COUNT_PUNT_FRAGMENT);
  else countNoWay(c, hops, hop);
  return puntKu(c, c.l3, ETHERTYPE_IPV4);
}

/** Whether the packet, of `bytes` bytes as IPv4, has no DF then: a fragment, or so small that its sender cannot make it smaller. */
function mayBeFragmented(c: Context, bytes: number): boolean {
  return bytes <= MAX_WITHOUT_DF_BYTES || back.findFragmentHeader(c.view, c.l3, c.l4) !== 0;
}

/** What becomes of a packet that is not translated. */
export function refuse(c: Context, refusal: number): number {
  if (refusal === REFUSE_SOURCE_ROUTE) return answerSourceRoute4(c);
  return drop(c, refusal === REFUSE_NO_CHECKSUM ? COUNT_UDP_NO_CHECKSUM : COUNT_UNTRANSLATABLE);
}
