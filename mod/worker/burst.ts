/**
 * One burst: what a ring holds, up to BURST packets, through the processor and on to the rings they leave by.
 *
 * Rule: nothing here allocates, throws or calls into the kernel for a packet; the kernel is called once per burst and
 * interface (`flush`).
 *
 * @module
 */

import {
  COUNT_TX_NO_SPACE,
  COUNT_TX_UNATTACHED,
  COUNT_TX_UNKNOWN_SLOT,
  type Counters,
} from "../metrics/counters.ts";
import { burst, BURST_PACKETS } from "../datapath/burst.ts";
import {
  HEADROOM_BYTES,
  type Processor,
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PIECES,
  VERDICT_PUNT_IN,
  VERDICT_TX,
} from "../datapath/processor.ts";
import { IF_MAC_HIGH, IF_MAC_LOW, IF_PRESENT, IF_STRIDE, InterfaceTable } from "../table/interface.ts";
import { type FramePool, NO_FRAME } from "./frame_pool.ts";
import { HeldFrames, HOLD_MS } from "./held_frames.ts";
import type { Port } from "./port.ts";
import { refill } from "./refill.ts";
import { MAX_SLOT, namedUntil, NO_SLOT, readSlots } from "./slots.ts";
import type { Tap } from "./tap.ts";
import { addressToHost, PUNT_TAG_BYTES, PUNT_TAG_EGRESS, pushPuntTag } from "./punt.ts";

const { ats, lengths, outSlots, slots } = burst;

const BURST = BURST_PACKETS;
/**
 * Bursts taken from a full ring before the others get their turn, and before the kernel is called to transmit: a bound on what one busy
 * interface delays. With four the calls cost a tenth less of all than with one; with eight no less.
 */
const BURSTS_AT_ONCE = 4;

/** Everything a burst touches, made once. */
export class BurstContext {
  readonly frames: DataView;
  readonly frameBytes: number;
  readonly pool: FramePool;
  readonly processor: Processor;
  readonly counters: Counters;
  /** Early fragments, and the processor's count of first ones when it was last looked at. */
  readonly held = new HeldFrames();
  firstFragments = 0;
  /** Ports by slot; `host` (slot 0) is ku1. */
  readonly bySlot: (Port | null)[] = new Array(MAX_SLOT + 1).fill(null);
  /** All ports of this worker, and those that receive. */
  ports: Port[] = [];
  receivers: Port[] = [];
  /** Somebody who wants to see every packet. */
  tap: Tap | null = null;
  /** The running generation's interfaces. */
  interfaces = new InterfaceTable(new SharedArrayBuffer(0));

  constructor(
    frames: DataView,
    frameBytes: number,
    pool: FramePool,
    processor: Processor,
    counters: Counters,
  ) {
    this.frames = frames;
    this.frameBytes = frameBytes;
    this.pool = pool;
    this.processor = processor;
    this.counters = counters;
    processor.holdRoom = this.held.room;
  }

  /** Makes `port` part of the bursts. Several ports may share a slot (queues); the first is the one sent by. */
  add(port: Port): void {
    this.ports = [...this.ports, port];
    this.receivers = this.ports.filter((each) => each.receives);
    this.bySlot[port.slot] ??= port;
  }

  /** Takes the ports of `slot` out and returns them. */
  remove(slot: number): Port[] {
    const gone = this.ports.filter((port) => port.slot === slot);
    this.ports = this.ports.filter((port) => port.slot !== slot);
    this.receivers = this.ports.filter((each) => each.receives);
    this.bySlot[slot] = null;
    return gone;
  }
}

/** Takes up to BURSTS_AT_ONCE bursts from `port`, as long as they are full. Returns how many packets there were. */
export function receiveBursts(context: BurstContext, port: Port): number {
  let taken = 0;
  for (let count = BURST, left = BURSTS_AT_ONCE; count === BURST && left > 0; left--) {
    taken += count = receiveBurst(context, port);
  }
  return taken;
}

/** Takes up to BURST packets from `port`. Returns how many there were. */
export function receiveBurst(context: BurstContext, port: Port): number {
  const rx = port.socket.rx;
  const count = rx.peek(BURST);
  if (count === 0) return 0;
  const { processor } = context;
  processor.readReports();
  rx.readAll(count, ats, lengths);
  slots.fill(port.slot, 0, count);
  if (port.slot === 0) readSlots(context.frames, count);
  const { tap } = context;
  if (tap !== null) {
    for (let i = 0; i < count; i++) watchFrame(context, tap, i);
    rx.release(count);
    return count;
  }
  processor.lookAhead(count);
  for (let i = 0, end = 0; i < count;) {
    if (i >= end) end = port.slot === 0 ? namedUntil(i, count) : count;
    const known = i < end ? processor.forward(i, end) : i;
    while (i < known) i = transmitKnown(context, i, known);
    if (i < count) handleFrame(context, i++);
  }
  rx.release(count);
  return count;
}

