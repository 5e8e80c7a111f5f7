/**
 * Which sessions the kernel repeats (ffi/bpf/flow.h), and what it tells about them.
 *
 * A session is given to the kernel at the first packet that shows it will have more: a TCP connection when the pod has accepted it, anything
 * else at its second packet. Both directions at once, of which those are repeated that leave by attached interfaces. It is taken back by a
 * segment that may begin or break off a connection (SYN, RST), after both ends have closed it, by whatever frees it, and when its tables
 * change. SYN and RST always come to the worker. That the client has gone on after the pod's answer, which makes a connection an established
 * one, and that either end has sent its FIN, it learns by what the kernel has carried, at the next search.
 *
 * Rule: the worker stays the authority. A session in the kernel cannot expire here by itself (session_layout.ts isExpired): the kernel
 * knows when its last packet was, and `followFlows` asks.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as interfaces from "../table/interface.ts";
import type { FlowCounter, OffloadTable } from "../table/offload.ts";
import * as scratch from "../table/offload_hops.ts";
import * as layout from "../table/offload_layout.ts";
import * as pods from "../table/pod.ts";
import * as services from "../table/service.ts";
import type { SessionTable } from "../table/session.ts";
import * as session from "../table/session.ts";
import * as protocols from "../wire/protocol.ts";
import * as tcp from "../wire/tcp.ts";
import type { Context } from "./context.ts";
import * as mixed from "./mixed.ts";
import * as hops from "./route.ts";
import * as tcpStates from "./tcp_state.ts";

// Own constants: see "Speed" in context.ts.
const { IF_FLAGS, IF_STRIDE, IF_XDP_OUT } = interfaces;
const { SCRATCH_FLAGS, SCRATCH_HOP_WORDS, SCRATCH_MACS, SCRATCH_MTU, SCRATCH_SLOT } = scratch;
const {
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_TRANSITORY,
} = session;
const { IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } = protocols;
const { TCP_RST, TCP_SYN } = tcp;
const { isMapped } = mixed;
const { HOP_MACS, HOP_MTU, HOP_SLOT, hop4, hop6 } = hops;
const { TCP_NOTE_ESTABLISHED, TCP_NOTE_FIN_ORIGINAL, TCP_NOTE_FIN_REPLY, TCP_NOTE_REPLY_SEEN, tcpState } =
  tcpStates;

/** Part of the room that connections which are not established may take: a flood of SYNs from forged addresses ends there. */
const TRANSITORY_SHARE = 1 / 2;
/** A session that found no room, or whose way out is not open, is not tried again before. */
const RETRY_SECONDS = 4;
/** Part of a session table looked at each second for those to be tried again. */
const RETRY_SHARE = 8;
/** SESSION_NOTE: the stamp above, the TCP notes below; see session_hit.ts. */
const SESSION_STAMP_SHIFT = 8;
const NOTE_MASK = 0xff;

/** Has the kernel repeat the session from now on, if it is one to be repeated, and tried again by now. */
export function offloadSession(c: Context, table: SessionTable, entry: number): void {
  const { offload } = c;
  const words = table.words;
  if (offload === null || -words[entry + SESSION_OFFLOAD] > c.now) return;
  // NB: a removed pod's last words pass here too; the client's packets would follow the session to it again.
  if (!offload.isOn || !isRepeatable(offload, table, entry) || !stillServed(c, table, entry)) return;
  const flow = describeWays(c, offload, table, entry) ? offload.begin(table, entry) : -1;
  words[entry + SESSION_OFFLOAD] = flow >= 0 ? flow + 1 : -(c.now + RETRY_SECONDS);
}

/** A segment with `flags` is about to move a connection that the kernel repeats. */
export function beforeMove(c: Context, table: SessionTable, entry: number, flags: number): void {
  if ((flags & (TCP_SYN | TCP_RST)) !== 0) withdrawSession(c, table, entry);
  else followFlow(c, c.offload!, table, entry, table.words[entry + SESSION_OFFLOAD] - 1);
}

/** It has, and the kernel goes on to repeat it. */
export function afterMove(c: Context, table: SessionTable, entry: number): void {
  const flow = table.words[entry + SESSION_OFFLOAD] - 1;
  c.offload!.setTimeout(flow, table.timeouts[table.state(entry)]);
  c.offload!.setNotes(flow, table.words[entry + SESSION_NOTE] & NOTE_MASK);
}

/** Has the worker get all packets of a session again that the kernel repeats. */
export function withdrawSession(c: Context, table: SessionTable, entry: number): void {
  const flow = table.words[entry + SESSION_OFFLOAD] - 1;
  c.offload!.end(flow);
  followFlow(c, c.offload!, table, entry, flow); // behind its end, so that no FIN is repeated unseen
  table.words[entry + SESSION_OFFLOAD] = 0;
}

