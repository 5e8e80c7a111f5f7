/**
 * Answers that ku gives itself over IPv6: ICMPv6 errors, TCP resets, echo replies; as answer4.ts does for IPv4. An error's new headers
 * take 48 bytes of the frame's headroom.
 *
 * References: RFC 4443 §2.4 (what to quote, when to be silent, rate), §3.2, §3.3, §4.2; RFC 8200 §5; RFC 9293 §3.5.2.
 *
 * @module
 */

import {
  COUNT_ECHO_ANSWERED,
  COUNT_ERROR_LIMITED,
  COUNT_ERROR_SUPPRESSED,
  COUNT_RESET_SENT,
  COUNT_SOURCE_ROUTE_REFUSED,
  COUNT_TIME_EXCEEDED_SENT,
  COUNT_TOO_BIG_SENT,
  COUNT_UNREACHABLE_SENT,
} from "../metrics/counters.ts";
import { IF_IP6, IF_STRIDE } from "../table/interface.ts";
import { checksumOf, checksumUpdate16, pseudoHeaderSum6, sumBytes } from "../wire/checksum.ts";
import { ETHERNET_HEADER_BYTES } from "../wire/ethernet.ts";
import {
  ICMPV6_CHECKSUM,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_HEADER_BYTES,
  ICMPV6_HOP_LIMIT_EXCEEDED,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  ICMPV6_UNREACHABLE_PORT,
} from "../wire/icmpv6.ts";
import {
  IPV6_DST,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_MIN_MTU_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SRC,
} from "../wire/ipv6.ts";
import { IP_PROTOCOL_ICMPV6, IP_PROTOCOL_TCP } from "../wire/protocol.ts";
import { TCP_CHECKSUM, TCP_HEADER_BYTES, TCP_RST } from "../wire/tcp.ts";
import { allowError, writeReset } from "./answer.ts";
import { type Context, count, drop, FRAGMENT_LATER, FRAGMENT_NONE, TRANSPORT_ECHO } from "./context.ts";
import { completeHalfDone } from "./rewrite.ts";
import { routeOwn6 } from "./route.ts";

const ERROR_HEADER_BYTES = IPV6_HEADER_BYTES + ICMPV6_HEADER_BYTES;
const ANSWER_HOP_LIMIT = 64;

/** The hop limit ran out here. */
export function answerTimeExceeded6(c: Context): number {
  return answerError6(c, ICMPV6_TIME_EXCEEDED, ICMPV6_HOP_LIMIT_EXCEEDED, 0, COUNT_TIME_EXCEEDED_SENT);
}

/** The packet does not fit the egress, whose MTU is `mtuBytes`. */
export function answerTooBig6(c: Context, mtuBytes: number): number {
  return answerError6(c, ICMPV6_PACKET_TOO_BIG, 0, mtuBytes, COUNT_TOO_BIG_SENT);
}

/** No pod serves what was asked for. */
export function answerUnreachable6(c: Context): number {
  return answerError6(c, ICMPV6_UNREACHABLE, ICMPV6_UNREACHABLE_PORT, 0, COUNT_UNREACHABLE_SENT);
}

/** The packet's routing header, at byte `pointer` of the packet, cannot be followed (RFC 7915 §5.1). */
export function answerSourceRoute6(c: Context, pointer: number): number {
  return answerError6(c, ICMPV6_PARAMETER_PROBLEM, 0, pointer, COUNT_SOURCE_ROUTE_REFUSED);
}

/** Whether the address at byte `at` of the frame can be a sender that is to be answered: not unspecified, loopback, multicast. */
export function isAnswerable6(view: DataView, at: number): boolean {
  if (view.getUint8(at) === 0xff) return false;
  const high = view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8);
  return high !== 0 || view.getUint32(at + 12) > 1;
}

function answerError6(c: Context, type: number, code: number, rest: number, counted: number): number {
  const view = c.view;
  const quoted = c.l3;
  const about = c.protocol !== IP_PROTOCOL_ICMPV6 || c.transport === TRANSPORT_ECHO;
  if (
    !about || c.fragment === FRAGMENT_LATER || !isAnswerable6(view, quoted + IPV6_SRC) ||
    !isAnswerable6(view, quoted + IPV6_DST)
  ) return drop(c, COUNT_ERROR_SUPPRESSED);
  if (!allowError(c)) return drop(c, COUNT_ERROR_LIMITED);
  completeHalfDone(c, false); // the quote is complete, so that its receiver can trust it
  const quotedBytes = Math.min(c.end - quoted, IPV6_MIN_MTU_BYTES - ERROR_HEADER_BYTES);
  const icmp = quoted - ICMPV6_HEADER_BYTES;
  const l3 = icmp - IPV6_HEADER_BYTES;
  const bytes = ICMPV6_HEADER_BYTES + quotedBytes;
  writeHeader6(view, l3, bytes, IP_PROTOCOL_ICMPV6);
  writeErrorSource6(c, l3 + IPV6_SRC);
  copyAddress(view, quoted + IPV6_SRC, l3 + IPV6_DST);
  view.setInt32(icmp, (type << 24) | (code << 16));
  view.setInt32(icmp + 4, rest);
  const pseudo = pseudoHeaderSum6(view, l3, IP_PROTOCOL_ICMPV6, bytes);
  view.setUint16(icmp + ICMPV6_CHECKSUM, checksumOf(sumBytes(view, icmp, bytes, pseudo)));
  count(c, counted);
  return sendOwn6(c, l3, IPV6_HEADER_BYTES + bytes);
}

