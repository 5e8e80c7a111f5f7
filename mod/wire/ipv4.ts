/**
 * IPv4 header.
 *
 * Rule: offsets count from the start of the IP header. Addresses are int32 (the bit pattern of the big-endian word), so that
 * they compare equal to words of the tables; everything else is unsigned. The caller has checked IPV4_HEADER_BYTES and, before
 * it looks behind the header, `ipv4HeaderBytes` and `ipv4TotalLength` against each other and against the frame.
 *
 * References: RFC 791 §3.1, RFC 1122 §3.2.1, RFC 6864 (identification).
 */

import { checksumUpdate16, checksumUpdate32, fold, sumBytes } from "./checksum.ts";

export const IPV4_VERSION_IHL = 0; // u8: version 4 bits, header length in 32-bit words 4 bits
export const IPV4_TOS = 1; // u8: DSCP, ECN
export const IPV4_TOTAL_LENGTH = 2; // u16, header included
export const IPV4_ID = 4; // u16
export const IPV4_FRAGMENT = 6; // u16: flags 3 bits, offset in 8-byte units 13 bits
export const IPV4_TTL = 8; // u8
export const IPV4_PROTOCOL = 9; // u8
export const IPV4_CHECKSUM = 10; // u16
export const IPV4_SRC = 12; // u32
export const IPV4_DST = 16; // u32
export const IPV4_HEADER_BYTES = 20; // without options
export const IPV4_HEADER_MAX_BYTES = 60;

export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_FRAGMENT_OFFSET_MASK = 0x1fff;
export const IPV4_MIN_MTU_BYTES = 68; // RFC 791 §3.2

export function ipv4Version(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV4_VERSION_IHL) >>> 4;
}

/** Length of the header with its options in bytes: 0…60; valid from 20 on. */
export function ipv4HeaderBytes(frame: DataView, at: number): number {
  return (frame.getUint8(at + IPV4_VERSION_IHL) & 0x0f) << 2;
}

export function ipv4Tos(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV4_TOS);
}

/** Length of header and payload in bytes. */
export function ipv4TotalLength(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV4_TOTAL_LENGTH);
}

export function ipv4Id(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV4_ID);
}

/** Flags and fragment offset as they stand (u16): test with IPV4_DONT_FRAGMENT, IPV4_MORE_FRAGMENTS, IPV4_FRAGMENT_OFFSET_MASK. */
export function ipv4Fragment(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV4_FRAGMENT);
}

/** Whether this is a fragment: more follow, or the offset is not 0. */
export function ipv4IsFragment(frame: DataView, at: number): boolean {
  return (frame.getUint16(at + IPV4_FRAGMENT) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET_MASK)) !== 0;
}

/** Offset of this fragment's payload in bytes; 0 for a whole packet and a first fragment. */
export function ipv4FragmentOffset(frame: DataView, at: number): number {
  return (frame.getUint16(at + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET_MASK) << 3;
}

export function ipv4Ttl(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV4_TTL);
}

export function ipv4Protocol(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV4_PROTOCOL);
}

export function ipv4Checksum(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV4_CHECKSUM);
}

/** Source address as int32. */
export function ipv4Src(frame: DataView, at: number): number {
  return frame.getInt32(at + IPV4_SRC);
}

/** Destination address as int32. */
export function ipv4Dst(frame: DataView, at: number): number {
  return frame.getInt32(at + IPV4_DST);
}

export function setIpv4TotalLength(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + IPV4_TOTAL_LENGTH, value);
}

export function setIpv4Checksum(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + IPV4_CHECKSUM, value);
}

/** Writes the source address and carries the header checksum along (RFC 1624). */
export function rewriteIpv4Src(frame: DataView, at: number, address: number): void {
  const before = frame.getInt32(at + IPV4_SRC);
  const checksum = frame.getUint16(at + IPV4_CHECKSUM);
  frame.setInt32(at + IPV4_SRC, address);
  frame.setUint16(at + IPV4_CHECKSUM, checksumUpdate32(checksum, before, address));
}

/** Writes the destination address and carries the header checksum along (RFC 1624). */
export function rewriteIpv4Dst(frame: DataView, at: number, address: number): void {
  const before = frame.getInt32(at + IPV4_DST);
  const checksum = frame.getUint16(at + IPV4_CHECKSUM);
  frame.setInt32(at + IPV4_DST, address);
  frame.setUint16(at + IPV4_CHECKSUM, checksumUpdate32(checksum, before, address));
}

/** Takes one from the TTL, checksum included. The caller has checked that it is not 0. */
export function decrementIpv4Ttl(frame: DataView, at: number): void {
  const before = frame.getUint16(at + IPV4_TTL); // TTL is the high byte of this word, the protocol the low one
  const after = before - 0x100;
  const checksum = frame.getUint16(at + IPV4_CHECKSUM);
  frame.setUint16(at + IPV4_TTL, after);
  frame.setUint16(at + IPV4_CHECKSUM, checksumUpdate16(checksum, before, after));
}

/** Header checksum of `headerBytes` from `at`, computed from nothing whatever the field holds now. */
export function ipv4HeaderChecksum(frame: DataView, at: number, headerBytes: number): number {
  const field = frame.getUint16(at + IPV4_CHECKSUM);
  return ~fold(sumBytes(frame, at, headerBytes) + (~field & 0xffff)) & 0xffff;
}
