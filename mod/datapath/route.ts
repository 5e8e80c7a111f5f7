/**
 * The way out: destination → next hop through a small cache, the Ethernet header, and what becomes of packets that do not
 * leave by an attached interface.
 *
 * A cached hop holds all that sending takes, in one row: slot, MTU, and the twelve bytes of MACs as they stand in the frame. A row
 * that is no way out has slot -1, and says by its adjacency why.
 *
 * Rule: a frame that leaves has one untagged Ethernet header right before its IP header; one that re-enters the kernel where it
 * came from (VERDICT_PUNT_IN) keeps the Ethernet header and the tag it came with. The worker writes the MACs of punted frames.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as adjacency from "../table/adjacency.ts";
import * as route from "../table/route.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as contexts from "./context.ts";
import type { Context } from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_PUNT_LOCAL, COUNT_PUNT_NEIGHBOR, COUNT_PUNT_NO_ROUTE, COUNT_PUNT_UNATTACHED } = counters;
const { ADJ_MACS, ADJ_MTU, ADJ_OUT, ADJ_SLOT, ADJ_STRIDE } = adjacency;
const { ROUTE_LOCAL } = route;
const { ETHERNET_HEADER_BYTES, ETHERNET_TYPE, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } = ethernet;
const { IPV4_DST } = ipv4;
const { IPV6_DST } = ipv6;
const { HOP4_STRIDE, HOP6_STRIDE, HOP_ENTRIES, HOP_UNKNOWN, VERDICT_PUNT_IN, VERDICT_PUNT_KU, VERDICT_TX } =
  contexts;

/** Columns of a hop. */
export const HOP_SLOT = 0; // egress slot; -1 = no way out
export const HOP_MTU = 1; // bytes of IP packet; without limit where there is no adjacency
export const HOP_MACS = 2; // 3 words: destination and source MAC
export const HOP_ADJACENCY = 5; // index, ROUTE_NONE, ROUTE_LOCAL, or HOP_UNKNOWN: the row is free
export const HOP_KEY = 6; // destination: 1 word, or 4

const SLOT = HOP_SLOT;
const MTU = HOP_MTU;
const MACS = HOP_MACS;
const ADJACENCY = HOP_ADJACENCY;
const KEY = HOP_KEY;

/** An MTU that no IP packet exceeds. */
const NO_MTU = 0x20000;
const HASH_SHIFT = 32 - Math.log2(HOP_ENTRIES);

/** Row offset in `c.hops4` of the hop toward an IPv4 destination. */
export function hop4(c: Context, address: number): number {
  const hops = c.hops4;
  const hop = Math.imul(Math.imul(address, 0x9e3779b1) >>> HASH_SHIFT, HOP4_STRIDE);
  if (hops[hop + KEY] !== address || hops[hop + ADJACENCY] === HOP_UNKNOWN) {
    hops[hop + KEY] = address;
    fillHop(c, hops, hop, c.routes.lookup4(address));
  }
  return hop;
}

/** Row offset in `c.hops6` of the hop toward the IPv6 destination in four words of `words` from `at`. */
export function hop6(c: Context, words: Int32Array, at: number): number {
  const hops = c.hops6;
  const w0 = words[at];
  const w1 = words[at + 1];
  const w2 = words[at + 2];
  const w3 = words[at + 3];
  const mixed = Math.imul(w3 ^ Math.imul(w2 ^ (w1 >>> 7) ^ w0, 0x85ebca6b), 0x9e3779b1);
  const hop = Math.imul(mixed >>> HASH_SHIFT, HOP6_STRIDE);
  const key = hop + KEY;
  if (
    hops[key + 3] !== w3 || hops[key + 2] !== w2 || hops[key + 1] !== w1 || hops[key] !== w0 ||
    hops[hop + ADJACENCY] === HOP_UNKNOWN
  ) {
    hops[key] = w0;
    hops[key + 1] = w1;
    hops[key + 2] = w2;
    hops[key + 3] = w3;
    fillHop(c, hops, hop, c.routes.lookup6(w0, w1, w2, w3));
  }
  return hop;
}

function fillHop(c: Context, hops: Int32Array, hop: number, index: number): void {
  hops[hop + ADJACENCY] = index;
  hops[hop + SLOT] = -1;
  hops[hop + MTU] = NO_MTU;
  if (index < 0) return;
  const adjacencies = c.adjacencies;
  const row = index * ADJ_STRIDE;
  hops[hop + MTU] = adjacencies[row + ADJ_MTU];
  if (adjacencies[row + ADJ_OUT] < 0) return;
  hops[hop + SLOT] = adjacencies[row + ADJ_OUT];
  for (let i = 0; i < 3; i++) hops[hop + MACS + i] = adjacencies[row + ADJ_MACS + i];
}

