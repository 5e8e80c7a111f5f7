/**
 * The sessions of one worker that the steering programs repeat, in memory that these read (laid out in offload_layout.ts). The worker
 * decides and writes; the programs look up exact tuples, count, and note the time. So beginning, following and ending a session takes
 * no system call.
 *
 * A flow here is both directions of a session. Rule: a worker writes its own only, a range of the whole; the index is shared, so its words
 * are taken by compare-and-exchange. A flow is written while its epochs are 0, and then never changed but for its times: another way out is
 * another flow. An ended one rests for REST_SECONDS before its place is used again: until then a program that had found it may still count
 * in it.
 *
 * References: ffi/bpf/flow.h (the reader); RFC 1624 eqn. 3 (differences of checksums).
 */

import type { AdoptVisitor } from "./offload_adopt.ts";
import { FlowIndex } from "./offload_index.ts";
import * as layout from "./offload_layout.ts";
import { readTuple, writeFlow } from "./offload_flow.ts";
import { HopRows, SCRATCH_HOP_WORDS } from "./offload_hops.ts";
import {
  bytesOf,
  hasFin,
  type OffloadMemory,
  offloadSessionsOf,
  type OffloadShare,
  packetsOf,
  secondOf,
  tickOf,
  ticksOf,
  writeU64,
} from "./offload_memory.ts";
import { RestQueue } from "./rest_queue.ts";
import { SESSION_ORIGINAL, type SessionTable } from "./session.ts";

/** Programs run for microseconds and are not interrupted. */
const REST_SECONDS = 2;

/** Whoever adds up what flows have carried: packets and bytes since it was last told, in one direction (1 = the pod's answers). */
export interface FlowCounter {
  countFlow(service: number, pod: number, direction: number, packets: number, bytes: number): void;
}

/** The flows of one worker. See the top of the file. */
export class OffloadTable {
  /** Sessions it may hold now; at most its share of the memory. */
  limit!: number;
  /** Second; the owner sets it once per burst. */
  now = 0;
  /** Sessions begun, and those for which there was no room, since the start. */
  begun = 0;
  refused = 0;
  /** Where the owner's search for sessions that were refused goes on, in each of its tables. */
  retry4 = 0;
  retry6 = 0;
  /** What they have carried, as far as it was told. */
  packets = 0;
  bytes = 0;
  /** Scratch for `begin` and `leavesBy`: SCRATCH_… of the hop of the original direction, then of the reply's; slot 0 = none. */
  readonly hops = new Int32Array(2 * SCRATCH_HOP_WORDS);

  #memory!: OffloadMemory;
  #index!: FlowIndex;
  #rows!: HopRows;
  #first!: number;
  #count!: number;
  /** From the number of a session's original flow to its reply's. */
  #toReply!: number;
  readonly #worker: number;
  readonly #counter: FlowCounter;
  /** By flow of the range: its session's entry, -1 = none; whether that is in the table of four words. */
  #entries!: Int32Array;
  #wide!: Uint8Array;
  /** By direction: word of the index; packets and bytes already told. */
  #places!: Int32Array;
  #told!: Float64Array;
  /** A stack of free flows, and a queue of ended ones. */
  #free!: Int32Array;
  #freeCount!: number;
  #resting!: RestQueue;

  /**
   * The share of worker number `worker`. It must be unused, unless an earlier ku's flows are there (`takenOver`): then none is begun before
   * `adopt`.
   */
  constructor(share: OffloadShare, worker: number, counter: FlowCounter, takenOver = false) {
    this.#worker = worker;
    this.#counter = counter;
    this.#settle(share);
    if (takenOver) this.#freeCount = 0;
  }

  /**
   * Goes over to a share of another memory, unused so far. No session may be repeated, and no program may run any more that knows the former
   * memory: what flows that rested have carried is told for the last time.
   */
  moveTo(share: OffloadShare): void {
    for (let i = 0; i < this.#resting.length; i++) this.tell(this.#resting.at(i));
    this.#settle(share);
  }

  #settle({ memory, first, count, firstHop, hopCount }: OffloadShare): void {
    this.#memory = memory;
    this.#index = new FlowIndex(memory);
    this.#rows = new HopRows(memory, firstHop, hopCount);
    this.#first = first;
    this.#count = count;
    this.#toReply = offloadSessionsOf(memory);
    this.limit = count;
    this.#entries = new Int32Array(count).fill(-1);
    this.#wide = new Uint8Array(count);
    this.#places = new Int32Array(2 * count);
    this.#told = new Float64Array(4 * count);
    this.#free = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#freeCount = count;
    this.#resting = new RestQueue(count);
  }

