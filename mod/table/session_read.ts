/**
 * A session read by another thread than its writer: a copy that is one whole session, by a seqlock (include/linux/seqlock.h).
 *
 * @module
 */

import * as layout from "./session_layout.ts";

const VERSION = layout.HEADER_VERSION;
const BUSY = layout.SESSION_BUSY;
const ATTEMPTS = 64;

/** A SessionTable, as far as it is needed here. */
interface Readable {
  readonly words: Int32Array;
  readonly stride: number;
  findReply(protocol: number, now: number): number;
  findOriginal(protocol: number, now: number): number;
}

/** `SessionTable.readReply` (`reply`) and `readOriginal`. */
export function readSession(
  table: Readable,
  reply: boolean,
  protocol: number,
  now: number,
  copy: Int32Array,
): number {
  const words = table.words;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const before = Atomics.load(words, VERSION);
    // NB: inside a change too, at last: a live KIND is written after and cleared before the rest of an entry.
    if ((before & 1) !== 0 && attempt < ATTEMPTS - 1) continue;
    const entry = reply ? table.findReply(protocol, now) : table.findOriginal(protocol, now);
    if (entry >= 0) {
      for (let i = 0; i < table.stride; i++) copy[i] = words[entry + i];
    }
    if (Atomics.load(words, VERSION) === before) return entry < 0 && (before & 1) !== 0 ? BUSY : entry;
  }
  return BUSY;
}
