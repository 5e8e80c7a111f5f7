/**
 * Flows of which another worker keeps the session. Replies come by the pod's interface and are spread over the queues by another hash
 * than requests; requests change their queue when the spreading does (`ethtool -L`, `-X`).
 *
 * A worker writes its own tables only, with one exception: the second of last use (SESSION_LAST_SEEN), which any worker may renew in
 * place. What else a packet changes in a foreign session is reported to the owner (mod/table/mailbox.ts, reports.ts):
 *
 *   packet                            here                                                 told to the owner
 *   reply                             translated by a copy of the session, counted         its TCP flags, if they move the state
 *   client's                          likewise                                             likewise
 *   client's SYN, session closing     begins anew, untracked                               session ends
 *   client's, pod gone (not TCP's)    another pod, untracked                               session ends
 *   pod's SYN-ACK, session closing    not this session's: the port was used to the pod     session ends
 *
 * **No flow has two sessions.** A worker without a session for a client's packet first looks for it in the others' tables, by its
 * original tuple. Two may do so at the same time, find nothing, and insert. So each looks again after it has inserted, and whoever then
 * sees another's takes its own back and forwards the packet untracked; the next packet tries again. This needs no lock and no waiting:
 * an insertion ends with a sequentially consistent store (HEADER_VERSION), a look begins with such a load of the other's, and of two
 * stores each followed by a load of the other at least one load sees the other's store (Dekker). If both do, both yield: the flow has no
 * session until its next packet. It is forwarded all the same, to the same pod, for that is chosen by an unkeyed hash. The same look
 * finds another flow that has taken the same reply tuple: then it is inserted again, with another source port.
 *
 * A table that cannot be read to the end, because its writer was preempted in the middle of a change, may hold the session: the packet
 * goes untracked. Clocks of workers may differ by a second: a foreign session counts as alive for GRACE_SECONDS longer than its owner
 * thinks, so that no second one is begun while the owner can still revive it.
 *
 * Order: a report is in the mailbox before the packet it is about leaves, and the owner reads its mail after it has taken packets from a
 * ring and before it processes them. So what a client sends in answer to a packet finds the state which that one led to.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as mailbox from "../table/mailbox.ts";
import type { OverflowTable } from "../table/overflow.ts";
import type { SessionTable } from "../table/session.ts";
import * as session from "../table/session.ts";
import * as tcp from "../wire/tcp.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as fragment from "./fragment.ts";
import * as sessionHit from "./session_hit.ts";
import * as tcpStates from "./tcp_state.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_OTHER_WORKER, COUNT_REPORT_LOST, COUNT_UNTRACKED_REPLY } = counters;
const { REPORT_END, REPORT_ORIGINAL, REPORT_REPLY } = mailbox;
const {
  SESSION_BUSY,
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SESSION_STATE_TRANSITORY,
} = session;
const { TCP_ACK, TCP_RST, TCP_SYN } = tcp;
const { count, FRAGMENT_FIRST, FRAGMENT_NONE, TRANSPORT_TCP } = contexts;
const { ownDatagram } = fragment;
const { countNext, countReply, isServed, opensAnother, podServes } = sessionHit;
const { TCP_MOVING_FLAGS, tcpNotes, tcpRestarts, tcpState } = tcpStates;

const GRACE_SECONDS = 2;
const NOTE_MASK = 0xff;
/** The state in SESSION_KIND. */
const STATE_SHIFT = 16;
const STATE_BITS = 0xff;

/**
 * A reply whose session another worker keeps, or whose flow is untracked: the words that hold its original tuple, at `c.foundAt`; null
 * if it is none, or (`c.busy`) if that could not be found out.
 */
