/**
 * ICMP errors that quote a translated IPv4 packet, translated outside and inside so that the sender of the quoted packet knows it.
 *
 * What is quoted tells the session: turned round it is a reply tuple (the error is about a client's packet, which went to the pod) or
 * an original tuple (about a pod's packet, which went to the client from the VIP). Either way the quote becomes that packet as its
 * sender sent it, which is exactly the session's other tuple, and the error goes to the quote's source.
 *
 *     about a client's packet    quote client → pod    becomes client → VIP,    sent to the client
 *     about a pod's packet       quote VIP → client    becomes pod → client,    sent to the pod
 *
 * A quote may be cut anywhere behind its ports; what is not there is not rewritten. Checksums inside are updated (they are those of the
 * packet as it was sent, which is what the sender would compare), the outer one by the change of the quote's bytes.
 *
 * References: RFC 792, RFC 5508 §4 (NAT behavior for ICMP errors: REQ-3 to REQ-6), RFC 1812 §5.2.7.
 *
 * @module
 */

import { COUNT_ERROR_NOT_MINE, COUNT_ERROR_SUPPRESSED, COUNT_ERROR_TRANSLATED } from "../metrics/counters.ts";
import { ROUTE_LOCAL } from "../table/route.ts";
import { SESSION_ORIGINAL, SESSION_REPLY4, type SessionTable } from "../table/session.ts";
import { checksumUpdate16, fold, sumBytes } from "../wire/checksum.ts";
import {
  ICMP_CHECKSUM,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_ID,
} from "../wire/icmp.ts";
import {
  IPV4_DST,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV4_SRC,
  IPV4_TTL,
  ipv4HeaderBytes,
  rewriteIpv4Dst,
  rewriteIpv4Src,
} from "../wire/ipv4.ts";
import { IP_PROTOCOL_ICMP, IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../wire/protocol.ts";
import { type Context, count, drop } from "./context.ts";
import { translateMixedError4 } from "./icmp_error_mixed.ts";
import { QUOTED_TRANSPORT_BYTES, rewriteQuotedTransport, REWRITTEN_TRANSPORT_BYTES } from "./quote.ts";
import { stepTtl, swapPorts } from "./rewrite.ts";
import { hop4, HOP_ADJACENCY, routeOwn4 } from "./route.ts";
import { puntUntouched4 } from "./send4.ts";

/** Translates the parsed ICMP error, whose header is at `c.l4`, and sends it on; or leaves it to the kernel. */
export function translateError4(c: Context): number {
  const view = c.view;
  const quote = c.l4 + ICMP_HEADER_BYTES;
  const key = c.tuple4;
  if (!readQuote4(view, quote, c.end, key)) return puntUntouched4(c, COUNT_ERROR_NOT_MINE);
  const protocol = view.getUint8(quote + IPV4_PROTOCOL);
  if (!findQuoted4(c, protocol)) {
    return c.mixed ? translateMixedError4(c, protocol) : puntUntouched4(c, COUNT_ERROR_NOT_MINE);
  }
  return sendError4(c, quote, protocol);
}

/** Reads a quote's tuple, turned round, into `key`. False: too short, a later fragment, or no IPv4. */
function readQuote4(view: DataView, quote: number, end: number, key: Int32Array): boolean {
  if (end - quote < IPV4_HEADER_BYTES + QUOTED_TRANSPORT_BYTES || view.getUint8(quote) >>> 4 !== 4) {
    return false;
  }
  const headerBytes = ipv4HeaderBytes(view, quote);
  const l4 = quote + headerBytes;
  if (headerBytes < IPV4_HEADER_BYTES || end - l4 < QUOTED_TRANSPORT_BYTES) return false;
  if ((view.getUint16(quote + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET_MASK) !== 0) return false;
  key[0] = view.getInt32(quote + IPV4_DST);
  key[1] = view.getInt32(quote + IPV4_SRC);
  key[2] = swapPorts(quotedPorts4(view, quote, l4));
  return true;
}

/** The ports of a quoted packet as parse.ts would tell them. */
function quotedPorts4(view: DataView, quote: number, l4: number): number {
  const protocol = view.getUint8(quote + IPV4_PROTOCOL);
  if (protocol === IP_PROTOCOL_TCP || protocol === IP_PROTOCOL_UDP || protocol === IP_PROTOCOL_SCTP) {
    return view.getInt32(l4);
  }
  if (protocol !== IP_PROTOCOL_ICMP) return 0;
  const type = view.getUint8(l4);
  const id = view.getUint16(l4 + ICMP_ID);
  return type === ICMP_ECHO_REQUEST ? id << 16 : type === ICMP_ECHO_REPLY ? id : 0;
}

/**
 * Looks `c.tuple4` up in this worker's sessions, the others' and the untracked flows; the tuple to write into the quote is then in
 * `c.tuple4`. False if nobody has it.
 */
function findQuoted4(c: Context, protocol: number): boolean {
  if (findIn4(c, c.sessions4, protocol)) return true;
  for (let i = 0; i < c.others4.length; i++) {
    if (findIn4(c, c.others4[i], protocol)) return true;
  }
  const overflow = c.overflow4;
  if (overflow === null) return false;
  overflow.key.set(c.tuple4);
  const entry = overflow.find(protocol, c.now);
  if (entry < 0) return false;
  copyTuple4(overflow.words, entry + SESSION_ORIGINAL, c.tuple4);
  return true;
}

function findIn4(c: Context, sessions: SessionTable, protocol: number): boolean {
  const key = c.tuple4;
  let entry = sessions.findReply4(protocol, key[0], key[1], key[2], c.now);
  let tupleAt = SESSION_ORIGINAL;
  if (entry < 0) {
    entry = sessions.findOriginal4(protocol, key[0], key[1], key[2], c.now);
    tupleAt = SESSION_REPLY4;
  }
  if (entry < 0) return false;
  copyTuple4(sessions.words, entry + tupleAt, key);
  return true;
}

function copyTuple4(words: Int32Array, at: number, to: Int32Array): void {
  to[0] = words[at];
  to[1] = words[at + 1];
  to[2] = words[at + 2];
}

/** Rewrites quote and outer header to `c.tuple4`, and sends the error to the quote's sender. */
function sendError4(c: Context, quote: number, protocol: number): number {
  const view = c.view;
  const l3 = c.l3;
  const tuple = c.tuple4;
  // No error is made about an error, so one whose TTL runs out just ends.
  const local = c.hops4[hop4(c, tuple[0]) + HOP_ADJACENCY] === ROUTE_LOCAL;
  if (!local && view.getUint8(l3 + IPV4_TTL) <= 1) return drop(c, COUNT_ERROR_SUPPRESSED);
  const peer = view.getInt32(quote + IPV4_DST);
  rewriteQuote4(c, quote, protocol, tuple);
  // An error of the quoted packet's receiver itself comes from the address that its sender asked.
  if (view.getInt32(l3 + IPV4_SRC) === peer) rewriteIpv4Src(view, l3, tuple[1]);
  rewriteIpv4Dst(view, l3, tuple[0]);
  if (!local) stepTtl(view, l3);
  count(c, COUNT_ERROR_TRANSLATED);
  return routeOwn4(c, l3);
}

/** Writes `tuple` into the quoted packet; the ICMP checksum changes by what its bytes changed. */
function rewriteQuote4(c: Context, quote: number, protocol: number, tuple: Int32Array): void {
  const view = c.view;
  const headerBytes = ipv4HeaderBytes(view, quote);
  const bytes = Math.min(c.end - quote, headerBytes + REWRITTEN_TRANSPORT_BYTES) & ~1;
  const before = fold(sumBytes(view, quote, bytes));
  const addressesBefore = sumBytes(view, quote + IPV4_SRC, 8);
  rewriteIpv4Src(view, quote, tuple[0]);
  rewriteIpv4Dst(view, quote, tuple[1]);
  const addressesAfter = sumBytes(view, quote + IPV4_SRC, 8);
  rewriteQuotedTransport(
    view,
    quote + headerBytes,
    c.end,
    protocol,
    protocol === IP_PROTOCOL_ICMP,
    tuple[2],
    addressesBefore,
    addressesAfter,
  );
  const after = fold(sumBytes(view, quote, bytes));
  const checksum = view.getUint16(c.l4 + ICMP_CHECKSUM);
  view.setUint16(c.l4 + ICMP_CHECKSUM, checksumUpdate16(checksum, before, after));
}
