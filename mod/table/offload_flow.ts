/**
 * One flow as it lies in the memory that the steering programs read (offload_layout.ts): written from a session, and read back.
 *
 * References: RFC 1624 eqn. 3 (what a change of the covered bytes adds to a checksum's complemented sum).
 */

import * as layout from "./offload_layout.ts";
import { SESSION_ORIGINAL, SESSION_POD, SESSION_SERVICE, type SessionTable } from "./session.ts";

/** Words of one direction in `ways`. */
export const SCRATCH_WAY_WORDS = 6;

/** Columns of `ways`, the caller's description of how a direction leaves. MACs as the datapath's hops have them: int32 words. */
export const SCRATCH_SLOT = 0;
export const SCRATCH_FLAGS = 1;
export const SCRATCH_MTU = 2;
export const SCRATCH_MACS = 3;

/** A multiple of 0xffff above every sum that is subtracted from it. */
const SUM_ZERO = 0xffff * 32;

/** Where the columns of `ways` are in a flow. */
const WAY_COLUMNS = [
  layout.WAY_SLOT,
  layout.WAY_FLAGS,
  layout.WAY_MTU,
  layout.WAY_MACS,
  layout.WAY_MACS + 1,
  layout.WAY_MACS + 2,
];

/** Writes the session at `entry`, whose directions leave by `ways`, into the flow at word `at`, all but times and epoch: that is 0. */
export function writeFlow(
  flows: Int32Array,
  at: number,
  table: SessionTable,
  entry: number,
  ways: Int32Array,
): void {
  const { words, addressWords: width } = table;
  const four = width === 1;
  flows.fill(0, at, at + layout.FLOW_WORDS);
  flows[at + layout.FLOW_KIND] = table.protocol(entry) | (four ? 4 : 6) << 8;
  flows[at + layout.FLOW_SERVICE] = words[entry + SESSION_SERVICE];
  flows[at + layout.FLOW_POD] = words[entry + SESSION_POD];
  for (let direction = 0; direction < 2; direction++) {
    const from = entry + (direction === 0 ? SESSION_ORIGINAL : table.replyAt);
    const tuple = at + layout.FLOW_TUPLES + direction * layout.FLOW_TUPLE_WORDS;
    const addresses = four ? tuple : at + layout.FLOW_ADDRESSES6 + 8 * direction;
    for (let i = 0; i < 2 * width; i++) flows[addresses + i] = layout.swap32(words[from + i]);
    flows[tuple + 2] = layout.swap32(words[from + 2 * width]);
    const to = entry + (direction === 0 ? table.replyAt : SESSION_ORIGINAL);
    const way = at + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
    for (let i = 0; i < SCRATCH_WAY_WORDS; i++) flows[way + WAY_COLUMNS[i]] = wayWord(ways, direction, i);
    flows[way + layout.WAY_DELTAS] = deltas(words, from, to, 2 * width);
  }
}

/** Whether the flow at word `at` leaves both ways as `ways` says. */
export function leavesBy(flows: Int32Array, at: number, ways: Int32Array): boolean {
  for (let direction = 0; direction < 2; direction++) {
    const way = at + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
    for (let i = 0; i < SCRATCH_WAY_WORDS; i++) {
      if (flows[way + WAY_COLUMNS[i]] !== wayWord(ways, direction, i)) return false;
    }
  }
  return true;
}

/** The tuple of one direction of the flow at word `at`, as sessions have it: three words, or nine. */
export function readTuple(
  flows: Int32Array,
  at: number,
  direction: number,
  isWide: boolean,
  tuple: Int32Array,
): void {
  const ports = at + layout.FLOW_TUPLES + direction * layout.FLOW_TUPLE_WORDS;
  const addresses = isWide ? at + layout.FLOW_ADDRESSES6 + 8 * direction : ports;
  const words = isWide ? 8 : 2;
  for (let i = 0; i < words; i++) tuple[i] = layout.swap32(flows[addresses + i]);
  tuple[words] = layout.swap32(flows[ports + 2]);
}

function wayWord(ways: Int32Array, direction: number, column: number): number {
  const word = ways[direction * SCRATCH_WAY_WORDS + column];
  return column < SCRATCH_MACS ? word : layout.swap32(word);
}

/** WAY_DELTAS of a change from the tuple at `from` to the one at `to`, whose addresses have `width` words. */
function deltas(words: Int32Array, from: number, to: number, width: number): number {
  const addresses = difference(sumOf(words, from, width), sumOf(words, to, width));
  const before = sumOf(words, from + width, 1);
  const after = sumOf(words, to + width, 1);
  const ports = before === after ? 0 : difference(before, after);
  return layout.swap16(addresses) | layout.swap16(ports) << 16;
}

/** Sum of the halves of `count` words. */
function sumOf(words: Int32Array, at: number, count: number): number {
  let sum = 0;
  for (let i = at; i < at + count; i++) sum += (words[i] >>> 16) + (words[i] & 0xffff);
  return sum;
}

/** What a change from one sum to another adds to a complemented checksum: 1 … 0xffff. */
function difference(before: number, after: number): number {
  let sum = SUM_ZERO - before + after;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
