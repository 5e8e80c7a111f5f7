/**
 * Room for the Maglev slots of all services: one array of pod ids, given out in pieces of a power of two.
 *
 * Rule: a piece that a running generation may read is never written again. A service that changes gets a new piece,
 * and the old one is given back once every worker has left the generations that point to it.
 *
 * @module
 */

import { allocateShared } from "../../ffi/memory.ts";

const INITIAL_WORDS = 1 << 16;

export class SlotArena {
  #slots = new Uint32Array(new SharedArrayBuffer(INITIAL_WORDS * 4));
  #end = 0;
  /** Free pieces by their length. */
  readonly #free = new Map<number, number[]>();

  /** What workers read. Growing replaces it: pieces keep their offsets and contents. */
  get buffer(): SharedArrayBuffer {
    return this.#slots.buffer as SharedArrayBuffer;
  }

  /** Makes room for `words` more at once: growing piece by piece would copy, and touch for the first time, twice as much. */
  reserve(words: number): void {
    if (this.#end + words > this.#slots.length) this.#grow(this.#end + words);
  }

  /** Offset of `length` (a power of two) words that nobody reads. */
  take(length: number): number {
    const again = this.#free.get(length)?.pop();
    if (again !== undefined) return again;
    const at = this.#end;
    this.#end += length;
    if (this.#end > this.#slots.length) this.#grow(this.#end);
    return at;
  }

  /** Gives a piece back that no worker reads any more. */
  put(at: number, length: number): void {
    const pieces = this.#free.get(length);
    if (pieces === undefined) this.#free.set(length, [at]);
    else pieces.push(at);
  }

  /** The words of a piece, for filling. */
  piece(at: number, length: number): Uint32Array {
    return this.#slots.subarray(at, at + length);
  }

  #grow(end: number): void {
    let words = this.#slots.length;
    while (words < end) words *= 2;
    const larger = new Uint32Array(allocateShared(words * 4));
    larger.set(this.#slots);
    this.#slots = larger;
  }
}
