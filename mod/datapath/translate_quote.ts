/**
 * What the translations of ICMP errors share: the quoted echo, the extensions behind a quote.
 *
 * An error may carry extensions (RFC 4884); a length in its header then says where the quoted packet ends and they begin, in 32-bit words in
 * IPv4, in 64-bit words in IPv6. As the quote changes its size, it is padded with zeros.
 *
 * @module
 */

import { fold } from "../wire/checksum.ts";
import { ICMP_CHECKSUM, ICMP_ID } from "../wire/icmp.ts";
import type { Context } from "./context.ts";
import { SUM_ZERO } from "./rewrite.ts";

/** RFC 4884 §3: a quote with extensions behind it has at least so many bytes, padding included. */
export const EXTENDED_QUOTE_BYTES = 128;

/** The checksum of an error was wrong on arrival; a translated one would be right. Beside the REFUSE_… of translate46.ts. */
export const REFUSE_BAD_CHECKSUM = 4;

/**
 * Makes the quote from `quote` to `quoteEnd`, behind which extensions are, fill units of `unitBytes` and EXTENDED_QUOTE_BYTES: it moves
 * forward in the frame and zeros follow it. Returns where it begins then.
 */
export function padQuote(c: Context, quote: number, quoteEnd: number, unitBytes: number): number {
  const bytes = quoteEnd - quote;
  const padding = Math.max(Math.ceil(bytes / unitBytes) * unitBytes, EXTENDED_QUOTE_BYTES) - bytes;
  if (padding === 0) return quote;
  c.bytes.copyWithin(quote - padding, quote, quoteEnd);
  c.bytes.fill(0, quoteEnd - padding, quoteEnd);
  return quote - padding;
}

/**
 * Makes the quoted echo message at `l4` one of `newType`, with the identifier in `ports`. `pseudo`: what the pseudo-header adds to the
 * sum (negative when it is taken away).
 */
export function writeQuotedEcho(
  view: DataView,
  l4: number,
  newType: number,
  ports: number,
  pseudo: number,
): void {
  const type = view.getUint8(l4);
  const id = view.getUint16(l4 + ICMP_ID);
  const newId = (ports >>> 16) | (ports & 0xffff); // one half is 0
  const sum = (view.getUint16(l4 + ICMP_CHECKSUM) ^ 0xffff) + SUM_ZERO + pseudo +
    ((newType - type) << 8) + newId - id;
  view.setUint8(l4, newType);
  view.setUint16(l4 + ICMP_ID, newId);
  view.setUint16(l4 + ICMP_CHECKSUM, fold(sum) ^ 0xffff);
}
