/**
 * An ICMP error becomes an ICMPv6 one, in place, and the packet it quotes with it: what is behind the quoted IP header stays where it is,
 * all headers are written anew before it, so the packet begins 40 bytes earlier (48 when the quoted packet is a fragment).
 *
 *     IPv4 | ICMP | IPv4, options          | transport header …
 *     IPv6 | ICMPv6 | IPv6 (, fragment)    | transport header …
 *
 * The checksum is computed from nothing, after the one that came was seen to be right.
 *
 * References: RFC 7915 §4.2, §4.3, §4.4; RFC 4443 §2.4 (c): an error is at most 1280 bytes; RFC 4884 §4, §5.
 *
 * @module
 */

import { checksumOf, fold, pseudoHeaderSum6, sumBytes } from "../wire/checksum.ts";
import { ICMP_HEADER_BYTES, ICMP_NEXT_HOP_MTU } from "../wire/icmp.ts";
import {
  ICMPV6_CHECKSUM,
  ICMPV6_HEADER_BYTES,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
} from "../wire/icmpv6.ts";
import { IPV4_ID, IPV4_PROTOCOL, IPV4_SRC, IPV4_TOS, IPV4_TTL, ipv4TotalLength } from "../wire/ipv4.ts";
import { IPV6_FRAGMENT_BYTES, IPV6_HEADER_BYTES, IPV6_MIN_MTU_BYTES } from "../wire/ipv6.ts";
import { IP_PROTOCOL_FRAGMENT, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } from "../wire/protocol.ts";
import type { Context } from "./context.ts";
import { QUOTED_TRANSPORT_BYTES, rewriteQuotedTransport } from "./quote.ts";
import { REFUSE_NOTHING, REFUSE_UNKNOWN, writeFragmentHeader, writeHeader6 } from "./translate46.ts";
import { EXTENDED_QUOTE_BYTES, padQuote, REFUSE_BAD_CHECKSUM, writeQuotedEcho } from "./translate_quote.ts";
import { echoType46, errorType46, mtu46, NOT_TRANSLATED, pointer46 } from "./translate_types.ts";

/**
 * Translates the parsed ICMP error at `c.l4`, whose quoted transport header is at `quotedL4`. `tuple` (nine words): the quoted packet as its
 * sender knows it, so source, destination, ports; that sender gets the error. The error's own source are the four words at
 * `sourceAt` of `sources`. `mtu4`, `mtu6`: of the ways to the quoted packet's and the error's receiver. `hopStep` (0 or 1) is taken from
 * the hop limit.
 *
 * Returns a REFUSE_… constant; other than REFUSE_NOTHING nothing was written. Afterwards `c.l3`, `c.l4`, `c.end` and `c.limit` are those of
 * the new packet.
 */
export function translateError46(
  c: Context,
  quotedL4: number,
  tuple: Int32Array,
  sources: Int32Array,
  sourceAt: number,
  hopStep: number,
  mtu4: number,
  mtu6: number,
): number {
  const view = c.view;
  const icmp = c.l4;
  const name = errorType46(view.getUint8(icmp), view.getUint8(icmp + 1));
  if (name === NOT_TRANSLATED) return REFUSE_UNKNOWN;
  if (fold(sumBytes(view, icmp, c.end - icmp)) !== 0xffff) return REFUSE_BAD_CHECKSUM;
  const rest = rest46(view, icmp, name, mtu4, mtu6);
  if (rest === NOT_TRANSLATED) return REFUSE_UNKNOWN;
  const trafficClass = view.getUint8(c.l3 + IPV4_TOS);
  const hopLimit = view.getUint8(c.l3 + IPV4_TTL) - hopStep;
  const extensionsAt = findExtensions46(c, icmp, quotedL4);

  let quote = writeQuote46(c, icmp + ICMP_HEADER_BYTES, quotedL4, tuple);
  if (extensionsAt !== 0) quote = keepExtensions46(c, name >>> 8, quote, extensionsAt);
  const header = quote - ICMPV6_HEADER_BYTES;
  const l3 = header - IPV6_HEADER_BYTES;
  view.setInt32(header, name << 16);
  view.setInt32(header + 4, rest);
  // Where extensions follow, the first byte of the rest, which is 0, tells the quote's length.
  if (extensionsAt !== 0 && c.end !== extensionsAt) view.setUint8(header + 4, (extensionsAt - quote) >>> 3);
  if (c.end - l3 > IPV6_MIN_MTU_BYTES) c.end = l3 + IPV6_MIN_MTU_BYTES;
  const bytes = c.end - header;
  writeHeader6(
    view,
    l3,
    trafficClass,
    bytes,
    IP_PROTOCOL_ICMPV6,
    hopLimit,
    sources,
    sourceAt,
    tuple,
    0,
  );
  const pseudo = pseudoHeaderSum6(view, l3, IP_PROTOCOL_ICMPV6, bytes);
  view.setUint16(header + ICMPV6_CHECKSUM, checksumOf(sumBytes(view, header, bytes, pseudo)));
  c.l3 = l3;
  c.l4 = header;
  c.limit = c.end;
  c.protocol = IP_PROTOCOL_ICMPV6;
  return REFUSE_NOTHING;
}

