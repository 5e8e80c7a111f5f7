/**
 * TCP header.
 *
 * Rule: offsets count from the start of the TCP header; the caller has checked TCP_HEADER_BYTES.
 *
 * References: RFC 9293 §3.1; RFC 3168 (ECE, CWR).
 */

export const TCP_SRC_PORT = 0; // u16
export const TCP_DST_PORT = 2; // u16
export const TCP_SEQUENCE = 4; // u32
export const TCP_ACKNOWLEDGMENT = 8; // u32
export const TCP_DATA_OFFSET = 12; // u8: header length in 32-bit words 4 bits, reserved 4
export const TCP_FLAGS = 13; // u8
export const TCP_WINDOW = 14; // u16
export const TCP_CHECKSUM = 16; // u16
export const TCP_URGENT = 18; // u16
export const TCP_HEADER_BYTES = 20; // without options
export const TCP_HEADER_MAX_BYTES = 60;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

/** Options (RFC 9293 §3.2): kind, length (kind and length included), value; END and NOP are single bytes. */
export const TCP_OPTION_END = 0;
export const TCP_OPTION_NOP = 1;
export const TCP_OPTION_MSS = 2; // length 4, value u16
export const TCP_OPTION_MSS_BYTES = 4;

export function tcpSrcPort(frame: DataView, at: number): number {
  return frame.getUint16(at + TCP_SRC_PORT);
}

export function tcpDstPort(frame: DataView, at: number): number {
  return frame.getUint16(at + TCP_DST_PORT);
}

export function tcpSequence(frame: DataView, at: number): number {
  return frame.getUint32(at + TCP_SEQUENCE);
}

export function tcpAcknowledgment(frame: DataView, at: number): number {
  return frame.getUint32(at + TCP_ACKNOWLEDGMENT);
}

/** Length of the header with its options in bytes: 0…60; valid from 20 on. */
export function tcpHeaderBytes(frame: DataView, at: number): number {
  return (frame.getUint8(at + TCP_DATA_OFFSET) >>> 4) << 2;
}

export function tcpFlags(frame: DataView, at: number): number {
  return frame.getUint8(at + TCP_FLAGS);
}

export function tcpChecksum(frame: DataView, at: number): number {
  return frame.getUint16(at + TCP_CHECKSUM);
}

export function setTcpSrcPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + TCP_SRC_PORT, value);
}

export function setTcpDstPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + TCP_DST_PORT, value);
}

export function setTcpChecksum(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + TCP_CHECKSUM, value);
}
