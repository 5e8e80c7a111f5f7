/**
 * How often each entry of a steering map is wanted: open addressing with linear probing over typed arrays, since a Map with a text for
 * each of a hundred thousand entries takes many times as long.
 *
 * Rule: an entry has a place from the first time it is counted, and keeps it, also at 0, until `reserve` makes the table anew.
 *
 * @module
 */

/** Words of one entry's key. */
export const KEY_WORDS = 5;
const MIN_PLACES = 64;

export class KeyCounts {
  #keys = new Int32Array(MIN_PLACES * KEY_WORDS);
  /** One more than how often the entry is wanted; 0: a free place. */
  #marks = new Int32Array(MIN_PLACES);
  #mask = MIN_PLACES - 1;
  #taken = 0;
  #size = 0;

  /** Entries that are wanted. */
  get size(): number {
    return this.#size;
  }

  /** Makes room for `count` entries more: their places stay the same until it is called again. */
  reserve(count: number): void {
    const places = this.#marks.length;
    if (5 * (this.#taken + count) <= 4 * places) return;
    const [keys, marks] = [this.#keys, this.#marks];
    let larger = MIN_PLACES;
    while (2 * larger < 3 * (this.#size + count)) larger *= 2; // so that the next time is far away
    this.#keys = new Int32Array(larger * KEY_WORDS);
    this.#marks = new Int32Array(larger);
    this.#mask = larger - 1;
    this.#taken = this.#size;
    for (let place = 0; place < places; place++) {
      if (marks[place] < 2) continue;
      const at = this.#find(keys, place * KEY_WORDS);
      this.#keys.set(keys.subarray(place * KEY_WORDS, (place + 1) * KEY_WORDS), at * KEY_WORDS);
      this.#marks[at] = marks[place];
    }
  }

  /** Place of the entry with this key, which it gets now if it has none: there must be room (`reserve`). */
  placeOf(key: Int32Array): number {
    const place = this.#find(key, 0);
    if (this.#marks[place] === 0) {
      this.#keys.set(key, place * KEY_WORDS);
      this.#marks[place] = 1;
      this.#taken++;
    }
    return place;
  }

  /** How often the entry is wanted. */
  get(place: number): number {
    return this.#marks[place] - 1;
  }

  /** Negative counts are none. */
  set(place: number, count: number): void {
    const before = this.#marks[place];
    const after = count > 0 ? count + 1 : 1;
    if (before < 2 && after >= 2) this.#size++;
    if (before >= 2 && after < 2) this.#size--;
    this.#marks[place] = after;
  }

  /** Word `index` of the key at a place. */
  word(place: number, index: number): number {
    return this.#keys[place * KEY_WORDS + index];
  }

  /** Places of all entries that are wanted. */
  places(): number[] {
    const places: number[] = [];
    for (let place = 0; place < this.#marks.length; place++) if (this.#marks[place] >= 2) places.push(place);
    return places;
  }

  /** The keys at `places`, one after the other. */
  bytesAt(places: readonly number[]): Uint8Array<ArrayBuffer> {
    const words = new Int32Array(places.length * KEY_WORDS);
    let to = 0;
    for (const place of places) {
      for (let i = 0; i < KEY_WORDS; i++) words[to++] = this.#keys[place * KEY_WORDS + i];
    }
    return new Uint8Array(words.buffer);
  }

  /** Place of the key in `from` at `at`, or the free one where it belongs. */
  #find(from: Int32Array, at: number): number {
    const [keys, marks, mask] = [this.#keys, this.#marks, this.#mask];
    const [a, b, c, d, e] = [from[at], from[at + 1], from[at + 2], from[at + 3], from[at + 4]];
    for (let place = hash(a, b, c, d, e) & mask;; place = (place + 1) & mask) {
      if (marks[place] === 0) return place;
      const own = place * KEY_WORDS;
      if (
        keys[own + 3] === d && keys[own + 4] === e && keys[own] === a && keys[own + 1] === b &&
        keys[own + 2] === c
      ) return place;
    }
  }
}

/** Unkeyed: the keys come from the configuration. */
function hash(a: number, b: number, c: number, d: number, e: number): number {
  let sum = Math.imul(a, 0x85ebca6b) ^ Math.imul(b, 0xc2b2ae35) ^ Math.imul(c, 0x27d4eb2f);
  sum = Math.imul(sum ^ (sum >>> 15) ^ d, 0x9e3779b1);
  sum = Math.imul(sum ^ (sum >>> 13) ^ e, 0x85ebca6b);
  return sum ^ (sum >>> 16);
}
