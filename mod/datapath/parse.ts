/**
 * Finds the headers of a packet and checks every length once: against the frame and against the header's own length.
 *
 * Rule: after PARSED_FLOW, `l3`, `l4`, `end`, `protocol`, `transport`, `ports`, `checksumAt`, `pseudoLength`, `fragment` of the
 * context describe the packet, and the bytes they speak of are inside the frame. After anything else only what is said there.
 *
 * References: RFC 791 §3.1, RFC 8200 §4, RFC 9293 §3.1, RFC 768, RFC 9260 §3, RFC 1858 (tiny fragments), RFC 6040 is not needed:
 * nothing is tunneled.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as icmp from "../wire/icmp.ts";
import * as icmpv6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as protocols from "../wire/protocol.ts";
import * as sctp from "../wire/sctp.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_EXTENSIONS, COUNT_MALFORMED, COUNT_TINY_FRAGMENT } = counters;
const { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, icmpIsError } = icmp;
const { ICMPV6_ECHO_REPLY, ICMPV6_ECHO_REQUEST, icmpv6IsError } = icmpv6;
const { IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET_MASK, IPV4_HEADER_BYTES, IPV4_MORE_FRAGMENTS, IPV4_PROTOCOL } =
  ipv4;
const {
  IPV6_EXTENSION_MIN_BYTES,
  IPV6_FRAGMENT_MORE,
  IPV6_FRAGMENT_OFFSET,
  IPV6_FRAGMENT_OFFSET_MASK,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  ipv6ExtensionBytes,
  ipv6IsExtension,
} = ipv6;
const {
  IP_PROTOCOL_FRAGMENT,
  IP_PROTOCOL_ICMP,
  IP_PROTOCOL_ICMPV6,
  IP_PROTOCOL_ROUTING,
  IP_PROTOCOL_SCTP,
  IP_PROTOCOL_TCP,
  IP_PROTOCOL_UDP,
  IP_PROTOCOL_UDP_LITE,
} = protocols;
const { SCTP_HEADER_BYTES } = sctp;
const { TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES } = tcp;
const { UDP_CHECKSUM, UDP_HEADER_BYTES, UDP_LENGTH } = udp;
const {
  count,
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  TRANSPORT_ECHO,
  TRANSPORT_OTHER,
  TRANSPORT_SCTP,
  TRANSPORT_TCP,
  TRANSPORT_UDP,
} = contexts;

/** A packet of a flow: the tuple is the addresses and `ports`. */
export const PARSED_FLOW = 0;
/** An ICMP error; `l4` is its header, eight bytes are there, what it quotes is unchecked. */
export const PARSED_ERROR = 1;
/** A fragment that is not the first: no transport header. `l4` is where its payload starts. */
export const PARSED_FRAGMENT = 2;
/** Nothing that ku touches (neighbor discovery, a source route under way …). */
export const PARSED_ALIEN = 3;
/** Already counted as a drop. */
export const PARSED_BAD = 4;

/** Extension headers that ku steps over, as the steering programs do. */
const MAX_EXTENSIONS = 8;

const IP_PROTOCOL_DCCP = 33;

function bad(c: Context, reason: number): number {
  count(c, reason);
  return PARSED_BAD;
}