/** See Processor.withdrawOffload. */
export function withdrawAll(c: Context): void {
  forEachFlow(c, (table, entry) => withdrawSession(c, table, entry));
}

/** See Processor.followOffload. */
export function followFlows(c: Context, from: number, count: number): number {
  const { offload } = c;
  if (offload === null) return 0;
  if (from === 0) {
    offload.reclaim();
    if (offload.refused > 0 && offload.used < offload.limit) retryRefused(c, offload);
  }
  const end = Math.min(from + count, offload.capacity);
  for (let flow = from; flow < end; flow++) {
    const entry = offload.entryOf(flow);
    if (entry < 0) continue;
    const table = offload.isWide(flow) ? c.sessions6 : c.sessions4;
    offload.tell(flow);
    const lastSeen = followFlow(c, offload, table, entry, flow);
    const state = table.state(entry);
    const timeout = table.timeouts[state];
    offload.setTimeout(flow, timeout);
    // Closed by both ends: what may still come is not worth the room. (Where the kernel has it, it was closed in order.)
    const isClosed = state === SESSION_STATE_CLOSING && table.protocol(entry) === IP_PROTOCOL_TCP;
    if (isClosed || c.now - lastSeen > timeout) withdrawSession(c, table, entry);
  }
  return end === offload.capacity ? 0 : end;
}

/** Has a share of the sessions that found no room tried again: at their next packet, which goes the long way because they are not stamped. */
function retryRefused(c: Context, offload: OffloadTable): void {
  const retry = (table: SessionTable, from: number): number => {
    const count = Math.ceil(table.capacity / RETRY_SHARE);
    table.forEach(
      c.now,
      (entry) => {
        const refusedUntil = -table.words[entry + SESSION_OFFLOAD];
        if (refusedUntil <= 0 || refusedUntil > c.now) return;
        const notes = table.words[entry + SESSION_NOTE] & 0xff;
        table.words[entry + SESSION_NOTE] = ((c.stamp - 1) << SESSION_STAMP_SHIFT) | notes;
      },
      from,
      count,
    );
    return from + count >= table.capacity ? 0 : from + count;
  };
  offload.retry4 = retry(c.sessions4, offload.retry4);
  offload.retry6 = retry(c.sessions6, offload.retry6);
}

/** See Processor.reviseOffload. */
export function reviseFlows(c: Context): void {
  forEachFlow(c, (table, entry, offload, flow) => {
    const agrees = stillServed(c, table, entry) && describeWays(c, offload, table, entry);
    if (agrees && offload.leavesBy(flow)) return;
    withdrawSession(c, table, entry);
    if (!agrees) return;
    const next = offload.begin(table, entry, flow);
    if (next >= 0) table.words[entry + SESSION_OFFLOAD] = next + 1;
  });
}

/** A worker's counters, to which flows add what they have carried. */
export class FlowCounters implements FlowCounter {
  readonly #counters: counters.Counters;

  constructor(of: counters.Counters) {
    this.#counters = of;
  }

  countFlow(serviceId: number, podId: number, direction: number, packets: number, bytes: number): void {
    const { service, pod } = this.#counters;
    const ofService = serviceId * counters.SERVICE_COUNTERS;
    const ofPod = podId * counters.POD_COUNTERS;
    const reply = direction === 1;
    service[ofService + (reply ? counters.SERVICE_REPLY_PACKETS : counters.SERVICE_NEXT_PACKET)] += packets;
    service[ofService + (reply ? counters.SERVICE_REPLY_BYTES : counters.SERVICE_BYTES)] += bytes;
    pod[ofPod + (reply ? counters.POD_REPLY_PACKETS : counters.POD_PACKETS)] += packets;
    pod[ofPod + (reply ? counters.POD_REPLY_BYTES : counters.POD_BYTES)] += bytes;
  }
}

/** Calls `visit` for every session that the kernel repeats; it may withdraw the one it is given. */
function forEachFlow(
  c: Context,
  visit: (table: SessionTable, entry: number, offload: OffloadTable, flow: number) => void,
): void {
  const { offload } = c;
  if (offload === null || offload.used === 0) return;
  for (let flow = 0; flow < offload.capacity; flow++) {
    const entry = offload.entryOf(flow);
    if (entry >= 0) visit(offload.isWide(flow) ? c.sessions6 : c.sessions4, entry, offload, flow);
  }
}

