/**
 * The datagrams whose first fragment has come: what became of it, so that the later ones, which have no ports, follow. One table for
 * each worker, both families, nobody else's.
 *
 * Rule: what is counted of a datagram is exact. A bitmap of its 65,536 bytes in units of eight tells which have passed, so no byte
 * passes twice, and the sum tells when all have. A fragment that covers only what has passed is a duplicate and is dropped by itself
 * (RFC 8200 §4.5 allows it, the kernel does it: net/ipv4/ip_fragment.c ip_frag_queue). One that covers both, or disagrees about the
 * end, breaks the datagram: all that follows of it is dropped (RFC 5722 §4; IPv4 the same, as in the kernel).
 *
 * The table is full when its buckets are: then the datagram that has rested longest is forgotten. A train that comes in order needs
 * its place for microseconds, so it gets through a flood of beginnings. The hash is keyed: nobody can aim at one bucket.
 *
 * Workers do not share their tables. A NIC leaves the ports out of the hash of any fragment, the first one too, and so does the kernel's
 * flow dissector; all fragments of a datagram come to one queue, and a queue is one worker's.
 *
 * References: RFC 791 §3.2, RFC 8200 §4.5, RFC 4963 (identifications that go round), RFC 6864.
 *
 * @module
 */

import { expandSeed, HASH_KEY_WORDS, keyedHash6 } from "./hash.ts";

/** Datagrams a worker follows at a time. */
export const FRAGMENT_PLACES = 1024;

/** What became of the first fragment: the kernel has it. */
export const FRAGMENT_KERNEL = 1;
/** It went no further: dropped, or answered. */
export const FRAGMENT_REFUSED = 2;
/** Fragments contradicted each other. */
export const FRAGMENT_BROKEN = 3;
/** From here on: it was sent on, with the tuple of the entry; the datapath's own numbers. */
export const FRAGMENT_SENT = 4;

/** Columns of an entry: `words[entry + FRAGMENT_…]`. */
export const FRAGMENT_STATE = 0; // 0 = free
const KEY = 1; // KEY_WORDS
const KEY_WORDS = 10;
const BEGUN = 11; // seconds
const TOUCHED = 12; // seconds
const TURN = 13; // of `#turn`, when last looked at
const COUNT = 14; // fragments that passed
const SEEN = 15; // bytes that passed
const HIGHEST = 16; // end of what passed
const TOTAL = 17; // bytes of the whole; 0 = its end has not come
export const FRAGMENT_SERVICE = 18;
export const FRAGMENT_POD = 19;
export const FRAGMENT_IS_REPLY = 20; // 1: from the pod
export const FRAGMENT_TUPLE = 21; // 3 or 9 words: the tuple whose opposite the datagram gets
const STRIDE = 32;

/** What `accept` says. */
export const ACCEPT_PASS = 0;
export const ACCEPT_DUPLICATE = 1;
export const ACCEPT_OVERLAP = 2;
export const ACCEPT_LIMIT = 3;

const WAYS = 4;
const BITMAP_WORDS = 65536 / 8 / 32;
/** Of a whole datagram, headers aside. */
const MAX_BYTES = 65_535;
/** As many as the longest datagram has where the MTU is the least there is: 65,515 / (68 - 20), RFC 791 §3.2. */
export const MAX_FRAGMENTS = 1365;
/** From the first fragment on: the kernel's net.ipv4.ipfrag_time. RFC 791 and RFC 8200 allow 60. */
export const FRAGMENT_SECONDS = 30;
/**
 * After so long a rest the identification has gone round: what comes is no duplicate, neither a first fragment nor, where the datagram
 * was complete, a later one that overtook its first.
 */
const RESTART_SECONDS = 2;

export class FragmentTable {
  readonly words: Int32Array;
  /** Scratch, ten words: source 4, destination 4 (IPv4 as ::ffff:a.b.c.d), identification, protocol with IPv4 or -1. */
  readonly key = new Int32Array(KEY_WORDS);
  /** The keyed hash of `key`, after `find` and `begin`. */
  tag = 0;

  readonly #seen: Int32Array;
  readonly #hashKey = new Int32Array(HASH_KEY_WORDS);
  readonly #bucketMask: number;
  #turn = 0;

  static bytesFor(places: number): number {
    return places * 4 * (STRIDE + BITMAP_WORDS);
  }

