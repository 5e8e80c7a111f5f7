/**
 * IPv6 header and the extension headers that may stand before the upper-layer header.
 *
 * Rule: offsets count from the start of the IP (or extension) header. Addresses are four int32 words, most significant first. The
 * caller has checked IPV6_HEADER_BYTES, and 8 bytes before it reads an extension header.
 *
 * References: RFC 8200 §3, §4; RFC 4302 §2 (AH); RFC 7045 (which next headers are extensions).
 */

import {
  IP_PROTOCOL_AH,
  IP_PROTOCOL_DESTINATION_OPTIONS,
  IP_PROTOCOL_FRAGMENT,
  IP_PROTOCOL_HOP_BY_HOP,
  IP_PROTOCOL_ROUTING,
} from "./protocol.ts";

export const IPV6_VERSION_CLASS_FLOW = 0; // u32: version 4 bits, traffic class 8, flow label 20
export const IPV6_PAYLOAD_LENGTH = 4; // u16, without this header
export const IPV6_NEXT_HEADER = 6; // u8
export const IPV6_HOP_LIMIT = 7; // u8
export const IPV6_SRC = 8; // 16 bytes
export const IPV6_DST = 24; // 16 bytes
export const IPV6_HEADER_BYTES = 40;
export const IPV6_ADDRESS_BYTES = 16;
export const IPV6_MIN_MTU_BYTES = 1280; // RFC 8200 §5

/** Extension headers: first byte the next header, second the length in units that depend on the kind. */
export const IPV6_EXTENSION_NEXT_HEADER = 0; // u8
export const IPV6_EXTENSION_LENGTH = 1; // u8
export const IPV6_EXTENSION_MIN_BYTES = 8;

export const IPV6_FRAGMENT_OFFSET = 2; // u16: offset in 8-byte units 13 bits, reserved 2, more 1
export const IPV6_FRAGMENT_ID = 4; // u32
export const IPV6_FRAGMENT_BYTES = 8;
export const IPV6_FRAGMENT_MORE = 0x0001;
export const IPV6_FRAGMENT_OFFSET_MASK = 0xfff8; // of the u16: already in bytes

export function ipv6Version(frame: DataView, at: number): number {
  return frame.getUint8(at) >>> 4;
}

export function ipv6TrafficClass(frame: DataView, at: number): number {
  return (frame.getUint16(at) >>> 4) & 0xff;
}

export function ipv6FlowLabel(frame: DataView, at: number): number {
  return frame.getUint32(at) & 0xfffff;
}

/** Bytes behind the fixed header, extension headers included. */
export function ipv6PayloadLength(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV6_PAYLOAD_LENGTH);
}

export function ipv6NextHeader(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV6_NEXT_HEADER);
}

export function ipv6HopLimit(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV6_HOP_LIMIT);
}

/** Word `index` (0…3) of the source address as int32. */
export function ipv6SrcWord(frame: DataView, at: number, index: number): number {
  return frame.getInt32(at + IPV6_SRC + (index << 2));
}

/** Word `index` (0…3) of the destination address as int32. */
export function ipv6DstWord(frame: DataView, at: number, index: number): number {
  return frame.getInt32(at + IPV6_DST + (index << 2));
}

/** Writes the fixed header's first word: version 6, class, flow label. */
export function setIpv6VersionClassFlow(
  frame: DataView,
  at: number,
  trafficClass: number,
  flow: number,
): void {
  frame.setUint32(at, (0x60000000 | (trafficClass << 20) | (flow & 0xfffff)) >>> 0);
}

export function setIpv6PayloadLength(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + IPV6_PAYLOAD_LENGTH, value);
}

export function setIpv6NextHeader(frame: DataView, at: number, value: number): void {
  frame.setUint8(at + IPV6_NEXT_HEADER, value);
}

export function setIpv6HopLimit(frame: DataView, at: number, value: number): void {
  frame.setUint8(at + IPV6_HOP_LIMIT, value);
}

/** Writes four int32 words of an address at byte `at` (for instance the header's start + IPV6_DST). */
export function setIpv6Address(
  frame: DataView,
  at: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): void {
  frame.setInt32(at, w0);
  frame.setInt32(at + 4, w1);
  frame.setInt32(at + 8, w2);
  frame.setInt32(at + 12, w3);
}

/** Whether a next-header value is an extension header that ku steps over. ESP is not: what follows it is encrypted. */
export function ipv6IsExtension(nextHeader: number): boolean {
  return nextHeader === IP_PROTOCOL_HOP_BY_HOP || nextHeader === IP_PROTOCOL_ROUTING ||
    nextHeader === IP_PROTOCOL_FRAGMENT || nextHeader === IP_PROTOCOL_DESTINATION_OPTIONS ||
    nextHeader === IP_PROTOCOL_AH;
}

/** Length in bytes of the extension header of kind `nextHeader` that starts at `at`. */
export function ipv6ExtensionBytes(frame: DataView, at: number, nextHeader: number): number {
  if (nextHeader === IP_PROTOCOL_FRAGMENT) return IPV6_FRAGMENT_BYTES;
  const length = frame.getUint8(at + IPV6_EXTENSION_LENGTH);
  if (nextHeader === IP_PROTOCOL_AH) return (length + 2) << 2; // RFC 4302 §2.2: 32-bit words minus 2
  return (length + 1) << 3;
}

/** Next header after the extension header at `at`. */
export function ipv6ExtensionNextHeader(frame: DataView, at: number): number {
  return frame.getUint8(at + IPV6_EXTENSION_NEXT_HEADER);
}

/** Offset in bytes of the payload of the fragment whose fragment header is at `at`. */
export function ipv6FragmentOffset(frame: DataView, at: number): number {
  return frame.getUint16(at + IPV6_FRAGMENT_OFFSET) & IPV6_FRAGMENT_OFFSET_MASK;
}

export function ipv6FragmentMore(frame: DataView, at: number): boolean {
  return (frame.getUint16(at + IPV6_FRAGMENT_OFFSET) & IPV6_FRAGMENT_MORE) !== 0;
}

/** Identification of the fragment header at `at`, as int32. */
export function ipv6FragmentId(frame: DataView, at: number): number {
  return frame.getInt32(at + IPV6_FRAGMENT_ID);
}
