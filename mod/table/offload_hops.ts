/**
 * The next hops by which repeated sessions leave, of one worker: rows of memory that the steering programs read (offload_layout.ts hops),
 * each written once and then used by every flow that leaves that way.
 *
 * Rule: a worker writes rows of its own range only, and no row that a flow still names. Which do is not counted but looked up when rows run
 * out, in the flows of all workers: those of an earlier ku may have been shared out otherwise. A row that no flow has named for REST_SECONDS
 * is free: a program that had found such a flow has long ended.
 */

import * as layout from "./offload_layout.ts";
import type { OffloadMemory } from "./offload_memory.ts";

/** Columns of a description of a hop, as the caller gives it. MACs as the datapath's hops have them: int32 words. */
export const SCRATCH_SLOT = 0;
export const SCRATCH_FLAGS = 1;
export const SCRATCH_MTU = 2;
export const SCRATCH_MACS = 3;
export const SCRATCH_HOP_WORDS = 6;

/** Between two searches for rows that nobody uses. Programs run for microseconds. */
const REST_SECONDS = 2;
/** States of a row count down from USED, by one at each search that finds no flow naming it. */
const FREE = 0;
const USED = 2;

/** Rows of a worker. See the top of the file. */
export class HopRows {
  /** What `findBoth` found: row numbers, 0 = none. */
  original = 0;
  reply = 0;

  readonly #memory: OffloadMemory;
  readonly #first: number;
  readonly #count: number;
  /** Rows by their hash, open addressing: number in the range plus 1; 0 = no more. At least twice as many places as rows. */
  readonly #places: Int32Array;
  readonly #mask: number;
  readonly #state: Uint8Array;
  /** Rows before it are not free. */
  #next = 0;
  #searchedAt = 0;

  /**
   * Rows `first` … `first + count - 1`; those that flows name already stay as they are. Row 0 is nobody's.
   */
  constructor(memory: OffloadMemory, first: number, count: number) {
    this.#memory = memory;
    this.#first = first;
    this.#count = count;
    this.#mask = 2 ** Math.ceil(Math.log2(2 * count)) - 1;
    this.#places = new Int32Array(this.#mask + 1);
    this.#state = new Uint8Array(count);
    this.#markNamed();
  }

  /** Looks anew which rows flows name: an earlier ku may have begun some since. None may have been given out. */
  refresh(): void {
    this.#state.fill(FREE);
    this.#next = 0;
    this.#markNamed();
  }

  /** The row that holds the description at word `at` of `hops`, written if there is none; 0 = it names no slot, or there is no room. */
  rowFor(hops: Int32Array, at: number, now: number): number {
    if (hops[at + SCRATCH_SLOT] === 0) return 0;
    const known = this.#find(hops, at);
    const row = known >= 0 ? known : this.#take(now);
    if (row < 0) return 0;
    this.#state[row] = USED;
    if (known < 0) {
      const to = (this.#first + row) * layout.HOP_WORDS;
      for (let i = 0; i < SCRATCH_HOP_WORDS; i++) this.#memory.hops[to + i] = wordOf(hops, at, i);
      this.#place(row);
    }
    return this.#first + row;
  }

  /** Finds rows for the descriptions of both directions, one behind the other; false: one names a slot, and there is no room for it. */
  findBoth(hops: Int32Array, now: number): boolean {
    this.original = this.rowFor(hops, 0, now);
    this.reply = this.rowFor(hops, SCRATCH_HOP_WORDS, now);
    return (this.original !== 0 || hops[SCRATCH_SLOT] === 0) &&
      (this.reply !== 0 || hops[SCRATCH_HOP_WORDS + SCRATCH_SLOT] === 0);
  }

  /** Whether row number `row` of all holds the description; row 0 holds that without a slot. */
  holds(row: number, hops: Int32Array, at: number): boolean {
    const words = this.#memory.hops;
    for (let i = 0; i < SCRATCH_HOP_WORDS; i++) {
      if (words[row * layout.HOP_WORDS + i] !== wordOf(hops, at, i)) return false;
    }
    return true;
  }

  #find(hops: Int32Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < SCRATCH_HOP_WORDS; i++) hash = mixed(hash, wordOf(hops, at, i));
    for (let place = hash & this.#mask; this.#places[place] !== 0; place = (place + 1) & this.#mask) {
      const row = this.#places[place] - 1;
      if (this.holds(this.#first + row, hops, at)) return row;
    }
    return -1;
  }

  #place(row: number): void {
    const from = (this.#first + row) * layout.HOP_WORDS;
    let hash = 0;
    for (let i = 0; i < SCRATCH_HOP_WORDS; i++) hash = mixed(hash, this.#memory.hops[from + i]);
    let place = hash & this.#mask;
    while (this.#places[place] !== 0) place = (place + 1) & this.#mask;
    this.#places[place] = row + 1;
  }

  /** A free row of the range; -1: none. */
  #take(now: number): number {
    if (this.#next === this.#count && now - this.#searchedAt >= REST_SECONDS) this.#search(now);
    while (this.#next < this.#count && this.#state[this.#next] !== FREE) this.#next++;
    return this.#next < this.#count ? this.#next : -1;
  }

  /** Frees the rows that nothing named at the last search, nor names now. */
  #search(now: number): void {
    this.#searchedAt = now;
    for (let row = 0; row < this.#count; row++) if (this.#state[row] !== FREE) this.#state[row]--;
    this.#markNamed();
    this.#next = 0;
  }

  /** Rows that flows of any worker name are used; all that are not free can be found. */
  #markNamed(): void {
    const { conf, flows } = this.#memory;
    const epoch = Atomics.load(conf, layout.OFFLOAD_CONF_EPOCH);
    for (let at = 0; epoch !== 0 && at < flows.length; at += layout.FLOW_WORDS) {
      if (flows[at + layout.FLOW_EPOCH] !== epoch) continue;
      const row = (flows[at + layout.FLOW_KIND] >>> layout.KIND_HOP_SHIFT) - this.#first;
      if (row >= 0 && row < this.#count) this.#state[row] = USED;
    }
    if (this.#first === 0) this.#state[0] = USED;
    this.#places.fill(0);
    for (let row = this.#first === 0 ? 1 : 0; row < this.#count; row++) {
      if (this.#state[row] !== FREE) this.#place(row);
    }
  }
}

/** As it stands in the memory. */
function wordOf(hops: Int32Array, at: number, column: number): number {
  const word = hops[at + column];
  return column < SCRATCH_MACS ? word : layout.swap32(word);
}

function mixed(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1);
  return hash ^ hash >>> 15;
}
