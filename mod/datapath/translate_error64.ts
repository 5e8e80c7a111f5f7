/**
 * An ICMPv6 error becomes an ICMP one, in place, and the packet it quotes with it; as translate_error46.ts does the other way. The
 * packet begins 40 bytes later, or more when extension headers are stepped over.
 *
 * References: RFC 7915 §5.2, §5.3, §5.4; RFC 4884 §4, §5.
 *
 * @module
 */

import { checksumOf, fold, pseudoHeaderSum6, sumBytes } from "../wire/checksum.ts";
import {
  ICMP_CHECKSUM,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_HEADER_BYTES,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
} from "../wire/icmp.ts";
import {
  ICMPV6_HEADER_BYTES,
  ICMPV6_MTU,
  ICMPV6_POINTER,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
} from "../wire/icmpv6.ts";
import { IPV4_DONT_FRAGMENT, IPV4_HEADER_BYTES } from "../wire/ipv4.ts";
import {
  IPV6_HEADER_BYTES,
  IPV6_SRC,
  ipv6HopLimit,
  ipv6PayloadLength,
  ipv6TrafficClass,
} from "../wire/ipv6.ts";
import { IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } from "../wire/protocol.ts";
import type { Context } from "./context.ts";
import { QUOTED_TRANSPORT_BYTES, rewriteQuotedTransport } from "./quote.ts";
import { halves } from "./rewrite.ts";
import { REFUSE_NOTHING, REFUSE_UNKNOWN } from "./translate46.ts";
import { findFragmentHeader, fragmentWord4, MAX_WITHOUT_DF_BYTES, writeHeader4 } from "./translate64.ts";
import { EXTENDED_QUOTE_BYTES, padQuote, REFUSE_BAD_CHECKSUM, writeQuotedEcho } from "./translate_quote.ts";
import { echoType64, errorType64, mtu64, NOT_TRANSLATED, pointer64 } from "./translate_types.ts";

/**
 * Translates the parsed ICMPv6 error at `c.l4`, whose quoted transport header, of `protocol`, is at `quotedL4`. `tuple` (nine words, IPv4 as
 * ::ffff:a.b.c.d): the quoted packet as its sender knows it, so source, destination, ports; that sender gets the error, from `source`.
 * `mtu4`, `mtu6`: of the ways to the error's and the quoted packet's receiver. `hopStep` (0 or 1) is taken from the TTL;
 * `identification` (16 bits) is the new packet's.
 *
 * Returns a REFUSE_… constant; other than REFUSE_NOTHING nothing was written. Afterwards `c.l3`, `c.l4`, `c.end` and `c.limit` are those of
 * the new packet.
 */
export function translateError64(
  c: Context,
  quotedL4: number,
  protocol: number,
  tuple: Int32Array,
  source: number,
  hopStep: number,
  identification: number,
  mtu4: number,
  mtu6: number,
): number {
  const view = c.view;
  const l3 = c.l3;
  const icmp = c.l4;
  const quote = icmp + ICMPV6_HEADER_BYTES;
  const type = view.getUint8(icmp);
  const name = errorType64(type, view.getUint8(icmp + 1));
  if (name === NOT_TRANSLATED) return REFUSE_UNKNOWN;
  const pseudo = pseudoHeaderSum6(view, l3, IP_PROTOCOL_ICMPV6, c.end - icmp);
  if (fold(sumBytes(view, icmp, c.end - icmp, pseudo)) !== 0xffff) return REFUSE_BAD_CHECKSUM;
  const fragmentAt = findFragmentHeader(view, quote, quotedL4);
  const rest = rest64(view, icmp, name, fragmentAt !== 0, mtu4, mtu6);
  if (rest === NOT_TRANSLATED) return REFUSE_UNKNOWN;
  const tos = ipv6TrafficClass(view, l3);
  const ttl = ipv6HopLimit(view, l3) - hopStep;
  const extensionsAt = findExtensions64(c, icmp, type, quotedL4);

  let newQuote = writeQuote64(c, quote, quotedL4, protocol, fragmentAt, tuple);
  if (extensionsAt !== 0) newQuote = keepExtensions64(c, name, newQuote, extensionsAt);
  const header = newQuote - ICMP_HEADER_BYTES;
  view.setInt32(header, name << 16);
  view.setInt32(header + 4, rest);
  // Where extensions follow, the second byte of the rest, which is 0, tells the quote's length.
  if (extensionsAt !== 0 && c.end !== extensionsAt) {
    view.setUint8(header + 5, (extensionsAt - newQuote) >>> 2);
  }
  const bytes = c.end - header;
  view.setUint16(header + ICMP_CHECKSUM, checksumOf(sumBytes(view, header, bytes)));
  c.l3 = header - IPV4_HEADER_BYTES;
  c.l4 = header;
  c.limit = c.end;
  c.protocol = IP_PROTOCOL_ICMP;
  const total = bytes + IPV4_HEADER_BYTES;
  const word = (identification << 16) | (total > MAX_WITHOUT_DF_BYTES ? IPV4_DONT_FRAGMENT : 0);
  writeHeader4(view, c.l3, tos, total, word, ttl, IP_PROTOCOL_ICMP, source, tuple[3]);
  return REFUSE_NOTHING;
}

