/**
 * Both flows of a session as they lie in the memory that the steering programs read (offload_layout.ts): written from a session, and read
 * back.
 *
 * References: RFC 1624 eqn. 3 (what a change of the covered bytes adds to a checksum's complemented sum).
 */

import * as layout from "./offload_layout.ts";
import type { OffloadMemory } from "./offload_memory.ts";
import {
  SESSION_NOTE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  type SessionTable,
} from "./session.ts";

/** A multiple of 0xffff above every sum that is subtracted from it. */
const SUM_ZERO = 0xffff * 32;

/**
 * Writes one direction of the session at `entry`, which leaves by row `hop`, into flow number `number`: all but worker, times and epoch,
 * which is 0.
 */
export function writeFlow(
  { flows, addresses, notes }: OffloadMemory,
  number: number,
  direction: number,
  table: SessionTable,
  entry: number,
  hop: number,
): void {
  const { words, addressWords: width } = table;
  const at = number * layout.FLOW_WORDS;
  const note = number * layout.NOTE_WORDS;
  const from = entry + (direction === 0 ? SESSION_ORIGINAL : table.replyAt);
  const to = entry + (direction === 0 ? table.replyAt : SESSION_ORIGINAL);
  flows.fill(0, at, at + layout.FLOW_WORDS);
  notes.fill(0, note, note + layout.NOTE_WORDS);
  notes[note + layout.NOTE_SERVICE] = words[entry + SESSION_SERVICE];
  notes[note + layout.NOTE_POD] = words[entry + SESSION_POD];
  notes[note + layout.NOTE_TCP] = words[entry + SESSION_NOTE] & 0xff;
  const family = width === 1 ? 4 : 6;
  flows[at + layout.FLOW_KIND] = table.protocol(entry) | family << 8 | hop << layout.KIND_HOP_SHIFT;
  flows[at + layout.FLOW_DELTAS] = deltas(words, from, to, width);
  const six = number * layout.ADDRESSES_WORDS;
  const target = width === 1 ? flows : addresses;
  const tuple = width === 1 ? at + layout.FLOW_TUPLE : six + layout.ADDRESSES_TUPLE;
  const next = width === 1 ? at + layout.FLOW_NEXT : six + layout.ADDRESSES_NEXT;
  for (let i = 0; i < width; i++) {
    target[tuple + i] = layout.swap32(words[from + i]);
    target[tuple + width + i] = layout.swap32(words[from + width + i]);
    target[next + i] = layout.swap32(words[to + width + i]);
    target[next + width + i] = layout.swap32(words[to + i]);
  }
  const ports = words[to + 2 * width];
  flows[at + layout.FLOW_TUPLE + 2] = layout.swap32(words[from + 2 * width]);
  flows[at + layout.FLOW_NEXT + 2] = layout.swap32((ports << 16) | (ports >>> 16));
}

/** The tuple of flow number `number`, as sessions have it: three words, or nine. */
export function readTuple(
  { flows, addresses }: OffloadMemory,
  number: number,
  isWide: boolean,
  tuple: Int32Array,
): void {
  const at = number * layout.FLOW_WORDS + layout.FLOW_TUPLE;
  const from = isWide ? addresses : flows;
  const first = isWide ? number * layout.ADDRESSES_WORDS + layout.ADDRESSES_TUPLE : at;
  const words = isWide ? 8 : 2;
  for (let i = 0; i < words; i++) tuple[i] = layout.swap32(from[first + i]);
  tuple[words] = layout.swap32(flows[at + 2]);
}

/** FLOW_DELTAS of a change from the tuple at `from` to the reverse of the one at `to`, whose addresses have `width` words. */
function deltas(words: Int32Array, from: number, to: number, width: number): number {
  const addresses = difference(sumOf(words, from, 2 * width), sumOf(words, to, 2 * width));
  const before = sumOf(words, from + 2 * width, 1);
  const after = sumOf(words, to + 2 * width, 1);
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
