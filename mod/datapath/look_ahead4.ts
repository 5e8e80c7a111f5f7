/**
 * Looking ahead in a burst, IPv4: a guess where each packet's session is, with the memory that forwarding will want already on its way
 * into the cache. Short loops without dependence between their rounds, because a processor runs ahead through some hundred instructions
 * only: the shorter the round, the more of them wait for memory at once.
 *
 * Nothing is checked here but that the bytes are inside the frame, and nothing is written but the burst's arrays. A packet that is none
 * of this family gets the guess of the nonsense that was read; whoever follows a guess compares everything.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as interfaces from "../table/interface.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";
import { makeForesee4 } from "./foresee4.ts";

// Own constants: see "Speed" in context.ts.
const { COUNTERS_SHIFT, TOUCHED } = counters;
const { IF_FLAGS, IF_NAT4_IN, IF_STRIDE } = interfaces;
const { HEADER_KEY, HEADER_USED, HEADER_WORDS, SESSION_POD, SESSION_SERVICE } = layout;
const { burst, GUESS_ENTRY, GUESS_NONE, GUESS_REPLY } = bursts;
const { ats, fresh, guesses4, hashes, lengths, readAhead, replies, slots, tags } = bursts.burst;

const KEY = HEADER_KEY;
const TAGS = HEADER_WORDS;
const OFFSET = GUESS_ENTRY;
/** Slots are below 4096. */
const SLOT = 0xfff;
const ENTRY_WORDS = 12;
/** Bytes of a frame without a tag whose IP header has no options. */
const ETHERNET_TYPE = 12;
const PROTOCOL = 23;
const SOURCE = 26;
const DESTINATION = 30;
const PORTS = 34;
const PORTS_END = 38;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** Sessions up to which all but their entries stays in the nearest cache anyway. */
const FEW_SESSIONS = 2048;

/** What makes guesses for the first `count` packets of the burst; it also counts how many are of which family. */
export function makeLookAhead4(c: Context): (count: number) => void {
  const hashTuples = makeHashTuples(c);
  const foresee = makeForesee4(c);
  return (count: number): void => {
    const end = count | 0;
    hashTuples(end);
    if (burst.count4 === 0) return;
    const answers = readIndexes(c, end);
    const found = guess(c, end, answers);
    touch(c, end);
    if (found > 0) foresee(found);
  };
}

/** keyedHash4 of every packet's tuple. */
function makeHashTuples(c: Context): (end: number) => void {
  const view = c.view;
  return (end: number): void => {
    const words = c.sessions4.words;
    const k0 = words[KEY], k1 = words[KEY + 1], k2 = words[KEY + 2], k3 = words[KEY + 3];
    const k4 = words[KEY + 4], k5 = words[KEY + 5], k6 = words[KEY + 6];
    let count4 = 0, count6 = 0;
    for (let i = 0; i < end; i = (i + 1) | 0) {
      const at = ats[i] & OFFSET;
      hashes[i] = 0;
      if (lengths[i] < PORTS_END) continue;
      const type = view.getUint16(at + ETHERNET_TYPE);
      if (type !== ETHERTYPE_IPV4) {
        if (type === ETHERTYPE_IPV6) count6 = (count6 + 1) | 0;
        continue;
      }
      count4 = (count4 + 1) | 0;
      const source = view.getInt32(at + SOURCE);
      const destination = view.getInt32(at + DESTINATION);
      const ports = view.getInt32(at + PORTS);
      let hash = (Math.imul(k0, view.getUint8(at + PROTOCOL)) +
        Math.imul(k1, source & 0xffff) + Math.imul(k2, source >>> 16) +
        Math.imul(k3, destination & 0xffff) + Math.imul(k4, destination >>> 16) +
        Math.imul(k5, ports & 0xffff) + Math.imul(k6, ports >>> 16)) | 0;
      hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hashes[i] = hash ^ (hash >>> 16);
    }
    burst.count4 = count4;
    burst.count6 = count6;
  };
}

/** The words of the indexes that the hashes name. Whether some packet may be a pod's: only then those of replies are there. */
function readIndexes(c: Context, end: number): boolean {
  const sessions = c.sessions4;
  const words = sessions.words;
  const bucketMask = sessions.bucketMask | 0;
  const rows = c.interfaces;
  const n = end | 0;
  for (let i = 0; i < n; i = (i + 1) | 0) tags[i] = words[(TAGS + (hashes[i] & bucketMask)) & OFFSET];
  let last = -1;
  let flags = 0;
  for (let i = 0; i < n; i = (i + 1) | 0) {
    const slot = slots[i] & SLOT;
    if (slot === last) continue;
    last = slot;
    flags |= rows[slot * IF_STRIDE + IF_FLAGS];
  }
  if ((flags & IF_NAT4_IN) === 0) return false;
  const lineMask = sessions.lineMask | 0, linesAt = sessions.linesAt | 0;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const hash = hashes[i];
    replies[i] = (rows[(slots[i] & SLOT) * IF_STRIDE + IF_FLAGS] & IF_NAT4_IN) === 0
      ? 0
      : words[(linesAt + ((hash & lineMask) << 4) + (hash >>> 28)) & OFFSET];
  }
  return true;
}

/**
 * From an index word to an entry, the reply tuple first, as in flow.ts. Lists packets without one in `fresh`, as far as their tuple is
 * in the frame, and returns how many there are.
 */
function guess(c: Context, end: number, answers: boolean): number {
  let count = 0;
  const sessions = c.sessions4;
  const words = sessions.words;
  const bucketMask = sessions.bucketMask | 0, lineMask = sessions.lineMask | 0;
  const linesAt = sessions.linesAt | 0,
    indexMask = sessions.indexMask | 0,
    entriesAt = sessions.entriesAt | 0;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const hash = hashes[i];
    let found = GUESS_NONE;
    let slot = answers ? replies[i] : 0;
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
      } else if (lengths[i] >= PORTS_END) {
        fresh[count] = i;
        count = (count + 1) | 0;
      }
    }
    guesses4[i] = found;
  }
  return count;
}

/**
 * Reads both ends of every entry, which may be in two cache lines; then has the counters that it names brought, if they are many, by a
 * write where nothing is counted: unlike a read, which the processor waits for before it goes on for long, a write is left behind.
 */
function touch(c: Context, end: number): void {
  const words = c.sessions4.words;
  let read = 0;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const entry = guesses4[i] & OFFSET;
    read |= words[entry] | words[entry + ENTRY_WORDS - 1];
  }
  readAhead[0] = read;
  if (words[HEADER_USED] <= FEW_SESSIONS) return;
  const { serviceCounters, podCounters } = c;
  for (let i = 0; i < end; i = (i + 1) | 0) {
    const entry = guesses4[i] & OFFSET;
    serviceCounters[((words[entry + SESSION_SERVICE] << COUNTERS_SHIFT) & OFFSET) | TOUCHED] = 0;
    podCounters[((words[entry + SESSION_POD] << COUNTERS_SHIFT) & OFFSET) | TOUCHED] = 0;
  }
}
