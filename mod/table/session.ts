/**
 * Sessions of one worker and one address width: who talks to which pod, found from either direction. The layout is drawn in
 * session_layout.ts, the hash explained in hash.ts.
 *
 * Rule: one writer. Finding never writes; a hash match alone never decides. Expired sessions are not found, and their room is reused.
 * Nothing here allocates after construction. Time is an argument: whole seconds from any start, below 2^31.
 *
 * Other threads may read. HEADER_VERSION is odd while the writer changes what others may have found, KIND is cleared before and written
 * after the rest of an entry. `readReply` and `readOriginal` are their way: they copy an entry and repeat when the version moved. `findReply` in another
 * thread may miss a session, or return one that is just being replaced.
 *
 * The writer's view may have a filter, in which every session's reply tuple is counted from `insert` until it is freed in whatever way;
 * and an ending, which is told the flow by which the kernel repeats a session (SESSION_OFFLOAD - 1) when the session goes.
 *
 * References: nf_conntrack (original and reply tuple of one session); RFC 5382 REQ-5 (timeouts); seqlock (include/linux/seqlock.h).
 */

import type { SessionFilter } from "./filter.ts";
import { keyedHash4, keyedHash6 } from "./hash.ts";
import { type MemorySource, SHARED_MEMORY } from "./memory.ts";
import * as layout from "./session_layout.ts";
import { readSession } from "./session_read.ts";
import { ReplyIndex } from "./session_reply.ts";
import { Victim } from "./session_victim.ts";

export * from "./session_layout.ts";

// V8 folds constants of the own module into the code, but reads imported ones from memory at every use: hence these.
const hash4 = keyedHash4;
const hash6 = keyedHash6;
const isLiveSession = layout.isSession;
const isExpired = layout.isExpired;
const equalTuple = layout.equalTuple6;
const tagOf = layout.tagOf;
const tagHits = layout.tagHits;
const LAST_SEEN = layout.SESSION_LAST_SEEN;
const OFFLOAD = layout.SESSION_OFFLOAD;
const ORIGINAL = layout.SESSION_ORIGINAL;
const REPLY4 = layout.SESSION_REPLY4, REPLY6 = layout.SESSION_REPLY6;
const LIVE = layout.SESSION_LIVE;
const TIMEOUTS = layout.HEADER_TIMEOUTS;
const KEY = layout.HEADER_KEY;
const freeLane = layout.freeLane;
const TAGS_AT = layout.HEADER_WORDS;
const USED = layout.HEADER_USED;
const VERSION = layout.HEADER_VERSION;
const STRIDE4 = 12, STRIDE6 = 24;

/** An entry offset masked with this is known to be small: V8 then leaves out overflow checks. Tables stay below 2^30 words. */
const OFFSET_MASK = 0x3fffffff;

export class SessionTable {
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  readonly words: Int32Array;
  readonly buckets: number;
  readonly addressWords: 1 | 4;
  /** Sessions it can hold: four a bucket. */
  readonly capacity: number;
  /** Words from one entry to the next. */
  readonly stride: number;
  /** Offset of the reply tuple in an entry: SESSION_REPLY4 or SESSION_REPLY6. */
  readonly replyAt: number;
  /** Scratch, 2A + 1 words: the tuple to look for. Not shared: every view has its own. */
  readonly key: Int32Array;
  /** Scratch, 2A + 1 words: the reply tuple for `insert`. */
  readonly replyKey: Int32Array;
  /** Seconds until an idle session expires, by state, in the shared header: the control plane may write it at any time. */
  readonly timeouts: Int32Array;

  // Where things are, for whoever looks ahead: session_layout.ts, session_reply.ts.
  readonly bucketMask: number;
  readonly entriesAt: number;
  readonly linesAt: number;
  readonly lineMask: number;
  readonly indexMask: number;

  readonly #replies: ReplyIndex;
  readonly #victim: Victim;
  filter: SessionFilter | null;
  readonly ending: layout.SessionEnding | null;

  /** Bytes of a table of `buckets` (a power of two) buckets. */
  static readonly bytesFor = layout.bytesFor;

  /**
   * A new, empty table. `seed`: at least four random words, different in every process. Timeouts start as 40 s, TCP transitory and
   * closing 240 s, established 7440 s. RangeError for a number of buckets that is no power of two or too large.
   */
  static create(
    buckets: number,
    addressWords: 1 | 4,
    seed: Uint32Array,
    memory: MemorySource = SHARED_MEMORY,
  ): SessionTable {
    return new SessionTable(layout.createBuffer(buckets, addressWords, seed, memory));
  }

