/**
 * The memory that the steering programs and the workers share, as a whole: making it ready, switching it, and reading its 64-bit counters.
 * Laid out in offload_layout.ts.
 */

import { expandSeed } from "./hash.ts";
import * as layout from "./offload_layout.ts";

const WORD = 2 ** 32;

/** The memory that programs and workers share. */
export interface OffloadMemory {
  readonly conf: Int32Array;
  readonly index: Int32Array;
  readonly flows: Int32Array;
}

/** Makes the memory (all zero) ready for flows, which are repeated once `setOffloadEpoch` says so. `seed`: at least four random words. */
export function prepareOffload({ conf, index }: OffloadMemory, seed: Uint32Array): void {
  expandSeed(seed, conf, layout.OFFLOAD_CONF_KEY);
  conf[layout.OFFLOAD_CONF_MASK] = index.length / layout.OFFLOAD_BUCKET_WORDS - 1;
  Atomics.store(conf, layout.OFFLOAD_CONF_LAYOUT, layout.OFFLOAD_LAYOUT);
}

/**
 * Frees the words of an earlier ku's index that lead to no flow: it may have died between two stores. Returns the epoch, 0 if nothing was
 * repeated. Only the programs may use the memory meanwhile.
 */
export function mendOffload({ conf, index, flows }: OffloadMemory): number {
  const epoch = Atomics.load(conf, layout.OFFLOAD_CONF_EPOCH);
  for (let at = 0; at < index.length; at++) {
    const word = index[at];
    if (word === 0) continue;
    const flow = ((word & ~layout.OFFLOAD_TAG) - 1) >> 1;
    if (epoch === 0 || flows[flow * layout.FLOW_WORDS + layout.FLOW_EPOCH] !== epoch) {
      Atomics.store(index, at, 0);
    }
  }
  return epoch;
}

/** One store: flows of other epochs count no more; 0 = nothing is repeated. Returns the epoch before. */
export function setOffloadEpoch({ conf }: OffloadMemory, epoch: number): number {
  return Atomics.exchange(conf, layout.OFFLOAD_CONF_EPOCH, epoch);
}

/** Packets and bytes that flow number `flow` of the whole memory has carried in one direction. */
export function carriedBy(
  flows: Int32Array,
  flow: number,
  direction: number,
): [packets: number, bytes: number] {
  const way = flow * layout.FLOW_WORDS + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
  return [readU64(flows, way + layout.WAY_PACKETS), readU64(flows, way + layout.WAY_BYTES)];
}

/** A number that another thread adds to: its upper word must be the same before and after. */
export function readU64(words: Int32Array, at: number): number {
  for (;;) {
    const high = Atomics.load(words, at + 1);
    const low = Atomics.load(words, at);
    if (Atomics.load(words, at + 1) === high) return (high >>> 0) * WORD + (low >>> 0);
  }
}

/** For whoever alone writes it, or does not mind. */
export function writeU64(words: Int32Array, at: number, value: number): void {
  words[at] = value % WORD | 0;
  words[at + 1] = Math.floor(value / WORD);
}
