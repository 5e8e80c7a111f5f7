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

import * as interfaces from "../table/interface.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Burst } from "./burst.ts";
import type { Context } from "./context.ts";
import * as foresees from "./foresee4.ts";

// Own constants: see "Speed" in context.ts.
const { IF_FLAGS, IF_NAT4_IN, IF_STRIDE } = interfaces;
const { HEADER_KEY, HEADER_USED, HEADER_WORDS, SESSION_POD, SESSION_SERVICE } = layout;
const { GUESS_ENTRY, GUESS_NONE, GUESS_REPLY } = bursts;
const { foresee4 } = foresees;

const KEY = HEADER_KEY;
const TAGS = HEADER_WORDS;
const OFFSET = GUESS_ENTRY;
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

/** Guesses for the first `count` packets of the burst; also counts how many are of which family. */
export function lookAhead4(c: Context, burst: Burst, count: number): void {
  hashTuples(c, burst, count);
  if (burst.count4 === 0) return;
  readIndexes(c, burst, count);
  guess(c, burst, count);
  touch(c, burst, count);
  if (c.sessions4.words[HEADER_USED] <= FEW_SESSIONS) return;
  foresee4(c, burst, count);
}

/** keyedHash4 of every packet's tuple. */
function hashTuples(c: Context, burst: Burst, count: number): void {
  const view = c.view;
  const words = c.sessions4.words;
  const { ats, lengths, hashes } = burst;
  const k0 = words[KEY], k1 = words[KEY + 1], k2 = words[KEY + 2], k3 = words[KEY + 3];
  const k4 = words[KEY + 4], k5 = words[KEY + 5], k6 = words[KEY + 6];
  let count4 = 0, count6 = 0;
  for (let i = 0; i < count; i++) {
    const at = ats[i] & OFFSET;
    hashes[i] = 0;
    if (lengths[i] < PORTS_END) continue;
    const type = view.getUint16(at + ETHERNET_TYPE);
    if (type !== ETHERTYPE_IPV4) {
      if (type === ETHERTYPE_IPV6) count6++;
      continue;
    }
    count4++;
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
}

/** The words of both indexes that the hashes name. */
function readIndexes(c: Context, burst: Burst, count: number): void {
  const { words, bucketMask, lineMask, linesAt } = c.sessions4;
  const rows = c.interfaces;
  const { hashes, slots, tags, replies } = burst;
  for (let i = 0; i < count; i++) {
    const hash = hashes[i];
    tags[i] = words[TAGS + (hash & bucketMask)];
    replies[i] = (rows[slots[i] * IF_STRIDE + IF_FLAGS] & IF_NAT4_IN) === 0
      ? 0
      : words[(linesAt + ((hash & lineMask) << 4) + (hash >>> 28)) & OFFSET];
  }
}

/** From an index word to an entry, the reply tuple first, as in flow.ts. */
function guess(c: Context, burst: Burst, count: number): void {
  const { words, bucketMask, lineMask, linesAt, indexMask, entriesAt } = c.sessions4;
  const { hashes, tags, replies, guesses4 } = burst;
  for (let i = 0; i < count; i++) {
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
    guesses4[i] = found;
  }
}

/** Reads both ends of every entry, which may be in two cache lines; then the counters that it names, if they are many. */
function touch(c: Context, burst: Burst, count: number): void {
  const words = c.sessions4.words;
  const guesses4 = burst.guesses4;
  let read = 0;
  for (let i = 0; i < count; i++) {
    const entry = guesses4[i] & OFFSET;
    read |= words[entry] | words[entry + ENTRY_WORDS - 1];
  }
  burst.read[0] = read;
  if (words[HEADER_USED] <= FEW_SESSIONS) return;
  const { serviceCounters, podCounters } = c;
  let sum = read;
  for (let i = 0; i < count; i++) {
    const entry = guesses4[i] & OFFSET;
    sum += serviceCounters[(words[entry + SESSION_SERVICE] << 3) & OFFSET] +
      podCounters[(words[entry + SESSION_POD] << 3) & OFFSET];
  }
  burst.read[0] = sum;
}
