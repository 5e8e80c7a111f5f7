/**
 * By what the steering programs find a flow: buckets of words that hold a tag of the tuple's hash and the flow's number (offload_layout.ts).
 *
 * Rule: all workers write it, so a word is taken by compare-and-exchange. It holds a tag only once a bucket, so that the programs need one
 * look: a session that would be a second one, or find no room, stays with the worker.
 *
 * References: ffi/bpf/flow.h flow_by_hash (the reader); hash.ts.
 */

import { keyedHash4, keyedHash6 } from "./hash.ts";
import * as layout from "./offload_layout.ts";
import type { OffloadMemory } from "./offload_memory.ts";

/** See the top of the file. A flow's number here is twice its session's, and one more for the reply. */
export class FlowIndex {
  readonly #conf: Int32Array;
  readonly #words: Int32Array;

  constructor({ conf, index }: Pick<OffloadMemory, "conf" | "index">) {
    this.#conf = conf;
    this.#words = index;
  }

  /** Hash of the tuple at word `at`: three words, or nine. */
  hashOf(isWide: boolean, protocol: number, words: Int32Array, at: number): number {
    const key = this.#conf;
    if (isWide) return keyedHash6(key, layout.OFFLOAD_CONF_KEY, protocol, words, at);
    return keyedHash4(key, layout.OFFLOAD_CONF_KEY, protocol, words[at], words[at + 1], words[at + 2]);
  }

  /** A word of the hash's bucket, which leads to flow `number` from now on; -1: there is none free, or another flow has the tag. */
  take(hash: number, number: number): number {
    const bucket = this.#bucketOf(hash);
    const tag = hash & layout.OFFLOAD_TAG;
    let free = -1;
    for (let at = bucket; at < bucket + layout.OFFLOAD_BUCKET_WORDS; at++) {
      const word = Atomics.load(this.#words, at);
      if (word === 0) free = at;
      else if ((word & layout.OFFLOAD_TAG) === tag) return -1;
    }
    if (free < 0) return -1;
    return Atomics.compareExchange(this.#words, free, 0, tag | (number + 1)) === 0 ? free : -1;
  }

  /** The word that leads to flow `number`; -1: none does. */
  find(hash: number, number: number): number {
    const bucket = this.#bucketOf(hash);
    const word = (hash & layout.OFFLOAD_TAG) | (number + 1);
    const place = this.#words.subarray(bucket, bucket + layout.OFFLOAD_BUCKET_WORDS).indexOf(word);
    return place < 0 ? -1 : bucket + place;
  }

  /** The word leads nowhere any more. */
  release(place: number): void {
    Atomics.store(this.#words, place, 0);
  }

  #bucketOf(hash: number): number {
    return (hash & this.#conf[layout.OFFLOAD_CONF_MASK]) * layout.OFFLOAD_BUCKET_WORDS;
  }
}