/** Parses the IPv4 packet at byte `l3` of a frame that ends before `limit`. */
export function parse4(c: Context, l3: number, limit: number): number {
  if (limit - l3 < IPV4_HEADER_BYTES) return bad(c, COUNT_MALFORMED);
  const view = c.view;
  const first = view.getInt32(l3); // version 4, length 4, TOS 8, total length 16
  const headerBytes = (first >>> 22) & 0x3c;
  const total = first & 0xffff;
  if (
    first >>> 28 !== 4 || headerBytes < IPV4_HEADER_BYTES || total < headerBytes || total > limit - l3
  ) return bad(c, COUNT_MALFORMED);
  c.l3 = l3;
  c.end = l3 + total;
  const fragment = view.getUint16(l3 + IPV4_FRAGMENT) & (IPV4_FRAGMENT_OFFSET_MASK | IPV4_MORE_FRAGMENTS);
  const protocol = view.getUint8(l3 + IPV4_PROTOCOL);
  c.protocol = protocol;
  c.l4 = l3 + headerBytes;
  if (fragment === 0) c.fragment = FRAGMENT_NONE;
  else {
    c.fragment = (fragment & IPV4_FRAGMENT_OFFSET_MASK) !== 0 ? FRAGMENT_LATER : FRAGMENT_FIRST;
    if (c.fragment === FRAGMENT_LATER) return parseLater(c);
  }
  return parseTransport(c, protocol, l3 + headerBytes, l3 + total);
}

/** Parses the IPv6 packet at byte `l3` of a frame that ends before `limit`. */
export function parse6(c: Context, l3: number, limit: number): number {
  if (limit - l3 < IPV6_HEADER_BYTES) return bad(c, COUNT_MALFORMED);
  const view = c.view;
  const end = l3 + IPV6_HEADER_BYTES + view.getUint16(l3 + IPV6_PAYLOAD_LENGTH);
  if (view.getUint8(l3) >>> 4 !== 6 || end > limit) return bad(c, COUNT_MALFORMED);
  c.l3 = l3;
  c.end = end;
  c.fragment = FRAGMENT_NONE;
  const next = view.getUint8(l3 + IPV6_NEXT_HEADER);
  const l4 = l3 + IPV6_HEADER_BYTES;
  if (ipv6IsExtension(next)) return parseExtensions(c, next, l4, end);
  c.protocol = next;
  c.l4 = l4;
  return parseTransport(c, next, l4, end);
}

function parseExtensions(c: Context, next: number, at: number, end: number): number {
  const view = c.view;
  for (let extensions = 0; ipv6IsExtension(next); extensions++) {
    if (extensions === MAX_EXTENSIONS) return bad(c, COUNT_EXTENSIONS);
    if (end - at < IPV6_EXTENSION_MIN_BYTES) return bad(c, COUNT_MALFORMED);
    const bytes = ipv6ExtensionBytes(view, at, next);
    if (bytes > end - at) return bad(c, COUNT_MALFORMED);
    // With segments left the destination is a waypoint, and the checksum covers another one (RFC 8200 §8.1).
    if (next === IP_PROTOCOL_ROUTING && view.getUint8(at + 3) !== 0) {
      c.transport = TRANSPORT_OTHER;
      return PARSED_ALIEN;
    }
    if (next === IP_PROTOCOL_FRAGMENT) {
      const field = view.getUint16(at + IPV6_FRAGMENT_OFFSET);
      c.fragmentAt = at;
      // RFC 6946: an atomic fragment (offset 0, no more) is a whole packet.
      if ((field & IPV6_FRAGMENT_OFFSET_MASK) !== 0) c.fragment = FRAGMENT_LATER;
      else if ((field & IPV6_FRAGMENT_MORE) !== 0) c.fragment = FRAGMENT_FIRST;
    }
    next = view.getUint8(at);
    at += bytes;
    if (c.fragment === FRAGMENT_LATER) break;
  }
  c.protocol = next;
  c.l4 = at;
  if (c.fragment === FRAGMENT_LATER) return parseLater(c);
  return parseTransport(c, next, at, end);
}

/** A later fragment has nothing of the transport: whatever is to be rewritten is in the IP header. */
function parseLater(c: Context): number {
  c.transport = TRANSPORT_OTHER;
  c.ports = 0;
  c.tcpFlags = 0;
  c.checksumAt = 0;
  c.pseudoLength = 0;
  return PARSED_FRAGMENT;
}

