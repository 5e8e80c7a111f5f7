/**
 * ICMP (for IPv4).
 *
 * Rule: offsets count from the start of the ICMP header; the caller has checked ICMP_HEADER_BYTES. Errors quote the packet they
 * are about right behind the eight bytes of header.
 *
 * References: RFC 792, RFC 1191 §4 (next-hop MTU), RFC 1812 §5.2.7, RFC 4884 (extensions behind the quote).
 */

export const ICMP_TYPE = 0; // u8
export const ICMP_CODE = 1; // u8
export const ICMP_CHECKSUM = 2; // u16, over the ICMP message, no pseudo-header
export const ICMP_ID = 4; // u16, echo
export const ICMP_SEQUENCE = 6; // u16, echo
export const ICMP_NEXT_HOP_MTU = 6; // u16, fragmentation needed
export const ICMP_HEADER_BYTES = 8; // the quoted packet starts here

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;

/** Codes of ICMP_UNREACHABLE. */
export const ICMP_UNREACHABLE_NET = 0;
export const ICMP_UNREACHABLE_HOST = 1;
export const ICMP_UNREACHABLE_PROTOCOL = 2;
export const ICMP_UNREACHABLE_PORT = 3;
export const ICMP_FRAGMENTATION_NEEDED = 4;
export const ICMP_SOURCE_ROUTE_FAILED = 5;
export const ICMP_UNREACHABLE_PROHIBITED = 13;

/** Code of ICMP_TIME_EXCEEDED: in transit. */
export const ICMP_TTL_EXCEEDED = 0;

export function icmpType(frame: DataView, at: number): number {
  return frame.getUint8(at + ICMP_TYPE);
}

export function icmpCode(frame: DataView, at: number): number {
  return frame.getUint8(at + ICMP_CODE);
}

export function icmpChecksum(frame: DataView, at: number): number {
  return frame.getUint16(at + ICMP_CHECKSUM);
}

/** Identifier of an echo request or reply. */
export function icmpId(frame: DataView, at: number): number {
  return frame.getUint16(at + ICMP_ID);
}

/** Next-hop MTU of "fragmentation needed"; 0 from routers older than RFC 1191. */
export function icmpNextHopMtu(frame: DataView, at: number): number {
  return frame.getUint16(at + ICMP_NEXT_HOP_MTU);
}

export function setIcmpChecksum(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + ICMP_CHECKSUM, value);
}

/** Whether a message of this type is an error that quotes a packet. */
export function icmpIsError(type: number): boolean {
  return type === ICMP_UNREACHABLE || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM ||
    type === ICMP_SOURCE_QUENCH || type === ICMP_REDIRECT;
}
