/**
 * The sessions of one worker that the steering programs repeat, in memory that these read (laid out in offload_layout.ts). The worker
 * decides and writes; the programs look up exact tuples, count, and note the time. So beginning, following and ending a session takes
 * no system call.
 *
 * Rule: a worker writes its own flows only, a range of the whole; the index is shared, so its words are taken by compare-and-exchange.
 * A flow is written while its epoch is 0, and then never changed but for its timeout: another way out is another flow. An ended one
 * rests for REST_SECONDS before its place is used again: until then a program that had found it may still count in it.
 *
 * The index holds a tag only once a bucket, so that the programs need one look: a session that would be a second one, or find no room,
 * stays with the worker.
 *
 * References: ffi/bpf/flow.h (the reader); RFC 1624 eqn. 3 (differences of checksums); hash.ts.
 */

import { keyedHash4, keyedHash6 } from "./hash.ts";
import type { AdoptVisitor } from "./offload_adopt.ts";
import * as layout from "./offload_layout.ts";
import { leavesBy, readTuple, SCRATCH_WAY_WORDS, writeFlow } from "./offload_flow.ts";
import { type OffloadMemory, readU64, writeU64 } from "./offload_memory.ts";
import { SESSION_ORIGINAL, type SessionTable } from "./session.ts";

/** Programs run for microseconds and are not interrupted. */
const REST_SECONDS = 2;
const NS_PER_SECOND = 1e9;

/** Whoever adds up what flows have carried: packets and bytes since it was last told, in one direction (1 = the pod's answers). */
export interface FlowCounter {
  countFlow(service: number, pod: number, direction: number, packets: number, bytes: number): void;
}

/** The flows of one worker. See the top of the file. */
export class OffloadTable {
  /** Sessions it may hold now; at most its share of the memory. */
  limit: number;
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
  /** Scratch for `begin`: SCRATCH_… of the original direction, then of the reply's. */
  readonly ways = new Int32Array(2 * SCRATCH_WAY_WORDS);

  #conf: Int32Array;
  #index: Int32Array;
  #flows: Int32Array;
  #first: number;
  #count: number;
  readonly #worker: number;
  readonly #counter: FlowCounter;
  /** By flow of the range: its session's entry, -1 = none; whether that is in the table of four words. */
  #entries: Int32Array;
  #wide: Uint8Array;
  /** By direction: word of the index; packets and bytes already told. */
  #places: Int32Array;
  #told: Float64Array;
  /** A stack of free flows, and a queue of ended ones with the second they ended in. */
  #free: Int32Array;
  #freeCount: number;
  #resting: Int32Array;
  #since: Int32Array;
  #restingAt = 0;
  #restingCount = 0;

  /**
   * Flows `first` … `first + count - 1` of the memory, for worker number `worker`. They must be unused, unless an earlier ku's are there
   * (`takenOver`): then none is begun before `adopt`.
   */
  constructor(
    memory: OffloadMemory,
    first: number,
    count: number,
    worker: number,
    counter: FlowCounter,
    takenOver = false,
  ) {
    this.#conf = memory.conf;
    this.#index = memory.index;
    this.#flows = memory.flows;
    this.#first = first;
    this.#count = count;
    this.#worker = worker;
    this.#counter = counter;
    this.limit = count;
    this.#entries = new Int32Array(count).fill(-1);
    this.#wide = new Uint8Array(count);
    this.#places = new Int32Array(2 * count);
    this.#told = new Float64Array(4 * count);
    this.#free = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#freeCount = takenOver ? 0 : count;
    this.#resting = new Int32Array(count);
    this.#since = new Int32Array(count);
  }

