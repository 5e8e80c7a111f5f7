/**
 * An IPv4 packet that may be fragmented, and that is too large for the IPv6 link it is translated to, leaves in pieces: nobody can
 * fragment it there (RFC 8200 §4.5), so it is done here, as RFC 7915 §4 has it, into IPv6 packets of at most 1280 bytes.
 *
 *     IPv6 | transport header, data                    as translate46.ts left it, at `c.l3`
 *     IPv6 | fragment | first part                     copied into a frame of its own, and so each but the last
 *                           IPv6 | fragment | rest     the last one, in place: what it overwrites has left
 *
 * Rule: between VERDICT_PIECES and the last piece no other packet is processed.
 *
 * @module
 */

import * as ethernet from "../wire/ethernet.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { IP_PROTOCOL_FRAGMENT } from "../wire/protocol.ts";
import { type Context, VERDICT_PIECES } from "./context.ts";
import { countNoWay, HOP_SLOT, puntKu, transmit } from "./route.ts";
import { writeFragmentHeader } from "./translate46.ts";

const { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV6 } = ethernet;
const { IPV6_FRAGMENT_BYTES, IPV6_HEADER_BYTES, IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH } = ipv6;

const HEADER_BYTES = IPV6_HEADER_BYTES + IPV6_FRAGMENT_BYTES;
/** Data of a piece, a multiple of eight: 1280 bytes less the headers. */
export const PIECE_BYTES = 1232;

/**
 * Makes the translated packet at `c.l3` one that leaves in pieces by `hop` of `c.hops6`. `nextHeader` is that of its data, which begins at
 * `c.l4`; `word` the second of its IPv4 header: identification 16, flags 3, offset 13.
 */
export function cutIntoPieces(c: Context, hop: number, nextHeader: number, word: number): number {
  c.pieceAt = c.l4;
  c.pieceHop = hop;
  c.pieceNextHeader = nextHeader;
  c.pieceWord = word;
  return VERDICT_PIECES;
}

/** Pieces that have not been made. */
export function piecesLeft(c: Context): number {
  return c.pieceAt === 0 ? 0 : Math.max(Math.ceil((c.end - c.pieceAt) / PIECE_BYTES), 1);
}

/** Makes the next piece, in the frame whose first byte is to be at `at`, or, if it is the last one, where it is. Returns its verdict. */
export function makePiece(c: Context, at: number): number {
  const view = c.view;
  const from = c.pieceAt;
  const isLast = c.end - from <= PIECE_BYTES;
  const bytes = isLast ? c.end - from : PIECE_BYTES;
  const l3 = isLast ? from - HEADER_BYTES : at + ETHERNET_HEADER_BYTES;
  if (l3 !== c.l3) c.bytes.copyWithin(l3, c.l3, c.l3 + IPV6_HEADER_BYTES);
  if (!isLast) c.bytes.copyWithin(l3 + HEADER_BYTES, from, from + bytes);
  view.setUint16(l3 + IPV6_PAYLOAD_LENGTH, bytes + IPV6_FRAGMENT_BYTES);
  view.setUint8(l3 + IPV6_NEXT_HEADER, IP_PROTOCOL_FRAGMENT);
  // Offsets are in units of eight bytes; all but the last are followed by more, and that one if it was a fragment that is.
  const word = c.pieceWord + ((from - c.l4) >>> 3);
  writeFragmentHeader(view, l3 + IPV6_HEADER_BYTES, c.pieceNextHeader, isLast ? word : word | 0x2000);
  c.pieceAt = isLast ? 0 : from + bytes;
  c.limit = l3 + HEADER_BYTES + bytes;
  if (c.hops6[c.pieceHop + HOP_SLOT] >= 0) return transmit(c, c.hops6, c.pieceHop, l3, ETHERTYPE_IPV6);
  countNoWay(c, c.hops6, c.pieceHop);
  return puntKu(c, l3, ETHERTYPE_IPV6);
}
