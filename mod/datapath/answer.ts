/**
 * What answers of both families share: the rate limit of ICMP errors and the TCP reset.
 *
 * @module
 */

import {
  TCP_ACK,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FIN,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_RST,
  TCP_SEQUENCE,
  TCP_SYN,
  TCP_URGENT,
  TCP_WINDOW,
} from "../wire/tcp.ts";
import { type Context, ERRORS_PER_SECOND } from "./context.ts";

/** Takes one ICMP error from this second's budget. False when it is used up. */
export function allowError(c: Context): boolean {
  if (c.errorSecond !== c.now) {
    c.errorSecond = c.now;
    c.errorBudget = ERRORS_PER_SECOND;
  }
  if (c.errorBudget === 0) return false;
  c.errorBudget--;
  return true;
}

/**
 * Writes the reset that answers the parsed segment as a TCP header at byte `l4`, at or before the segment's own; ports turned round,
 * checksum 0. RFC 9293 §3.5.2: it takes its sequence number from the segment's ACK, or acknowledges all that the segment holds.
 */
export function writeReset(c: Context, l4: number): void {
  const view = c.view;
  const asked = c.l4;
  const flags = c.tcpFlags;
  const sequence = view.getInt32(asked + TCP_SEQUENCE);
  const acknowledgment = view.getInt32(asked + TCP_ACKNOWLEDGMENT);
  const headerBytes = (view.getUint8(asked + TCP_DATA_OFFSET) >>> 4) << 2;
  const length = c.end - asked - headerBytes + ((flags & TCP_SYN) !== 0 ? 1 : 0) +
    ((flags & TCP_FIN) !== 0 ? 1 : 0);
  const acknowledged = (flags & TCP_ACK) !== 0;
  view.setInt32(l4, (c.ports << 16) | (c.ports >>> 16));
  view.setInt32(l4 + TCP_SEQUENCE, acknowledged ? acknowledgment : 0);
  view.setInt32(l4 + TCP_ACKNOWLEDGMENT, acknowledged ? 0 : (sequence + length) | 0);
  view.setUint8(l4 + TCP_DATA_OFFSET, (TCP_HEADER_BYTES >>> 2) << 4);
  view.setUint8(l4 + TCP_FLAGS, acknowledged ? TCP_RST : TCP_RST | TCP_ACK);
  view.setUint16(l4 + TCP_WINDOW, 0);
  view.setUint16(l4 + TCP_CHECKSUM, 0);
  view.setUint16(l4 + TCP_URGENT, 0);
}
