/**
 * An IPv4 packet becomes an IPv6 one, in place: the new header is written right before the transport header, which stays where it is,
 * so the packet begins 20 bytes earlier (28 with a fragment header; less by what options took).
 *
 *     IPv4 header, options              transport header, data
 *     IPv6 header (, fragment header)   transport header, data
 *
 * Lost, by RFC 7915: options, the identification of a whole packet, DF (IPv6 never fragments on the way).
 *
 * Rule: `refusal46` comes first; `translate46` takes for granted that it found nothing.
 *
 * References: RFC 7915 §4.1 (header), §4.2 (echo), §4.5 (UDP without checksum), §1.2 (fragmented ICMP is not translated).
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
import * as types from "./translate_types.ts";

// Own constants: see "Speed" in context.ts.
const { fold, sumBytes } = checksum;
const { ICMP_CHECKSUM, ICMP_ID } = icmp;
const { IPV4_DST, IPV4_HEADER_BYTES, IPV4_ID, IPV4_SRC, IPV4_TTL } = ipv4;
const {
  IPV6_DST,
  IPV6_FRAGMENT_BYTES,
  IPV6_FRAGMENT_ID,
  IPV6_FRAGMENT_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SRC,
  ipv6IsExtension,
} = ipv6;
const { IP_PROTOCOL_FRAGMENT, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6, IP_PROTOCOL_UDP } = protocols;
const { UDP_CHECKSUM } = udp;
const { FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE, TRANSPORT_ECHO, TRANSPORT_UDP } = contexts;
const { halves, rewriteTransport, SUM_ZERO, swapPorts, updatedChecksum } = rewrite;
const { echoType46 } = types;

/** It can be translated. */
export const REFUSE_NOTHING = 0;
/** The other family has no such packet. */
export const REFUSE_UNKNOWN = 1;
/** UDP without a checksum where one must be and cannot be computed. */
export const REFUSE_NO_CHECKSUM = 2;
/** A source route that has not come to its end: its sender is told (RFC 7915 §4.1). */
export const REFUSE_SOURCE_ROUTE = 3;

const NOTHING = REFUSE_NOTHING;

// IPv4 options: RFC 791 §3.1.
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_LOOSE_ROUTE = 131;
const OPTION_STRICT_ROUTE = 137;

// Mobility, HIP, Shim6: extension headers that ku does not step over (IANA "IPv6 Extension Header Types").
const PROTOCOL_MOBILITY = 135;
const PROTOCOL_HIP = 139;
const PROTOCOL_SHIM6 = 140;

/** Why the parsed IPv4 packet cannot be translated: a REFUSE_… constant. */
export function refusal46(c: Context): number {
  const protocol = c.protocol;
  if (protocol === IP_PROTOCOL_ICMP) {
    // Its new checksum covers the length of all fragments together, which none of them knows.
    if (c.fragment !== FRAGMENT_NONE || c.transport !== TRANSPORT_ECHO) return REFUSE_UNKNOWN;
  } else if (meansOther46(protocol)) {
    return REFUSE_UNKNOWN;
  } else if (c.fragment === FRAGMENT_FIRST && protocol === IP_PROTOCOL_UDP) {
    if (c.view.getUint16(c.l4 + UDP_CHECKSUM) === 0) return REFUSE_NO_CHECKSUM;
  }
  if (c.l4 - c.l3 > IPV4_HEADER_BYTES && isSourceRouted(c.view, c.l3 + IPV4_HEADER_BYTES, c.l4)) {
    return REFUSE_SOURCE_ROUTE;
  }
  return NOTHING;
}

/** Whether the number, as an IPv6 next header, would be an extension header or ICMPv6. */
function meansOther46(protocol: number): boolean {
  return protocol === IP_PROTOCOL_ICMPV6 || ipv6IsExtension(protocol) || protocol === PROTOCOL_MOBILITY ||
    protocol === PROTOCOL_HIP || protocol === PROTOCOL_SHIM6;
}

/** Whether there is a source route in the options from `at` to `end` with addresses left to visit. */
function isSourceRouted(view: DataView, at: number, end: number): boolean {
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return false;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    const bytes = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (bytes < 2 || at + bytes > end) return false; // malformed options are nobody's to obey
    if (kind === OPTION_LOOSE_ROUTE || kind === OPTION_STRICT_ROUTE) {
      return bytes > 2 && view.getUint8(at + 2) <= bytes;
    }
    at += bytes;
  }
  return false;
}

/** Bytes of the parsed packet once it is translated. */
export function lengthOf46(c: Context): number {
  const fragment = c.fragment === FRAGMENT_NONE ? 0 : IPV6_FRAGMENT_BYTES;
  return c.end - c.l4 + IPV6_HEADER_BYTES + fragment;
}

/**
 * Translates the parsed IPv4 packet: addresses and ports are those opposite to the tuple of nine words at `tupleAt` of `words`;
 * `hopStep` (0 or 1) is taken from the hop limit. Afterwards `c.l3` is where the packet begins.
 */
