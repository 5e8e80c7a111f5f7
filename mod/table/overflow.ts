/**
 * Memory of untracked flows: when a session bucket is full the flow is forwarded all the same, and what its replies need to find
 * the way back is noted here. Four places for a reply tuple; when others have them all, the one whose client was silent for longest goes.
 * Nothing is ever full. (With one place, two live flows in it took it from each other, and an answer that came in between went out
 * as the pod's own, which ended the connection: one among 36 flows on 8,192 places is a matter of 8 %. Five in a set of four: 2 in 10^8.)
 *
 * Entries have the layout of session.ts (KIND, LAST_SEEN, SERVICE, POD, NOTE, OFFLOAD, original tuple, reply tuple), so that code that translates a
 * reply takes `(words, entry)` from either table.
 *
 *   word 0   header, HEADER_WORDS: places, address width, timeout, expanded hash key
 *   +        entries, 12 words (A = 1) or 24 words (A = 4) each
 *
 * Rule: one writer; finding never writes; exact comparison; a note older than the timeout is not found, so that later traffic of the
 * pod's own is not mistaken for a reply. A note's reply tuple is counted in the writer's filter, if it has one, as long as it stands.
 */

import type { SessionFilter } from "./filter.ts";
import { expandSeed, keyedHash4, keyedHash6 } from "./hash.ts";
import {
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_LIVE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
} from "./session_layout.ts";

const HEADER_WORDS = 64;
const HEADER_MAGIC = 0;
const HEADER_PLACES = 1;
const HEADER_ADDRESS_WORDS = 2;
const HEADER_TIMEOUT = 3;
const HEADER_KEY = 16; // HASH_KEY_WORDS
const MAGIC = 0x6b754f31; // "kuO1"

/** Places that a tuple may be in. */
const WAYS = 4;

export const OVERFLOW_MAX_PLACES = 1 << 24;

/** Reply tuple → original tuple of flows without a session. See the top of the file. */
export class OverflowTable {
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  readonly words: Int32Array;
  readonly places: number;
  readonly addressWords: 1 | 4;
  /** Words from one entry to the next. */
  readonly stride: number;
  /** Offset of the reply tuple in an entry. */
  readonly replyAt: number;
  /** Scratch, 2A + 1 words: the reply tuple, for `find` and `note`. */
  readonly key: Int32Array;
  /** Scratch, 2A + 1 words: the original tuple, for `note`. */
  readonly original: Int32Array;

  readonly #mask: number;
  readonly #ways: number;
  readonly #filter: SessionFilter | null;

  /** Bytes of a table of `places` (a power of two) places. */
  static bytesFor(places: number, addressWords: 1 | 4): number {
    return 4 * (HEADER_WORDS + places * (6 + 2 * (2 * addressWords + 1)));
  }

  /** A new, empty table; `seed`: at least four random words. Notes are valid for 40 s until `setTimeout` says otherwise. */
  static create(places: number, addressWords: 1 | 4, seed: Uint32Array, shared = true): OverflowTable {
    if (!(places >= 1 && places <= OVERFLOW_MAX_PLACES) || Math.log2(places) % 1 !== 0) {
      throw new RangeError(`overflow places must be a power of two up to ${OVERFLOW_MAX_PLACES}: ${places}`);
    }
    const bytes = OverflowTable.bytesFor(places, addressWords);
    const buffer = shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
    const words = new Int32Array(buffer, 0, HEADER_WORDS);
    words[HEADER_MAGIC] = MAGIC;
    words[HEADER_PLACES] = places;
    words[HEADER_ADDRESS_WORDS] = addressWords;
    words[HEADER_TIMEOUT] = 40;
    expandSeed(seed, words, HEADER_KEY);
    return new OverflowTable(buffer);
  }

