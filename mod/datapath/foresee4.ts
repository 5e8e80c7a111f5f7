/**
 * Looking ahead for IPv4 packets that begin a session: which pod will be picked, and what its session will write to. It is all found
 * again, and decided, when the packet's turn comes (new_connection.ts); this only has the memory on its way by then, for many packets
 * at a time. Nothing is written but the burst's arrays.
 *
 * @module
 */

import * as hashes from "../table/hash.ts";
import * as pods from "../table/pod.ts";
import * as services from "../table/service.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Burst } from "./burst.ts";
import type { Context } from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { flowHash4, keyedHash4 } = hashes;
const { POD_ADDRESS4, POD_STRIDE } = pods;
const { SERVICE_SLOTS_AT, SERVICE_SLOTS_MASK, SERVICE_STRIDE, SERVICE_TARGET_PORT } = services;
const { BUCKET_ENTRIES, HEADER_KEY, LANE_ORDER } = layout;
const { GUESS_ENTRY, GUESS_NONE } = bursts;

const OFFSET = GUESS_ENTRY;
const ENTRY_WORDS = 12;
const COUNTERS_SHIFT = 3; // eight columns a row
const PROTOCOL = 23;
const SOURCE = 26;
const DESTINATION = 30;
const PORTS = 34;
const PORTS_END = 38;

/** Reads ahead for the packets among the first `count` that no session is guessed for. */
export function foresee4(c: Context, burst: Burst, count: number): void {
  const fresh = findFresh(burst, count);
  if (fresh === 0) return;
  pickSlots(c, burst, fresh);
  const { slots } = c;
  const { foreseen } = burst;
  for (let i = 0; i < fresh; i++) foreseen[i] = foreseen[i] < 0 ? -1 : slots[foreseen[i]] | 0;
  nameReplies(c, burst, fresh);
  touch(c, burst, fresh);
}

/** Lists them; returns how many there are. */
function findFresh({ guesses4, lengths, fresh }: Burst, count: number): number {
  let found = 0;
  for (let i = 0; i < count; i++) {
    if (guesses4[i] === GUESS_NONE && lengths[i] >= PORTS_END) fresh[found++] = i;
  }
  return found;
}

/** The Maglev slot of each, -1 where no service is found. */
function pickSlots(c: Context, burst: Burst, fresh: number): void {
  const { view, match, services } = c;
  const { ats, foreseen } = burst;
  for (let i = 0; i < fresh; i++) {
    const at = ats[burst.fresh[i]] & OFFSET;
    const protocol = view.getUint8(at + PROTOCOL);
    const destination = view.getInt32(at + DESTINATION);
    const ports = view.getInt32(at + PORTS);
    const service = match.find4(destination, protocol, ports & 0xffff);
    foreseen[i] = -1;
    if (service < 0) continue;
    const row = service * SERVICE_STRIDE;
    const hash = flowHash4(protocol, view.getInt32(at + SOURCE), destination, ports);
    foreseen[i] = services[row + SERVICE_SLOTS_AT] + (hash & services[row + SERVICE_SLOTS_MASK]);
    burst.foreseenReplies[i] = services[row + SERVICE_TARGET_PORT];
  }
}

/** From the pod of each to the words that tell of its reply tuple; 0 where there is no pod. */
function nameReplies(c: Context, burst: Burst, fresh: number): void {
  const { view, pods } = c;
  const { words, filter, lineMask, linesAt } = c.sessions4;
  const { ats, foreseen, foreseenReplies, foreseenAnswers } = burst;
  for (let i = 0; i < fresh; i++) {
    const pod = foreseen[i];
    const targetPort = foreseenReplies[i];
    foreseenReplies[i] = foreseenAnswers[i] = 0;
    if (pod < 0) continue;
    const at = ats[burst.fresh[i]] & OFFSET;
    const protocol = view.getUint8(at + PROTOCOL);
    const ports = view.getInt32(at + PORTS);
    const address = pods[pod * POD_STRIDE + POD_ADDRESS4];
    const source = view.getInt32(at + SOURCE);
    const replyPorts = ((targetPort || ports & 0xffff) << 16) | (ports >>> 16);
    const hash = keyedHash4(words, HEADER_KEY, protocol, address, source, replyPorts);
    foreseenReplies[i] = linesAt + ((hash & lineMask) << 4) + (hash >>> 28);
    if (filter !== null) foreseenAnswers[i] = filter.counterOf4(protocol, address, source, replyPorts);
  }
}

/** Reads what the session will be written to, and the counters. */
function touch(c: Context, burst: Burst, fresh: number): void {
  const { podCounters } = c;
  const { words, filter, bucketMask, entriesAt } = c.sessions4;
  const { hashes, tags, foreseen, foreseenReplies, foreseenAnswers } = burst;
  let read = 0;
  for (let i = 0; i < fresh; i++) {
    const packet = burst.fresh[i];
    const bucket = hashes[packet] & bucketMask;
    const entry = (entriesAt + (bucket * BUCKET_ENTRIES + freeLane(tags[packet])) * ENTRY_WORDS) & OFFSET;
    read |= words[entry] | words[entry + ENTRY_WORDS - 1];
  }
  for (let i = 0; i < fresh; i++) read |= words[foreseenReplies[i]];
  if (filter !== null) {
    const answers = filter.words;
    for (let i = 0; i < fresh; i++) read |= answers[foreseenAnswers[i]];
  }
  let sum = read;
  for (let i = 0; i < fresh; i++) if (foreseen[i] >= 0) sum += podCounters[foreseen[i] << COUNTERS_SHIFT];
  burst.read[0] = sum;
}

/** The entry of a bucket with these tags that will be taken next; any, if all are. */
function freeLane(tags: number): number {
  let order = LANE_ORDER;
  for (let tried = 0; tried < 3 && ((tags >>> (24 - ((order & 3) << 3))) & 0xff) !== 0; tried++) order >>= 2;
  return order & 3;
}