export function translate46(c: Context, words: Int32Array, tupleAt: number, hopStep: number): void {
  const view = c.view;
  const old = c.l3;
  const l4 = c.l4;
  const before = halves(view.getInt32(old + IPV4_SRC)) + halves(view.getInt32(old + IPV4_DST));
  const trafficClass = (view.getInt32(old) >>> 16) & 0xff;
  const fragmentWord = view.getInt32(old + IPV4_ID); // identification 16, flags 3, offset 13
  const hopLimit = view.getUint8(old + IPV4_TTL) - hopStep;
  const protocol = c.protocol === IP_PROTOCOL_ICMP ? IP_PROTOCOL_ICMPV6 : c.protocol;
  const isFragment = c.fragment !== FRAGMENT_NONE;
  const l3 = l4 - IPV6_HEADER_BYTES - (isFragment ? IPV6_FRAGMENT_BYTES : 0);
  if (isFragment) writeFragmentHeader(view, l4 - IPV6_FRAGMENT_BYTES, protocol, fragmentWord);
  const after = writeHeader6(
    view,
    l3,
    trafficClass,
    c.end - l3 - IPV6_HEADER_BYTES,
    isFragment ? IP_PROTOCOL_FRAGMENT : protocol,
    hopLimit,
    words,
    tupleAt + 4,
    words,
    tupleAt,
  );
  c.l3 = l3;
  if (c.fragment === FRAGMENT_LATER) return;
  const ports = swapPorts(words[tupleAt + 8]);
  if (c.transport === TRANSPORT_ECHO) return writeEcho46(c, after, ports);
  if (c.transport === TRANSPORT_UDP && view.getUint16(c.checksumAt) === 0) return sumUdp(c, after, ports);
  rewriteTransport(c, before, after, ports);
}

/** Writes an IPv6 header without flow label at `l3`; both addresses are four words. Returns their sum. */
export function writeHeader6(
  view: DataView,
  l3: number,
  trafficClass: number,
  payloadBytes: number,
  nextHeader: number,
  hopLimit: number,
  sources: Int32Array,
  sourceAt: number,
  destinations: Int32Array,
  destinationAt: number,
): number {
  view.setInt32(l3, 0x60000000 | (trafficClass << 20));
  view.setUint16(l3 + IPV6_PAYLOAD_LENGTH, payloadBytes);
  view.setUint8(l3 + IPV6_NEXT_HEADER, nextHeader);
  view.setUint8(l3 + IPV6_HOP_LIMIT, hopLimit);
  let sum = 0;
  for (let i = 0; i < 4; i++) {
    const destination = destinations[destinationAt + i];
    const source = sources[sourceAt + i];
    view.setInt32(l3 + IPV6_SRC + (i << 2), source);
    view.setInt32(l3 + IPV6_DST + (i << 2), destination);
    sum += halves(source) + halves(destination);
  }
  return sum;
}

/** Writes a fragment header from the second word of an IPv4 header: identification 16, flags 3, offset 13. */
export function writeFragmentHeader(view: DataView, at: number, nextHeader: number, word: number): void {
  view.setUint16(at, nextHeader << 8);
  // Offset in units of eight bytes: 13 bits low in IPv4, high in IPv6, where "more" is the last bit.
  view.setUint16(at + IPV6_FRAGMENT_OFFSET, ((word & 0x1fff) << 3) | ((word >>> 13) & 1));
  view.setInt32(at + IPV6_FRAGMENT_ID, word >>> 16);
}

/** Makes an ICMPv6 echo of an ICMP one. Unlike ICMP's, ICMPv6's checksum covers a pseudo-header: `addresses` is its sum. */
function writeEcho46(c: Context, addresses: number, ports: number): void {
  const view = c.view;
  const l4 = c.l4;
  const type = view.getUint8(l4);
  const newType = echoType46(type);
  const id = view.getUint16(l4 + ICMP_ID);
  const newId = (ports >>> 16) | (ports & 0xffff); // one half is 0
  const pseudo = addresses + IP_PROTOCOL_ICMPV6 + c.pseudoLength;
  const sum = (view.getUint16(l4 + ICMP_CHECKSUM) ^ 0xffff) + SUM_ZERO + pseudo +
    ((newType - type) << 8) + newId - id;
  view.setUint8(l4, newType);
  view.setUint16(l4 + ICMP_ID, newId);
  view.setUint16(l4 + ICMP_CHECKSUM, fold(sum) ^ 0xffff);
}

/** Gives a UDP datagram the checksum that IPv6 asks for and IPv4 did without. */
function sumUdp(c: Context, addresses: number, ports: number): void {
  const view = c.view;
  view.setInt32(c.l4, ports);
  const pseudo = addresses + IP_PROTOCOL_UDP + c.pseudoLength;
  view.setUint16(c.checksumAt, updatedChecksum(0xffff, sumBytes(view, c.l4, c.pseudoLength, pseudo), true));
}