/** What the kernel has carried may have established the connection, or closed it. */
function followConnection(offload: OffloadTable, table: SessionTable, entry: number, flow: number): void {
  const { words } = table;
  const before = words[entry + SESSION_NOTE];
  let note = before;
  if (table.state(entry) === SESSION_STATE_TRANSITORY && offload.hasCarried(flow)) {
    note |= TCP_NOTE_ESTABLISHED;
  }
  if (offload.hasClosed(flow, 0)) note |= TCP_NOTE_FIN_ORIGINAL;
  if (offload.hasClosed(flow, 1)) note |= TCP_NOTE_FIN_REPLY;
  if (note === before) return;
  words[entry + SESSION_NOTE] = note;
  table.setState(entry, tcpState(note & NOTE_MASK));
  offload.setNotes(flow, note & NOTE_MASK);
}

/** Brings the session's last-seen second and the flow's together; returns it. */
function followFlow(
  c: Context,
  offload: OffloadTable,
  table: SessionTable,
  entry: number,
  flow: number,
): number {
  if (table.protocol(entry) === IP_PROTOCOL_TCP) followConnection(offload, table, entry, flow);
  const at = entry + SESSION_LAST_SEEN;
  const kernels = Math.min(offload.lastSeen(flow), c.now);
  if (table.words[at] < kernels) table.words[at] = kernels;
  else if (table.words[at] > kernels) offload.setLastSeen(flow, table.words[at]);
  return table.words[at];
}

/** Whether the kernel can repeat such a session: what it does is a new tuple of the same family, and SCTP's checksum covers ports. */
function isRepeatable(offload: OffloadTable, table: SessionTable, entry: number): boolean {
  const { words, addressWords } = table;
  const original = entry + SESSION_ORIGINAL;
  const reply = entry + table.replyAt;
  if (
    addressWords === 4 &&
    (isMapped(words, original) || isMapped(words, original + 4) || isMapped(words, reply))
  ) return false;
  const protocol = table.protocol(entry);
  if (protocol === IP_PROTOCOL_UDP) return true;
  if (protocol === IP_PROTOCOL_TCP) {
    const state = table.state(entry);
    if (state !== SESSION_STATE_TRANSITORY) return state !== SESSION_STATE_CLOSING;
    return (words[entry + SESSION_NOTE] & TCP_NOTE_REPLY_SEEN) !== 0 &&
      offload.used < offload.limit * TRANSITORY_SHARE;
  }
  const ports = words[original + 2 * addressWords];
  return protocol === IP_PROTOCOL_SCTP &&
    words[reply + 2 * addressWords] === ((ports << 16) | (ports >>> 16));
}

/** Whether its service is there, and its pod too; a connection may outlive a removed pod, as it does in the worker. */
function stillServed(c: Context, table: SessionTable, entry: number): boolean {
  const service = table.words[entry + SESSION_SERVICE] * services.SERVICE_STRIDE;
  if ((c.services[service + services.SERVICE_FLAGS] & services.SERVICE_IN_USE) === 0) return false;
  if (table.protocol(entry) === IP_PROTOCOL_TCP) return true;
  const flags = c.pods[table.words[entry + SESSION_POD] * pods.POD_STRIDE + pods.POD_FLAGS];
  return (flags & (pods.POD_ACTIVE | pods.POD_DRAINING)) !== 0;
}

/**
 * Fills in the ways out of both directions; false when neither is open. Of one alone the kernel repeats that direction, and the worker has
 * the other one's packets: a client that is sent nothing has no neighbor entry.
 */
function describeWays(c: Context, offload: OffloadTable, table: SessionTable, entry: number): boolean {
  const original = describeWay(c, offload, table, entry + table.replyAt, 0);
  const reply = describeWay(c, offload, table, entry + SESSION_ORIGINAL, SCRATCH_HOP_WORDS);
  return original || reply;
}

/** The way to the source of the tuple at `tupleAt`: slot 0 when it is not open, which no interface of flows has. */
function describeWay(
  c: Context,
  offload: OffloadTable,
  table: SessionTable,
  tupleAt: number,
  at: number,
): boolean {
  const four = table.addressWords === 1;
  const rows = four ? c.hops4 : c.hops6;
  const hop = four ? hop4(c, table.words[tupleAt]) : hop6(c, table.words, tupleAt);
  const slot = rows[hop + HOP_SLOT];
  const { hops } = offload;
  if (slot <= 0) { // by ku0 the kernel's own routes would be asked again
    hops.fill(0, at, at + SCRATCH_HOP_WORDS);
    return false;
  }
  hops[at + SCRATCH_SLOT] = slot;
  hops[at + SCRATCH_FLAGS] = (c.interfaces[slot * IF_STRIDE + IF_FLAGS] & IF_XDP_OUT) !== 0
    ? layout.HOP_XDP
    : 0;
  hops[at + SCRATCH_MTU] = rows[hop + HOP_MTU];
  for (let i = 0; i < 3; i++) hops[at + SCRATCH_MACS + i] = rows[hop + HOP_MACS + i];
  return true;
}