  /** Whether sessions are repeated at all. */
  get isOn(): boolean {
    return this.#epoch !== 0;
  }

  /** Sessions repeated now. */
  get used(): number {
    return this.#count - this.#freeCount - this.#resting.length;
  }

  /** Flows there are, used or not: what `forEach` and `follow` count by. */
  get capacity(): number {
    return this.#count;
  }

  /** Entry of the session that flow number `flow` repeats; -1 = none. */
  entryOf(flow: number): number {
    return this.#entries[flow];
  }

  /** Whether that entry is in the table of addressWords 4. */
  isWide(flow: number): boolean {
    return this.#wide[flow] === 1;
  }

  /**
   * Has the programs repeat the session at `entry`, whose packets leave by `hops`. Returns the flow's number, or -1: no room.
   * From here on packets may pass the worker by. What flow `before` of the same session has carried counts as this one's.
   */
  begin(table: SessionTable, entry: number, before = -1): number {
    const epoch = this.#epoch;
    if (epoch === 0 || this.used >= this.limit || this.#freeCount === 0) {
      this.refused++;
      return -1;
    }
    const flow = this.#free[this.#freeCount - 1];
    if (!this.#rows.findBoth(this.hops, this.now) || !this.#link(table, entry, flow)) {
      this.refused++;
      return -1;
    }
    this.#freeCount--;
    this.#write(table, entry, flow);
    this.#entries[flow] = entry;
    this.#wide[flow] = table.addressWords === 4 ? 1 : 0;
    if (before >= 0) this.#inherit(before, flow);
    this.begun++;
    this.#setEpochs(flow, epoch);
    return flow;
  }

