/**
 * What a packet does to the session it belongs to: last-seen time, TCP state, counters; and whether the session still agrees
 * with the tables of the generation.
 *
 * The agreement is checked once per session and generation: the session carries the generation's low 24 bits (upper part of
 * SESSION_NOTE) from when it was found to agree. 24 bits go round after 16.7 million generations; a session would have to sleep through
 * exactly a multiple of that to be believed wrongly.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as pod from "../table/pod.ts";
import * as service from "../table/service.ts";
import type { SessionTable } from "../table/session.ts";
import * as session from "../table/session.ts";
import * as tcp from "../wire/tcp.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as fragment from "./fragment.ts";
import * as offloads from "./offload.ts";
import * as tcpStates from "./tcp_state.ts";

// Own constants: see "Speed" in context.ts.
const {
  COUNT_SESSION_MOVED,
  COUNT_SESSION_ORPHAN,
  POD_BYTES,
  POD_COUNTERS,
  POD_PACKETS,
  POD_REPLY_BYTES,
  POD_REPLY_PACKETS,
  SERVICE_BYTES,
  SERVICE_COUNTERS,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_BYTES,
  SERVICE_REPLY_PACKETS,
} = counters;
const { POD_ACTIVE, POD_DRAINING, POD_FLAGS, POD_STRIDE } = pod;
const { SERVICE_FLAGS, SERVICE_IN_USE, SERVICE_STRIDE } = service;
const {
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SESSION_STATE_TRANSITORY,
} = session;
const { TCP_ACK, TCP_RST, TCP_SYN } = tcp;
const { FRAGMENT_NONE, TRANSPORT_TCP } = contexts;
const { ownDatagram } = fragment;
const { afterMove, beforeMove, offloadSession, withdrawSession } = offloads;
const { TCP_MOVING_FLAGS, tcpNotes, tcpRestarts, tcpState } = tcpStates;

const SYN_ACK = TCP_SYN | TCP_ACK;
/** SESSION_NOTE: the stamp above, the TCP notes below. */
export const SESSION_STAMP_SHIFT = 8;
const NOTE_BITS = SESSION_STAMP_SHIFT;
const NOTE_MASK = 0xff;

/** A client's packet follows `entry`. False: the session has ended by it, and the packet is to start a new one. */
export function followOriginal(c: Context, table: SessionTable, entry: number): boolean {
  const words = table.words;
  if (words[entry + SESSION_NOTE] >>> NOTE_BITS !== c.stamp && !agreesOriginal(c, table, entry)) return false;
  if (words[entry + SESSION_LAST_SEEN] !== c.now) words[entry + SESSION_LAST_SEEN] = c.now;
  if (c.transport === TRANSPORT_TCP && !advance(c, table, entry, false)) return false;
  const service = words[entry + SESSION_SERVICE];
  const pod = words[entry + SESSION_POD];
  countNext(c, service, pod, c.end - c.l3);
  if (c.fragment !== FRAGMENT_NONE) ownDatagram(c, service, pod, 0);
  if (words[entry + SESSION_OFFLOAD] <= 0) offloadSession(c, table, entry);
  return true;
}

/** A pod's packet follows `entry`. False: it is no answer to it, and the session has gone: by its service, or with its connection. */
export function followReply(c: Context, table: SessionTable, entry: number): boolean {
  const words = table.words;
  if (c.transport === TRANSPORT_TCP) {
    withdrawBySyn(c, table, entry);
    if (opensAnother(c, words, entry)) {
      table.remove(entry);
      return false;
    }
  }
  if (words[entry + SESSION_NOTE] >>> NOTE_BITS !== c.stamp && !agreesReply(c, table, entry)) return false;
  if (words[entry + SESSION_LAST_SEEN] !== c.now) words[entry + SESSION_LAST_SEEN] = c.now;
  if (c.transport === TRANSPORT_TCP) advance(c, table, entry, true);
  const service = words[entry + SESSION_SERVICE];
  const pod = words[entry + SESSION_POD];
  countReply(c, service, pod, c.end - c.l3);
  if (c.fragment !== FRAGMENT_NONE) ownDatagram(c, service, pod, 1);
  if (words[entry + SESSION_OFFLOAD] <= 0) offloadSession(c, table, entry);
  return true;
}

/**
 * Whether a pod's segment accepts a connection that did not come by the VIP: the session's own one has ended, and a new one would have
 * begun with the client's SYN. So the client has used the port again, to the pod directly.
 */
export function opensAnother(c: Context, words: Int32Array, entry: number): boolean {
  return (c.tcpFlags & SYN_ACK) === SYN_ACK &&
    ((words[entry + SESSION_KIND] >>> 16) & 0xff) === SESSION_STATE_CLOSING;
}

/** Counts a client's packet of `bytes` that follows a session. */
export function countNext(c: Context, serviceId: number, podId: number, bytes: number): void {
  const service = serviceId * SERVICE_COUNTERS;
  const pod = podId * POD_COUNTERS;
  c.serviceCounters[service + SERVICE_NEXT_PACKET]++;
  c.serviceCounters[service + SERVICE_BYTES] += bytes;
  c.podCounters[pod + POD_PACKETS]++;
  c.podCounters[pod + POD_BYTES] += bytes;
}