/** The four bytes behind the checksum, or NOT_TRANSLATED: a pointer to what IPv4 does not have. */
function rest64(
  view: DataView,
  icmp: number,
  name: number,
  withFragmentHeader: boolean,
  mtu4: number,
  mtu6: number,
): number {
  if (name === ((ICMP_UNREACHABLE << 8) | ICMP_FRAGMENTATION_NEEDED)) {
    return mtu64(view.getUint32(icmp + ICMPV6_MTU), withFragmentHeader, mtu4, mtu6);
  }
  if (name >>> 8 !== ICMP_PARAMETER_PROBLEM) return 0;
  const pointer = pointer64(view.getUint32(icmp + ICMPV6_POINTER));
  return pointer === NOT_TRANSLATED ? NOT_TRANSLATED : pointer << 24;
}

/** Where extensions begin behind the quote; 0 = there are none. */
function findExtensions64(c: Context, icmp: number, type: number, quotedL4: number): number {
  if (type !== ICMPV6_UNREACHABLE && type !== ICMPV6_TIME_EXCEEDED) return 0;
  const bytes = c.view.getUint8(icmp + 4) << 3;
  const at = icmp + ICMPV6_HEADER_BYTES + bytes;
  return bytes < EXTENDED_QUOTE_BYTES || at < quotedL4 + QUOTED_TRANSPORT_BYTES || at >= c.end ? 0 : at;
}

/**
 * Keeps the extensions at `extensionsAt` where ICMP can say that they are there, and cuts them off elsewhere. Returns where the quote
 * begins then.
 */
function keepExtensions64(c: Context, name: number, quote: number, extensionsAt: number): number {
  const type = name >>> 8;
  const longest = 0xff << 2; // eight bits of 32-bit words
  if ((type === ICMP_UNREACHABLE || type === ICMP_TIME_EXCEEDED) && extensionsAt - quote <= longest) {
    return padQuote(c, quote, extensionsAt, 4);
  }
  c.end = extensionsAt;
  return quote;
}

/** Translates the quoted packet at `quote`; returns where it begins then. */
function writeQuote64(
  c: Context,
  quote: number,
  l4: number,
  protocol: number,
  fragmentAt: number,
  tuple: Int32Array,
): number {
  const view = c.view;
  const payloadBytes = Math.max(ipv6PayloadLength(view, quote) + IPV6_HEADER_BYTES - (l4 - quote), 0);
  const total = Math.min(payloadBytes + IPV4_HEADER_BYTES, 0xffff);
  const before = sumBytes(view, quote + IPV6_SRC, 32);
  const tos = ipv6TrafficClass(view, quote);
  const ttl = ipv6HopLimit(view, quote);
  let word = total > MAX_WITHOUT_DF_BYTES ? IPV4_DONT_FRAGMENT : 0;
  if (fragmentAt !== 0) word = fragmentWord4(view, fragmentAt);
  const at = l4 - IPV4_HEADER_BYTES;
  const echo = protocol === IP_PROTOCOL_ICMPV6;
  writeHeader4(view, at, tos, total, word, ttl, echo ? IP_PROTOCOL_ICMP : protocol, tuple[3], tuple[7]);
  if (echo) {
    const pseudo = before + IP_PROTOCOL_ICMPV6 + payloadBytes;
    writeQuotedEcho(view, l4, echoType64(view.getUint8(l4)), tuple[8], -pseudo);
  } else {
    const after = halves(tuple[3]) + halves(tuple[7]);
    rewriteQuotedTransport(view, l4, c.end, protocol, false, tuple[8], before, after);
  }
  return at;
}