/**
 * Packets `from` … of the burst, of which those before `end` were forwarded without a verdict of their own: as many as leave by the same
 * slot. Returns the number of the next one.
 */
function transmitKnown(context: BurstContext, from: number, end: number): number {
  const slot = outSlots[from];
  let next = (from + 1) | 0;
  while (next < end && outSlots[next] === slot) next = (next + 1) | 0;
  const port = context.bySlot[slot];
  if (port !== null) {
    enqueueAll(context, port, from, next);
    return next;
  }
  for (let i = from; i < next; i++) {
    sendTagged(context, ats[i] & ~(context.frameBytes - 1), ats[i], lengths[i], slot | PUNT_TAG_EGRESS);
  }
  return next;
}

/** One packet of the burst about which something has to be decided, and where its frame goes. */
function handleFrame(context: BurstContext, i: number): void {
  const { processor } = context;
  const at = ats[i];
  const length = lengths[i];
  const slot = slots[i];
  const frameStart = at & ~(context.frameBytes - 1);
  if (slot === NO_SLOT) return dropUnnamed(context, frameStart);
  const verdict = processor.decide(at, length, slot, frameStart + context.frameBytes);
  finishFrame(context, verdict, frameStart, at, length, slot);
}

/** One packet of the burst while somebody watches. NB: `process` uses the burst's first place, which has been read by then. */
function watchFrame(context: BurstContext, tap: Tap, i: number): void {
  const { processor } = context;
  const at = ats[i];
  const length = lengths[i];
  const slot = slots[i];
  const frameStart = at & ~(context.frameBytes - 1);
  if (slot === NO_SLOT) return dropUnnamed(context, frameStart);
  const verdict = tap.process(processor, at, length, slot, frameStart + context.frameBytes);
  finishFrame(context, verdict, frameStart, at, length, slot);
}

/** A frame and its verdict: where it goes, and what waited for it. */
function finishFrame(
  context: BurstContext,
  verdict: number,
  frameStart: number,
  at: number,
  length: number,
  slot: number,
): void {
  if (verdict === VERDICT_HOLD) return holdFrame(context, frameStart, at, length, slot);
  settleFrame(context, verdict, frameStart, slot);
  if (context.processor.firstFragments !== context.firstFragments) releaseBehind(context);
}

/** What becomes of a frame that came in by `slot`, after its verdict. */
function settleFrame(context: BurstContext, verdict: number, frameStart: number, slot: number): void {
  const { processor } = context;
  if (verdict === VERDICT_TX) return transmit(context, frameStart, processor);
  if (verdict === VERDICT_DROP) return context.pool.put(frameStart);
  if (verdict === VERDICT_PIECES) return sendPieces(context, frameStart, processor);
  punt(context, frameStart, verdict === VERDICT_PUNT_IN ? slot : 0, processor);
}

/** A packet that leaves in several frames: all but the last need one of their own. */
function sendPieces(context: BurstContext, frameStart: number, processor: Processor): void {
  for (let left = processor.piecesLeft; left > 0; left--) {
    const frame = left === 1 ? frameStart : context.pool.take();
    if (frame === NO_FRAME) {
      context.counters.node[COUNT_TX_NO_SPACE]++;
      return context.pool.put(frameStart);
    }
    const verdict = processor.nextPiece(frame + HEADROOM_BYTES);
    if (verdict === VERDICT_TX) transmit(context, frame, processor);
    else punt(context, frame, 0, processor);
  }
}

/** Keeps an early fragment until its first one has come. */
function holdFrame(
  context: BurstContext,
  frameStart: number,
  at: number,
  length: number,
  slot: number,
): void {
  const { held, processor } = context;
  held.add(frameStart, at, length, slot, processor.fragmentTag, performance.now());
  processor.holdRoom = held.room;
}

/** A first fragment has been processed: so are those that waited for it. */
function releaseBehind(context: BurstContext): void {
  const { held, processor } = context;
  context.firstFragments = processor.firstFragments;
  const tag = processor.fragmentTag;
  let kept = 0;
  for (let place = 0; place < held.count; place++) {
    if (held.tags[place] !== tag || !releaseFrame(context, place)) held.move(place, kept++);
  }
  held.count = kept;
  processor.holdRoom = held.room;
}

/** Gives up on those that have waited long enough at `nowMs`: without room to hold them they are the kernel's. */
export function releaseExpired(context: BurstContext, nowMs: number): void {
  const { held, processor } = context;
  processor.holdRoom = 0;
  let kept = 0;
  for (let place = 0; place < held.count; place++) {
    if (nowMs - held.since[place] < HOLD_MS || !releaseFrame(context, place)) held.move(place, kept++);
  }
  held.count = kept;
  processor.holdRoom = held.room;
}