  /** A view of an existing table, in any thread. `filter` is for its writer, and counts none of the sessions that are in it already. */
  constructor(
    buffer: SharedArrayBuffer | ArrayBuffer,
    filter: SessionFilter | null = null,
    ending: layout.SessionEnding | null = null,
  ) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    if (this.words[layout.HEADER_MAGIC] !== layout.SESSION_MAGIC) throw new TypeError("not a session table");
    this.buckets = this.words[layout.HEADER_BUCKETS];
    this.addressWords = this.words[layout.HEADER_ADDRESS_WORDS] === 1 ? 1 : 4;
    this.capacity = this.buckets * layout.BUCKET_ENTRIES;
    this.stride = layout.strideFor(this.addressWords);
    this.replyAt = this.addressWords === 1 ? REPLY4 : REPLY6;
    this.key = new Int32Array(2 * this.addressWords + 1);
    this.replyKey = new Int32Array(2 * this.addressWords + 1);
    this.timeouts = new Int32Array(buffer, TIMEOUTS * 4, 4);
    this.bucketMask = this.buckets - 1;
    const lead = this.words[layout.HEADER_LEAD];
    this.entriesAt = layout.entriesAtFor(this.buckets, lead);
    this.#replies = new ReplyIndex(this.words, this.buckets, lead);
    this.linesAt = this.#replies.linesAt;
    this.lineMask = this.#replies.lineMask;
    this.indexMask = this.#replies.indexMask;
    this.filter = filter;
    this.ending = ending;
    this.#victim = new Victim(this.words, ending);
  }

  /** Entry (offset into `words`) of the live session whose original tuple is `key`, or -1. */
  findOriginal(protocol: number, now: number): number {
    const key = this.key;
    if (this.addressWords === 1) return this.findOriginal4(protocol, key[0], key[1], key[2], now);
    const entry = this.#lookOriginal6(hash6(this.words, KEY, protocol, key, 0), protocol, key);
    return entry >= 0 && isExpired(this.words, entry, now) ? -1 : entry;
  }

  /** `findOriginal` without the detour through `key`; for addressWords 1 only. */
  findOriginal4(protocol: number, source: number, destination: number, ports: number, now: number): number {
    const words = this.words;
    const hash = hash4(words, KEY, protocol, source, destination, ports);
    const entry = this.#lookOriginal4(hash, protocol, source, destination, ports);
    return entry >= 0 && isExpired(words, entry, now) ? -1 : entry;
  }

  /** Entry of the live session whose reply tuple is `key` (source, destination, ports as the reply packet carries them), or -1. */
  findReply(protocol: number, now: number): number {
    const key = this.key;
    if (this.addressWords === 1) return this.findReply4(protocol, key[0], key[1], key[2], now);
    const entry = this.#replies.look6(hash6(this.words, KEY, protocol, key, 0), protocol, key);
    return entry >= 0 && isExpired(this.words, entry, now) ? -1 : entry;
  }

  /** `findReply` without the detour through `key`; for addressWords 1 only. */
  findReply4(protocol: number, source: number, destination: number, ports: number, now: number): number {
    const words = this.words;
    const hash = hash4(words, KEY, protocol, source, destination, ports);
    const entry = this.#replies.look4(hash, protocol, source, destination, ports);
    return entry >= 0 && isExpired(words, entry, now) ? -1 : entry;
  }

  /**
   * `findReply` for threads other than the writer: copies the entry (`stride` words) into `copy` and returns where it is, or -1. What
   * is in `copy` was one whole session. Writing LAST_SEEN at the returned place keeps the session alive; nothing else may be written.
   * SESSION_BUSY: not found, but the writer stands still in the middle of a change (it was preempted), so that it may be there.
   */
  readReply(protocol: number, now: number, copy: Int32Array): number {
    return readSession(this, true, protocol, now, copy);
  }

  /** The same by the original tuple. */
  readOriginal(protocol: number, now: number, copy: Int32Array): number {
    return readSession(this, false, protocol, now, copy);
  }

  /**
   * Puts a session from `key` (original tuple) and `replyKey` (reply tuple) and returns its entry, with KIND (state 0) and LAST_SEEN
   * set and the other meta words 0; the caller sets them. An older session of the same original tuple is replaced. Expired sessions
   * make room, then connections that are closed. SESSION_FULL: no room. SESSION_REPLY_TAKEN: a live session of another original tuple has this reply tuple; then nothing
   * was changed.
   */
  insert(protocol: number, now: number): number {
    const hash = this.#hash(protocol, this.key, 0);
    const replyHash = this.#hash(protocol, this.replyKey, 0);
    const holder = this.#lookReply(replyHash, protocol, this.replyKey);
    const same = this.#lookOriginal(hash, protocol, this.key);
    const isTaken = holder >= 0 && holder !== same && !isExpired(this.words, holder, now);
    if (isTaken) return layout.SESSION_REPLY_TAKEN;
    if (holder < 0 && same < 0) {
      const lane = freeLane(this.words[(TAGS_AT + (hash & this.bucketMask)) & OFFSET_MASK]);
      const slot = lane < 0 ? -1 : this.#replies.vacant(replyHash);
      const index = ((hash & this.bucketMask) << 2) | lane;
      if (slot >= 0) return this.#put(index, slot, hash, replyHash, protocol, now);
    }
    this.#enter();
    if (holder >= 0) this.#free(holder);
    if (same >= 0 && same !== holder) this.#free(same);
    const index = this.#freeIndex(hash & this.bucketMask, now);
    const slot = index < 0 ? -1 : this.#freeSlot(replyHash, now);
    const entry = slot < 0 ? layout.SESSION_FULL : this.#put(index, slot, hash, replyHash, protocol, now);
    this.#leave();
    return entry;
  }

  /**
   * `insert` for a flow of which the hashes of both tuples are known: SESSION_FULL, and nothing changed, if it is not seen at a glance that
   * both are new and have room.
   */
  insertNew(protocol: number, now: number, hash: number, replyHash: number): number {
    const words = this.words;
    const bucket = hash & this.bucketMask;
    const tags = words[(TAGS_AT + bucket) & OFFSET_MASK];
    const slot = (this.linesAt + ((replyHash & this.lineMask) << 4) + (replyHash >>> 28)) & OFFSET_MASK;
    if (words[slot] !== 0 || tagHits(tags, hash) !== 0) return layout.SESSION_FULL;
    const lane = freeLane(tags);
    return lane < 0
      ? layout.SESSION_FULL
      : this.#put((bucket << 2) | lane, slot, hash, replyHash, protocol, now);
  }

  /** Frees an entry and its reply slot; does nothing for a free one. */
  remove(entry: number): void {
    if (this.words[entry] === 0) return;
    this.#enter();
    this.#free(entry);
    this.#leave();
  }

  /** Frees all entries. */
  clear(): void {
    for (let index = 0; index < this.capacity; index++) this.remove(this.entriesAt + index * this.stride);
  }

  state(entry: number): number {
    return (this.words[entry] >>> 16) & 0xff;
  }

  setState(entry: number, state: number): void {
    this.words[entry] = (this.words[entry] & ~0xff0000) | (state << 16);
  }

  protocol(entry: number): number {
    return this.words[entry] >>> 24;
  }

  /** The caller's 15 bits of flags. */
  flags(entry: number): number {
    return this.words[entry] & 0x7fff;
  }

  setFlags(entry: number, flags: number): void {
    this.words[entry] = (this.words[entry] & ~0x7fff) | (flags & 0x7fff);
  }

  /** Frees the expired among `count` entries from number `cursor` on; returns the number to go on with (round the table). */
  sweep(cursor: number, count: number, now: number): number {
    for (; count > 0; count--) {
      const entry = this.entriesAt + cursor * this.stride;
      if (this.words[entry] !== 0 && isExpired(this.words, entry, now)) this.remove(entry);
      cursor = cursor + 1 === this.capacity ? 0 : cursor + 1;
    }
    return cursor;
  }

  /** Entries in use, expired ones that nobody has swept included. */
  used(): number {
    return this.words[USED];
  }

  /** Visits the live sessions among `count` entries from number `first` on. The visitor may remove the one it is given. */
  forEach(now: number, visit: (entry: number) => void, first = 0, count = this.capacity): void {
    for (let index = first; index < Math.min(first + count, this.capacity); index++) {
      const entry = this.entriesAt + index * this.stride;
      if (this.words[entry] !== 0 && !isExpired(this.words, entry, now)) visit(entry);
    }
  }

  /** Stops counting its sessions: they are counted in another table now. For its writer, who must not write it any more. */
  leaveFilter(): void {
    for (let index = 0; index < this.capacity; index++) {
      this.#count(this.entriesAt + index * this.stride, -1);
    }
    this.filter = null;
  }

  /** One session more or less in the filter; nothing for a free entry. */
  #count(entry: number, by: 1 | -1): void {
    const kind = this.words[entry];
    if (this.filter === null || kind === 0) return;
    this.filter.count(kind >>> 24, this.words, entry + this.replyAt, this.addressWords, by);
  }

  #hash(protocol: number, tuple: Int32Array, at: number): number {
    return this.addressWords === 1
      ? hash4(this.words, KEY, protocol, tuple[at], tuple[at + 1], tuple[at + 2])
      : hash6(this.words, KEY, protocol, tuple, at);
  }

  #lookOriginal(hash: number, protocol: number, key: Int32Array): number {
    return this.addressWords === 1
      ? this.#lookOriginal4(hash, protocol, key[0], key[1], key[2])
      : this.#lookOriginal6(hash, protocol, key);
  }

  #lookReply(hash: number, protocol: number, key: Int32Array): number {
    return this.addressWords === 1
      ? this.#replies.look4(hash, protocol, key[0], key[1], key[2])
      : this.#replies.look6(hash, protocol, key);
  }

  #lookOriginal4(hash: number, protocol: number, source: number, destination: number, ports: number): number {
    const words = this.words;
    const bucket = hash & this.bucketMask;
    let hits = tagHits(words[(TAGS_AT + bucket) & OFFSET_MASK], hash);
    while (hits !== 0) {
      const lane = Math.clz32(hits) >>> 3;
      const entry = (this.entriesAt + Math.imul((bucket << 2) | lane, STRIDE4)) & OFFSET_MASK;
      if (
        words[entry + 8] === ports && words[entry + 6] === source && words[entry + 7] === destination &&
        isLiveSession(words[entry], protocol)
      ) return entry;
      hits ^= 0x80000000 >>> (lane << 3);
    }
    return -1;
  }

  #lookOriginal6(hash: number, protocol: number, key: Int32Array): number {
    const words = this.words;
    const bucket = hash & this.bucketMask;
    let hits = tagHits(words[(TAGS_AT + bucket) & OFFSET_MASK], hash);
    while (hits !== 0) {
      const lane = Math.clz32(hits) >>> 3;
      const entry = (this.entriesAt + Math.imul((bucket << 2) | lane, STRIDE6)) & OFFSET_MASK;
      if (equalTuple(words, entry + ORIGINAL, key) && isLiveSession(words[entry], protocol)) return entry;
      hits ^= 0x80000000 >>> (lane << 3);
    }
    return -1;
  }

  /** Number of a free entry of the bucket, one freed if need be and possible (session_victim.ts); -1 if all four are alive. */
  #freeIndex(bucket: number, now: number): number {
    const first = bucket << 2, victim = this.#victim;
    if (freeLane(this.words[TAGS_AT + bucket]) < 0) {
      victim.begin();
      for (let i = first; i < first + 4; i++) if (victim.look(this.entriesAt + i * this.stride, now)) break;
      if (victim.entry < 0) return -1;
      this.#free(victim.entry);
    }
    return first | freeLane(this.words[TAGS_AT + bucket]);
  }

  /** A free reply slot of the hash's line, one freed likewise; -1 if all sixteen are alive. */
  #freeSlot(hash: number, now: number): number {
    const slot = this.#replies.vacant(hash), victim = this.#victim;
    if (slot >= 0) return slot;
    victim.begin();
    this.#replies.lookAtLine(victim, hash, now, this.stride);
    if (victim.entry < 0) return -1;
    this.#free(victim.entry);
    return this.#replies.vacant(hash); // closing the gap decides which slot is free now
  }

  /** Writes `key` and `replyKey` into the free entry number `index` and the free reply slot; returns the entry. */
  #put(index: number, slot: number, hash: number, replyHash: number, protocol: number, now: number): number {
    const words = this.words;
    const entry = (this.entriesAt + Math.imul(index, this.stride)) & OFFSET_MASK;
    words[entry + LAST_SEEN] = now;
    for (let i = LAST_SEEN + 1; i < ORIGINAL; i++) words[entry + i] = 0;
    const { key, replyKey } = this;
    const width = key.length;
    for (let i = 0; i < width; i++) {
      words[entry + ORIGINAL + i] = key[i];
      words[entry + ORIGINAL + width + i] = replyKey[i];
    }
    words[TAGS_AT + (index >>> 2)] |= tagOf(hash) << (24 - ((index & 3) << 3));
    this.#replies.put(slot, replyHash, index);
    words[USED]++;
    // Only now can others see it, and whoever put the same flow at the same time sees this one before or after (foreign.ts).
    Atomics.store(words, entry, (protocol << 24) | LIVE);
    this.#count(entry, 1);
    return entry;
  }

  #free(entry: number): void {
    const words = this.words;
    const index = ((entry - this.entriesAt) / this.stride) | 0;
    const replyHash = this.#hash(words[entry] >>> 24, words, entry + this.replyAt);
    this.#count(entry, -1);
    if (words[entry + OFFLOAD] > 0) this.ending?.end(words[entry + OFFLOAD] - 1);
    words[entry] = 0;
    words[TAGS_AT + (index >>> 2)] &= ~(0xff << (24 - ((index & 3) << 3)));
    this.#replies.remove(replyHash, index);
    words[USED]--;
  }

  #enter(): void {
    Atomics.store(this.words, VERSION, (this.words[VERSION] + 1) | 0);
  }

  #leave(): void {
    Atomics.store(this.words, VERSION, (this.words[VERSION] + 1) | 0);
  }
}
