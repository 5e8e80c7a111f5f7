/**
 * A tap on a worker: what came, what became of it, and which reasons were counted, for as long as somebody wants to see it. The worker writes
 * records into memory that it shares with the control plane, which reads them; a full ring costs records, counted, never packets. Whoever
 * wants certain addresses alone (tap_filter.ts) has the ring for these.
 *
 * Rule: without a tap the burst loop pays one comparison a burst. With one, packets take the way of single packets.
 *
 *   word 0 … 15          header: records written, records read, records lost
 *   then RECORDS times   16 words of meta, SNAP_BYTES as it came, SNAP_BYTES as it leaves
 *
 * @module
 */

import type { Processor } from "../datapath/processor.ts";
import { concerns, type TapRange } from "./tap_filter.ts";
import { VERDICT_DROP, VERDICT_HOLD, VERDICT_PIECES } from "../datapath/processor.ts";

const HEADER_WORDS = 16;
const WRITTEN = 0;
const READ = 1;
const LOST = 2;
const RECORDS = 1024;
/** Bytes kept of a frame: all of those that fit one of 4096 bytes with its headroom. */
const SNAP_BYTES = 3840;
const META_BYTES = 64;
const RECORD_BYTES = META_BYTES + 2 * SNAP_BYTES;
const NODE_COUNTERS = 64;

/** One record as the control plane reads it. */
export interface TapRecord {
  /** Milliseconds since the epoch, with fractions. */
  timeMs: number;
  verdict: number;
  inSlot: number;
  outSlot: number;
  /** Lengths of the frames, of which SNAP_BYTES at most are there. `outLength` 0: it does not leave. */
  inLength: number;
  outLength: number;
  before: Uint8Array;
  after: Uint8Array | null;
  /** Indices of the node counters that the packet was counted under. */
  counted: number[];
}

/** Shared memory for one tap. */
export function createTapBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_WORDS * 4 + RECORDS * RECORD_BYTES);
}

/** The worker's end. */
export class Tap {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #node: Float64Array;
  readonly #frames: Uint8Array;
  readonly #packets: DataView;
  readonly #ranges: readonly TapRange[] | null;
  readonly #before = new Float64Array(NODE_COUNTERS);
  /** Where the record of the packet under way is; -1: there is no room for it. */
  #at = -1;

  /** Whether the packet under way was sent to an address that is wanted. */
  #wanted = true;

  /** `frames`: all of the worker's packet memory; `node`: its node counters; `ranges`: what to keep, null: everything. */
  constructor(
    buffer: SharedArrayBuffer,
    frames: DataView,
    node: Float64Array,
    ranges: readonly TapRange[] | null = null,
  ) {
    this.#packets = frames;
    this.#ranges = ranges;
    this.#frames = new Uint8Array(frames.buffer, frames.byteOffset, frames.byteLength);
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#node = node;
  }

  /** `processor.process`, watched. */
  process(processor: Processor, at: number, length: number, slot: number, frameEnd: number): number {
    this.#begin(at, length, slot);
    const verdict = processor.process(at, length, slot, frameEnd);
    this.#end(processor, verdict);
    return verdict;
  }

  #begin(at: number, length: number, slot: number): void {
    this.#wanted = this.#ranges === null || concerns(this.#ranges, this.#packets, at, length, true);
    const written = this.#words[WRITTEN];
    if (((written - Atomics.load(this.#words, READ)) | 0) >= RECORDS) {
      this.#at = -1;
      return;
    }
    this.#at = HEADER_WORDS * 4 + (written & (RECORDS - 1)) * RECORD_BYTES;
    this.#before.set(this.#node);
    this.#view.setFloat64(this.#at, performance.timeOrigin + performance.now());
    this.#view.setInt32(this.#at + 12, slot);
    this.#view.setInt32(this.#at + 20, length);
    this.#bytes.set(this.#frames.subarray(at, at + Math.min(length, SNAP_BYTES)), this.#at + META_BYTES);
  }

  #end(processor: Processor, verdict: number): void {
    const leaves = verdict !== VERDICT_DROP && verdict !== VERDICT_HOLD && verdict !== VERDICT_PIECES;
    const { outAt, outLength, outSlot } = processor;
    if (!this.#wanted && !(leaves && concerns(this.#ranges!, this.#packets, outAt, outLength, false))) return;
    if (this.#at < 0) {
      this.#words[LOST]++;
      return;
    }
    this.#view.setInt32(this.#at + 8, verdict);
    this.#view.setInt32(this.#at + 16, outSlot);
    this.#view.setInt32(this.#at + 24, leaves ? outLength : 0);
    if (leaves) {
      const kept = Math.min(outLength, SNAP_BYTES);
      this.#bytes.set(this.#frames.subarray(outAt, outAt + kept), this.#at + META_BYTES + SNAP_BYTES);
    }
    for (let half = 0; half < 2; half++) {
      let mask = 0;
      for (let bit = 0; bit < 32; bit++) {
        if (this.#node[32 * half + bit] !== this.#before[32 * half + bit]) mask |= 1 << bit;
      }
      this.#view.setInt32(this.#at + 28 + 4 * half, mask);
    }
    Atomics.add(this.#words, WRITTEN, 1);
  }
}

/** The control plane's end. */
export class TapReader {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** Records that there was no room for. */
  get lost(): number {
    return this.#words[LOST];
  }

  /** The records since the last call, in order. */
  *take(): Generator<TapRecord> {
    const written = Atomics.load(this.#words, WRITTEN);
    for (let read = this.#words[READ]; read !== written; read = (read + 1) | 0) {
      yield this.#record(HEADER_WORDS * 4 + (read & (RECORDS - 1)) * RECORD_BYTES);
      Atomics.store(this.#words, READ, (read + 1) | 0);
    }
  }

  #record(at: number): TapRecord {
    const word = (index: number) => this.#view.getInt32(at + 4 * index);
    const copy = (from: number, length: number) =>
      this.#bytes.slice(from, from + Math.min(length, SNAP_BYTES));
    const inLength = word(5);
    const outLength = word(6);
    const counted: number[] = [];
    for (let index = 0; index < NODE_COUNTERS; index++) {
      if ((word(7 + (index >> 5)) & (1 << (index & 31))) !== 0) counted.push(index);
    }
    return {
      timeMs: this.#view.getFloat64(at),
      verdict: word(2),
      inSlot: word(3),
      outSlot: word(4),
      inLength,
      outLength,
      before: copy(at + META_BYTES, inLength),
      after: outLength === 0 ? null : copy(at + META_BYTES + SNAP_BYTES, outLength),
      counted,
    };
  }
}
