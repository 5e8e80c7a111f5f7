/**
 * Sessions and notes of untracked flows as plain records, by which one process hands them to the next: an entry as session_layout.ts draws
 * it, and behind it what its flow in the kernel has carried as far as it was told (four float64 in eight words; zero without a flow).
 *
 * Rule: who takes records puts them into tables of its own seed, size and number; what finds no room there goes on untracked.
 */

import type { AffinityTable } from "./affinity.ts";
import type { OverflowTable } from "./overflow.ts";
import {
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_LIVE,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_TRANSITORY,
  type SessionTable,
  strideFor,
} from "./session.ts";

/** Words of what a flow has carried: packets and bytes of both directions. */
export const TOLD_WORDS = 8;
/** SESSION_NOTE: the stamp of a generation above, notes of TCP below (mod/datapath/session_hit.ts). */
const NOTES_MASK = 0xff;

/** Words of one record. */
export function recordWords(addressWords: 1 | 4): number {
  return strideFor(addressWords) + TOLD_WORDS;
}

/**
 * The live sessions of `table`. SESSION_OFFLOAD of a record counts the flows of all workers: `firstFlow` is the number of this one's
 * first, `told` (four a flow) what it was told of them.
 */
export function packSessions(
  table: SessionTable,
  now: number,
  firstFlow: number,
  told: Float64Array,
): Int32Array {
  const stride = table.stride;
  const packed = new Int32Array(table.used() * recordWords(table.addressWords));
  const carried = new Float64Array(4);
  const carriedWords = new Int32Array(carried.buffer);
  let at = 0;
  table.forEach(now, (entry) => {
    packed.set(table.words.subarray(entry, entry + stride), at);
    const flow = table.words[entry + SESSION_OFFLOAD] - 1;
    packed[at + SESSION_OFFLOAD] = flow < 0 ? 0 : firstFlow + flow + 1;
    if (flow >= 0) {
      carried.set(told.subarray(4 * flow, 4 * flow + 4));
      packed.set(carriedWords, at + stride);
    }
    at += stride + TOLD_WORDS;
  });
  return packed.slice(0, at);
}

/** The notes of `table`, likewise. */
export function packNotes(table: OverflowTable, now: number): Int32Array {
  const words: number[] = [];
  table.forEach(now, (entry) => {
    words.push(...table.words.subarray(entry, entry + table.stride));
    for (let i = 0; i < TOLD_WORDS; i++) words.push(0);
  });
  return Int32Array.from(words);
}

/**
 * Puts sessions into `table`, none of them repeated by the kernel, and not looked at by any generation yet. Returns how many found no
 * room; these are noted in `overflow`.
 */
export function unpackSessions(
  packed: Int32Array,
  table: SessionTable,
  now: number,
  overflow: OverflowTable,
): number {
  // Where there is not room for all, what is about to end stays behind.
  return unpackThose(packed, table, now, overflow, false) + unpackThose(packed, table, now, overflow, true);
}

/** Notes again. */
export function unpackNotes(packed: Int32Array, overflow: OverflowTable): void {
  const words = recordWords(overflow.addressWords);
  for (let at = 0; at < packed.length; at += words) {
    note(packed, at, overflow, packed[at + SESSION_LAST_SEEN]);
  }
}

/** What the flow of the record at `at` has carried. */
export function toldOf(packed: Int32Array, at: number, addressWords: 1 | 4): Float64Array {
  const from = at + strideFor(addressWords);
  return new Float64Array(packed.slice(from, from + TOLD_WORDS).buffer);
}

function unpackThose(
  packed: Int32Array,
  table: SessionTable,
  now: number,
  overflow: OverflowTable,
  passing: boolean,
): number {
  const words = recordWords(table.addressWords);
  let lost = 0;
  for (let at = 0; at < packed.length; at += words) {
    const state = packed[at + SESSION_KIND] >>> 16 & 0xff;
    if ((state === SESSION_STATE_TRANSITORY || state === SESSION_STATE_CLOSING) !== passing) continue;
    for (let i = 0; i < table.key.length; i++) {
      table.key[i] = packed[at + SESSION_ORIGINAL + i];
      table.replyKey[i] = packed[at + table.replyAt + i];
    }
    const entry = table.insert(packed[at + SESSION_KIND] >>> 24, now);
    if (entry < 0) {
      lost++;
      note(packed, at, overflow, now);
      continue;
    }
    for (let i = 0; i < SESSION_ORIGINAL; i++) table.words[entry + i] = packed[at + i];
    table.words[entry + SESSION_KIND] |= SESSION_LIVE;
    table.words[entry + SESSION_NOTE] &= NOTES_MASK;
    table.words[entry + SESSION_OFFLOAD] = 0;
  }
  return lost;
}

function note(packed: Int32Array, at: number, overflow: OverflowTable, seen: number): void {
  for (let i = 0; i < overflow.key.length; i++) {
    overflow.original[i] = packed[at + SESSION_ORIGINAL + i];
    overflow.key[i] = packed[at + overflow.replyAt + i];
  }
  overflow.note(
    packed[at + SESSION_KIND] >>> 24,
    packed[at + SESSION_SERVICE],
    packed[at + SESSION_POD],
    seen,
  );
}

/** Words of a client's record: service, four words of address, pod, second. */
export const AFFINITY_WORDS = 7;
export const AFFINITY_SERVICE = 0;
export const AFFINITY_POD = 5;
const AFFINITY_ADDRESS = 1;
const AFFINITY_SEEN = 6;

/** The clients of a table that have a pod. */
export function packAffinity(table: AffinityTable): Int32Array {
  const clients: number[] = [];
  table.forEach((service, at, pod, seen) => {
    clients.push(service, ...table.words.subarray(at, at + 4), pod, seen);
  });
  return Int32Array.from(clients);
}

/** Puts them into a table again. */
export function unpackAffinity(packed: Int32Array, table: AffinityTable): void {
  for (let at = 0; at < packed.length; at += AFFINITY_WORDS) {
    const address = packed.subarray(at + AFFINITY_ADDRESS, at + AFFINITY_POD);
    table.note(packed[at + AFFINITY_SERVICE], address, packed[at + AFFINITY_POD], packed[at + AFFINITY_SEEN]);
  }
}