  /** A new, empty table of `places` (a power of two, at least 4); `seed`: at least four random words. */
  constructor(places: number, seed: Uint32Array) {
    if (!(places >= WAYS && places <= 1 << 16) || Math.log2(places) % 1 !== 0) {
      throw new RangeError(`fragment places must be a power of two from ${WAYS} on: ${places}`);
    }
    this.words = new Int32Array(places * STRIDE);
    this.#seen = new Int32Array(places * BITMAP_WORDS);
    this.#bucketMask = places / WAYS - 1;
    expandSeed(seed, this.#hashKey, 0);
  }

  /** The entry of the datagram in `key`, or -1: there is none, or it is complete and has rested. */
  find(now: number): number {
    const words = this.words;
    const key = this.key;
    this.tag = keyedHash6(this.#hashKey, 0, key[9], key, 0);
    let entry = (this.tag & this.#bucketMask) * WAYS * STRIDE;
    for (let way = 0; way < WAYS; way++, entry += STRIDE) {
      if (words[entry + FRAGMENT_STATE] === 0 || !this.#hasKey(entry)) continue;
      if (now - words[entry + BEGUN] > FRAGMENT_SECONDS) return -1;
      if (this.#isComplete(entry) && this.#hasRested(entry, now)) return -1;
      words[entry + TURN] = this.#turn = (this.#turn + 1) | 0;
      return entry;
    }
    return -1;
  }

  /**
   * Begins the datagram in `key` with a first fragment of `bytes`; returns its entry, FRAGMENT_REFUSED until the caller knows better.
   * -1: the fragment repeats what has passed, or contradicts it, and is to be dropped.
   */
  begin(now: number, bytes: number): number {
    const words = this.words;
    let entry = this.find(now);
    if (entry >= 0 && !this.#isOver(entry, now)) {
      this.accept(entry, 0, bytes, true, now);
      return -1;
    }
    if (entry < 0) entry = this.#makeRoom(now);
    words[entry + FRAGMENT_STATE] = FRAGMENT_REFUSED;
    for (let i = 0; i < KEY_WORDS; i++) words[entry + KEY + i] = this.key[i];
    words[entry + BEGUN] = now;
    words[entry + TURN] = this.#turn = (this.#turn + 1) | 0;
    words.fill(0, entry + COUNT, entry + STRIDE);
    const bitmap = entry / STRIDE * BITMAP_WORDS;
    this.#seen.fill(0, bitmap, bitmap + BITMAP_WORDS);
    if (this.accept(entry, 0, bytes, true, now) === ACCEPT_PASS) return entry;
    words[entry + FRAGMENT_STATE] = 0; // an empty one
    return -1;
  }

  /** Whether the `bytes` at `offset` (a multiple of 8) of the entry's datagram may pass: an ACCEPT_…; they have passed then. */
  accept(entry: number, offset: number, bytes: number, more: boolean, now: number): number {
    const words = this.words;
    words[entry + TOUCHED] = now;
    if (words[entry + FRAGMENT_STATE] === FRAGMENT_BROKEN) return ACCEPT_OVERLAP;
    const end = offset + bytes;
    if (end > MAX_BYTES || words[entry + COUNT] === MAX_FRAGMENTS) return ACCEPT_LIMIT;
    const total = words[entry + TOTAL];
    const highest = words[entry + HIGHEST];
    const contradicts = total !== 0 && (more ? end > total : end !== total) || (!more && end < highest);
    const known = this.#knownUnits(entry, offset >>> 3, (end + 7) >>> 3);
    if (contradicts || known === SOME) {
      words[entry + FRAGMENT_STATE] = FRAGMENT_BROKEN;
      return ACCEPT_OVERLAP;
    }
    if (known === ALL) return ACCEPT_DUPLICATE;
    this.#markUnits(entry, offset >>> 3, (end + 7) >>> 3);
    words[entry + COUNT]++;
    words[entry + SEEN] += bytes;
    if (end > highest) words[entry + HIGHEST] = end;
    if (!more) words[entry + TOTAL] = end;
    return ACCEPT_PASS;
  }

  #hasKey(entry: number): boolean {
    const words = this.words;
    const key = this.key;
    for (let i = 0; i < KEY_WORDS; i++) {
      if (words[entry + KEY + i] !== key[i]) return false;
    }
    return true;
  }

  /** Whether another first fragment with the same key begins another datagram. */
  #isOver(entry: number, now: number): boolean {
    const words = this.words;
    const state = words[entry + FRAGMENT_STATE];
    return state === FRAGMENT_KERNEL || state === FRAGMENT_REFUSED || this.#isComplete(entry) ||
      this.#hasRested(entry, now);
  }

  #hasRested(entry: number, now: number): boolean {
    return now - this.words[entry + TOUCHED] >= RESTART_SECONDS;
  }

  #isComplete(entry: number): boolean {
    const total = this.words[entry + TOTAL];
    return total !== 0 && this.words[entry + SEEN] === total;
  }

  #isFree(entry: number, now: number): boolean {
    const words = this.words;
    return words[entry + FRAGMENT_STATE] === 0 || now - words[entry + BEGUN] > FRAGMENT_SECONDS ||
      this.#isComplete(entry);
  }

  /** An entry of the bucket of `tag` that nobody needs, or needed least recently. An old one of the same key comes first. */
  #makeRoom(now: number): number {
    const words = this.words;
    const bucket = (this.tag & this.#bucketMask) * WAYS * STRIDE;
    let room = bucket;
    let oldest = -1;
    for (let entry = bucket; entry < bucket + WAYS * STRIDE; entry += STRIDE) {
      const free = this.#isFree(entry, now);
      if (free && this.#hasKey(entry)) return entry;
      const age = free ? 0x7fffffff : (this.#turn - words[entry + TURN]) | 0;
      if (age > oldest) {
        oldest = age;
        room = entry;
      }
    }
    return room;
  }

  /** How many of the units from `from` to before `to` have passed: NONE, SOME, ALL (also of no unit at all). */
  #knownUnits(entry: number, from: number, to: number): number {
    const bitmap = entry / STRIDE * BITMAP_WORDS;
    let some = false;
    let all = true;
    for (let word = from >>> 5; word << 5 < to; word++) {
      const mask = maskOf(word, from, to);
      const known = this.#seen[bitmap + word] & mask;
      if (known !== 0) some = true;
      if (known !== mask) all = false;
    }
    if (all) return ALL;
    return some ? SOME : NONE;
  }

  #markUnits(entry: number, from: number, to: number): void {
    const bitmap = entry / STRIDE * BITMAP_WORDS;
    for (let word = from >>> 5; word << 5 < to; word++) {
      this.#seen[bitmap + word] |= maskOf(word, from, to);
    }
  }
}

const NONE = 0;
const SOME = 1;
const ALL = 2;

/** The bits of bitmap word `word` that stand for units from `from` to before `to`; some are. */
function maskOf(word: number, from: number, to: number): number {
  const first = word << 5;
  const low = from > first ? -1 << (from - first) : -1;
  return to >= first + 32 ? low : low & ~(-1 << (to - first));
}
