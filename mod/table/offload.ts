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

import { expandSeed, keyedHash4, keyedHash6 } from "./hash.ts";
import * as layout from "./offload_layout.ts";
import { SESSION_ORIGINAL, SESSION_POD, SESSION_SERVICE, type SessionTable } from "./session.ts";

/** Programs run for microseconds and are not interrupted. */
const REST_SECONDS = 2;
/** Words of one direction in `ways`. */
export const SCRATCH_WAY_WORDS = 6;
const NS_PER_SECOND = 1e9;
const WORD = 2 ** 32;
/** A multiple of 0xffff above every sum that is subtracted from it. */
const SUM_ZERO = 0xffff * 32;

/** Columns of `ways`, the caller's description of how a direction leaves. MACs as the datapath's hops have them: int32 words. */
export const SCRATCH_SLOT = 0;
export const SCRATCH_FLAGS = 1;
export const SCRATCH_MTU = 2;
export const SCRATCH_MACS = 3;

/** The memory that programs and workers share. */
export interface OffloadMemory {
  readonly conf: Int32Array;
  readonly index: Int32Array;
  readonly flows: Int32Array;
}

/** Whoever adds up what flows have carried: packets and bytes since it was last told, in one direction (1 = the pod's answers). */
export interface FlowCounter {
  countFlow(service: number, pod: number, direction: number, packets: number, bytes: number): void;
}

/** Makes the memory (all zero) ready for flows, which are repeated once `setOffloadEpoch` says so. `seed`: at least four random words. */
export function prepareOffload({ conf, index }: OffloadMemory, seed: Uint32Array): void {
  expandSeed(seed, conf, layout.OFFLOAD_CONF_KEY);
  conf[layout.OFFLOAD_CONF_MASK] = index.length / layout.OFFLOAD_BUCKET_WORDS - 1;
}

