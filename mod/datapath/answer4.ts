/**
 * Answers that ku gives itself over IPv4: ICMP errors, TCP resets, echo replies. They are built in the frame of the packet they
 * answer, and routed like any packet of the node.
 *
 * An error quotes the packet as it came, so that its receiver knows it: the new headers are written in front of it, into the frame's
 * headroom (28 bytes), and nothing is moved.
 *
 * References: RFC 792; RFC 1812 §4.3.2 (what to quote, when to be silent, rate); RFC 1122 §3.2.2; RFC 1191 §4; RFC 9293 §3.5.2.
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
import { IF_IP4, IF_STRIDE } from "../table/interface.ts";
import { checksumOf, checksumUpdate16, pseudoHeaderSum4, sumBytes } from "../wire/checksum.ts";
import { ETHERNET_HEADER_BYTES } from "../wire/ethernet.ts";
import {
  ICMP_CHECKSUM,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_FRAGMENTATION_NEEDED,
  ICMP_HEADER_BYTES,
  ICMP_SOURCE_ROUTE_FAILED,
  ICMP_TIME_EXCEEDED,
  ICMP_TTL_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMP_UNREACHABLE_PORT,
} from "../wire/icmp.ts";
import {
  IPV4_CHECKSUM,
  IPV4_DONT_FRAGMENT,
  IPV4_DST,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_ID,
  IPV4_PROTOCOL,
  IPV4_SRC,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
} from "../wire/ipv4.ts";
import { IP_PROTOCOL_ICMP, IP_PROTOCOL_TCP } from "../wire/protocol.ts";
import { TCP_CHECKSUM, TCP_HEADER_BYTES, TCP_RST } from "../wire/tcp.ts";
import { allowError, writeReset } from "./answer.ts";
import { type Context, count, drop, FRAGMENT_LATER, FRAGMENT_NONE, TRANSPORT_ECHO } from "./context.ts";
import { completeHalfDone } from "./rewrite.ts";
import { routeOwn4 } from "./route.ts";

/** RFC 1812 §4.3.2.3: as much of the packet as fits into 576 bytes. */
const ERROR_MAX_BYTES = 576;
const ERROR_HEADER_BYTES = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES;
const ANSWER_TTL = 64;

/** The TTL ran out here. */
export function answerTimeExceeded4(c: Context): number {
  return answerError4(c, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, 0, COUNT_TIME_EXCEEDED_SENT);
}

/** The packet does not fit the egress, whose MTU is `mtuBytes`, and must not be fragmented. */
export function answerTooBig4(c: Context, mtuBytes: number): number {
  return answerError4(c, ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED, mtuBytes, COUNT_TOO_BIG_SENT);
}

/** No pod serves what was asked for. */
export function answerUnreachable4(c: Context): number {
  return answerError4(c, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PORT, 0, COUNT_UNREACHABLE_SENT);
}

/** The packet's source route cannot be followed. */
export function answerSourceRoute4(c: Context): number {
  return answerError4(c, ICMP_UNREACHABLE, ICMP_SOURCE_ROUTE_FAILED, 0, COUNT_SOURCE_ROUTE_REFUSED);
}

