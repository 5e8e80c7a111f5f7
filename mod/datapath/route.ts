/**
 * The way out: destination → adjacency through a small cache, the Ethernet header, and what becomes of packets that do not
 * leave by an attached interface.
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
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";

// Own constants: see context.ts, "Speed".
const { COUNT_PUNT_LOCAL, COUNT_PUNT_NEIGHBOR, COUNT_PUNT_NO_ROUTE, COUNT_PUNT_UNATTACHED } = counters;
const {
  ADJ_DST_MAC_HIGH,
  ADJ_DST_MAC_LOW,
  ADJ_FLAGS,
  ADJ_RESOLVED,
  ADJ_SLOT,
  ADJ_SRC_MAC_HIGH,
  ADJ_SRC_MAC_LOW,
  ADJ_STRIDE,
} = adjacency;
const { ROUTE_LOCAL } = route;
const { ETHERNET_HEADER_BYTES, ETHERNET_TYPE, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } = ethernet;
const { IPV4_DST } = ipv4;
const { IPV6_DST } = ipv6;
const { ROUTE_CACHE_ENTRIES, ROUTE_UNKNOWN, VERDICT_PUNT_IN, VERDICT_PUNT_KU, VERDICT_TX } = contexts;

const CACHE_SHIFT = 32 - Math.log2(ROUTE_CACHE_ENTRIES);

/** Adjacency index of an IPv4 destination, ROUTE_NONE or ROUTE_LOCAL. */
export function adjacency4(c: Context, address: number): number {
  const place = Math.imul(address, 0x9e3779b1) >>> CACHE_SHIFT;
  const cached = c.routeValues4[place];
  if (cached !== ROUTE_UNKNOWN && c.routeKeys4[place] === address) return cached;
  const found = c.routes.lookup4(address);
  c.routeKeys4[place] = address;
  c.routeValues4[place] = found;
  return found;
}

/** The same for the IPv6 destination in four words of `words` from `at`. */
export function adjacency6(c: Context, words: Int32Array, at: number): number {
  const w0 = words[at];
  const w1 = words[at + 1];
  const w2 = words[at + 2];
  const w3 = words[at + 3];
  const place = Math.imul(w3 ^ Math.imul(w2 ^ (w1 >>> 7) ^ w0, 0x85ebca6b), 0x9e3779b1) >>> CACHE_SHIFT;
  const keys = c.routeKeys6;
  const key = place << 2;
  const cached = c.routeValues6[place];
  if (
    cached !== ROUTE_UNKNOWN && keys[key + 3] === w3 && keys[key + 2] === w2 && keys[key + 1] === w1 &&
    keys[key] === w0
  ) return cached;
  const found = c.routes.lookup6(w0, w1, w2, w3);
  keys[key] = w0;
  keys[key + 1] = w1;
  keys[key + 2] = w2;
  keys[key + 3] = w3;
  c.routeValues6[place] = found;
  return found;
}

/** Forgets the cached routes: a new generation has come. */
export function clearRouteCache(c: Context): void {
  c.routeValues4.fill(ROUTE_UNKNOWN);
  c.routeValues6.fill(ROUTE_UNKNOWN);
}

/**
 * Sends the IP packet at byte `l3` by adjacency row `row` (word offset), whose neighbor is resolved and whose slot is attached.
 * The frame ends where the received one ended.
 */
export function transmit(c: Context, row: number, l3: number, etherType: number): number {
  const view = c.view;
  const adjacencies = c.adjacencies;
  const out = l3 - ETHERNET_HEADER_BYTES;
  const sourceHigh = adjacencies[row + ADJ_SRC_MAC_HIGH];
  view.setInt32(out, adjacencies[row + ADJ_DST_MAC_HIGH]);
  view.setInt32(out + 4, (adjacencies[row + ADJ_DST_MAC_LOW] << 16) | (sourceHigh >>> 16));
  view.setInt32(out + 8, (sourceHigh << 16) | adjacencies[row + ADJ_SRC_MAC_LOW]);
  view.setUint16(out + ETHERNET_TYPE, etherType);
  c.outAt = out;
  c.outLength = c.limit - out;
  c.outSlot = adjacencies[row + ADJ_SLOT];
  return VERDICT_TX;
}

/** Whether adjacency `index` leads out of an attached interface to a known neighbor. */
export function isOpen(c: Context, index: number): boolean {
  if (index < 0) return false;
  const row = index * ADJ_STRIDE;
  return c.adjacencies[row + ADJ_SLOT] >= 0 && (c.adjacencies[row + ADJ_FLAGS] & ADJ_RESOLVED) !== 0;
}

/** Counts why adjacency `index` is no way out, for a packet that is punted therefore. */
export function countNoWay(c: Context, index: number): void {
  const reason = index === ROUTE_LOCAL
    ? COUNT_PUNT_LOCAL
    : index < 0
    ? COUNT_PUNT_NO_ROUTE
    : c.adjacencies[index * ADJ_STRIDE + ADJ_SLOT] < 0
    ? COUNT_PUNT_UNATTACHED
    : COUNT_PUNT_NEIGHBOR;
  c.nodeCounters[reason]++;
}

/** Gives the frame to the kernel where it came from, Ethernet header and tag as they are. Host packets return to ku0. */
export function puntIn(c: Context): number {
  if (c.inSlot === 0) return VERDICT_PUNT_KU;
  return VERDICT_PUNT_IN;
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
  const index = adjacency4(c, c.view.getInt32(l3 + IPV4_DST));
  if (isOpen(c, index)) return transmit(c, index * ADJ_STRIDE, l3, ETHERTYPE_IPV4);
  countNoWay(c, index);
  return puntKu(c, l3, ETHERTYPE_IPV4);
}

/** The same for IPv6. */
export function routeOwn6(c: Context, l3: number): number {
  const view = c.view;
  const words = c.reply;
  for (let i = 0; i < 4; i++) words[i] = view.getInt32(l3 + IPV6_DST + (i << 2));
  const index = adjacency6(c, words, 0);
  if (isOpen(c, index)) return transmit(c, index * ADJ_STRIDE, l3, ETHERTYPE_IPV6);
  countNoWay(c, index);
  return puntKu(c, l3, ETHERTYPE_IPV6);
}
