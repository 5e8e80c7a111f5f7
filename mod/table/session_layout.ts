/**
 * How a session table lies in memory: one buffer of int32 words, handed to other workers and to the control plane as it is.
 *
 *   word 0      header    HEADER_WORDS: geometry, live count, version, timeouts, hash key
 *   64          tags      1 word a bucket: four 8-bit tags, entry 0's in the top byte; 0 = the entry is free
 *   repliesAt   replies   2 words an entry, in lines of 16: top bits of the hash | entry index + 1; 0 = free
 *   entriesAt   entries   4 a bucket, likewise at the start of a line; A = 1 for IPv4, 4 for IPv6:
 *
 *        words    A = 1     A = 4
 *        0        KIND      protocol << 24 | state << 16 | flags; 0 = free
 *        1        LAST_SEEN second of the last packet in either direction
 *        2        SERVICE   service id
 *        3        POD       pod id
 *        4        NOTE      the datapath's
 *        5        OFFLOAD   number of the flow that the kernel repeats it by + 1 (offload.ts); ≤ 0 = none, not before second -OFFLOAD
 *        A+A+1    6 … 8     6 … 14    original tuple: source, destination, source port << 16 | destination port
 *        A+A+1    9 … 11    15 … 23   reply tuple as the pod's packets carry it: source = pod, destination = client
 *
 *   bytes a session, both directions      A = 1: 48 entry + 8 reply slots + 1 tag = 57      A = 4: 96 + 8 + 1 = 105
 *
 * A bucket of IPv4 is three lines of 64 bytes: its first and last entry lie in one each, the middle ones in two, which is why these are
 * taken last. The allocator does not begin buffers at a line (malloc puts 16 bytes before large ones), so whoever makes a table says how
 * far off it is, and up to 15 words stay free.
 *
 * A tuple decides only by exact comparison; tags only say where to look. An original lookup reads one tag word and (nearly always)
 * one entry. A reply lookup starts at its home in one 64-byte line (the hash's top four bits, which the slot keeps) and walks round
 * the line until a free slot. Removal moves back what had walked past the freed slot, so lines have no gaps and misses stay short. Half of
 * the reply slots are free even when every entry is in use; a line that is full all the same counts as a full bucket.
 */

import { expandSeed } from "./hash.ts";
import type { MemorySource } from "./memory.ts";

/** protocol << 24 | state << 16 | flags; 0 = free. SESSION_LIVE is set in the flags of every session. */
export const SESSION_KIND = 0;
/** Second of the last packet, either direction; the datapath writes it. */
export const SESSION_LAST_SEEN = 1;
export const SESSION_SERVICE = 2; // service id
export const SESSION_POD = 3; // pod id
export const SESSION_NOTE = 4; // u32 of the datapath: TCP bits seen each way
/** Of SESSION_NOTE, of TCP: the client's FIN has passed, the pod's (mod/datapath/tcp_state.ts has the others). */
export const SESSION_NOTE_FIN_ORIGINAL = 1;
export const SESSION_NOTE_FIN_REPLY = 2;
export const SESSION_OFFLOAD = 5; // flow the kernel repeats it by + 1; ≤ 0: none, and not to be tried before second -OFFLOAD
export const SESSION_ORIGINAL = 6; // original tuple, either width
export const SESSION_REPLY4 = 9; // reply tuple when addressWords is 1
export const SESSION_REPLY6 = 15; // reply tuple when addressWords is 4

/** Bit of the flags that says the entry is in use: with protocol 0 and state 0 KIND would be 0 without it. */
export const SESSION_LIVE = 0x8000;

export const SESSION_STATE_OTHER = 0; // UDP and all that has no states
export const SESSION_STATE_TRANSITORY = 1; // TCP before the handshake is complete
export const SESSION_STATE_ESTABLISHED = 2;
export const SESSION_STATE_CLOSING = 3; // FIN both ways, or RST

/** Results of `SessionTable.insert` that are no entry. */
export const SESSION_FULL = -1;
export const SESSION_REPLY_TAKEN = -2;
/** Result of reading another thread's table: not found, yet perhaps there. */
export const SESSION_BUSY = -3;

export const SESSION_MAX_BUCKETS = 1 << 22; // 2^24 entries: index + 1 takes 25 bits of a reply slot, 7 are left of the hash

export const BUCKET_ENTRIES = 4;
/** Entries of a bucket in the order in which they are taken, two bits each, the first one lowest: 0, 3, 1, 2. */
export const LANE_ORDER = 0b10_01_11_00;
export const LINE_SLOTS = 16;

export const HEADER_MAGIC = 0;
export const HEADER_BUCKETS = 1;
export const HEADER_ADDRESS_WORDS = 2;
export const HEADER_USED = 3; // entries in use
export const HEADER_VERSION = 4; // odd while the writer changes something
export const HEADER_TIMEOUTS = 8; // 4 words: seconds by state
export const HEADER_KEY = 16; // HASH_KEY_WORDS words
export const HEADER_LEAD = 43; // words left free before the reply slots
// 44 … 55 stay 0: who looks ahead without a guess looks there
export const HEADER_WORDS = 64;
export const SESSION_MAGIC = 0x6b755331; // "kuS1"

