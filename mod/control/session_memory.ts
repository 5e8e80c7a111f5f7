/**
 * The session tables of all workers: allocated here, written by their workers alone. One seed for all, drawn at start, so that
 * nobody outside can aim at a bucket and a session keeps its hash when tables are made anew. And the filter that counts all their
 * sessions, which the steering programs share; its seed is another.
 *
 * @module
 */

import { addressOf, type Mapping, PRESENT_LINE_MEMORY } from "../../ffi/memory.ts";
import type { Conf } from "../config/model.ts";
import { AffinityTable } from "../table/affinity.ts";
import { SessionFilter } from "../table/filter.ts";
import { Mailbox } from "../table/mailbox.ts";
import { OverflowTable } from "../table/overflow.ts";
import { SessionTable } from "../table/session.ts";
import type { SessionBuffers, SharedMemory } from "../worker/messages.ts";

/** Untracked flows remembered by a worker and address width; 72 and 120 bytes each. */
const OVERFLOW_PLACES = 8192;
/** Clients with a pod of their own that a worker remembers, 32 bytes each; the one away longest of four makes room. */
const AFFINITY_NOTES = 16_384;
/** RFC 5382 REQ-5: a connection that is not yet, or no longer, established is kept for four minutes. */
const TCP_TRANSITORY_SECONDS = 240;
const SEED_WORDS = 8;

export class SessionMemory {
  readonly #seed = newSeed();
  four: SessionTable[];
  six: SessionTable[];
  readonly overflow4: OverflowTable[];
  readonly overflow6: OverflowTable[];
  /** `mailboxes[from][to]`; from a worker to itself there is one that nobody uses, of the least size. */
  readonly mailboxes: SharedArrayBuffer[][];
  /** Clients' pods where affinity has an end, by worker. */
  readonly affinity: SharedArrayBuffer[];
  readonly filter: SharedMemory;

  /** `filter`: the steering programs' memory of expected answers, unused so far. */
  constructor(workerCount: number, conf: Conf, filter: Mapping) {
    SessionFilter.create(new Int32Array(filter.buffer), newSeed());
    this.filter = { address: addressOf(filter.pointer), lengthBytes: filter.buffer.byteLength };
    this.four = this.#create(workerCount, conf, 1);
    this.six = this.#create(workerCount, conf, 4);
    const overflow = (words: 1 | 4) =>
      Array.from({ length: workerCount }, () => OverflowTable.create(OVERFLOW_PLACES, words, this.#seed));
    this.overflow4 = overflow(1);
    this.overflow6 = overflow(4);
    const workers = Array.from({ length: workerCount }, (_, index) => index);
    this.mailboxes = workers.map((from) =>
      workers.map((to) => Mailbox.create(from === to ? 1 : undefined).buffer)
    );
    this.affinity = Array.from({ length: workerCount }, () => AffinityTable.create(AFFINITY_NOTES).buffer);
    this.setTimeouts(conf);
  }

  /** What the workers are given. */
  get buffers(): SessionBuffers {
    return {
      four: this.four.map((table) => table.buffer as SharedArrayBuffer),
      six: this.six.map((table) => table.buffer as SharedArrayBuffer),
    };
  }

  /** The untracked flows of every worker. */
  get overflowBuffers(): SessionBuffers {
    return {
      four: this.overflow4.map((table) => table.buffer as SharedArrayBuffer),
      six: this.overflow6.map((table) => table.buffer as SharedArrayBuffer),
    };
  }

  /** New empty tables of `conf.buckets`, in use once the workers have moved their sessions over and `adopt` was called. */
  prepare(conf: Conf): { four: SessionTable[]; six: SessionTable[]; buffers: SessionBuffers } {
    const four = this.#create(this.four.length, conf, 1);
    const six = this.#create(this.six.length, conf, 4);
    return {
      four,
      six,
      buffers: {
        four: four.map((table) => table.buffer as SharedArrayBuffer),
        six: six.map((table) => table.buffer as SharedArrayBuffer),
      },
    };
  }

  adopt(tables: { four: SessionTable[]; six: SessionTable[] }): void {
    this.four = tables.four;
    this.six = tables.six;
  }

  /** Takes effect at once, for the sessions there are too. */
  setTimeouts(conf: Conf): void {
    for (const table of [...this.four, ...this.six]) writeTimeouts(table, conf);
    for (const table of [...this.overflow4, ...this.overflow6]) table.setTimeout(conf.timeout);
  }

  get bytes(): number {
    const tables = [...this.four, ...this.six, ...this.overflow4, ...this.overflow6];
    const buffers = [...tables.map((table) => table.buffer), ...this.mailboxes.flat(), ...this.affinity];
    return buffers.reduce((sum, buffer) => sum + buffer.byteLength, this.filter.lengthBytes);
  }

  #create(workerCount: number, conf: Conf, addressWords: 1 | 4): SessionTable[] {
    return Array.from({ length: workerCount }, () => {
      const table = SessionTable.create(conf.buckets, addressWords, this.#seed, PRESENT_LINE_MEMORY);
      writeTimeouts(table, conf);
      return table;
    });
  }
}

function newSeed(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(SEED_WORDS));
}

/** By state: other protocols, TCP transitory, established, closing. */
export function writeTimeouts(table: SessionTable, conf: Conf): void {
  const transitory = Math.min(TCP_TRANSITORY_SECONDS, conf.tcpTimeout);
  table.timeouts.set([conf.timeout, transitory, conf.tcpTimeout, transitory]);
}
