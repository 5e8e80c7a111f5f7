/**
 * The memory that the steering programs and the workers share, as a whole: making it ready, switching it, and reading its 64-bit counters.
 * Laid out in offload_layout.ts.
 */

import { expandSeed } from "./hash.ts";
import * as layout from "./offload_layout.ts";

const WORD = 2 ** 32;
const TICKS_PER_SECOND = 1e9 / layout.TICK_NS;
/** What the programs count as not silent although it is later than now: KU_TICK_SLACK. */
const LATER_TICKS = 2000;

/** The memory that programs and workers share, in whatever form its parts are at hand. */
export interface OffloadParts<Part> {
  readonly conf: Part;
  readonly index: Part;
  readonly hops: Part;
  readonly flows: Part;
  readonly addresses: Part;
  readonly notes: Part;
}

/** For use. */
export type OffloadMemory = OffloadParts<Int32Array>;

/** Every part in another form. */
export function mapParts<From, To>(parts: OffloadParts<From>, to: (part: From) => To): OffloadParts<To> {
  return {
    conf: to(parts.conf),
    index: to(parts.index),
    hops: to(parts.hops),
    flows: to(parts.flows),
    addresses: to(parts.addresses),
    notes: to(parts.notes),
  };
}

/** The part of the memory that is one worker's. */
export interface OffloadShare {
  readonly memory: OffloadMemory;
  /** Sessions `first` … `first + count - 1`. */
  readonly first: number;
  readonly count: number;
  /** Rows of hops, likewise. */
  readonly firstHop: number;
  readonly hopCount: number;
}

/** Memory as the steering programs have it, all zero, for whoever stands in for them. */
export function createOffloadMemory(sessions: number): OffloadMemory {
  return {
    conf: new Int32Array(layout.OFFLOAD_CONF_WORDS),
    index: new Int32Array(layout.offloadBucketsFor(sessions) * layout.OFFLOAD_BUCKET_WORDS),
    hops: new Int32Array(layout.OFFLOAD_HOPS * layout.HOP_WORDS),
    flows: new Int32Array(2 * sessions * layout.FLOW_WORDS),
    addresses: new Int32Array(2 * sessions * layout.ADDRESSES_WORDS),
    notes: new Int32Array(2 * sessions * layout.NOTE_WORDS),
  };
}

/** Sessions there is room for. */
export function offloadSessionsOf({ flows }: OffloadMemory): number {
  return flows.length / layout.FLOW_WORDS / 2;
}

/** Makes the memory (all zero) ready for flows, which are repeated once `setOffloadEpoch` says so. `seed`: at least four random words. */
export function prepareOffload(memory: OffloadMemory, seed: Uint32Array): void {
  const { conf, index } = memory;
  expandSeed(seed, conf, layout.OFFLOAD_CONF_KEY);
  conf[layout.OFFLOAD_CONF_MASK] = index.length / layout.OFFLOAD_BUCKET_WORDS - 1;
  conf[layout.OFFLOAD_CONF_SESSIONS] = offloadSessionsOf(memory);
  Atomics.store(conf, layout.OFFLOAD_CONF_LAYOUT, layout.OFFLOAD_LAYOUT);
}

/**
 * Frees the words of an earlier ku's index that lead to no flow: it may have died between two stores. Returns the epoch, 0 if nothing was
 * repeated. Only the programs may use the memory meanwhile.
 */
export function mendOffload(memory: OffloadMemory): number {
  const { conf, index, flows } = memory;
  const sessions = offloadSessionsOf(memory);
  const epoch = Atomics.load(conf, layout.OFFLOAD_CONF_EPOCH);
  for (let at = 0; at < index.length; at++) {
    const word = index[at];
    if (word === 0) continue;
    const number = (word & ~layout.OFFLOAD_TAG) - 1;
    const flow = (number >> 1) + (number & 1) * sessions;
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

/** Packets that flow number `number` has carried: what its CPU has counted, and the others. */
export function packetsOf({ flows, notes }: OffloadMemory, number: number): number {
  return readU64(flows, number * layout.FLOW_WORDS + layout.FLOW_PACKETS) +
    readU64(notes, number * layout.NOTE_WORDS + layout.NOTE_PACKETS);
}

/** Bytes, likewise. */
export function bytesOf({ flows, notes }: OffloadMemory, number: number): number {
  return readU64(flows, number * layout.FLOW_WORDS + layout.FLOW_BYTES) +
    readU64(notes, number * layout.NOTE_WORDS + layout.NOTE_BYTES);
}

/** Whether the kernel has repeated a FIN of flow number `number`. */
export function hasFin({ flows }: OffloadMemory, number: number): boolean {
  return (flows[number * layout.FLOW_WORDS + layout.FLOW_CPU] & layout.CPU_CLOSED) !== 0;
}

/** The tick in which a second begins, as programs count them. */
export function tickOf(second: number): number {
  return Math.ceil(second * TICKS_PER_SECOND) % WORD | 0;
}

/** Silence of so many seconds, in ticks: what a signed word holds. */
export function ticksOf(seconds: number): number {
  return Math.min(Math.ceil(seconds * TICKS_PER_SECOND), 0x7fffffff);
}

/** The second of a tick that lies not more than 52 days before `now`, nor two seconds after it. */
export function secondOf(tick: number, now: number): number {
  const since = (tickOf(now) - tick + LATER_TICKS) >>> 0;
  // One tick more, since both were rounded: the second that was written is the one that is read.
  return Math.floor(now - (since - LATER_TICKS - 1) / TICKS_PER_SECOND);
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