/** Counts a pod's packet of `bytes` to a client. */
export function countReply(c: Context, serviceId: number, podId: number, bytes: number): void {
  const service = serviceId * SERVICE_COUNTERS;
  const pod = podId * POD_COUNTERS;
  c.serviceCounters[service + SERVICE_REPLY_PACKETS]++;
  c.serviceCounters[service + SERVICE_REPLY_BYTES] += bytes;
  c.podCounters[pod + POD_REPLY_PACKETS]++;
  c.podCounters[pod + POD_REPLY_BYTES] += bytes;
}

/** Marks a new session as agreeing, and gives a TCP one its first state. */
export function beginSession(c: Context, table: SessionTable, entry: number): void {
  const words = table.words;
  if (c.transport === TRANSPORT_TCP) {
    const notes = tcpNotes(0, SESSION_STATE_TRANSITORY, c.tcpFlags, false);
    words[entry + SESSION_NOTE] = (c.stamp << NOTE_BITS) | notes;
    table.setState(entry, tcpState(notes));
  } else words[entry + SESSION_NOTE] = stampOfNew(c) << NOTE_BITS;
}

/**
 * Stamp of a new session that is not TCP's. It is not stamped as agreeing where the kernel may repeat it: so its second packet goes the
 * long way, and past `offloadSession`.
 */
export function stampOfNew(c: Context): number {
  return c.offload === null ? c.stamp : c.stamp - 1;
}

/** Moves a TCP session on. False: the segment begins a new connection; the old session has been removed. */
function advance(c: Context, table: SessionTable, entry: number, reply: boolean): boolean {
  const flags = c.tcpFlags;
  const words = table.words;
  withdrawBySyn(c, table, entry);
  const state = (words[entry + SESSION_KIND] >>> 16) & 0xff;
  if ((flags & TCP_MOVING_FLAGS) === 0 && state === SESSION_STATE_ESTABLISHED) return true;
  if (!reply && tcpRestarts(state, flags)) {
    table.remove(entry);
    return false;
  }
  moveConnection(c, table, entry, flags, reply);
  return true;
}

/** A SYN may belong to another connection: the session is to be as the kernel has left it before anything is made of that. */
function withdrawBySyn(c: Context, table: SessionTable, entry: number): void {
  if ((c.tcpFlags & TCP_SYN) !== 0 && table.words[entry + SESSION_OFFLOAD] > 0) {
    withdrawSession(c, table, entry);
  }
}

/** Moves a session's TCP state on by a segment with `flags`. */
export function moveConnection(
  c: Context,
  table: SessionTable,
  entry: number,
  flags: number,
  reply: boolean,
): void {
  const words = table.words;
  if (words[entry + SESSION_OFFLOAD] > 0) beforeMove(c, table, entry, flags);
  const state = table.state(entry);
  const note = words[entry + SESSION_NOTE];
  const notes = tcpNotes(note & NOTE_MASK, state, flags, reply);
  words[entry + SESSION_NOTE] = (note & ~NOTE_MASK) | notes;
  const next = tcpState(notes);
  if (next !== state) table.setState(entry, next);
  if (words[entry + SESSION_OFFLOAD] > 0) afterMove(c, table, entry);
}

/** Checks an unstamped session for a client's packet. False: removed, because its service is gone or its pod must be picked anew. */
function agreesOriginal(c: Context, table: SessionTable, entry: number): boolean {
  const words = table.words;
  if (!serviceLives(c, table, entry)) return false;
  if (!podServes(c, words[entry + SESSION_POD])) {
    // TCP sessions of a removed pod live on; what can start anew without harm does.
    const begins = (c.tcpFlags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN &&
      table.state(entry) === SESSION_STATE_TRANSITORY;
    if (c.transport !== TRANSPORT_TCP || begins) {
      table.remove(entry);
      c.nodeCounters[COUNT_SESSION_MOVED]++;
      return false;
    }
  }
  stampSession(c, words, entry);
  return true;
}

/** Checks an unstamped session for a pod's packet. A removed pod's last words are passed on, and the session stays unstamped. */
function agreesReply(c: Context, table: SessionTable, entry: number): boolean {
  const words = table.words;
  if (!serviceLives(c, table, entry)) return false;
  if (podServes(c, words[entry + SESSION_POD])) stampSession(c, words, entry);
  return true;
}

/** Whether the pod is there and not removed; one that drains serves what it has. */
export function podServes(c: Context, pod: number): boolean {
  return (c.pods[pod * POD_STRIDE + POD_FLAGS] & (POD_ACTIVE | POD_DRAINING)) !== 0;
}

/** Whether the service is one of this generation. */
export function isServed(c: Context, service: number): boolean {
  return (c.services[service * SERVICE_STRIDE + SERVICE_FLAGS] & SERVICE_IN_USE) !== 0;
}

function serviceLives(c: Context, table: SessionTable, entry: number): boolean {
  if (isServed(c, table.words[entry + SESSION_SERVICE])) return true;
  table.remove(entry);
  c.nodeCounters[COUNT_SESSION_ORPHAN]++;
  return false;
}

function stampSession(c: Context, words: Int32Array, entry: number): void {
  if (words[entry + SESSION_OFFLOAD] < 0) words[entry + SESSION_OFFLOAD] = 0; // another generation, another try
  words[entry + SESSION_NOTE] = (c.stamp << NOTE_BITS) | (words[entry + SESSION_NOTE] & NOTE_MASK);
}
