/**
 * ICMPv6 errors that quote a translated IPv6 packet, translated outside and inside; as icmp_error4.ts does for IPv4, with the one
 * difference that the outer checksum covers the outer addresses.
 *
 * References: RFC 4443 §3, RFC 5508 §4 (its rules hold for IPv6 alike).
 *
 * @module
 */

import { COUNT_ERROR_NOT_MINE, COUNT_ERROR_SUPPRESSED, COUNT_ERROR_TRANSLATED } from "../metrics/counters.ts";
import { ROUTE_LOCAL } from "../table/route.ts";
import { checksumUpdate16, fold, sumBytes } from "../wire/checksum.ts";
import {
  ICMPV6_CHECKSUM,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_HEADER_BYTES,
  ICMPV6_ID,
} from "../wire/icmpv6.ts";
import {
  IPV6_DST,
  IPV6_EXTENSION_MIN_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_SRC,
  ipv6ExtensionBytes,
  ipv6FragmentOffset,
  ipv6IsExtension,
  setIpv6Address,
} from "../wire/ipv6.ts";
import {
  IP_PROTOCOL_FRAGMENT,
  IP_PROTOCOL_ICMPV6,
  IP_PROTOCOL_SCTP,
  IP_PROTOCOL_TCP,
  IP_PROTOCOL_UDP,
} from "../wire/protocol.ts";
import { type Context, count, drop } from "./context.ts";
import { sendMixedError6 } from "./icmp_error_mixed.ts";
import { isMapped } from "./mixed.ts";
import { QUOTED_TRANSPORT_BYTES, rewriteQuotedTransport, REWRITTEN_TRANSPORT_BYTES } from "./quote.ts";
import { findQuoted6 } from "./quoted_session6.ts";
import { swapPorts } from "./rewrite.ts";
import { hop6, HOP_ADJACENCY, routeOwn6 } from "./route.ts";
import { puntUntouched6 } from "./send6.ts";

/** Translates the parsed ICMPv6 error, whose header is at `c.l4`, and sends it on; or leaves it to the kernel. */
export function translateError6(c: Context): number {
  const view = c.view;
  const quote = c.l4 + ICMPV6_HEADER_BYTES;
  const l4 = findQuotedTransport6(view, quote, c.end);
  if (l4 < 0) return puntUntouched6(c, COUNT_ERROR_NOT_MINE);
  const protocol = quotedProtocol6(view, quote, l4);
  const key = c.reply;
  for (let i = 0; i < 4; i++) {
    key[i] = view.getInt32(quote + IPV6_DST + (i << 2));
    key[4 + i] = view.getInt32(quote + IPV6_SRC + (i << 2));
  }
  key[8] = swapPorts(quotedPorts6(view, protocol, l4));
  const onWire = !isMapped(key, 0) && !isMapped(key, 4);
  if (!onWire || !findQuoted6(c, protocol)) return puntUntouched6(c, COUNT_ERROR_NOT_MINE);
  if (isMapped(c.original, 0)) return sendMixedError6(c, l4, protocol);
  return sendError6(c, quote, l4, protocol);
}

/** Byte of the quoted transport header, or -1: too short, a later fragment, or no IPv6. Extension headers are stepped over. */
export function findQuotedTransport6(view: DataView, quote: number, end: number): number {
  if (end - quote < IPV6_HEADER_BYTES + QUOTED_TRANSPORT_BYTES || view.getUint8(quote) >>> 4 !== 6) return -1;
  let next = view.getUint8(quote + IPV6_NEXT_HEADER);
  let at = quote + IPV6_HEADER_BYTES;
  while (ipv6IsExtension(next)) {
    if (end - at < IPV6_EXTENSION_MIN_BYTES) return -1;
    if (next === IP_PROTOCOL_FRAGMENT && ipv6FragmentOffset(view, at) !== 0) return -1;
    const bytes = ipv6ExtensionBytes(view, at, next);
    next = view.getUint8(at);
    at += bytes;
  }
  return end - at < QUOTED_TRANSPORT_BYTES ? -1 : at;
}