export function followForeignReply(
  c: Context,
  key: Int32Array,
  protocol: number,
  others: readonly SessionTable[],
  overflow: OverflowTable | null,
): Int32Array | null {
  const foreign = c.foreign;
  c.busy = false;
  for (let i = 0; i < others.length; i++) {
    const other = others[i];
    other.key.set(key);
    const entry = other.readReply(protocol, c.now, foreign);
    if (entry === SESSION_BUSY) c.busy = true;
    if (entry < 0 || !isServed(c, foreign[SESSION_SERVICE])) continue;
    if (c.transport === TRANSPORT_TCP) {
      seeClosed(c, i);
      if (opensAnother(c, foreign, 0)) {
        report(c, i, REPORT_END, other);
        continue;
      }
      reportSegment(c, i, other, true);
    }
    if (foreign[SESSION_LAST_SEEN] !== c.now) other.words[entry + SESSION_LAST_SEEN] = c.now;
    count(c, COUNT_OTHER_WORKER);
    const service = foreign[SESSION_SERVICE];
    const pod = foreign[SESSION_POD];
    countReply(c, service, pod, c.end - c.l3);
    if (c.fragment === FRAGMENT_FIRST) ownDatagram(c, service, pod, 1);
    c.foundAt = SESSION_ORIGINAL;
    c.busy = false;
    return foreign;
  }
  if (overflow === null) return null;
  overflow.key.set(key);
  const entry = overflow.find(protocol, c.now);
  if (entry >= 0) return followNote(c, overflow.words, entry);
  const othersOverflow = overflow.addressWords === 1 ? c.othersOverflow4 : c.othersOverflow6;
  for (let i = 0; i < othersOverflow.length; i++) {
    const other = othersOverflow[i];
    other.key.set(key);
    if (other.copy(protocol, c.now, foreign)) return followNote(c, foreign, 0);
  }
  return null;
}

/** A reply of the untracked flow whose note is at `entry` of `words`. */
function followNote(c: Context, words: Int32Array, entry: number): Int32Array {
  count(c, COUNT_UNTRACKED_REPLY);
  const service = words[entry + SESSION_SERVICE];
  const pod = words[entry + SESSION_POD];
  countReply(c, service, pod, c.end - c.l3);
  if (c.fragment === FRAGMENT_FIRST) ownDatagram(c, service, pod, 1);
  c.foundAt = entry + SESSION_ORIGINAL;
  c.busy = false;
  return words;
}

/**
 * A client's packet, `c.original`, that has no session here: the words of the session that another worker keeps for it, with the reply
 * tuple at `c.foundAt`; null if there is none, or (`c.withheld`) none that it could follow.
 */
export function followForeignOriginal(
  c: Context,
  protocol: number,
  others: readonly SessionTable[],
): Int32Array | null {
  const foreign = c.foreign;
  c.withheld = false;
  for (let i = 0; i < others.length; i++) {
    const other = others[i];
    loadKey(other.key, c.original);
    const entry = other.readOriginal(protocol, c.now - GRACE_SECONDS, foreign);
    if (entry === SESSION_BUSY) c.withheld = true;
    if (entry < 0) continue;
    if (!follows(c, i, other)) {
      c.withheld = true;
      return null;
    }
    if (foreign[SESSION_LAST_SEEN] !== c.now) other.words[entry + SESSION_LAST_SEEN] = c.now;
    count(c, COUNT_OTHER_WORKER);
    const service = foreign[SESSION_SERVICE];
    const pod = foreign[SESSION_POD];
    countNext(c, service, pod, c.end - c.l3);
    if (c.fragment !== FRAGMENT_NONE) ownDatagram(c, service, pod, 0);
    c.foundAt = other.replyAt;
    c.withheld = false;
    return foreign;
  }
  return null;
}

