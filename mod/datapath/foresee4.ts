/**
 * Looking ahead for IPv4 packets that no session is guessed for: which service and pod they would begin one with, and what that session
 * will be written to, so that its memory is on its way for many packets at a time. Nothing is written but the burst's arrays.
 *
 * The choice of the pod depends on the running tables alone, which do not change within a burst, so begin4.ts takes it from here. Packets
 * that take more than that (affinity, masquerading, source prefixes, prefixes, the other family) are left out: for them it is all found
 * again, and decided, in new_connection.ts.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as hashing from "../table/hash.ts";
import * as pods from "../table/pod.ts";
import * as services from "../table/service.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { POD_COUNTERS, SERVICE_COUNTERS, TOUCHED } = counters;
const { flowHash4, keyedHash4 } = hashing;
const { POD_ADDRESS4, POD_STRIDE } = pods;
const {
  SERVICE_FLAGS,
  SERVICE_HOST_VIP,
  SERVICE_IN_USE,
  SERVICE_NAT44,
  SERVICE_SLOTS_AT,
  SERVICE_SLOTS_MASK,
  SERVICE_STRIDE,
  SERVICE_TARGET_PORT,
  SERVICE_TYPE,
} = services;
const { BUCKET_ENTRIES, freeLane, HEADER_KEY } = layout;
const { GUESS_ENTRY } = bursts;
const {
  ats,
  foreseenAnswers,
  foreseenPods,
  foreseenReplies,
  foreseenServices,
  fresh,
  hashes,
  readAhead,
  tags,
} = bursts.burst;

const OFFSET = GUESS_ENTRY;
const ENTRY_WORDS = 12;
const PROTOCOL = 23;
const SOURCE = 26;
const DESTINATION = 30;
const PORTS = 34;
/** Flags of a service that asks for nothing but a pod. */
const PLAIN = SERVICE_IN_USE | SERVICE_HOST_VIP;

/** What foresees for the first `found` packets of `fresh`, whose tuples are inside their frames. */
export function makeForesee4(c: Context): (found: number) => void {
  const { view, serviceCounters, podCounters } = c;

  /** Service of each, and the Maglev slot; -1 where there is no plain service. */
  function pickSlots(found: number): void {
    const { match, services } = c;
    for (let i = 0; i < found; i++) {
      const packet = fresh[i];
      const at = ats[packet] & OFFSET;
      const protocol = view.getUint8(at + PROTOCOL);
      const destination = view.getInt32(at + DESTINATION);
      const ports = view.getInt32(at + PORTS);
      foreseenPods[packet] = -1;
      const service = match.find4(destination, protocol, ports & 0xffff) | 0;
      if (service < 0) continue;
      const row = service * SERVICE_STRIDE;
      if (services[row + SERVICE_FLAGS] !== PLAIN || services[row + SERVICE_TYPE] !== SERVICE_NAT44) continue;
      const hash = flowHash4(protocol, view.getInt32(at + SOURCE), destination, ports);
      foreseenServices[packet] = service;
      foreseenPods[packet] = services[row + SERVICE_SLOTS_AT] + (hash & services[row + SERVICE_SLOTS_MASK]);
    }
  }

  /** From the slot to the pod; -1 where there is none. */
  function pickPods(found: number): void {
    const { slots } = c;
    for (let i = 0; i < found; i++) {
      const packet = fresh[i];
      const slot = foreseenPods[packet];
      foreseenPods[packet] = slot < 0 ? -1 : slots[slot] | 0;
    }
  }

  /** Hash of each reply tuple, and where the filter counts it. */
  function hashReplies(found: number): void {
    const { pods, services } = c;
    const { words, filter } = c.sessions4;
    for (let i = 0; i < found; i++) {
      const packet = fresh[i];
      const pod = foreseenPods[packet];
      foreseenReplies[packet] = foreseenAnswers[packet] = 0;
      if (pod < 0) continue;
      const at = ats[packet] & OFFSET;
      const protocol = view.getUint8(at + PROTOCOL);
      const ports = view.getInt32(at + PORTS);
      const target = services[foreseenServices[packet] * SERVICE_STRIDE + SERVICE_TARGET_PORT] ||
        ports & 0xffff;
      const address = pods[pod * POD_STRIDE + POD_ADDRESS4];
      const source = view.getInt32(at + SOURCE);
      const replyPorts = (target << 16) | (ports >>> 16);
      foreseenReplies[packet] = keyedHash4(words, HEADER_KEY, protocol, address, source, replyPorts);
      if (filter !== null) foreseenAnswers[packet] = filter.counterOf4(protocol, address, source, replyPorts);
    }
  }

  /** Has all of it brought: reads what the session will be written to, writes to the counters where nothing is counted. */
  function touch(found: number): void {
    const { words, filter, bucketMask, entriesAt, lineMask, linesAt } = c.sessions4;
    let read = 0;
    for (let i = 0; i < found; i++) {
      const packet = fresh[i];
      const bucket = hashes[packet] & bucketMask;
      const lane = freeLane(tags[packet]) & 3; // any, if all are taken
      const entry = (entriesAt + (bucket * BUCKET_ENTRIES + lane) * ENTRY_WORDS) & OFFSET;
      read |= words[entry] | words[entry + ENTRY_WORDS - 1];
    }
    for (let i = 0; i < found; i++) {
      const hash = foreseenReplies[fresh[i]];
      read |= words[(linesAt + ((hash & lineMask) << 4) + (hash >>> 28)) & OFFSET];
    }
    if (filter !== null) {
      const answers = filter.words;
      for (let i = 0; i < found; i++) read |= answers[foreseenAnswers[fresh[i]]];
    }
    readAhead[0] = read;
    for (let i = 0; i < found; i++) {
      const packet = fresh[i];
      const pod = foreseenPods[packet];
      if (pod < 0) continue;
      podCounters[pod * POD_COUNTERS + TOUCHED] = 0;
      serviceCounters[foreseenServices[packet] * SERVICE_COUNTERS + TOUCHED] = 0;
    }
  }

  return (found: number): void => {
    pickSlots(found);
    pickPods(found);
    hashReplies(found);
    touch(found);
  };
}
