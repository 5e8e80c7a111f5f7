/**
 * What an ICMP message of one family is called in the other: types, codes, pointers and MTUs.
 *
 * What has no counterpart, or means something on its own link only, is not translated; then the answer is NOT_TRANSLATED.
 *
 * References: RFC 7915 §4.2, §4.4 figure 3 (IPv4 → IPv6), §5.2, §5.4 figure 6 (IPv6 → IPv4); RFC 1191 §7.1 (plateaus).
 *
 * @module
 */

import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMP_UNREACHABLE_HOST,
  ICMP_UNREACHABLE_PORT,
  ICMP_UNREACHABLE_PROTOCOL,
} from "../wire/icmp.ts";
import {
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  ICMPV6_UNREACHABLE_ADDRESS,
  ICMPV6_UNREACHABLE_PORT,
  ICMPV6_UNREACHABLE_PROHIBITED,
  ICMPV6_UNREACHABLE_ROUTE,
} from "../wire/icmpv6.ts";
import { IPV6_FRAGMENT_BYTES, IPV6_HEADER_BYTES, IPV6_MIN_MTU_BYTES } from "../wire/ipv6.ts";
import { IPV4_HEADER_BYTES, IPV4_PROTOCOL, IPV4_SRC, IPV4_TTL } from "../wire/ipv4.ts";
import { IPV6_DST, IPV6_HOP_LIMIT, IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH, IPV6_SRC } from "../wire/ipv6.ts";

/** It ends here. */
export const NOT_TRANSLATED = -1;

/** How much longer an IPv6 header is than an IPv4 one without options. */
export const HEADER_GROWTH_BYTES = IPV6_HEADER_BYTES - IPV4_HEADER_BYTES;

// Codes of ICMP_UNREACHABLE beyond those of mod/wire: RFC 1812 §5.2.7.1.
const NET_PROHIBITED = 9;
const HOST_PROHIBITED = 10;
const COMMUNICATION_PROHIBITED = 13;
const PRECEDENCE_VIOLATION = 14;
const PRECEDENCE_CUTOFF = 15;

// Codes of ICMP_PARAMETER_PROBLEM: the pointer tells; a missing option; bad length.
const POINTER_TELLS = 0;
const BAD_LENGTH = 2;

// Codes of ICMPV6_UNREACHABLE and ICMPV6_PARAMETER_PROBLEM: RFC 4443 §3.1, §3.4.
const BEYOND_SCOPE = 2;
const ERRONEOUS_FIELD = 0;
const UNRECOGNIZED_NEXT_HEADER = 1;

function named(type: number, code: number): number {
  return (type << 8) | code;
}

/** ICMPv6's type of an echo message, for ICMP's. */
export function echoType46(type: number): number {
  return type === ICMP_ECHO_REQUEST ? ICMPV6_ECHO_REQUEST : ICMPV6_ECHO_REPLY;
}

/** ICMP's type of an echo message, for ICMPv6's. */
export function echoType64(type: number): number {
  return type === ICMPV6_ECHO_REQUEST ? ICMP_ECHO_REQUEST : ICMP_ECHO_REPLY;
}

/** ICMPv6 type << 8 | code for an ICMP error, or NOT_TRANSLATED. */
export function errorType46(type: number, code: number): number {
  if (type === ICMP_UNREACHABLE) return unreachable46(code);
  if (type === ICMP_TIME_EXCEEDED) return named(ICMPV6_TIME_EXCEEDED, code);
  if (type === ICMP_PARAMETER_PROBLEM && (code === POINTER_TELLS || code === BAD_LENGTH)) {
    return named(ICMPV6_PARAMETER_PROBLEM, ERRONEOUS_FIELD);
  }
  return NOT_TRANSLATED; // source quench, redirect, a missing option
}

function unreachable46(code: number): number {
  switch (code) {
    case ICMP_UNREACHABLE_PROTOCOL:
      return named(ICMPV6_PARAMETER_PROBLEM, UNRECOGNIZED_NEXT_HEADER);
    case ICMP_UNREACHABLE_PORT:
      return named(ICMPV6_UNREACHABLE, ICMPV6_UNREACHABLE_PORT);
    case ICMP_FRAGMENTATION_NEEDED:
      return named(ICMPV6_PACKET_TOO_BIG, 0);
    case NET_PROHIBITED:
    case HOST_PROHIBITED:
    case COMMUNICATION_PROHIBITED:
    case PRECEDENCE_CUTOFF:
      return named(ICMPV6_UNREACHABLE, ICMPV6_UNREACHABLE_PROHIBITED);
    case PRECEDENCE_VIOLATION:
      return NOT_TRANSLATED;
    default: // net, host, source route, unknown net or host, isolated, for this TOS
      return code > PRECEDENCE_CUTOFF ? NOT_TRANSLATED : named(ICMPV6_UNREACHABLE, ICMPV6_UNREACHABLE_ROUTE);
  }
}