/** Whether an address can be the sender of a packet that is to be answered: not "this network", loopback, multicast, broadcast. */
export function isAnswerable4(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

function answerError4(c: Context, type: number, code: number, rest: number, counted: number): number {
  const view = c.view;
  const quoted = c.l3;
  const receiver = view.getInt32(quoted + IPV4_SRC);
  const about = c.protocol !== IP_PROTOCOL_ICMP || c.transport === TRANSPORT_ECHO;
  if (
    !about || c.fragment === FRAGMENT_LATER || !isAnswerable4(receiver) ||
    !isAnswerable4(view.getInt32(quoted + IPV4_DST))
  ) return drop(c, COUNT_ERROR_SUPPRESSED);
  if (!allowError(c)) return drop(c, COUNT_ERROR_LIMITED);
  completeHalfDone(c, true); // the quote is complete, so that its receiver can trust it
  const quotedBytes = Math.min(c.end - quoted, ERROR_MAX_BYTES - ERROR_HEADER_BYTES);
  const icmp = quoted - ICMP_HEADER_BYTES;
  view.setInt32(icmp, (type << 24) | (code << 16));
  view.setInt32(icmp + 4, rest);
  view.setUint16(icmp + ICMP_CHECKSUM, checksumOf(sumBytes(view, icmp, ICMP_HEADER_BYTES + quotedBytes)));
  const l3 = icmp - IPV4_HEADER_BYTES;
  const source = errorSource4(c, view.getInt32(quoted + IPV4_DST));
  writeHeader4(view, l3, ERROR_HEADER_BYTES + quotedBytes, IP_PROTOCOL_ICMP, source, receiver);
  count(c, counted);
  return sendOwn4(c, l3, ERROR_HEADER_BYTES + quotedBytes);
}

/**
 * Who an error says it is from: the node, as the interface it came in by is called. To the host itself the node cannot speak with
 * the node's address (the kernel takes that for a forgery), so the address that was asked for does.
 */
function errorSource4(c: Context, asked: number): number {
  if (c.inSlot === 0) return asked;
  const own = c.interfaces[c.inSlot * IF_STRIDE + IF_IP4] | 0;
  if (own !== 0) return own;
  const configured = c.tables.settings.ip4SrcAddress | 0;
  return configured !== 0 ? configured : asked;
}

/** Answers a TCP segment to a port that nobody serves, as a closed port does (RFC 9293 §3.5.2, group 1). */
export function answerReset4(c: Context): number {
  const view = c.view;
  const l3 = c.l3;
  const source = view.getInt32(l3 + IPV4_SRC);
  if ((c.tcpFlags & TCP_RST) !== 0 || c.fragment !== FRAGMENT_NONE || !isAnswerable4(source)) {
    return drop(c, COUNT_ERROR_SUPPRESSED);
  }
  const destination = view.getInt32(l3 + IPV4_DST);
  const l4 = l3 + IPV4_HEADER_BYTES;
  writeReset(c, l4);
  writeHeader4(view, l3, IPV4_HEADER_BYTES + TCP_HEADER_BYTES, IP_PROTOCOL_TCP, destination, source);
  const pseudo = pseudoHeaderSum4(view, l3, IP_PROTOCOL_TCP, TCP_HEADER_BYTES);
  view.setUint16(l4 + TCP_CHECKSUM, checksumOf(sumBytes(view, l4, TCP_HEADER_BYTES, pseudo)));
  count(c, COUNT_RESET_SENT);
  return sendOwn4(c, l3, IPV4_HEADER_BYTES + TCP_HEADER_BYTES);
}

/** Answers an echo request to a VIP as a host does: the same bytes back. Options are sent back as they are (RFC 1122 §3.2.2.6). */
export function answerEcho4(c: Context): number {
  const view = c.view;
  const l3 = c.l3;
  const source = view.getInt32(l3 + IPV4_SRC);
  const destination = view.getInt32(l3 + IPV4_DST);
  if (!isAnswerable4(source)) return drop(c, COUNT_ERROR_SUPPRESSED);
  const icmpChecksum = view.getUint16(c.l4 + ICMP_CHECKSUM);
  view.setUint8(c.l4, ICMP_ECHO_REPLY);
  view.setUint16(
    c.l4 + ICMP_CHECKSUM,
    checksumUpdate16(icmpChecksum, ICMP_ECHO_REQUEST << 8, ICMP_ECHO_REPLY << 8),
  );
  const ttlWord = view.getUint16(l3 + IPV4_TTL);
  const newTtlWord = (ANSWER_TTL << 8) | IP_PROTOCOL_ICMP;
  const checksum = view.getUint16(l3 + IPV4_CHECKSUM);
  view.setUint16(l3 + IPV4_TTL, newTtlWord);
  view.setUint16(l3 + IPV4_CHECKSUM, checksumUpdate16(checksum, ttlWord, newTtlWord));
  view.setInt32(l3 + IPV4_SRC, destination);
  view.setInt32(l3 + IPV4_DST, source);
  count(c, COUNT_ECHO_ANSWERED);
  return routeOwn4(c, l3);
}

/** A header without options, DF set, TTL of the node's own packets. */
export function writeHeader4(
  view: DataView,
  l3: number,
  totalBytes: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  view.setUint16(l3, 0x4500);
  view.setUint16(l3 + IPV4_TOTAL_LENGTH, totalBytes);
  view.setUint16(l3 + IPV4_ID, 0); // RFC 6864 §4.1: any value in an atomic datagram
  view.setUint16(l3 + IPV4_FRAGMENT, IPV4_DONT_FRAGMENT);
  view.setUint8(l3 + IPV4_TTL, ANSWER_TTL);
  view.setUint8(l3 + IPV4_PROTOCOL, protocol);
  view.setUint16(l3 + IPV4_CHECKSUM, 0);
  view.setInt32(l3 + IPV4_SRC, source);
  view.setInt32(l3 + IPV4_DST, destination);
  view.setUint16(l3 + IPV4_CHECKSUM, checksumOf(sumBytes(view, l3, IPV4_HEADER_BYTES)));
}

function sendOwn4(c: Context, l3: number, bytes: number): number {
  c.limit = l3 + bytes;
  c.outAt = l3 - ETHERNET_HEADER_BYTES;
  c.outLength = c.limit - c.outAt;
  return routeOwn4(c, l3);
}
