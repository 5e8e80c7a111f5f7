/**
 * Looking ahead in a burst, IPv6: see look_ahead4.ts. Packets of the other family have no guess.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as interfaces from "../table/interface.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { COUNTERS_SHIFT, TOUCHED } = counters;
const { IF_FLAGS, IF_NAT6_IN, IF_STRIDE } = interfaces;
const { HEADER_KEY, HEADER_USED, HEADER_WORDS, SESSION_POD, SESSION_SERVICE } = layout;
const { GUESS_ENTRY, GUESS_NONE, GUESS_REPLY } = bursts;
const { ats, guesses6, hashes, lengths, readAhead, replies, slots, tags } = bursts.burst;

const KEY = HEADER_KEY;
const TAGS = HEADER_WORDS;
const OFFSET = GUESS_ENTRY;
const ENTRY_WORDS = 24;
/** Words of a tuple: addresses and ports. */
const TUPLE_WORDS = 9;
/** Bytes of a frame without a tag, in whose IP header the transport header is named: type, next header, the tuple. */
const ETHERNET_TYPE = 12;
const NEXT_HEADER = 20;
const SOURCE = 22;
const PORTS_END = 58;
const ETHERTYPE_IPV6 = 0x86dd;
/** Sessions up to which all but their entries stays in the nearest cache anyway. */
const FEW_SESSIONS = 1024;

/** What makes guesses for the first `count` packets of the burst. */
export function makeLookAhead6(c: Context): (count: number) => void {
  const hashTuples = makeHashTuples(c);
  const guess = makeGuess(c);
  return (count: number): void => {
    const end = count | 0;
    hashTuples(end);
    readIndexes(c, end);
    guess(end);
    touch(c, end);
  };
}

/** keyedHash6 of every packet's tuple. */
function makeHashTuples(c: Context): (end: number) => void {
  const view = c.view;
  return (end: number): void => {
    const words = c.sessions6.words;
    for (let i = 0; i < end; i = (i + 1) | 0) {
      const at = ats[i] & OFFSET;
      if (lengths[i] < PORTS_END || view.getUint16(at + ETHERNET_TYPE) !== ETHERTYPE_IPV6) continue;
      let hash = Math.imul(words[KEY], view.getUint8(at + NEXT_HEADER));
      for (let word = 0; word < TUPLE_WORDS; word++) {
        const value = view.getInt32(at + SOURCE + (word << 2));
        hash = (hash + Math.imul(words[KEY + 1 + (word << 1)], value & 0xffff) +
          Math.imul(words[KEY + 2 + (word << 1)], value >>> 16)) | 0;
      }
      hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hashes[i] = hash ^ (hash >>> 16);
    }
  };
}

/** The words of both indexes that the hashes name. */
function readIndexes(c: Context, end: number): void {
  const { words, bucketMask, lineMask, linesAt } = c.sessions6;
  const rows = c.interfaces;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const hash = hashes[i];
    tags[i] = words[TAGS + (hash & bucketMask)];
    replies[i] = (rows[slots[i] * IF_STRIDE + IF_FLAGS] & IF_NAT6_IN) === 0
      ? 0
      : words[(linesAt + ((hash & lineMask) << 4) + (hash >>> 28)) & OFFSET];
  }
}

/** From an index word to an entry, the reply tuple first, as in flow.ts. */
function makeGuess(c: Context): (end: number) => void {
  const view = c.view;
  return (end: number): void => {
    const { words, bucketMask, lineMask, linesAt, indexMask, entriesAt } = c.sessions6;
    for (let i = 0; i < end; i = (i + 1) | 0) {
      guesses6[i] = GUESS_NONE;
      if (view.getUint16((ats[i] & OFFSET) + ETHERNET_TYPE) !== ETHERTYPE_IPV6) continue;
      const hash = hashes[i];
      let found = GUESS_NONE;
      let slot = replies[i];
      for (let position = hash >>> 28; slot !== 0;) {
        if (((slot ^ hash) & ~indexMask) === 0) {
          found = (entriesAt + Math.imul((slot & indexMask) - 1, ENTRY_WORDS)) | GUESS_REPLY;
          break;
        }
        position = (position + 1) & 15;
        if (position === hash >>> 28) break;
        slot = words[(linesAt + ((hash & lineMask) << 4) + position) & OFFSET];
      }
      if (found === GUESS_NONE) {
        const difference = tags[i] ^ Math.imul((hash >>> 24) | 1, 0x01010101);
        const hits = (difference - 0x01010101) & ~difference & 0x80808080;
        if (hits !== 0) {
          const lane = Math.clz32(hits) >>> 3;
          found = (entriesAt + Math.imul(((hash & bucketMask) << 2) | lane, ENTRY_WORDS)) | 0;
        }
      }
      guesses6[i] = found;
    }
  };
}

/** Reads both ends of every entry; then has the counters that it names brought, if they are many: see look_ahead4.ts. */
function touch(c: Context, end: number): void {
  const words = c.sessions6.words;
  let read = 0;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const entry = guesses6[i] & OFFSET;
    read |= words[entry] | words[entry + ENTRY_WORDS - 1];
  }
  readAhead[0] = read;
  if (words[HEADER_USED] <= FEW_SESSIONS) return;
  const { serviceCounters, podCounters } = c;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const entry = guesses6[i] & OFFSET;
    serviceCounters[((words[entry + SESSION_SERVICE] << COUNTERS_SHIFT) & OFFSET) | TOUCHED] = 0;
    podCounters[((words[entry + SESSION_POD] << COUNTERS_SHIFT) & OFFSET) | TOUCHED] = 0;
  }
}