/** One store: flows of other epochs count no more; 0 = nothing is repeated. */
export function setOffloadEpoch({ conf }: OffloadMemory, epoch: number): void {
  Atomics.store(conf, layout.OFFLOAD_CONF_EPOCH, epoch);
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
  /** Scratch for `begin`: SCRATCH_… of the original direction, then of the reply's. */
  readonly ways = new Int32Array(2 * SCRATCH_WAY_WORDS);

  readonly #conf: Int32Array;
  readonly #index: Int32Array;
  readonly #flows: Int32Array;
  readonly #first: number;
  readonly #count: number;
  readonly #worker: number;
  readonly #counter: FlowCounter;
  /** By flow of the range: its session's entry, -1 = none; whether that is in the table of four words. */
  readonly #entries: Int32Array;
  readonly #wide: Uint8Array;
  /** By direction: word of the index; packets and bytes already told. */
  readonly #places: Int32Array;
  readonly #told: Float64Array;
  /** A stack of free flows, and a queue of ended ones with the second they ended in. */
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #resting: Int32Array;
  readonly #since: Int32Array;
  #restingAt = 0;
  #restingCount = 0;

  /** Flows `first` … `first + count - 1` of the memory, for worker number `worker`. They must be unused. */
  constructor(memory: OffloadMemory, first: number, count: number, worker: number, counter: FlowCounter) {
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
    this.#freeCount = count;
    this.#resting = new Int32Array(count);
    this.#since = new Int32Array(count);
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
   * From here on packets may pass the worker by.
   */
  begin(table: SessionTable, entry: number): number {
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
    this.begun++;
    Atomics.store(this.#flows, this.#at(flow) + layout.FLOW_EPOCH, epoch);
    return flow;
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
      if (packets === this.#told[told]) continue;
      const bytes = readU64(flows, way + layout.WAY_BYTES);
      const service = flows[at + layout.FLOW_SERVICE];
      if (service >= 0) {
        const [morePackets, moreBytes] = [packets - this.#told[told], bytes - this.#told[told + 1]];
        this.#counter.countFlow(service, flows[at + layout.FLOW_POD], direction, morePackets, moreBytes);
      }
      this.#told[told] = packets;
      this.#told[told + 1] = bytes;
    }
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
    for (let direction = 0; direction < 2; direction++) {
      const way = this.#at(flow) + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
      for (let i = 0; i < SCRATCH_WAY_WORDS; i++) {
        if (this.#flows[way + WAY_COLUMNS[i]] !== this.#wayWord(direction, i)) return false;
      }
    }
    return true;
  }

  /** Packets (column 0) or bytes (1) that the flow has carried in one direction. */
  carried(flow: number, direction: number, column: 0 | 1): number {
    return readU64(
      this.#flows,
      this.#at(flow) + layout.FLOW_WAYS + direction * layout.WAY_WORDS + 2 * column,
    );
  }

  #at(flow: number): number {
    return (this.#first + flow) * layout.FLOW_WORDS;
  }

  #wayWord(direction: number, column: number): number {
    const word = this.ways[direction * SCRATCH_WAY_WORDS + column];
    return column < SCRATCH_MACS ? word : layout.swap32(word);
  }

  #write(table: SessionTable, entry: number, flow: number): void {
    const flows = this.#flows;
    const { words } = table;
    const at = this.#at(flow);
    const four = table.addressWords === 1;
    flows.fill(0, at, at + layout.FLOW_WORDS);
    this.#told.fill(0, 4 * flow, 4 * flow + 4);
    flows[at + layout.FLOW_KIND] = table.protocol(entry) | (four ? 4 : 6) << 8;
    flows[at + layout.FLOW_SERVICE] = words[entry + SESSION_SERVICE];
    flows[at + layout.FLOW_POD] = words[entry + SESSION_POD];
    flows[at + layout.FLOW_WORKER] = this.#worker;
    const width = table.addressWords;
    for (let direction = 0; direction < 2; direction++) {
      const from = entry + (direction === 0 ? SESSION_ORIGINAL : table.replyAt);
      const tuple = at + layout.FLOW_TUPLES + direction * layout.FLOW_TUPLE_WORDS;
      const addresses = four ? tuple : at + layout.FLOW_ADDRESSES6 + 8 * direction;
      for (let i = 0; i < 2 * width; i++) flows[addresses + i] = layout.swap32(words[from + i]);
      flows[tuple + 2] = layout.swap32(words[from + 2 * width]);
      this.#writeWay(table, entry, at, direction);
    }
    this.setLastSeen(flow, this.now);
    this.setTimeout(flow, table.timeouts[table.state(entry)]);
  }

  #writeWay(table: SessionTable, entry: number, at: number, direction: number): void {
    const way = at + layout.FLOW_WAYS + direction * layout.WAY_WORDS;
    for (let i = 0; i < SCRATCH_WAY_WORDS; i++) {
      this.#flows[way + WAY_COLUMNS[i]] = this.#wayWord(direction, i);
    }
    const original = SESSION_ORIGINAL, reply = table.replyAt;
    const [from, to] = direction === 0 ? [original, reply] : [reply, original];
    const width = 2 * table.addressWords;
    const addresses = difference(
      sumOf(table.words, entry + from, width),
      sumOf(table.words, entry + to, width),
    );
    const before = sumOf(table.words, entry + from + width, 1);
    const after = sumOf(table.words, entry + to + width, 1);
    const ports = before === after ? 0 : difference(before, after);
    this.#flows[way + layout.WAY_DELTAS] = layout.swap16(addresses) | layout.swap16(ports) << 16;
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
    const { words } = table;
    const at = entry + tupleAt;
    const protocol = table.protocol(entry);
    if (table.addressWords === 4) {
      return keyedHash6(this.#conf, layout.OFFLOAD_CONF_KEY, protocol, words, at);
    }
    return keyedHash4(
      this.#conf,
      layout.OFFLOAD_CONF_KEY,
      protocol,
      words[at],
      words[at + 1],
      words[at + 2],
    );
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

/** Where the columns of `ways` are in a flow. */
const WAY_COLUMNS = [
  layout.WAY_SLOT,
  layout.WAY_FLAGS,
  layout.WAY_MTU,
  layout.WAY_MACS,
  layout.WAY_MACS + 1,
  layout.WAY_MACS + 2,
];

/** The kernel's signed comparison must not overflow. */
function timeoutNs(seconds: number): number {
  return Math.min(seconds, 2 ** 31) * NS_PER_SECOND;
}

/** A number that another thread adds to: its upper word must be the same before and after. */
function readU64(words: Int32Array, at: number): number {
  for (;;) {
    const high = Atomics.load(words, at + 1);
    const low = Atomics.load(words, at);
    if (Atomics.load(words, at + 1) === high) return (high >>> 0) * WORD + (low >>> 0);
  }
}

function writeU64(words: Int32Array, at: number, value: number): void {
  words[at] = value % WORD | 0;
  words[at + 1] = Math.floor(value / WORD);
}

/** Sum of the halves of `count` words. */
function sumOf(words: Int32Array, at: number, count: number): number {
  let sum = 0;
  for (let i = at; i < at + count; i++) sum += (words[i] >>> 16) + (words[i] & 0xffff);
  return sum;
}

/** What a change from one sum to another adds to a complemented checksum: 1 … 0xffff. */
function difference(before: number, after: number): number {
  let sum = SUM_ZERO - before + after;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