/** Whether a client's packet belongs to the session in `c.foreign`; tells the owner what it means. See `followOriginal`. */
function follows(c: Context, place: number, other: SessionTable): boolean {
  const foreign = c.foreign;
  if (!isServed(c, foreign[SESSION_SERVICE])) return false; // its owner ends it when the service's sessions are flushed
  const isTcp = c.transport === TRANSPORT_TCP;
  if (isTcp) seeClosed(c, place);
  const state = (foreign[SESSION_KIND] >>> STATE_SHIFT) & STATE_BITS;
  const opens = isTcp && (c.tcpFlags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
  const begins = !isTcp || (opens && state === SESSION_STATE_TRANSITORY);
  if ((begins && !podServes(c, foreign[SESSION_POD])) || (isTcp && tcpRestarts(state, c.tcpFlags))) {
    report(c, place, REPORT_END, other);
    return false;
  }
  if (isTcp) reportSegment(c, place, other, false);
  return true;
}

/**
 * A segment that may begin a connection finds the session in `c.foreign` closed when both ends have closed it in the kernel: its owner, the
 * worker at `place` of the others, sees that only at its next search.
 */
function seeClosed(c: Context, place: number): void {
  const { foreign, offload } = c;
  const flow = foreign[SESSION_OFFLOAD] - 1;
  if ((c.tcpFlags & TCP_SYN) === 0 || offload === null || flow < 0 || !offload.isClosedAt(place, flow)) {
    return;
  }
  foreign[SESSION_KIND] = (foreign[SESSION_KIND] & ~(STATE_BITS << STATE_SHIFT)) |
    (SESSION_STATE_CLOSING << STATE_SHIFT);
}

/**
 * Whether a session just put into `table` has to be taken back: another worker has one of the same flow, or may have (`c.withheld` then), or
 * one with the same reply tuple.
 */
export function mustYield(c: Context, table: SessionTable, protocol: number): boolean {
  const others = table.addressWords === 1 ? c.others4 : c.others6;
  c.withheld = false;
  for (let i = 0; i < others.length; i++) {
    const other = others[i];
    loadKey(other.key, c.original);
    if (other.readOriginal(protocol, c.now - GRACE_SECONDS, c.foreign) !== -1) {
      c.withheld = true;
      return true;
    }
    loadKey(other.key, c.reply);
    if (other.readReply(protocol, c.now, c.foreign) !== -1) return true;
  }
  return false;
}

/** Reports a segment, if it moves the state of the session in `c.foreign`. */
function reportSegment(c: Context, place: number, other: SessionTable, reply: boolean): void {
  const foreign = c.foreign;
  const flags = c.tcpFlags;
  const state = (foreign[SESSION_KIND] >>> STATE_SHIFT) & STATE_BITS;
  if ((flags & TCP_MOVING_FLAGS) === 0 && state === SESSION_STATE_ESTABLISHED) return;
  const before = foreign[SESSION_NOTE] & NOTE_MASK;
  const notes = tcpNotes(before, state, flags, reply);
  if (notes === before && tcpState(notes) === state) return;
  report(c, place, reply ? REPORT_REPLY : REPORT_ORIGINAL, other);
}

/** Reports `kind` about the session in `c.foreign` to the owner of the table at `place` of the others. */
function report(c: Context, place: number, kind: number, other: SessionTable): void {
  if (place >= c.outboxes.length) return;
  const box = c.outboxes[place];
  const foreign = c.foreign;
  const protocol = foreign[SESSION_KIND] >>> 24;
  const width = other.key.length;
  if (!box.put(kind, protocol, c.tcpFlags, foreign[SESSION_POD], foreign, SESSION_ORIGINAL, width)) {
    count(c, COUNT_REPORT_LOST);
  }
  if (box.wakes) c.wakes = true;
}

/** A scratch tuple of nine words into a key of nine, or of three when it is IPv4. */
function loadKey(key: Int32Array, tuple: Int32Array): void {
  if (key.length === 9) {
    for (let i = 0; i < 9; i++) key[i] = tuple[i];
    return;
  }
  key[0] = tuple[3];
  key[1] = tuple[7];
  key[2] = tuple[8];
}