  /**
   * Takes over the flows that are there: `visit` is called with each one that counts, its protocol, and the tuples of both directions (9
   * words each in `original` and `reply`, of which IPv4 uses three), and returns the session it has made of it, or null: the
   * flow ends. The rest is free from now on.
   */
  adopt(visit: AdoptVisitor): void {
    this.#rows.refresh();
    const { flows, notes } = this.#memory;
    const epoch = this.#epoch;
    const original = new Int32Array(9), reply = new Int32Array(9);
    this.#freeCount = 0;
    for (let flow = this.#count - 1; flow >= 0; flow--) {
      const number = this.#first + flow;
      const at = number * layout.FLOW_WORDS, note = number * layout.NOTE_WORDS;
      if (epoch === 0 || flows[at + layout.FLOW_EPOCH] !== epoch) {
        this.#setEpochs(flow, 0); // the earlier ku may have died between two stores
        this.#free[this.#freeCount++] = flow;
        continue;
      }
      const kind = flows[at + layout.FLOW_KIND];
      const isWide = (kind >>> 8 & 0xff) === 6;
      readTuple(this.#memory, number, isWide, original);
      readTuple(this.#memory, number + this.#toReply, isWide, reply);
      const isWhole = flows[at + this.#toReply * layout.FLOW_WORDS + layout.FLOW_EPOCH] === epoch &&
        this.#findPlaces(flow, kind & 0xff, isWide, original, reply);
      const adopted = isWhole ? visit(flow, kind & 0xff, isWide, original, reply) : null;
      if (adopted !== null) {
        this.#entries[flow] = adopted.entry;
        this.#wide[flow] = isWide ? 1 : 0;
        notes[note + layout.NOTE_SERVICE] = adopted.service;
        notes[note + layout.NOTE_POD] = adopted.pod;
        notes[note + layout.NOTE_WORKER] = this.#worker;
        if (adopted.told !== undefined) this.#told.set(adopted.told, 4 * flow);
        this.begun++;
      } else {
        notes[note + layout.NOTE_SERVICE] = -1;
        this.end(flow);
      }
    }
  }

  /** From now on the worker has all of the session's packets. What the flow has carried is told; the caller marks the session. */
  end(flow: number): void {
    this.#setEpochs(flow, 0);
    for (const place of [2 * flow, 2 * flow + 1]) this.#index.release(this.#places[place]);
    this.#entries[flow] = -1;
    this.tell(flow);
    this.#resting.push(flow, this.now);
  }

  /** The session has moved to another entry, of a table of the same width. */
  rename(flow: number, entry: number): void {
    this.#entries[flow] = entry;
  }

  /** Makes places of flows available again that ended long enough ago. */
  reclaim(): void {
    while (this.#resting.length > 0 && this.now - this.#resting.since >= REST_SECONDS) {
      const flow = this.#resting.shift();
      this.tell(flow);
      this.#free[this.#freeCount++] = flow;
    }
  }

  /** What ended flows may still come to carry belongs to nobody, where `isGone` says so of their service. */
  disown(isGone: (service: number) => boolean): void {
    const { notes } = this.#memory;
    for (let i = 0; i < this.#resting.length; i++) {
      const at = (this.#first + this.#resting.at(i)) * layout.NOTE_WORDS + layout.NOTE_SERVICE;
      if (isGone(notes[at])) notes[at] = -1;
    }
  }

  /** Tells the counter what the flow has carried since it was last told. */
  tell(flow: number): void {
    const number = this.#first + flow;
    const note = number * layout.NOTE_WORDS;
    for (let direction = 0; direction < 2; direction++) {
      const told = 4 * flow + 2 * direction;
      const of = number + direction * this.#toReply;
      const packets = packetsOf(this.#memory, of);
      const bytes = bytesOf(this.#memory, of);
      if (packets <= this.#told[told] && bytes <= this.#told[told + 1]) continue;
      const morePackets = packets - this.#told[told];
      const moreBytes = bytes - this.#told[told + 1];
      this.packets += morePackets;
      this.bytes += moreBytes;
      const service = this.#memory.notes[note + layout.NOTE_SERVICE];
      const pod = this.#memory.notes[note + layout.NOTE_POD];
      if (service >= 0) this.#counter.countFlow(service, pod, direction, morePackets, moreBytes);
      this.#told[told] = packets;
      this.#told[told + 1] = bytes;
    }
  }

  /** Packets and bytes of both directions that the counter was told, by flow: a copy. */
  toldOfAll(): Float64Array {
    return this.#told.slice();
  }

  /** Number of flow 0 among those of all workers. */
  get first(): number {
    return this.#first;
  }

  /** Second of the last packet that the programs repeated, of either direction, or in which the worker said that there was one. */
  lastSeen(flow: number): number {
    const at = this.#at(flow) + layout.FLOW_LAST_SEEN;
    const { flows } = this.#memory;
    return Math.max(secondOf(flows[at], this.now), secondOf(flows[at + this.#replyWords], this.now));
  }

  /** The session has had a packet then: one of the worker's, or in the other direction. */
  setLastSeen(flow: number, second: number): void {
    const at = this.#at(flow) + layout.FLOW_LAST_SEEN;
    this.#memory.flows[at] = this.#memory.flows[at + this.#replyWords] = tickOf(second);
  }

  /** Silence that ends it. */
  setTimeout(flow: number, seconds: number): void {
    const at = this.#at(flow) + layout.FLOW_TIMEOUT;
    this.#memory.flows[at] = this.#memory.flows[at + this.#replyWords] = ticksOf(seconds);
  }

  /** Whether the kernel has carried any of the client's packets. */
  hasCarried(flow: number): boolean {
    return packetsOf(this.#memory, this.#first + flow) > 0;
  }

  /** Low eight bits of the session's SESSION_NOTE, for a ku that adopts it. */
  setNotes(flow: number, notes: number): void {
    this.#memory.notes[(this.#first + flow) * layout.NOTE_WORDS + layout.NOTE_TCP] = notes;
  }

  notes(flow: number): number {
    return this.#memory.notes[(this.#first + flow) * layout.NOTE_WORDS + layout.NOTE_TCP];
  }

  /** Whether the kernel has repeated a FIN in this direction. */
  hasClosed(flow: number, direction: number): boolean {
    return hasFin(this.#memory, this.#first + flow + direction * this.#toReply);
  }

  isClosed(flow: number): boolean {
    return this.hasClosed(flow, 0) && this.hasClosed(flow, 1);
  }

  /** Whether it has in both directions of another worker's flow; `place`: that worker's among the others. */
  isClosedAt(place: number, flow: number): boolean {
    const number = (place < this.#worker ? place : place + 1) * this.#count + flow;
    return hasFin(this.#memory, number) && hasFin(this.#memory, number + this.#toReply);
  }

  /** Whether the flow leaves both ways as `hops` says. */
  leavesBy(flow: number): boolean {
    for (let direction = 0; direction < 2; direction++) {
      const at = this.#at(flow) + direction * this.#replyWords + layout.FLOW_KIND;
      const row = this.#memory.flows[at] >>> layout.KIND_HOP_SHIFT;
      if (!this.#rows.holds(row, this.hops, direction * SCRATCH_HOP_WORDS)) return false;
    }
    return true;
  }

  /** Where the index names the flow; false when it does not, in both directions. */
  #findPlaces(flow: number, protocol: number, isWide: boolean, ...tuples: Int32Array[]): boolean {
    return tuples.every((tuple, direction) => {
      const hash = this.#index.hashOf(isWide, protocol, tuple, 0);
      const place = this.#index.find(hash, 2 * (this.#first + flow) + direction);
      this.#places[2 * flow + direction] = place;
      return place >= 0;
    });
  }

  /** Word of the original's flow. */
  #at(flow: number): number {
    return (this.#first + flow) * layout.FLOW_WORDS;
  }

  /** Words from there to the reply's. */
  get #replyWords(): number {
    return this.#toReply * layout.FLOW_WORDS;
  }

  get #epoch(): number {
    return Atomics.load(this.#memory.conf, layout.OFFLOAD_CONF_EPOCH);
  }

  #setEpochs(flow: number, epoch: number): void {
    const at = this.#at(flow) + layout.FLOW_EPOCH;
    Atomics.store(this.#memory.flows, at, epoch);
    Atomics.store(this.#memory.flows, at + this.#replyWords, epoch);
  }

  #write(table: SessionTable, entry: number, flow: number): void {
    const number = this.#first + flow;
    writeFlow(this.#memory, number, 0, table, entry, this.#rows.original);
    writeFlow(this.#memory, number + this.#toReply, 1, table, entry, this.#rows.reply);
    this.#memory.notes[(this.#first + flow) * layout.NOTE_WORDS + layout.NOTE_WORKER] = this.#worker;
    this.#told.fill(0, 4 * flow, 4 * flow + 4);
    this.setLastSeen(flow, this.now);
    this.setTimeout(flow, table.timeouts[table.state(entry)]);
  }

  #inherit(from: number, to: number): void {
    const { flows } = this.#memory;
    for (let direction = 0; direction < 2; direction++) {
      const at = this.#at(to) + direction * this.#replyWords;
      const [packets, bytes] = [4 * from + 2 * direction, 4 * from + 2 * direction + 1];
      writeU64(flows, at + layout.FLOW_PACKETS, this.#told[packets]);
      writeU64(flows, at + layout.FLOW_BYTES, this.#told[bytes]);
      this.#told[4 * to + 2 * direction] = this.#told[packets];
      this.#told[4 * to + 2 * direction + 1] = this.#told[bytes];
    }
  }

  /** Puts both directions into the index; false, with nothing changed, when one finds no room or its tag there. */
  #link(table: SessionTable, entry: number, flow: number): boolean {
    const number = 2 * (this.#first + flow);
    const original = this.#index.take(this.#hash(table, entry, SESSION_ORIGINAL), number);
    if (original < 0) return false;
    const reply = this.#index.take(this.#hash(table, entry, table.replyAt), number + 1);
    if (reply < 0) {
      this.#index.release(original);
      return false;
    }
    this.#places[2 * flow] = original;
    this.#places[2 * flow + 1] = reply;
    return true;
  }

  #hash(table: SessionTable, entry: number, tupleAt: number): number {
    return this.#index.hashOf(table.addressWords === 4, table.protocol(entry), table.words, entry + tupleAt);
  }
}
