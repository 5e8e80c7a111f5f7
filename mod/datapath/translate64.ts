/**
 * An IPv6 packet becomes an IPv4 one, in place: the new header is written right before the transport header, which stays where it is,
 * so the packet begins 20 bytes later, or more when there are extension headers, which are stepped over.
 *
 *     IPv6 header, extension headers   transport header, data
 *                        IPv4 header   transport header, data
 *
 * Lost, by RFC 7915: flow label, hop-by-hop, destination and ended routing headers, the upper half of a fragment's identification.
 *
 * Rule: `refusal64` comes first; `translate64` takes for granted that it found nothing.
 *
 * References: RFC 7915 §5.1 (header), §5.1.1 (fragments), §5.2 (echo), §1.2 (fragmented ICMPv6 is not translated).
 *
 * @module
 */

import * as icmp from "../wire/icmp.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as protocols from "../wire/protocol.ts";
import * as udp from "../wire/udp.ts";
import * as checksum from "../wire/checksum.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as rewrite from "./rewrite.ts";
import * as forward from "./translate46.ts";
import * as types from "./translate_types.ts";

// Own constants: see "Speed" in context.ts.
const { checksumOf, fold, sumBytes } = checksum;
const { ICMP_CHECKSUM, ICMP_ID } = icmp;
const {
  IPV4_CHECKSUM,
  IPV4_DONT_FRAGMENT,
  IPV4_DST,
  IPV4_HEADER_BYTES,
  IPV4_ID,
  IPV4_PROTOCOL,
  IPV4_SRC,
  IPV4_TTL,
} = ipv4;
const {
  IPV6_FRAGMENT_ID,
  IPV6_FRAGMENT_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_SRC,
  ipv6ExtensionBytes,
  ipv6IsExtension,
} = ipv6;
const { IP_PROTOCOL_AH, IP_PROTOCOL_FRAGMENT, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6, IP_PROTOCOL_UDP } =
  protocols;
const { UDP_CHECKSUM } = udp;
const { FRAGMENT_LATER, FRAGMENT_NONE, TRANSPORT_ECHO } = contexts;
const { halves, rewriteTransport, SUM_ZERO, swapPorts } = rewrite;
const { REFUSE_NO_CHECKSUM, REFUSE_NOTHING, REFUSE_UNKNOWN } = forward;
const { echoType64 } = types;

/** IPv4 packets up to this leave without DF: IPv6's minimum MTU less the difference of the headers (RFC 7915 §5.1). */
export const MAX_WITHOUT_DF_BYTES = 1260;
const MAX_FREE = MAX_WITHOUT_DF_BYTES;

/** Why the parsed IPv6 packet cannot be translated: a REFUSE_… constant. */
export function refusal64(c: Context): number {
  const protocol = c.protocol;
  const view = c.view;
  if (protocol === IP_PROTOCOL_ICMPV6) {
    if (c.fragment !== FRAGMENT_NONE || c.transport !== TRANSPORT_ECHO) return REFUSE_UNKNOWN;
  } else if (protocol === IP_PROTOCOL_ICMP || ipv6IsExtension(protocol)) {
    return REFUSE_UNKNOWN; // the second: a later fragment whose data begins with an extension header
  } else if (protocol === IP_PROTOCOL_UDP && c.fragment !== FRAGMENT_LATER) {
    if (view.getUint16(c.l4 + UDP_CHECKSUM) === 0) return REFUSE_NO_CHECKSUM; // RFC 8200 §8.1: none is an error
  }
  if (c.l4 - c.l3 === IPV6_HEADER_BYTES) return REFUSE_NOTHING;
  return refusalOfExtensions(c);
}

function refusalOfExtensions(c: Context): number {
  const view = c.view;
  let next = view.getUint8(c.l3 + IPV6_NEXT_HEADER);
  for (let at = c.l3 + IPV6_HEADER_BYTES; at < c.l4;) {
    // Authentication covers the header that is taken away.
    if (next === IP_PROTOCOL_AH) return REFUSE_UNKNOWN;
    const bytes = ipv6ExtensionBytes(view, at, next);
    // An extension header behind the fragment header is part of what offsets count: without it they would be wrong.
    if (next === IP_PROTOCOL_FRAGMENT && c.fragment !== FRAGMENT_NONE && at + bytes !== c.l4) {
      return REFUSE_UNKNOWN;
    }
    next = view.getUint8(at);
    at += bytes;
  }
  return REFUSE_NOTHING;
}

/** Bytes of the parsed packet once it is translated. */
export function lengthOf64(c: Context): number {
  return c.end - c.l4 + IPV4_HEADER_BYTES;
}