  /**
   * Goes over to flows `first` … `first + count - 1` of another memory, unused so far. No session may be repeated, and no program may run
   * any more that knows the former memory: what flows that rested have carried is told for the last time.
   */
  moveTo(memory: OffloadMemory, first: number, count: number): void {
    for (let i = 0; i < this.#restingCount; i++) {
      this.tell(this.#resting[(this.#restingAt + i) % this.#count]);
    }
    this.#conf = memory.conf;
    this.#index = memory.index;
    this.#flows = memory.flows;
    this.#first = first;
    this.#count = count;
    this.limit = count;
    this.#entries = new Int32Array(count).fill(-1);
    this.#wide = new Uint8Array(count);
    this.#places = new Int32Array(2 * count);
    this.#told = new Float64Array(4 * count);
    this.#free = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#freeCount = count;
    this.#resting = new Int32Array(count);
    this.#since = new Int32Array(count);
    this.#restingAt = 0;
    this.#restingCount = 0;
  }

  /** Whether sessions are repeated at all. */
  get isOn(): boolean {
    return Atomics.load(this.#conf, layout.OFFLOAD_CONF_EPOCH) !== 0;
  }

  /** Sessions repeated now. */
  get used(): number {
    return this.#count - this.#freeCount - this.#restingCount;
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
   * Has the programs repeat the session at `entry`, whose packets leave by `ways`. Returns the flow's number, or -1: no room.
   * From here on packets may pass the worker by. What flow `before` of the same session has carried counts as this one's.
   */
  begin(table: SessionTable, entry: number, before = -1): number {
    const epoch = Atomics.load(this.#conf, layout.OFFLOAD_CONF_EPOCH);
    if (epoch === 0 || this.used >= this.limit || this.#freeCount === 0) {
      this.refused++;
      return -1;
    }
    const flow = this.#free[this.#freeCount - 1];
    if (!this.#link(table, entry, flow)) {
      this.refused++;
      return -1;
    }
    this.#freeCount--;
    this.#write(table, entry, flow);
    this.#entries[flow] = entry;
    this.#wide[flow] = table.addressWords === 4 ? 1 : 0;
    if (before >= 0) this.#inherit(before, flow);
    this.begun++;
    Atomics.store(this.#flows, this.#at(flow) + layout.FLOW_EPOCH, epoch);
    return flow;
  }

  /**
   * Takes over the flows that are there: `visit` is called with each one that counts, its protocol, and the tuples of both directions (9
   * words each in `original` and `reply`, of which IPv4 uses three), and returns the session it has made of it, or null: the
   * flow ends. The rest is free from now on.
   */
  adopt(visit: AdoptVisitor): void {
    const epoch = Atomics.load(this.#conf, layout.OFFLOAD_CONF_EPOCH);
    const original = new Int32Array(9);
    const reply = new Int32Array(9);
    this.#freeCount = 0;
    for (let flow = this.#count - 1; flow >= 0; flow--) {
      const at = this.#at(flow);
      if (epoch === 0 || this.#flows[at + layout.FLOW_EPOCH] !== epoch) {
        this.#free[this.#freeCount++] = flow;
        continue;
      }
      const kind = this.#flows[at + layout.FLOW_KIND];
      const isWide = (kind >>> 8 & 0xff) === 6;
      readTuple(this.#flows, at, 0, isWide, original);
      readTuple(this.#flows, at, 1, isWide, reply);
      const adopted = this.#findPlaces(flow, kind & 0xff, isWide, original, reply)
        ? visit(flow, kind & 0xff, isWide, original, reply)
        : null;
      if (adopted !== null) {
        this.#entries[flow] = adopted.entry;
        this.#wide[flow] = isWide ? 1 : 0;
        this.#flows[at + layout.FLOW_SERVICE] = adopted.service;
        this.#flows[at + layout.FLOW_POD] = adopted.pod;
        this.#flows[at + layout.FLOW_WORKER] = this.#worker;
        if (adopted.told !== undefined) this.#told.set(adopted.told, 4 * flow);
        this.begun++;
      } else {
        this.#flows[at + layout.FLOW_SERVICE] = -1;
        this.end(flow);
      }
    }
  }

  /** From now on the worker has all of the session's packets. What the flow has carried is told; the caller marks the session. */
  end(flow: number): void {
    Atomics.store(this.#flows, this.#at(flow) + layout.FLOW_EPOCH, 0);
    this.#unlink(flow);
    this.#entries[flow] = -1;
    this.tell(flow);
    const place = (this.#restingAt + this.#restingCount) % this.#count;
    this.#resting[place] = flow;
    this.#since[place] = this.now;
    this.#restingCount++;
  }

  /** The session has moved to another entry, of a table of the same width. */
  rename(flow: number, entry: number): void {
    this.#entries[flow] = entry;
  }

  /** Makes places of flows available again that ended long enough ago. */
  reclaim(): void {
    while (this.#restingCount > 0 && this.now - this.#since[this.#restingAt] >= REST_SECONDS) {
      const flow = this.#resting[this.#restingAt];
      this.tell(flow);
      this.#restingAt = (this.#restingAt + 1) % this.#count;
      this.#restingCount--;
      this.#free[this.#freeCount++] = flow;
    }
  }

  /** What ended flows may still come to carry belongs to nobody, where `isGone` says so of their service. */
  disown(isGone: (service: number) => boolean): void {
    for (let i = 0; i < this.#restingCount; i++) {
      const at = this.#at(this.#resting[(this.#restingAt + i) % this.#count]) + layout.FLOW_SERVICE;
      if (isGone(this.#flows[at])) this.#flows[at] = -1;
    }
  }

  /** Tells the counter what the flow has carried since it was last told. */
  tell(flow: number): void {
    const flows = this.#flows;
    const at = this.#at(flow);
    for (let direction = 0; direction < 2; direction++) {
      const way = at + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
      const told = 4 * flow + 2 * direction;
      const packets = readU64(flows, way + layout.WAY_PACKETS);
      if (packets <= this.#told[told]) continue;
      const bytes = readU64(flows, way + layout.WAY_BYTES);
      const morePackets = packets - this.#told[told];
      const moreBytes = bytes - this.#told[told + 1];
      this.packets += morePackets;
      this.bytes += moreBytes;
      const service = flows[at + layout.FLOW_SERVICE];
      if (service >= 0) {
        this.#counter.countFlow(service, flows[at + layout.FLOW_POD], direction, morePackets, moreBytes);
      }
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

  /** Second of the last packet that the programs repeated, or in which the worker said that there was one. */
  lastSeen(flow: number): number {
    return Math.floor(readU64(this.#flows, this.#at(flow) + layout.FLOW_LAST_SEEN) / NS_PER_SECOND);
  }

  /** The worker has had a packet of the session. */
  setLastSeen(flow: number, second: number): void {
    writeU64(this.#flows, this.#at(flow) + layout.FLOW_LAST_SEEN, second * NS_PER_SECOND);
  }

  /** Silence that ends it. */
  setTimeout(flow: number, seconds: number): void {
    writeU64(this.#flows, this.#at(flow) + layout.FLOW_TIMEOUT, timeoutNs(seconds));
  }

  /** Whether the flow leaves both ways as `ways` says. */
  leavesBy(flow: number): boolean {
    return leavesBy(this.#flows, this.#at(flow), this.ways);
  }

  /** Where the index names the flow; false when it does not, in both directions. */
  #findPlaces(flow: number, protocol: number, isWide: boolean, ...tuples: Int32Array[]): boolean {
    return tuples.every((tuple, direction) => {
      const hash = this.#hashOf(isWide, protocol, tuple, 0);
      const word = (hash & layout.OFFLOAD_TAG) | (2 * (this.#first + flow) + 1 + direction);
      const bucket = (hash & this.#conf[layout.OFFLOAD_CONF_MASK]) * layout.OFFLOAD_BUCKET_WORDS;
      const place = this.#index.subarray(bucket, bucket + layout.OFFLOAD_BUCKET_WORDS).indexOf(word);
      this.#places[2 * flow + direction] = bucket + place;
      return place >= 0;
    });
  }

  #at(flow: number): number {
    return (this.#first + flow) * layout.FLOW_WORDS;
  }

  #write(table: SessionTable, entry: number, flow: number): void {
    const at = this.#at(flow);
    writeFlow(this.#flows, at, table, entry, this.ways);
    this.#flows[at + layout.FLOW_WORKER] = this.#worker;
    this.#told.fill(0, 4 * flow, 4 * flow + 4);
    this.setLastSeen(flow, this.now);
    this.setTimeout(flow, table.timeouts[table.state(entry)]);
  }

  #inherit(from: number, to: number): void {
    for (let direction = 0; direction < 2; direction++) {
      const way = layout.FLOW_WAYS + direction * layout.WAY_WORDS;
      for (const column of [0, 1]) {
        const told = this.#told[4 * from + 2 * direction + column];
        writeU64(this.#flows, this.#at(to) + way + 2 * column, told);
        this.#told[4 * to + 2 * direction + column] = told;
      }
    }
  }

  /** Puts both directions into the index; false, with nothing changed, when one finds no room or its tag there. */
  #link(table: SessionTable, entry: number, flow: number): boolean {
    const number = 2 * (this.#first + flow) + 1;
    const original = this.#take(this.#hash(table, entry, SESSION_ORIGINAL), number);
    if (original < 0) return false;
    const reply = this.#take(this.#hash(table, entry, table.replyAt), number + 1);
    if (reply < 0) {
      Atomics.store(this.#index, original, 0);
      return false;
    }
    this.#places[2 * flow] = original;
    this.#places[2 * flow + 1] = reply;
    return true;
  }

  #unlink(flow: number): void {
    Atomics.store(this.#index, this.#places[2 * flow], 0);
    Atomics.store(this.#index, this.#places[2 * flow + 1], 0);
  }

  #hash(table: SessionTable, entry: number, tupleAt: number): number {
    return this.#hashOf(table.addressWords === 4, table.protocol(entry), table.words, entry + tupleAt);
  }

  #hashOf(isWide: boolean, protocol: number, words: Int32Array, at: number): number {
    const key = this.#conf;
    if (isWide) return keyedHash6(key, layout.OFFLOAD_CONF_KEY, protocol, words, at);
    return keyedHash4(key, layout.OFFLOAD_CONF_KEY, protocol, words[at], words[at + 1], words[at + 2]);
  }

  /** A free word of the hash's bucket, which then holds the tag and `number`; -1 = none, or the tag is there. */
  #take(hash: number, number: number): number {
    const bucket = (hash & this.#conf[layout.OFFLOAD_CONF_MASK]) * layout.OFFLOAD_BUCKET_WORDS;
    const tag = hash & layout.OFFLOAD_TAG;
    let free = -1;
    for (let at = bucket; at < bucket + layout.OFFLOAD_BUCKET_WORDS; at++) {
      const word = Atomics.load(this.#index, at);
      if (word === 0) free = at;
      else if ((word & layout.OFFLOAD_TAG) === tag) return -1;
    }
    if (free < 0) return -1;
    return Atomics.compareExchange(this.#index, free, 0, tag | number) === 0 ? free : -1;
  }
}

/** The kernel's signed comparison must not overflow. */
function timeoutNs(seconds: number): number {
  return Math.min(seconds, 2 ** 31) * NS_PER_SECOND;
}
