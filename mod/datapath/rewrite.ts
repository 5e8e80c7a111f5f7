/**
 * Writes a new tuple into a packet: addresses, ports, and every checksum that covers them.
 *
 * Rule: a checksum that was right stays right, one that was wrong stays wrong (it is updated by RFC 1624, not computed), UDP's 0
 * stays 0. The exception is a half-done one (CHECKSUM_PARTIAL): a sender on the same machine leaves the folded sum of the
 * pseudo-header, not complemented, in the field, for hardware to complete. It would arrive broken, so it is completed here.
 * A finished checksum that happens to look so (1 in 65,536) comes out the same, because then the full sum is what it was updated to.
 *
 * Sums of addresses are unfolded one's complement sums, at most 32 halves: below 2^21.
 *
 * References: RFC 1624 eqn. 3; RFC 768, RFC 8200 §8.1; kernel include/linux/skbuff.h "Checksumming on output";
 * RFC 9260 §6.8 with CRC32c's linearity: crc(a) ^ crc(b) depends on a ^ b alone.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as checksum from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as sctp from "../wire/sctp.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_CHECKSUM_COMPLETED } = counters;
const { checksumUpdate16, fold, sumBytes } = checksum;
const { IPV4_CHECKSUM, IPV4_DST, IPV4_SRC, IPV4_TTL } = ipv4;
const { IPV6_DST, IPV6_HOP_LIMIT, IPV6_SRC } = ipv6;
const { SCTP_CHECKSUM, sctpPacketChecksum } = sctp;
const { FRAGMENT_NONE, TRANSPORT_ECHO, TRANSPORT_OTHER, TRANSPORT_SCTP, TRANSPORT_TCP, TRANSPORT_UDP } =
  contexts;

/** A multiple of 0xffff, so zero in one's complement, above every sum that is subtracted from it. */
export const SUM_ZERO = 0xffff * 32;
const ZERO = SUM_ZERO;

/** Sum of the halves of an int32. */
export function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

/** `source << 16 | destination` turned round. */
export function swapPorts(ports: number): number {
  return (ports << 16) | (ports >>> 16);
}

/**
 * Writes an IPv4 packet's new tuple; `ttlStep` (0 or 1) is taken from the TTL. The context holds the parsed packet.
 */
export function rewrite4(
  c: Context,
  source: number,
  destination: number,
  ports: number,
  ttlStep: number,
): void {
  const view = c.view;
  const l3 = c.l3;
  const before = halves(view.getInt32(l3 + IPV4_SRC)) + halves(view.getInt32(l3 + IPV4_DST));
  const after = halves(source) + halves(destination);
  const ttlWord = view.getUint16(l3 + IPV4_TTL);
  view.setUint16(l3 + IPV4_TTL, ttlWord - (ttlStep << 8));
  // The TTL is the high half of its word: taking one from it takes 0x100 from the sum.
  const sum = (view.getUint16(l3 + IPV4_CHECKSUM) ^ 0xffff) + ZERO - before + after - (ttlStep << 8);
  view.setUint16(l3 + IPV4_CHECKSUM, fold(sum) ^ 0xffff);
  view.setInt32(l3 + IPV4_SRC, source);
  view.setInt32(l3 + IPV4_DST, destination);
  rewriteTransport(c, before, after, ports);
}

/**
 * Writes an IPv6 packet's new tuple from `words`: destination 4 words, source 4 words, ports turned round, which is how the
 * tuple of the opposite direction stands in a session.
 */
export function rewrite6(c: Context, words: Int32Array, tupleAt: number, hopStep: number): void {
  const view = c.view;
  const l3 = c.l3;
  let before = 0;
  let after = 0;
  for (let i = 0; i < 4; i++) {
    const destination = words[tupleAt + i];
    const source = words[tupleAt + 4 + i];
    const src = l3 + IPV6_SRC + (i << 2);
    const dst = l3 + IPV6_DST + (i << 2);
    before += halves(view.getInt32(src)) + halves(view.getInt32(dst));
    after += halves(source) + halves(destination);
    view.setInt32(src, source);
    view.setInt32(dst, destination);
  }
  view.setUint8(l3 + IPV6_HOP_LIMIT, view.getUint8(l3 + IPV6_HOP_LIMIT) - hopStep);
  rewriteTransport(c, before, after, swapPorts(words[tupleAt + 8]));
}

/**
 * Writes new ports and carries the transport checksum along. `before` and `after`: sums of the addresses, old and new.
 */
export function rewriteTransport(c: Context, before: number, after: number, ports: number): void {
  const transport = c.transport;
  if (transport !== TRANSPORT_TCP && transport !== TRANSPORT_UDP) {
    return rewriteRare(c, before, after, ports);
  }
  const view = c.view;
  const at = c.checksumAt;
  const field = view.getUint16(at);
  const udp = transport === TRANSPORT_UDP;
  view.setInt32(c.l4, ports);
  if (field === 0 && udp) return;
  if (c.fragment === FRAGMENT_NONE && field === fold(before + c.protocol + c.pseudoLength)) {
    return complete(c, after);
  }
  const difference = ZERO - before + after - halves(c.ports) + halves(ports);
  view.setUint16(at, updatedChecksum(field, difference, udp));
}