/** The four bytes behind the checksum, or NOT_TRANSLATED: a pointer to what IPv6 does not have. */
function rest46(view: DataView, icmp: number, name: number, mtu4: number, mtu6: number): number {
  const type = name >>> 8;
  if (type === ICMPV6_PACKET_TOO_BIG) {
    const quotedBytes = ipv4TotalLength(view, icmp + ICMP_HEADER_BYTES);
    return mtu46(view.getUint16(icmp + ICMP_NEXT_HOP_MTU), quotedBytes, mtu4, mtu6);
  }
  if (type !== ICMPV6_PARAMETER_PROBLEM) return 0;
  // "Protocol unreachable" has no pointer: the next header field is what was not understood (RFC 7915 §4.2).
  return (name & 0xff) !== 0 ? 6 : pointer46(view.getUint8(icmp + 4));
}

/** Where extensions begin behind the quote; 0 = there are none. */
function findExtensions46(c: Context, icmp: number, quotedL4: number): number {
  const bytes = c.view.getUint8(icmp + 5) << 2;
  const at = icmp + ICMP_HEADER_BYTES + bytes;
  return bytes < EXTENDED_QUOTE_BYTES || at < quotedL4 + QUOTED_TRANSPORT_BYTES || at >= c.end ? 0 : at;
}

/**
 * Keeps the extensions at `extensionsAt` where ICMPv6 can say that they are there and has the room, and cuts them off elsewhere. Returns
 * where the quote begins then.
 */
function keepExtensions46(c: Context, type: number, quote: number, extensionsAt: number): number {
  if (type === ICMPV6_UNREACHABLE || type === ICMPV6_TIME_EXCEEDED) {
    const bytes = c.end - quote + IPV6_HEADER_BYTES + ICMPV6_HEADER_BYTES;
    if (bytes + 8 <= IPV6_MIN_MTU_BYTES) return padQuote(c, quote, extensionsAt, 8);
  }
  c.end = extensionsAt;
  return quote;
}

/** Translates the quoted packet at `quote`; returns where it begins then. */
function writeQuote46(c: Context, quote: number, l4: number, tuple: Int32Array): number {
  const view = c.view;
  const tos = view.getUint8(quote + IPV4_TOS);
  const payloadBytes = Math.max(ipv4TotalLength(view, quote) - (l4 - quote), 0);
  const fragmentWord = view.getInt32(quote + IPV4_ID);
  const ttl = view.getUint8(quote + IPV4_TTL);
  const protocol = view.getUint8(quote + IPV4_PROTOCOL);
  const before = sumBytes(view, quote + IPV4_SRC, 8);
  const echo = protocol === IP_PROTOCOL_ICMP;
  const upper = echo ? IP_PROTOCOL_ICMPV6 : protocol;
  const isFragment = (fragmentWord & 0x2000) !== 0; // more fragments; a later one has no ports to be known by
  const fragmentBytes = isFragment ? IPV6_FRAGMENT_BYTES : 0;
  const at = l4 - IPV6_HEADER_BYTES - fragmentBytes;
  if (isFragment) writeFragmentHeader(view, l4 - IPV6_FRAGMENT_BYTES, upper, fragmentWord);
  const after = writeHeader6(
    view,
    at,
    tos,
    payloadBytes + fragmentBytes,
    isFragment ? IP_PROTOCOL_FRAGMENT : upper,
    ttl,
    tuple,
    0,
    tuple,
    4,
  );
  if (echo) {
    const pseudo = after + IP_PROTOCOL_ICMPV6 + payloadBytes;
    writeQuotedEcho(view, l4, echoType46(view.getUint8(l4)), tuple[8], pseudo);
  } else {
    rewriteQuotedTransport(view, l4, c.end, protocol, false, tuple[8], before, after);
  }
  return at;
}