/** Processes a held frame again. False: it has to go on waiting. */
function releaseFrame(context: BurstContext, place: number): boolean {
  const { held, processor } = context;
  const frameStart = held.frameStarts[place];
  const slot = held.slots[place];
  const frameEnd = frameStart + context.frameBytes;
  const at = held.packetAts[place];
  const verdict = context.tap === null
    ? processor.decide(at, held.lengths[place], slot, frameEnd)
    : context.tap.process(processor, at, held.lengths[place], slot, frameEnd);
  if (verdict === VERDICT_HOLD) return false;
  settleFrame(context, verdict, frameStart, slot);
  return true;
}

/** A frame on ku1 that no interface sent. */
function dropUnnamed(context: BurstContext, frameStart: number): void {
  context.counters.node[COUNT_TX_UNKNOWN_SLOT]++;
  context.pool.put(frameStart);
}

/** Out by the processor's slot: its own socket, or by ku1 with the slot in a tag where it has none here. */
function transmit(context: BurstContext, frameStart: number, processor: Processor): void {
  const slot = processor.outSlot;
  const port = context.bySlot[slot];
  const { outAt, outLength } = processor;
  if (port !== null) return enqueue(context, port, frameStart, outAt, outLength);
  sendTagged(context, frameStart, outAt, outLength, slot | PUNT_TAG_EGRESS);
}

/** Into the kernel: as having arrived on `slot`, or on ku0 when slot is 0. */
function punt(context: BurstContext, frameStart: number, slot: number, processor: Processor): void {
  if (slot !== 0) {
    // Steering by tc has written the slot over the interface's MAC; the kernel takes only what is addressed to it.
    if ((context.interfaces.flags(slot) & IF_PRESENT) !== 0) {
      const { words } = context.interfaces;
      context.frames.setInt32(processor.outAt, words[slot * IF_STRIDE + IF_MAC_HIGH]);
      context.frames.setUint16(processor.outAt + 4, words[slot * IF_STRIDE + IF_MAC_LOW]);
    }
    return sendTagged(context, frameStart, processor.outAt, processor.outLength, slot);
  }
  const host = context.bySlot[0];
  if (host === null) return unattached(context, frameStart);
  addressToHost(context.frames, processor.outAt);
  enqueue(context, host, frameStart, processor.outAt, processor.outLength);
}

function sendTagged(
  context: BurstContext,
  frameStart: number,
  packetAt: number,
  length: number,
  tci: number,
): void {
  const host = context.bySlot[0];
  if (host === null || packetAt - frameStart < PUNT_TAG_BYTES) return unattached(context, frameStart);
  const at = pushPuntTag(context.frames, packetAt, tci);
  enqueue(context, host, frameStart, at, length + PUNT_TAG_BYTES);
}

function unattached(context: BurstContext, frameStart: number): void {
  context.counters.node[COUNT_TX_UNATTACHED]++;
  context.pool.put(frameStart);
}

/** Puts the frame into the port's transmit ring; a ring that stays full costs the packet, counted. */
function enqueue(context: BurstContext, port: Port, frameStart: number, at: number, length: number): void {
  const tx = port.socket.tx;
  if (tx.reserve(1) === 0) {
    flushPort(context, port);
    if (tx.reserve(1) === 0) {
      context.counters.node[COUNT_TX_NO_SPACE]++;
      return context.pool.put(frameStart);
    }
  }
  tx.write(port.queued, at, length);
  port.queued++;
}

/** `enqueue` for packets `from` … `end` - 1 of the burst. */
function enqueueAll(context: BurstContext, port: Port, from: number, end: number): void {
  const tx = port.socket.tx;
  let room = tx.reserve(end - from);
  if (room < end - from) {
    flushPort(context, port);
    room = tx.reserve(end - from);
  }
  tx.writeAll(port.queued, ats, lengths, from, from + room);
  port.queued += room;
  for (let i = from + room; i < end; i++) {
    context.counters.node[COUNT_TX_NO_SPACE]++;
    context.pool.put(ats[i] & ~(context.frameBytes - 1));
  }
}

/** Hands every queued frame to the kernel, takes back those it is done with, and stocks the fill rings. */
export function flushAll(context: BurstContext): void {
  for (let i = 0; i < context.ports.length; i++) flushPort(context, context.ports[i]);
  for (let i = 0; i < context.receivers.length; i++) refill(context.pool, context.receivers[i]);
}

function flushPort(context: BurstContext, port: Port): void {
  if (port.queued > 0) {
    port.socket.tx.submit(port.queued);
    port.outstanding += port.queued;
    port.queued = 0;
  }
  if (port.outstanding === 0) return;
  port.socket.kick();
  reap(context, port);
}

/** Frames whose transmission the kernel has completed go back to the pool. */
function reap(context: BurstContext, port: Port): void {
  const completion = port.socket.completion;
  const frameMask = ~(context.frameBytes - 1);
  for (;;) {
    const count = completion.peek(completion.size);
    if (count === 0) return;
    context.pool.putCompleted(completion, count, frameMask);
    completion.release(count);
    port.outstanding -= count;
  }
}