/**
 * Translates the parsed IPv6 packet: addresses (IPv4 as ::ffff:a.b.c.d) and ports are those opposite to the tuple of nine words at
 * `tupleAt` of `words`; `hopStep` (0 or 1) is taken from the TTL; `identification` (16 bits) is that of a packet that has none.
 * Afterwards `c.l3` is where the packet begins.
 */
export function translate64(
  c: Context,
  words: Int32Array,
  tupleAt: number,
  hopStep: number,
  identification: number,
): void {
  const view = c.view;
  const old = c.l3;
  const l4 = c.l4;
  const before = sumBytes(view, old + IPV6_SRC, 32);
  const tos = (view.getUint16(old) >>> 4) & 0xff;
  const ttl = view.getUint8(old + IPV6_HOP_LIMIT) - hopStep;
  const total = c.end - l4 + IPV4_HEADER_BYTES;
  const fragmentAt = l4 - old === IPV6_HEADER_BYTES ? 0 : findFragmentHeader(view, old, l4);
  let fragmentWord = (identification << 16) | (total > MAX_FREE ? IPV4_DONT_FRAGMENT : 0);
  if (fragmentAt !== 0) fragmentWord = fragmentWord4(view, fragmentAt);
  const l3 = l4 - IPV4_HEADER_BYTES;
  const protocol = c.protocol === IP_PROTOCOL_ICMPV6 ? IP_PROTOCOL_ICMP : c.protocol;
  const source = words[tupleAt + 7];
  const destination = words[tupleAt + 3];
  writeHeader4(view, l3, tos, total, fragmentWord, ttl, protocol, source, destination);
  c.l3 = l3;
  if (c.fragment === FRAGMENT_LATER) return;
  const ports = swapPorts(words[tupleAt + 8]);
  if (c.transport === TRANSPORT_ECHO) return writeEcho64(c, before, ports);
  rewriteTransport(c, before, halves(source) + halves(destination), ports);
}

/** Byte of the fragment header between `l3` and `l4` of an IPv6 packet; 0 = there is none. Every length has been checked. */
export function findFragmentHeader(view: DataView, l3: number, l4: number): number {
  let next = view.getUint8(l3 + IPV6_NEXT_HEADER);
  for (let at = l3 + IPV6_HEADER_BYTES; at < l4;) {
    if (next === IP_PROTOCOL_FRAGMENT) return at;
    const bytes = ipv6ExtensionBytes(view, at, next);
    next = view.getUint8(at);
    at += bytes;
  }
  return 0;
}

/** Second word of an IPv4 header (identification 16, flags 3, offset 13) for a fragment header. DF is off. */
export function fragmentWord4(view: DataView, fragmentAt: number): number {
  const field = view.getUint16(fragmentAt + IPV6_FRAGMENT_OFFSET);
  return (view.getInt32(fragmentAt + IPV6_FRAGMENT_ID) << 16) | ((field & 1) << 13) | (field >>> 3);
}

/** Writes an IPv4 header without options, checksum included. */
export function writeHeader4(
  view: DataView,
  l3: number,
  tos: number,
  total: number,
  fragmentWord: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  view.setInt32(l3, 0x45000000 | (tos << 16) | total);
  view.setInt32(l3 + IPV4_ID, fragmentWord);
  view.setUint8(l3 + IPV4_TTL, ttl);
  view.setUint8(l3 + IPV4_PROTOCOL, protocol);
  view.setUint16(l3 + IPV4_CHECKSUM, 0);
  view.setInt32(l3 + IPV4_SRC, source);
  view.setInt32(l3 + IPV4_DST, destination);
  view.setUint16(l3 + IPV4_CHECKSUM, checksumOf(sumBytes(view, l3, IPV4_HEADER_BYTES)));
}

/** Makes an ICMP echo of an ICMPv6 one, whose checksum covered `addresses`. */
function writeEcho64(c: Context, addresses: number, ports: number): void {
  const view = c.view;
  const l4 = c.l4;
  const type = view.getUint8(l4);
  const newType = echoType64(type);
  const id = view.getUint16(l4 + ICMP_ID);
  const newId = (ports >>> 16) | (ports & 0xffff); // one half is 0
  const pseudo = addresses + IP_PROTOCOL_ICMPV6 + c.pseudoLength;
  const sum = (view.getUint16(l4 + ICMP_CHECKSUM) ^ 0xffff) + SUM_ZERO - pseudo +
    ((newType - type) << 8) + newId - id;
  view.setUint8(l4, newType);
  view.setUint16(l4 + ICMP_ID, newId);
  view.setUint16(l4 + ICMP_CHECKSUM, fold(sum) ^ 0xffff);
}