/** A transport checksum after what it covers changed by `difference` (a sum, not negative). UDP never sends 0. */
export function updatedChecksum(field: number, difference: number, udp: boolean): number {
  const checksum = fold((field ^ 0xffff) + difference) ^ 0xffff;
  return checksum === 0 && udp ? 0xffff : checksum;
}

/** Completes the packet's transport checksum. `addresses`: sum of its (new) addresses. */
function complete(c: Context, addresses: number): void {
  const pseudo = addresses + c.protocol + c.pseudoLength;
  computeChecksum(c, c.l4, c.pseudoLength, c.checksumAt, pseudo, c.transport === TRANSPORT_UDP);
}

/** Computes a transport checksum from nothing: `bytes` from `l4`, its field at `at`, and the sum of the pseudo-header. */
export function computeChecksum(
  c: Context,
  l4: number,
  bytes: number,
  at: number,
  pseudo: number,
  udp: boolean,
): void {
  const view = c.view;
  view.setUint16(at, 0);
  view.setUint16(at, updatedChecksum(0xffff, sumBytes(view, l4, bytes, pseudo), udp));
  c.nodeCounters[COUNT_CHECKSUM_COMPLETED]++;
}

function rewriteRare(c: Context, before: number, after: number, ports: number): void {
  const view = c.view;
  if (c.transport === TRANSPORT_SCTP) return rewriteSctp(c, ports);
  const at = c.checksumAt;
  if (at === 0) return;
  let sum = view.getUint16(at) ^ 0xffff;
  if (c.transport === TRANSPORT_ECHO) {
    const id = view.getUint16(c.l4 + 4);
    // One half of the ports is the identifier, the other 0: which one depends on the direction.
    const newId = (ports >>> 16) | (ports & 0xffff);
    view.setUint16(c.l4 + 4, newId);
    sum += 0xffff - id + newId;
  }
  // ICMP's checksum, alone among these, does not cover the addresses.
  if (c.protocol !== 1) sum += ZERO - before + after;
  view.setUint16(at, fold(sum) ^ 0xffff);
}

function rewriteSctp(c: Context, ports: number): void {
  const view = c.view;
  const l4 = c.l4;
  const whole = c.fragment === FRAGMENT_NONE;
  const field = view.getUint32(l4 + SCTP_CHECKSUM, true);
  // A half-done SCTP checksum is 0 (net/sctp/output.c sctp_packet_pack).
  if (whole && field === 0) {
    view.setInt32(l4, ports);
    view.setUint32(l4 + SCTP_CHECKSUM, sctpPacketChecksum(view, l4, c.pseudoLength), true);
    c.nodeCounters[COUNT_CHECKSUM_COMPLETED]++;
    return;
  }
  if (ports === c.ports) return;
  const before = sctpPacketChecksum(view, l4, c.pseudoLength);
  view.setInt32(l4, ports);
  const after = sctpPacketChecksum(view, l4, c.pseudoLength);
  view.setUint32(l4 + SCTP_CHECKSUM, (field ^ before ^ after) >>> 0, true);
}

/** Completes a half-done checksum of a packet that is given on as it is. */
export function completeHalfDone(c: Context, is4: boolean): void {
  if (c.fragment !== FRAGMENT_NONE) return;
  const view = c.view;
  if (c.transport === TRANSPORT_SCTP) {
    rewriteSctp(c, c.ports);
    return;
  }
  if (c.transport !== TRANSPORT_TCP && c.transport !== TRANSPORT_UDP) return;
  const field = view.getUint16(c.checksumAt);
  if (field === 0 && c.transport === TRANSPORT_UDP) return;
  const addresses = is4 ? sumBytes(view, c.l3 + IPV4_SRC, 8) : sumBytes(view, c.l3 + IPV6_SRC, 32);
  if (field === fold(addresses + c.protocol + c.pseudoLength)) complete(c, addresses);
}

/** The TTL alone, with the header checksum. */
export function stepTtl(view: DataView, l3: number): void {
  const word = view.getUint16(l3 + IPV4_TTL);
  const checksum = view.getUint16(l3 + IPV4_CHECKSUM);
  view.setUint16(l3 + IPV4_TTL, word - 0x100);
  view.setUint16(l3 + IPV4_CHECKSUM, checksumUpdate16(checksum, word, word - 0x100));
}

/** Whether the transport has a port that can be changed when a tuple is taken. */
export function hasPorts(transport: number): boolean {
  return transport !== TRANSPORT_OTHER;
}