/**
 * Writes who an error says it is from: the node, as the interface it came in by is called; to the host itself, which takes its own
 * address for a forgery, the address that was asked for.
 */
function writeErrorSource6(c: Context, at: number): void {
  const view = c.view;
  copyAddress(view, c.l3 + IPV6_DST, at);
  if (c.inSlot === 0) return;
  const own = c.inSlot * IF_STRIDE + IF_IP6;
  const interfaces = c.interfaces;
  if ((interfaces[own] | interfaces[own + 1] | interfaces[own + 2] | interfaces[own + 3]) !== 0) {
    for (let i = 0; i < 4; i++) view.setInt32(at + (i << 2), interfaces[own + i]);
    return;
  }
  const configured = c.tables.settings.ip6SrcAddress;
  if ((configured[0] | configured[1] | configured[2] | configured[3]) === 0) return;
  for (let i = 0; i < 4; i++) view.setInt32(at + (i << 2), configured[i]);
}

/** Answers a TCP segment to a port that nobody serves, as a closed port does (RFC 9293 §3.5.2, group 1). */
export function answerReset6(c: Context): number {
  const view = c.view;
  const l3 = c.l3;
  if (
    (c.tcpFlags & TCP_RST) !== 0 || c.fragment !== FRAGMENT_NONE || !isAnswerable6(view, l3 + IPV6_SRC)
  ) return drop(c, COUNT_ERROR_SUPPRESSED);
  const l4 = l3 + IPV6_HEADER_BYTES;
  writeReset(c, l4);
  swapAddresses6(view, l3);
  writeHeader6(view, l3, TCP_HEADER_BYTES, IP_PROTOCOL_TCP);
  const pseudo = pseudoHeaderSum6(view, l3, IP_PROTOCOL_TCP, TCP_HEADER_BYTES);
  view.setUint16(l4 + TCP_CHECKSUM, checksumOf(sumBytes(view, l4, TCP_HEADER_BYTES, pseudo)));
  count(c, COUNT_RESET_SENT);
  return sendOwn6(c, l3, IPV6_HEADER_BYTES + TCP_HEADER_BYTES);
}

/** Answers an echo request to a VIP as a host does: the same bytes back. */
export function answerEcho6(c: Context): number {
  const view = c.view;
  const l3 = c.l3;
  if (!isAnswerable6(view, l3 + IPV6_SRC)) return drop(c, COUNT_ERROR_SUPPRESSED);
  const checksum = view.getUint16(c.l4 + ICMPV6_CHECKSUM);
  view.setUint8(c.l4, ICMPV6_ECHO_REPLY);
  view.setUint16(
    c.l4 + ICMPV6_CHECKSUM,
    checksumUpdate16(checksum, ICMPV6_ECHO_REQUEST << 8, ICMPV6_ECHO_REPLY << 8),
  );
  view.setUint8(l3 + IPV6_HOP_LIMIT, ANSWER_HOP_LIMIT);
  swapAddresses6(view, l3);
  count(c, COUNT_ECHO_ANSWERED);
  return routeOwn6(c, l3);
}

/** The fixed header but for the addresses. */
export function writeHeader6(view: DataView, l3: number, payloadBytes: number, nextHeader: number): void {
  view.setInt32(l3, 0x60000000);
  view.setUint16(l3 + IPV6_PAYLOAD_LENGTH, payloadBytes);
  view.setUint8(l3 + IPV6_NEXT_HEADER, nextHeader);
  view.setUint8(l3 + IPV6_HOP_LIMIT, ANSWER_HOP_LIMIT);
}

function copyAddress(view: DataView, from: number, to: number): void {
  for (let i = 0; i < 16; i += 4) view.setInt32(to + i, view.getInt32(from + i));
}

function swapAddresses6(view: DataView, l3: number): void {
  for (let i = 0; i < 16; i += 4) {
    const source = view.getInt32(l3 + IPV6_SRC + i);
    view.setInt32(l3 + IPV6_SRC + i, view.getInt32(l3 + IPV6_DST + i));
    view.setInt32(l3 + IPV6_DST + i, source);
  }
}

function sendOwn6(c: Context, l3: number, bytes: number): number {
  c.limit = l3 + bytes;
  c.outAt = l3 - ETHERNET_HEADER_BYTES;
  c.outLength = c.limit - c.outAt;
  return routeOwn6(c, l3);
}
