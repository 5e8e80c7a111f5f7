/**
 * The Internet checksum: sums, pseudo-headers, and updates of a field whose packet is rewritten.
 *
 * Rule: a *sum* is an unfolded one's complement sum, a plain non-negative number below 2^31 that may be added to other sums; a
 * *checksum* is the 16-bit complement of a folded sum, as the header carries it. One's complement has two zeros: the updates
 * here never turn a valid checksum into one that differs from a full recomputation except 0xffff, which comes out as 0 (for UDP,
 * where 0 means "none", see udp.ts).
 *
 * References: RFC 1071 (byte order independence §2(B)), RFC 1624 §3 eqn. 3, RFC 8200 §8.1 (IPv6 pseudo-header).
 */

/** Longest length in bytes for which `sumBytes` is exact: 65,536 words of 32 bits. */
export const SUM_MAX_BYTES = 262_144;

/** Folds a sum (below 2^32) to 16 bits, end-around carries included. */
export function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The checksum field for a sum: its complement, folded. */
export function checksumOf(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/**
 * One's complement sum of `length` bytes from `at`, added to `initial`. An odd last byte counts as the high byte of a word, so
 * every piece of a chain but the last must be of even length. `length` ≤ SUM_MAX_BYTES and inside the view (checked by the caller).
 *
 * Words are read 32 bits at a time in the machine's order, and bytes are swapped once at the end. With S = Σ word mod 2^32 and H =
 * Σ (word >>> 16), which is exact, the sum of the low halves is S - 2^16·H mod 2^32: two additions and a shift a word.
 */
export function sumBytes(frame: DataView, at: number, length: number, initial = 0): number {
  let sum = 0;
  let high = 0;
  const end = at + length;
  const unrolledEnd = end - 15;
  for (; at < unrolledEnd; at += 16) {
    const a = frame.getInt32(at, true);
    const b = frame.getInt32(at + 4, true);
    const c = frame.getInt32(at + 8, true);
    const d = frame.getInt32(at + 12, true);
    sum = (sum + a + b + c + d) | 0;
    high = (high + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
  }
  for (; at + 3 < end; at += 4) {
    const word = frame.getInt32(at, true);
    sum = (sum + word) | 0;
    high = (high + (word >>> 16)) | 0;
  }
  const low = (sum - (high << 16)) | 0;
  let tail = 0;
  if (at + 1 < end) {
    tail = frame.getUint16(at, true);
    at += 2;
  }
  if (at < end) tail += frame.getUint8(at);
  const folded = fold((low & 0xffff) + (low >>> 16) + (high & 0xffff) + (high >>> 16) + tail);
  return initial + ((folded & 0xff) << 8) + (folded >>> 8);
}

/** Sum of the IPv4 pseudo-header: addresses of the IP header at `ipAt`, `protocol`, `length` = bytes of transport header and payload. */
export function pseudoHeaderSum4(frame: DataView, ipAt: number, protocol: number, length: number): number {
  return frame.getUint16(ipAt + 12) + frame.getUint16(ipAt + 14) + frame.getUint16(ipAt + 16) +
    frame.getUint16(ipAt + 18) + protocol + length;
}

/** Sum of the IPv6 pseudo-header: addresses of the IP header at `ipAt`, `protocol` = the upper-layer one, `length` = its bytes. */
export function pseudoHeaderSum6(frame: DataView, ipAt: number, protocol: number, length: number): number {
  return sumBytes(frame, ipAt + 8, 32, protocol + (length & 0xffff) + (length >>> 16));
}

/** RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'). Sixteen-bit values. */
export function checksumUpdate16(checksum: number, before: number, after: number): number {
  return checksumOf((~checksum & 0xffff) + (~before & 0xffff) + after);
}

/** The same for a 32-bit field at an even offset; `before` and `after` may be int32 or u32. */
export function checksumUpdate32(checksum: number, before: number, after: number): number {
  return checksumOf((~checksum & 0xffff) + differenceSum32(before, after));
}

/** ~m + m' of a 16-bit field as a sum: several rewritten fields are added up and applied at once by `checksumApply`. */
export function differenceSum16(before: number, after: number): number {
  return (~before & 0xffff) + after;
}

/** ~m + m' of a 32-bit field as a sum. */
export function differenceSum32(before: number, after: number): number {
  return (~before & 0xffff) + (~before >>> 16) + (after & 0xffff) + (after >>> 16);
}

/** The checksum after fields changed by `difference` (added-up `differenceSum…`). */
export function checksumApply(checksum: number, difference: number): number {
  return checksumOf((~checksum & 0xffff) + difference);
}