/** Forgets the cached hops: a new generation has come. */
export function clearHops(c: Context): void {
  c.hops4.fill(HOP_UNKNOWN);
  c.hops6.fill(HOP_UNKNOWN);
  if (c.podHops.length < c.tables.pods.capacity) c.podHops = new Int32Array(c.tables.pods.capacity);
  c.podHops.fill(HOP_UNKNOWN);
}

/** Writes the MACs of a hop into the frame at byte `out`. */
export function writeMacs(view: DataView, out: number, hops: Int32Array, hop: number): void {
  view.setInt32(out, hops[hop + MACS]);
  view.setInt32(out + 4, hops[hop + MACS + 1]);
  view.setInt32(out + 8, hops[hop + MACS + 2]);
}

/** Sends the IP packet at byte `l3` by a hop whose slot is not -1. The frame ends where the received one ended. */
export function transmit(c: Context, hops: Int32Array, hop: number, l3: number, etherType: number): number {
  const out = l3 - ETHERNET_HEADER_BYTES;
  writeMacs(c.view, out, hops, hop);
  c.view.setUint16(out + ETHERNET_TYPE, etherType);
  c.outAt = out;
  c.outLength = c.limit - out;
  c.outSlot = hops[hop + SLOT];
  return VERDICT_TX;
}

/** Counts why a hop is no way out, for a packet that is punted therefore. */
export function countNoWay(c: Context, hops: Int32Array, hop: number): void {
  const index = hops[hop + ADJACENCY];
  let reason = COUNT_PUNT_NEIGHBOR;
  if (index === ROUTE_LOCAL) reason = COUNT_PUNT_LOCAL;
  else if (index < 0) reason = COUNT_PUNT_NO_ROUTE;
  else if (c.adjacencies[index * ADJ_STRIDE + ADJ_SLOT] < 0) reason = COUNT_PUNT_UNATTACHED;
  else if (c.unresolvedFamily === 0) noteUnresolved(c, hops, hop, index);
  c.nodeCounters[reason]++;
}

/** Keeps who could not be reached, for the control plane to have the kernel look for him. */
function noteUnresolved(c: Context, hops: Int32Array, hop: number, index: number): void {
  c.unresolvedFamily = hops === c.hops4 ? 4 : 6;
  c.unresolvedAdjacency = index;
  const words = c.unresolvedFamily === 4 ? 1 : 4;
  for (let i = 0; i < words; i++) c.unresolvedAddress[i] = hops[hop + KEY + i];
}

/** Gives the frame to the kernel where it came from, Ethernet header and tag as they are. Host packets return to ku0. */
export function puntIn(c: Context): number {
  return c.inSlot === 0 ? VERDICT_PUNT_KU : VERDICT_PUNT_IN;
}

/** Gives the IP packet at byte `l3` to the kernel on ku0, untagged. */
export function puntKu(c: Context, l3: number, etherType: number): number {
  const out = l3 - ETHERNET_HEADER_BYTES;
  c.view.setUint16(out + ETHERNET_TYPE, etherType);
  c.outAt = out;
  c.outLength = c.limit - out;
  return VERDICT_PUNT_KU;
}

/**
 * Routes a packet that ku made (or whose source it wrote) at byte `l3`: out of an attached interface, or into the kernel on ku0.
 * `c.limit` is its end. The hop limit is not touched.
 */
export function routeOwn4(c: Context, l3: number): number {
  const hop = hop4(c, c.view.getInt32(l3 + IPV4_DST));
  return routeBy(c, c.hops4, hop, l3, ETHERTYPE_IPV4);
}

/** The same for IPv6. */
export function routeOwn6(c: Context, l3: number): number {
  const view = c.view;
  const words = c.reply;
  for (let i = 0; i < 4; i++) words[i] = view.getInt32(l3 + IPV6_DST + (i << 2));
  return routeBy(c, c.hops6, hop6(c, words, 0), l3, ETHERTYPE_IPV6);
}

function routeBy(c: Context, hops: Int32Array, hop: number, l3: number, etherType: number): number {
  if (hops[hop + SLOT] >= 0) return transmit(c, hops, hop, l3, etherType);
  countNoWay(c, hops, hop);
  return puntKu(c, l3, etherType);
}