  /** A view of an existing table, in any thread. `filter` is for its writer, and counts none of the notes that are in it already. */
  constructor(buffer: SharedArrayBuffer | ArrayBuffer, filter: SessionFilter | null = null) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    if (this.words[HEADER_MAGIC] !== MAGIC) throw new TypeError("not an overflow table");
    this.#filter = filter;
    this.places = this.words[HEADER_PLACES];
    this.addressWords = this.words[HEADER_ADDRESS_WORDS] === 1 ? 1 : 4;
    this.replyAt = SESSION_ORIGINAL + 2 * this.addressWords + 1;
    this.stride = this.replyAt + 2 * this.addressWords + 1;
    this.key = new Int32Array(2 * this.addressWords + 1);
    this.original = new Int32Array(2 * this.addressWords + 1);
    this.#mask = this.places - 1;
    this.#ways = Math.min(WAYS, this.places);
  }

  /** Seconds for which an unused note is valid. */
  setTimeout(seconds: number): void {
    this.words[HEADER_TIMEOUT] = seconds;
  }

  /** Notes that replies of tuple `key` belong to the flow `original`; returns the entry. What stood there is forgotten. */
  note(protocol: number, service: number, pod: number, now: number): number {
    const words = this.words;
    let entry = this.#holder(protocol);
    if (entry >= 0 && this.#isNoted(entry, service, pod)) {
      // NB: nothing else is touched. Another worker looks for it at this moment, and must not miss it.
      words[entry + SESSION_LAST_SEEN] = now;
      return entry;
    }
    if (entry < 0) {
      entry = this.#vacate(protocol);
      this.#filter?.count(protocol, this.key, 0, this.addressWords, 1);
      this.#free(entry);
    }
    words[entry + SESSION_KIND] = 0; // a reader in another thread finds no half-written note
    for (let i = 0; i < this.key.length; i++) {
      words[entry + SESSION_ORIGINAL + i] = this.original[i];
      words[entry + this.replyAt + i] = this.key[i];
    }
    words[entry + SESSION_LAST_SEEN] = now;
    words[entry + SESSION_SERVICE] = service;
    words[entry + SESSION_POD] = pod;
    words[entry + SESSION_KIND] = (protocol << 24) | SESSION_LIVE;
    return entry;
  }

  /** Entry (index into `words`) of the note whose reply tuple is `key`, or -1. */
  find(protocol: number, now: number): number {
    const entry = this.#holder(protocol);
    return entry >= 0 && !this.#expired(entry, now) ? entry : -1;
  }

  /**
   * `find` for threads other than the writer: copies the note (`stride` words) into `out`. False: there is none, or it was being
   * replaced. A note that was replaced in between, by another and back again, would be copied mixed: it takes two notes of one tuple within
   * the copying of 24 words.
   */
  copy(protocol: number, now: number, out: Int32Array): boolean {
    const entry = this.find(protocol, now);
    if (entry < 0) return false;
    for (let i = 0; i < this.stride; i++) out[i] = this.words[entry + i];
    return this.find(protocol, now) === entry;
  }

  /** Visits the notes that are valid at `now`. */
  forEach(now: number, visit: (entry: number) => void): void {
    for (let place = 0; place < this.places; place++) {
      const entry = HEADER_WORDS + place * this.stride;
      if (this.words[entry + SESSION_KIND] !== 0 && !this.#expired(entry, now)) visit(entry);
    }
  }

  /** Frees the expired among `count` notes from place `cursor` on; returns the place to go on with (round the table). */
  sweep(cursor: number, count: number, now: number): number {
    for (; count > 0; count--) {
      const entry = HEADER_WORDS + cursor * this.stride;
      if (this.#expired(entry, now)) this.#free(entry);
      cursor = (cursor + 1) & this.#mask;
    }
    return cursor;
  }

  /** Forgets everything. */
  clear(): void {
    for (let place = 0; place < this.places; place++) this.#free(HEADER_WORDS + place * this.stride);
    this.words.fill(0, HEADER_WORDS);
  }

  /** The entry, however old, of the note of reply tuple `key`; -1: there is none. */
  #holder(protocol: number): number {
    const first = this.#setOf(protocol);
    for (let way = 0; way < this.#ways; way++) {
      if (this.#holds(first + way * this.stride, protocol)) return first + way * this.stride;
    }
    return -1;
  }

  /** Whether the note in `entry` says already what is to be noted of its reply tuple. */
  #isNoted(entry: number, service: number, pod: number): boolean {
    const words = this.words;
    for (let i = 0; i < this.original.length; i++) {
      if (words[entry + SESSION_ORIGINAL + i] !== this.original[i]) return false;
    }
    return words[entry + SESSION_SERVICE] === service && words[entry + SESSION_POD] === pod;
  }

  /** The entry that a new note of reply tuple `key` should take: a free one, or the one noted longest ago. */
  #vacate(protocol: number): number {
    const words = this.words;
    const first = this.#setOf(protocol);
    let oldest = first;
    for (let way = 0; way < this.#ways; way++) {
      const entry = first + way * this.stride;
      if (words[entry + SESSION_KIND] === 0) return entry;
      if (words[entry + SESSION_LAST_SEEN] < words[oldest + SESSION_LAST_SEEN]) oldest = entry;
    }
    return oldest;
  }

  /** Whether the note in `entry`, however old, is that of reply tuple `key`. */
  #holds(entry: number, protocol: number): boolean {
    const words = this.words;
    const kind = words[entry + SESSION_KIND];
    if ((kind & SESSION_LIVE) === 0 || kind >>> 24 !== protocol) return false;
    for (let i = 0; i < this.key.length; i++) {
      if (words[entry + this.replyAt + i] !== this.key[i]) return false;
    }
    return true;
  }

  #expired(entry: number, now: number): boolean {
    return now - this.words[entry + SESSION_LAST_SEEN] > this.words[HEADER_TIMEOUT];
  }

  #free(entry: number): void {
    const kind = this.words[entry + SESSION_KIND];
    if (kind === 0) return;
    this.words[entry + SESSION_KIND] = 0;
    this.#filter?.count(kind >>> 24, this.words, entry + this.replyAt, this.addressWords, -1);
  }

  /** The first entry of the set that reply tuple `key` belongs to. */
  #setOf(protocol: number): number {
    const key = this.key;
    const hash = this.addressWords === 1
      ? keyedHash4(this.words, HEADER_KEY, protocol, key[0], key[1], key[2])
      : keyedHash6(this.words, HEADER_KEY, protocol, key, 0);
    return HEADER_WORDS + (hash & this.#mask & -this.#ways) * this.stride;
  }
}
