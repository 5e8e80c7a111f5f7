/**
 * ICMPv6.
 *
 * Rule: offsets count from the start of the ICMPv6 header; the caller has checked ICMPV6_HEADER_BYTES. Types below 128 are errors
 * and quote a packet right behind the eight bytes of header. The checksum covers a pseudo-header too.
 *
 * References: RFC 4443; RFC 4861 (neighbor discovery: ndp.ts).
 */

export const ICMPV6_TYPE = 0; // u8
export const ICMPV6_CODE = 1; // u8
export const ICMPV6_CHECKSUM = 2; // u16
export const ICMPV6_ID = 4; // u16, echo
export const ICMPV6_SEQUENCE = 6; // u16, echo
export const ICMPV6_MTU = 4; // u32, packet too big
export const ICMPV6_POINTER = 4; // u32, parameter problem
export const ICMPV6_HEADER_BYTES = 8; // the quoted packet starts here

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;

/** Codes of ICMPV6_UNREACHABLE. */
export const ICMPV6_UNREACHABLE_ROUTE = 0;
export const ICMPV6_UNREACHABLE_PROHIBITED = 1;
export const ICMPV6_UNREACHABLE_ADDRESS = 3;
export const ICMPV6_UNREACHABLE_PORT = 4;

/** Code of ICMPV6_TIME_EXCEEDED: in transit. */
export const ICMPV6_HOP_LIMIT_EXCEEDED = 0;

export function icmpv6Type(frame: DataView, at: number): number {
  return frame.getUint8(at + ICMPV6_TYPE);
}

export function icmpv6Code(frame: DataView, at: number): number {
  return frame.getUint8(at + ICMPV6_CODE);
}

export function icmpv6Checksum(frame: DataView, at: number): number {
  return frame.getUint16(at + ICMPV6_CHECKSUM);
}

/** Identifier of an echo request or reply. */
export function icmpv6Id(frame: DataView, at: number): number {
  return frame.getUint16(at + ICMPV6_ID);
}

/** MTU of "packet too big". */
export function icmpv6Mtu(frame: DataView, at: number): number {
  return frame.getUint32(at + ICMPV6_MTU);
}

export function setIcmpv6Checksum(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + ICMPV6_CHECKSUM, value);
}

/** Whether a message of this type is an error that quotes a packet (RFC 4443 §2.1). */
export function icmpv6IsError(type: number): boolean {
  return type < 128;
}
