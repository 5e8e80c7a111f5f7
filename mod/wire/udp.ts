/**
 * UDP.
 *
 * Rule: offsets count from the start of the UDP header; the caller has checked UDP_HEADER_BYTES. The rules of the value 0 live
 * here: on the wire 0 means "no checksum", and a checksum that works out as 0 is sent as 0xffff.
 *
 * References: RFC 768; RFC 8200 §8.1 and RFC 6936 (over IPv6 a checksum of 0 is an exception, not the rule).
 */

import { checksumApply, checksumUpdate16, checksumUpdate32 } from "./checksum.ts";

export const UDP_SRC_PORT = 0; // u16
export const UDP_DST_PORT = 2; // u16
export const UDP_LENGTH = 4; // u16, header included
export const UDP_CHECKSUM = 6; // u16; 0 = none
export const UDP_HEADER_BYTES = 8;

export function udpSrcPort(frame: DataView, at: number): number {
  return frame.getUint16(at + UDP_SRC_PORT);
}

export function udpDstPort(frame: DataView, at: number): number {
  return frame.getUint16(at + UDP_DST_PORT);
}

export function udpLength(frame: DataView, at: number): number {
  return frame.getUint16(at + UDP_LENGTH);
}

export function udpChecksum(frame: DataView, at: number): number {
  return frame.getUint16(at + UDP_CHECKSUM);
}

export function setUdpSrcPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + UDP_SRC_PORT, value);
}

export function setUdpDstPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + UDP_DST_PORT, value);
}

export function setUdpLength(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + UDP_LENGTH, value);
}

export function setUdpChecksum(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + UDP_CHECKSUM, value);
}

/** A computed checksum as UDP sends it: 0 becomes 0xffff, the other zero of one's complement. */
export function udpChecksumOut(checksum: number): number {
  return checksum === 0 ? 0xffff : checksum;
}

/** `checksumUpdate16` under UDP's rules: 0 stays 0, and the result is never 0. */
export function udpChecksumUpdate16(checksum: number, before: number, after: number): number {
  return checksum === 0 ? 0 : udpChecksumOut(checksumUpdate16(checksum, before, after));
}

/** `checksumUpdate32` under UDP's rules: 0 stays 0, and the result is never 0. */
export function udpChecksumUpdate32(checksum: number, before: number, after: number): number {
  return checksum === 0 ? 0 : udpChecksumOut(checksumUpdate32(checksum, before, after));
}

/** `checksumApply` under UDP's rules: 0 stays 0, and the result is never 0. */
export function udpChecksumApply(checksum: number, difference: number): number {
  return checksum === 0 ? 0 : udpChecksumOut(checksumApply(checksum, difference));
}
