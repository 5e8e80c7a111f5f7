/**
 * The second index of a session table: from the hash of a reply tuple to the entry. Lines of 16 slots, drawn in session_layout.ts.
 *
 * Rule: belongs to `SessionTable`, which alone writes it. A slot is 0 or (top bits of the hash) | (entry index + 1); its top four bits
 * are its home in the line. A line has no gap between a slot's home and the slot.
 */

import * as layout from "./session_layout.ts";
import type { Victim } from "./session_victim.ts";

const isLiveSession = layout.isSession;
const equalTuple = layout.equalTuple6;
const OFFSET_MASK = 0x3fffffff; // see session.ts

export class ReplyIndex {
  readonly #words: Int32Array;
  /** Masks a hash to its line. */
  readonly lineMask: number;
  /** The bits of a slot that are an entry's index + 1. */
  readonly indexMask: number;
  /** Word of the first line. */
  readonly linesAt: number;
  readonly #entriesAt: number;

  /** The index in the table `words` of `buckets` buckets. */
  constructor(words: Int32Array, buckets: number, lead: number) {
    const capacity = buckets * layout.BUCKET_ENTRIES;
    this.#words = words;
    this.lineMask = Math.max(2 * capacity / layout.LINE_SLOTS, 1) - 1;
    this.indexMask = 2 * capacity - 1; // index + 1 ≤ capacity, one bit more than the index needs
    this.linesAt = layout.repliesAtFor(buckets, lead);
    this.#entriesAt = layout.entriesAtFor(buckets, lead);
  }

  /** Entry whose reply tuple this is, expired or not, or -1. Tables of addressWords 1. */
  look4(hash: number, protocol: number, source: number, destination: number, ports: number): number {
    const words = this.#words;
    const indexMask = this.indexMask;
    const line = (this.linesAt + ((hash & this.lineMask) << 4)) & OFFSET_MASK;
    for (let i = 0, position = hash >>> 28; i < 16; i++, position = (position + 1) & 15) {
      const slot = words[line + position];
      if (slot === 0) return -1;
      if (((slot ^ hash) & ~indexMask) !== 0) continue;
      const entry = (this.#entriesAt + Math.imul((slot & indexMask) - 1, 12)) & OFFSET_MASK;
      if (
        words[entry + 11] === ports && words[entry + 9] === source && words[entry + 10] === destination &&
        isLiveSession(words[entry], protocol)
      ) return entry;
    }
    return -1;
  }

  /** The same for tables of addressWords 4; `key` has nine words. */
  look6(hash: number, protocol: number, key: Int32Array): number {
    const words = this.#words;
    const indexMask = this.indexMask;
    const line = (this.linesAt + ((hash & this.lineMask) << 4)) & OFFSET_MASK;
    for (let i = 0, position = hash >>> 28; i < 16; i++, position = (position + 1) & 15) {
      const slot = words[line + position];
      if (slot === 0) return -1;
      if (((slot ^ hash) & ~indexMask) !== 0) continue;
      const entry = (this.#entriesAt + Math.imul((slot & indexMask) - 1, 24)) & OFFSET_MASK;
      if (equalTuple(words, entry + 15, key) && isLiveSession(words[entry], protocol)) return entry;
    }
    return -1;
  }

  /** Word of a free slot in the hash's line, or -1. */
  vacant(hash: number): number {
    const words = this.#words;
    const line = this.#lineOf(hash);
    for (let i = 0, position = hash >>> 28; i < 16; i++, position = (position + 1) & 15) {
      if (words[line + position] === 0) return line + position;
    }
    return -1;
  }

  /** Has `victim` look at the sessions that have a slot in the hash's line, which is full. */
  lookAtLine(victim: Victim, hash: number, now: number, stride: number): void {
    const line = this.#lineOf(hash);
    for (let at = line; at < line + 16; at++) {
      const index = (this.#words[at] & this.indexMask) - 1;
      if (victim.look(this.#entriesAt + index * stride, now)) return;
    }
  }

  /** Writes the slot of entry number `index` at word `slot`, found by `vacant`. */
  put(slot: number, hash: number, index: number): void {
    this.#words[slot] = (hash & ~this.indexMask) | (index + 1);
  }

  /** Frees the slot of entry number `index` and moves back what had walked past it. */
  remove(hash: number, index: number): void {
    const words = this.#words;
    const line = this.#lineOf(hash);
    const wanted = (hash & ~this.indexMask) | (index + 1);
    for (let i = 0, position = hash >>> 28; i < 16; i++, position = (position + 1) & 15) {
      if (words[line + position] !== wanted) continue;
      closeGap(words, line, position);
      return;
    }
  }

  #lineOf(hash: number): number {
    return this.linesAt + ((hash & this.lineMask) << 4);
  }
}

/** Frees position `gap` of a line and moves back what had walked past it. */
function closeGap(words: Int32Array, line: number, gap: number): void {
  const start = gap;
  for (let at = (gap + 1) & 15; at !== start; at = (at + 1) & 15) {
    const slot = words[line + at];
    if (slot === 0) break;
    if (((at - (slot >>> 28)) & 15) < ((at - gap) & 15)) continue;
    words[line + gap] = slot;
    gap = at;
  }
  words[line + gap] = 0;
}