/** RangeError for a number of buckets that is no power of two or too large. */
export function checkBuckets(buckets: number): void {
  if (buckets >= 1 && buckets <= SESSION_MAX_BUCKETS && Math.log2(buckets) % 1 === 0) return;
  throw new RangeError(`session buckets must be a power of two up to ${SESSION_MAX_BUCKETS}: ${buckets}`);
}

/** Words from one entry to the next: six of meta, two tuples. */
export function strideFor(addressWords: 1 | 4): number {
  return SESSION_ORIGINAL + 2 * (2 * addressWords + 1);
}

/** Word of the first reply slot: behind the tags, at the start of a 64-byte line of memory, which is `lead` words off the buffer's. */
export function repliesAtFor(buckets: number, lead: number): number {
  return ((HEADER_WORDS + buckets + LINE_SLOTS - 1) & ~(LINE_SLOTS - 1)) + lead;
}

/** Word of the first entry: behind at least one line of reply slots. */
export function entriesAtFor(buckets: number, lead: number): number {
  return repliesAtFor(buckets, lead) + Math.max(2 * buckets * BUCKET_ENTRIES, LINE_SLOTS);
}

/** Bytes of a table of `buckets` (a power of two) buckets. */
export function bytesFor(buckets: number, addressWords: 1 | 4): number {
  return 4 * (entriesAtFor(buckets, LINE_SLOTS) + buckets * BUCKET_ENTRIES * strideFor(addressWords));
}

/** The memory of an empty table: `SessionTable.create`. */
export function createBuffer(
  buckets: number,
  addressWords: 1 | 4,
  seed: Uint32Array,
  memory: MemorySource,
): SharedArrayBuffer | ArrayBuffer {
  checkBuckets(buckets);
  if (seed.length < 4) throw new RangeError(`session seed must have four words: ${seed.length}`);
  const buffer = memory.allocate(bytesFor(buckets, addressWords));
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  words[HEADER_MAGIC] = SESSION_MAGIC;
  words[HEADER_BUCKETS] = buckets;
  words[HEADER_ADDRESS_WORDS] = addressWords;
  words[HEADER_LEAD] = (-memory.lineOffsetOf(buffer) & 63) >> 2;
  words.set([40, 240, 7440, 240], HEADER_TIMEOUTS);
  expandSeed(seed, words, HEADER_KEY);
  return buffer;
}

/** Who repeats sessions, as a table sees it: by flows. */
export interface SessionEnding {
  /** The flow's session is gone. */
  end(flow: number): void;
  /** Whether both ends have closed the flow's connection. */
  isClosed(flow: number): boolean;
  /** It is at another entry. */
  rename(flow: number, entry: number): void;
}

// In the hot functions below the constants above stand as numbers: V8 reads exported constants from memory at every use.

/** Whether KIND belongs to a session of this protocol. */
export function isSession(kind: number, protocol: number): boolean {
  return (kind >>> 24) === protocol && (kind & 0x8000) !== 0;
}

/** Whether the session in `entry` has been idle for longer than its state's timeout. One that the kernel repeats is not: it says when. */
export function isExpired(words: Int32Array, entry: number, now: number): boolean {
  return ((now - words[entry + 1]) | 0) > words[8 + ((words[entry] >>> 16) & 3)] && words[entry + 5] <= 0;
}

/** Whether the nine words from `at` are the tuple `key`. */
export function equalTuple6(words: Int32Array, at: number, key: Int32Array): boolean {
  return words[at + 8] === key[8] && words[at + 3] === key[3] && words[at + 7] === key[7] &&
    words[at] === key[0] && words[at + 1] === key[1] && words[at + 2] === key[2] &&
    words[at + 4] === key[4] && words[at + 5] === key[5] && words[at + 6] === key[6];
}

/** The 8-bit tag of a hash, never 0. */
export function tagOf(hash: number): number {
  return (hash >>> 24) | 1;
}

/**
 * Top bits of the bytes of `tags` that equal the hash's tag. A byte above a match may be marked wrongly (the borrow of the
 * subtraction): the comparison of tuples sorts it out.
 */
export function tagHits(tags: number, hash: number): number {
  const difference = tags ^ Math.imul((hash >>> 24) | 1, 0x01010101);
  return (difference - 0x01010101) & ~difference & 0x80808080;
}

/** The entry of a bucket with these tags that is to be taken next, 0 … 3; -1 if none is free. */
export function freeLane(tags: number): number {
  for (let order = LANE_ORDER, tried = 0; tried < 4; tried++, order >>= 2) {
    const lane = order & 3;
    if (((tags >>> (24 - (lane << 3))) & 0xff) === 0) return lane;
  }
  return -1;
}
