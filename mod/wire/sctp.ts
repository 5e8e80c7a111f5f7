/**
 * SCTP common header and its CRC32c.
 *
 * Rule: offsets count from the start of the SCTP header; the caller has checked SCTP_HEADER_BYTES. The checksum covers the SCTP
 * packet alone, no pseudo-header: rewriting an address leaves it valid, rewriting a port does not.
 *
 * References: RFC 9260 §3.1, §6.8, Appendix A (CRC32c: polynomial 0x1EDC6F41, reflected 0x82F63B78; sent little-endian).
 */

export const SCTP_SRC_PORT = 0; // u16
export const SCTP_DST_PORT = 2; // u16
export const SCTP_TAG = 4; // u32 verification tag
export const SCTP_CHECKSUM = 8; // u32, CRC32c in little-endian byte order
export const SCTP_HEADER_BYTES = 12;

/** First chunk, right behind the common header. */
export const SCTP_CHUNK_TYPE = 12; // u8
export const SCTP_CHUNK_FLAGS = 13; // u8
export const SCTP_CHUNK_LENGTH = 14; // u16, header included

export const SCTP_CHUNK_DATA = 0;
export const SCTP_CHUNK_INIT = 1;
export const SCTP_CHUNK_INIT_ACK = 2;
export const SCTP_CHUNK_ABORT = 6;
export const SCTP_CHUNK_SHUTDOWN = 7;
export const SCTP_CHUNK_SHUTDOWN_COMPLETE = 14;

export function sctpSrcPort(frame: DataView, at: number): number {
  return frame.getUint16(at + SCTP_SRC_PORT);
}

export function sctpDstPort(frame: DataView, at: number): number {
  return frame.getUint16(at + SCTP_DST_PORT);
}

/** Checksum as a number in host order (the field itself is little-endian). */
export function sctpChecksum(frame: DataView, at: number): number {
  return frame.getUint32(at + SCTP_CHECKSUM, true);
}

export function setSctpSrcPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + SCTP_SRC_PORT, value);
}

export function setSctpDstPort(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + SCTP_DST_PORT, value);
}

export function setSctpChecksum(frame: DataView, at: number, value: number): void {
  frame.setUint32(at + SCTP_CHECKSUM, value, true);
}

const CRC32C_TABLE = makeCrc32cTable();

function makeCrc32cTable(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[byte] = crc;
  }
  return table;
}

/** Continues a raw CRC32c register (start with -1, complement at the end) over `length` bytes from `at`. */
function crc32cContinue(register: number, frame: DataView, at: number, length: number): number {
  for (const end = at + length; at < end; at++) {
    register = (register >>> 8) ^ CRC32C_TABLE[(register ^ frame.getUint8(at)) & 0xff];
  }
  return register;
}

/** CRC32c of `length` bytes from `at`, as an unsigned number. */
export function crc32c(frame: DataView, at: number, length: number): number {
  return ~crc32cContinue(-1, frame, at, length) >>> 0;
}

/** CRC32c of the SCTP packet of `length` bytes at `at`, its checksum field counted as zero: the value of a right field. */
export function sctpPacketChecksum(frame: DataView, at: number, length: number): number {
  let register = crc32cContinue(-1, frame, at, SCTP_CHECKSUM);
  for (let i = 0; i < 4; i++) register = (register >>> 8) ^ CRC32C_TABLE[register & 0xff];
  return ~crc32cContinue(register, frame, at + SCTP_HEADER_BYTES, length - SCTP_HEADER_BYTES) >>> 0;
}