/** A transport header that does not fit: cut off by its sender, or by the end of a first fragment (RFC 1858 §4). */
function cut(c: Context): number {
  return bad(c, c.fragment === FRAGMENT_FIRST ? COUNT_TINY_FRAGMENT : COUNT_MALFORMED);
}

function parseTransport(c: Context, protocol: number, l4: number, end: number): number {
  const view = c.view;
  const bytes = end - l4;
  if (protocol === IP_PROTOCOL_TCP) {
    if (bytes < TCP_HEADER_BYTES) return cut(c);
    const headerBytes = (view.getUint8(l4 + TCP_DATA_OFFSET) >>> 4) << 2;
    if (headerBytes < TCP_HEADER_BYTES || headerBytes > bytes) return cut(c);
    c.transport = TRANSPORT_TCP;
    c.ports = view.getInt32(l4);
    c.tcpFlags = view.getUint8(l4 + TCP_FLAGS);
    c.checksumAt = l4 + TCP_CHECKSUM;
    c.pseudoLength = bytes;
    return PARSED_FLOW;
  }
  if (protocol === IP_PROTOCOL_UDP) {
    if (bytes < UDP_HEADER_BYTES) return cut(c);
    const length = view.getUint16(l4 + UDP_LENGTH);
    // A first fragment's UDP length is that of the whole datagram.
    if (length < UDP_HEADER_BYTES || (length > bytes && c.fragment === FRAGMENT_NONE)) {
      return bad(c, COUNT_MALFORMED);
    }
    c.transport = TRANSPORT_UDP;
    c.ports = view.getInt32(l4);
    c.tcpFlags = 0;
    c.checksumAt = l4 + UDP_CHECKSUM;
    c.pseudoLength = length;
    return PARSED_FLOW;
  }
  return parseRare(c, protocol, l4, bytes);
}

function parseRare(c: Context, protocol: number, l4: number, bytes: number): number {
  c.transport = TRANSPORT_OTHER;
  c.ports = 0;
  c.tcpFlags = 0;
  c.checksumAt = 0;
  c.pseudoLength = bytes;
  if (protocol === IP_PROTOCOL_SCTP) {
    if (bytes < SCTP_HEADER_BYTES) return cut(c);
    c.transport = TRANSPORT_SCTP;
    c.ports = c.view.getInt32(l4);
  } else if (protocol === IP_PROTOCOL_ICMP) {
    return parseIcmp(c, l4, bytes, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY, c.view.getUint8(c.l3) >>> 4 === 4);
  } else if (protocol === IP_PROTOCOL_ICMPV6) {
    return parseIcmp(c, l4, bytes, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY, c.view.getUint8(c.l3) >>> 4 === 6);
  } else if (protocol === IP_PROTOCOL_UDP_LITE || protocol === IP_PROTOCOL_DCCP) {
    // RFC 3828 §3.1, RFC 4340 §9.1: the checksum, at UDP's place, covers the addresses.
    if (bytes < UDP_HEADER_BYTES) return cut(c);
    c.checksumAt = l4 + UDP_CHECKSUM;
  }
  return PARSED_FLOW;
}

/** ICMP in its own family; in the other one (`native` false) it is a protocol like any other. */
function parseIcmp(
  c: Context,
  l4: number,
  bytes: number,
  request: number,
  reply: number,
  native: boolean,
): number {
  if (!native) return PARSED_FLOW;
  if (bytes < 8) return cut(c);
  const type = c.view.getUint8(l4);
  c.checksumAt = l4 + 2;
  if (type === request || type === reply) {
    const id = c.view.getUint16(l4 + 4);
    c.transport = TRANSPORT_ECHO;
    // The asker's identifier is its port: the source of a request, the destination of a reply.
    c.ports = type === request ? id << 16 : id;
    return PARSED_FLOW;
  }
  if (request === ICMPV6_ECHO_REQUEST ? icmpv6IsError(type) : icmpIsError(type)) return PARSED_ERROR;
  return PARSED_ALIEN;
}