/** ICMP type << 8 | code for an ICMPv6 error, or NOT_TRANSLATED. */
export function errorType64(type: number, code: number): number {
  if (type === ICMPV6_UNREACHABLE) return unreachable64(code);
  if (type === ICMPV6_PACKET_TOO_BIG) return named(ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED);
  if (type === ICMPV6_TIME_EXCEEDED) return named(ICMP_TIME_EXCEEDED, code);
  if (type !== ICMPV6_PARAMETER_PROBLEM) return NOT_TRANSLATED;
  if (code === ERRONEOUS_FIELD) return named(ICMP_PARAMETER_PROBLEM, POINTER_TELLS);
  if (code === UNRECOGNIZED_NEXT_HEADER) return named(ICMP_UNREACHABLE, ICMP_UNREACHABLE_PROTOCOL);
  return NOT_TRANSLATED; // an unrecognized option
}

function unreachable64(code: number): number {
  switch (code) {
    case ICMPV6_UNREACHABLE_ROUTE:
    case BEYOND_SCOPE:
    case ICMPV6_UNREACHABLE_ADDRESS:
      return named(ICMP_UNREACHABLE, ICMP_UNREACHABLE_HOST);
    case ICMPV6_UNREACHABLE_PROHIBITED:
      return named(ICMP_UNREACHABLE, HOST_PROHIBITED);
    case ICMPV6_UNREACHABLE_PORT:
      return named(ICMP_UNREACHABLE, ICMP_UNREACHABLE_PORT);
    default:
      return NOT_TRANSLATED;
  }
}

/** Byte of the IPv6 header that says what byte `pointer` of an IPv4 header says, or NOT_TRANSLATED (figure 3). */
export function pointer46(pointer: number): number {
  if (pointer < 2) return pointer; // version and length; TOS → traffic class
  if (pointer < 4) return IPV6_PAYLOAD_LENGTH;
  if (pointer === IPV4_TTL) return IPV6_HOP_LIMIT;
  if (pointer === IPV4_PROTOCOL) return IPV6_NEXT_HEADER;
  if (pointer >= IPV4_SRC && pointer < IPV4_HEADER_BYTES) return pointer < IPV4_SRC + 4 ? IPV6_SRC : IPV6_DST;
  return NOT_TRANSLATED; // identification, flags, offset, checksum, options
}

/** Byte of the IPv4 header that says what byte `pointer` (u32) of an IPv6 header says, or NOT_TRANSLATED (figure 6). */
export function pointer64(pointer: number): number {
  if (pointer < 2) return pointer;
  if (pointer < IPV6_PAYLOAD_LENGTH) return NOT_TRANSLATED; // flow label
  if (pointer < IPV6_NEXT_HEADER) return 2; // total length
  if (pointer === IPV6_NEXT_HEADER) return IPV4_PROTOCOL;
  if (pointer === IPV6_HOP_LIMIT) return IPV4_TTL;
  if (pointer < IPV6_HEADER_BYTES) return pointer < IPV6_DST ? IPV4_SRC : IPV4_SRC + 4;
  return NOT_TRANSLATED; // extension headers are gone
}

/**
 * MTU of a packet too big, for that of a fragmentation needed about a packet of `quotedBytes`. `mtu4` and `mtu6`: of the ways here in
 * either family. Never below IPv6's minimum: a smaller packet leaves the translator without DF.
 */
export function mtu46(mtu: number, quotedBytes: number, mtu4: number, mtu6: number): number {
  const told = mtu === 0 ? plateauBelow(quotedBytes) : mtu;
  const smallest = Math.min(told + HEADER_GROWTH_BYTES, mtu6, mtu4 + HEADER_GROWTH_BYTES);
  return Math.max(smallest, IPV6_MIN_MTU_BYTES);
}

/** MTU of a fragmentation needed, for that of a packet too big about a packet with or without a fragment header. */
export function mtu64(mtu: number, withFragmentHeader: boolean, mtu4: number, mtu6: number): number {
  const told = mtu - HEADER_GROWTH_BYTES - (withFragmentHeader ? IPV6_FRAGMENT_BYTES : 0);
  // The field has 16 bits; below IPv4's 68 no host goes (a packet too big of less than 1280 is no router's).
  return Math.max(Math.min(told, mtu4, mtu6 - HEADER_GROWTH_BYTES, 0xffff), 68);
}

/**
 * The greatest plateau of RFC 1191 §7.1 that is less than `bytes`, for routers that tell no MTU. Below 1280 there is no use for any: then
 * it is what makes IPv6's minimum.
 */
export function plateauBelow(bytes: number): number {
  if (bytes > 65535) return 65535;
  if (bytes > 32000) return 32000;
  if (bytes > 17914) return 17914;
  if (bytes > 8166) return 8166;
  if (bytes > 4352) return 4352;
  if (bytes > 2002) return 2002;
  if (bytes > 1492) return 1492;
  return IPV6_MIN_MTU_BYTES - HEADER_GROWTH_BYTES;
}
