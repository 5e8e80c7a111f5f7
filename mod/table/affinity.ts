/**
 * Which pod a client was last given by a service whose affinity has an end (`src_ip_sticky <s>`): for as long as it goes on making
 * connections, with at most so many seconds between two, it stays on that pod, also when new pods would get it by the new-connection
 * table. Without a note the client's hash picks, the same on every node and worker.
 *
 *   word 0   header: magic, mask of buckets
 *   16 +     entries of 8 words, four to a bucket: service + 1 (0 = free), client address (4), pod, second of its last connection
 *
 * Rule: one writer, the worker; others read. A full bucket gives up its oldest note. Readers of other threads may see a note half
 * written: the pod they take from it is of that service or is not used, which the caller checks.
 *
 * Reference: kube-proxy's ClientIP affinity (iptables `recent --rcheck --seconds --set`, nftables sets with `update`): only new connections
 * begin the time anew.
 */

import { sourceHash6 } from "./hash.ts";

const MAGIC = 0x6b754131; // "kuA1"
const HEADER_WORDS = 16;
const WAYS = 4;
const STRIDE = 8;
const ADDRESS = 1;
const POD = 5;
const SEEN = 6;

export class AffinityTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly #mask: number;

  /** Notes that fit. */
  get capacity(): number {
    return (this.#mask + 1) * WAYS;
  }

  static bytesFor(capacity: number): number {
    return 4 * (HEADER_WORDS + capacity * STRIDE);
  }

  /** A new, empty table for `capacity` notes, a power of two from 4. */
  static create(capacity: number): AffinityTable {
    if (capacity < WAYS || Math.log2(capacity) % 1 !== 0) {
      throw new RangeError(`affinity capacity must be a power of two from ${WAYS}: ${capacity}`);
    }
    const buffer = new SharedArrayBuffer(AffinityTable.bytesFor(capacity));
    const words = new Int32Array(buffer);
    words[0] = MAGIC;
    words[1] = capacity / WAYS - 1;
    return new AffinityTable(buffer);
  }

  /** A view of an existing table, in any thread. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    if (this.words[0] !== MAGIC) throw new TypeError("not an affinity table");
    this.#mask = this.words[1];
  }

  /** The pod noted for `service` and the client in the first four words of `tuple`, -1: none, or none since `seconds` before `now`. */
  find(service: number, tuple: Int32Array, now: number, seconds: number): number {
    const entry = this.#entryOf(service, tuple);
    if (entry < 0 || now - this.words[entry + SEEN] > seconds) return -1;
    return this.words[entry + POD];
  }

  /** Notes that the client was given `pod` at `now`. */
  note(service: number, tuple: Int32Array, pod: number, now: number): void {
    const words = this.words;
    let entry = this.#entryOf(service, tuple);
    if (entry < 0) {
      entry = this.#oldest(service, tuple);
      words[entry] = service + 1;
      for (let i = 0; i < 4; i++) words[entry + ADDRESS + i] = tuple[i];
    }
    words[entry + POD] = pod;
    words[entry + SEEN] = now;
  }

  /** Visits every note: service, client address (four words from `at` of `words`), pod, second. */
  forEach(visit: (service: number, at: number, pod: number, seen: number) => void): void {
    for (let entry = HEADER_WORDS; entry < this.words.length; entry += STRIDE) {
      if (this.words[entry] === 0) continue;
      visit(this.words[entry] - 1, entry + ADDRESS, this.words[entry + POD], this.words[entry + SEEN]);
    }
  }

  #bucket(service: number, tuple: Int32Array): number {
    const hash = sourceHash6(tuple, 0) ^ Math.imul(service + 1, 0x9e3779b1);
    return HEADER_WORDS + ((hash ^ (hash >>> 16)) & this.#mask) * WAYS * STRIDE;
  }

  #entryOf(service: number, tuple: Int32Array): number {
    const words = this.words;
    const first = this.#bucket(service, tuple);
    for (let entry = first; entry < first + WAYS * STRIDE; entry += STRIDE) {
      if (
        words[entry] === service + 1 && words[entry + 4] === tuple[3] && words[entry + 3] === tuple[2] &&
        words[entry + 2] === tuple[1] && words[entry + 1] === tuple[0]
      ) return entry;
    }
    return -1;
  }

  /** A free entry of the bucket, or the one whose client has been away longest. */
  #oldest(service: number, tuple: Int32Array): number {
    const words = this.words;
    const first = this.#bucket(service, tuple);
    let oldest = first;
    for (let entry = first; entry < first + WAYS * STRIDE; entry += STRIDE) {
      if (words[entry] === 0) return entry;
      if (words[entry + SEEN] < words[oldest + SEEN]) oldest = entry;
    }
    return oldest;
  }
}