/** Upper-layer protocol of a quote whose transport header is at `l4`. */
export function quotedProtocol6(view: DataView, quote: number, l4: number): number {
  let next = view.getUint8(quote + IPV6_NEXT_HEADER);
  for (let at = quote + IPV6_HEADER_BYTES; at < l4;) {
    const bytes = ipv6ExtensionBytes(view, at, next);
    next = view.getUint8(at);
    at += bytes;
  }
  return next;
}

/** The ports of a quoted packet as parse.ts would tell them. */
export function quotedPorts6(view: DataView, protocol: number, l4: number): number {
  if (protocol === IP_PROTOCOL_TCP || protocol === IP_PROTOCOL_UDP || protocol === IP_PROTOCOL_SCTP) {
    return view.getInt32(l4);
  }
  if (protocol !== IP_PROTOCOL_ICMPV6) return 0;
  const type = view.getUint8(l4);
  const id = view.getUint16(l4 + ICMPV6_ID);
  return type === ICMPV6_ECHO_REQUEST ? id << 16 : type === ICMPV6_ECHO_REPLY ? id : 0;
}

/** Rewrites quote and outer header to `c.original`, and sends the error to the quote's sender. */
function sendError6(c: Context, quote: number, quotedL4: number, protocol: number): number {
  const view = c.view;
  const l3 = c.l3;
  const tuple = c.original;
  // No error is made about an error, so one whose hop limit runs out just ends.
  const local = c.hops6[hop6(c, tuple, 0) + HOP_ADJACENCY] === ROUTE_LOCAL;
  const hopLimit = view.getUint8(l3 + IPV6_HOP_LIMIT);
  if (!local && hopLimit <= 1) return drop(c, COUNT_ERROR_SUPPRESSED);
  const fromPeer = equalAddresses(view, l3 + IPV6_SRC, quote + IPV6_DST);
  const bytes = Math.min(c.end - quote, quotedL4 - quote + REWRITTEN_TRANSPORT_BYTES) & ~1;
  const before = fold(sumBytes(view, quote, bytes, sumBytes(view, l3 + IPV6_SRC, 32)));
  rewriteQuote6(c, quote, quotedL4, protocol, tuple);
  // An error of the quoted packet's receiver itself comes from the address that its sender asked.
  if (fromPeer) setIpv6Address(view, l3 + IPV6_SRC, tuple[4], tuple[5], tuple[6], tuple[7]);
  setIpv6Address(view, l3 + IPV6_DST, tuple[0], tuple[1], tuple[2], tuple[3]);
  const after = fold(sumBytes(view, quote, bytes, sumBytes(view, l3 + IPV6_SRC, 32)));
  const checksum = view.getUint16(c.l4 + ICMPV6_CHECKSUM);
  view.setUint16(c.l4 + ICMPV6_CHECKSUM, checksumUpdate16(checksum, before, after));
  if (!local) view.setUint8(l3 + IPV6_HOP_LIMIT, hopLimit - 1);
  count(c, COUNT_ERROR_TRANSLATED);
  return routeOwn6(c, l3);
}

function rewriteQuote6(c: Context, quote: number, l4: number, protocol: number, tuple: Int32Array): void {
  const view = c.view;
  const before = sumBytes(view, quote + IPV6_SRC, 32);
  setIpv6Address(view, quote + IPV6_SRC, tuple[0], tuple[1], tuple[2], tuple[3]);
  setIpv6Address(view, quote + IPV6_DST, tuple[4], tuple[5], tuple[6], tuple[7]);
  const after = sumBytes(view, quote + IPV6_SRC, 32);
  const echo = protocol === IP_PROTOCOL_ICMPV6;
  rewriteQuotedTransport(view, l4, c.end, protocol, echo, tuple[8], before, after);
}

function equalAddresses(view: DataView, a: number, b: number): boolean {
  for (let i = 0; i < 16; i += 4) {
    if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
  }
  return true;
}
