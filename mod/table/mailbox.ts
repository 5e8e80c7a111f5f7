/**
 * A ring of reports from one worker to another: what a packet seen here did to a session that is kept there.
 *
 * Rule: one producer, one consumer, no locks. The producer writes a slot and then stores TAIL; the consumer loads TAIL, reads, and then
 * stores HEAD. Both are free-running and compared by wrapped difference. A full ring refuses; the caller counts it. Each index has
 * a cache line pair to itself (adjacent lines are fetched together), so that neither side's stores take the other's line away, and
 * each side keeps a copy of the other's index and looks again only when the copy says full or empty.
 *
 *   word 0     TAIL, the producer's      word 32    HEAD, the consumer's
 *   64         slots of SLOT_WORDS (one cache line): what, pod id, tuple of 3 or 9 words
 *
 * A report names its session by protocol, original tuple and pod, not by its place: the owner may have moved it (`conf buckets`), ended it,
 * or put another in its place, to which the report must not be applied.
 *
 * References: Documentation/core-api/circular-buffers.rst; include/linux/kfifo.h (one reader and one writer need no lock).
 *
 * @module
 */

/** A pod's segment came. */
export const REPORT_REPLY = 1;
/** A client's segment came. */
export const REPORT_ORIGINAL = 2;
/** The session is to end: its connection begins anew, or its pod serves no more. */
export const REPORT_END = 3;

export const MAILBOX_SLOTS = 2048;

const TAIL = 0;
const HEAD = 32;
const SLOTS_AT = 64;
const SLOT_WORDS = 16;
const SLOT_WHAT = 0; // kind << 24 | width << 16 | protocol << 8 | flags
const SLOT_POD = 1;
const SLOT_TUPLE = 2;

/** Either end of a ring. See the top of the file. */
export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  /** Set by `put` when the reader should not sleep on it: more than half full, or what was put is urgent. Cleared by who wakes it. */
  wakes = false;
  // The report that `take` returned.
  kind = 0;
  protocol = 0;
  /** TCP flags of the segment. */
  flags = 0;
  pod = 0;
  /** The session's original tuple, in its first `width` words: 3 or 9. */
  readonly tuple = new Int32Array(9);
  width = 0;

  readonly #words: Int32Array;
  readonly #slots: number;
  #tail: number;
  #head: number;

  /** Bytes of a ring of `slots`, a power of two. */
  static bytesFor(slots: number): number {
    return 4 * (SLOTS_AT + slots * SLOT_WORDS);
  }

  /** A new, empty ring. */
  static create(slots = MAILBOX_SLOTS): Mailbox {
    if (slots < 1 || Math.log2(slots) % 1 !== 0) {
      throw new RangeError(`slots of a mailbox must be a power of two: ${slots}`);
    }
    return new Mailbox(new SharedArrayBuffer(Mailbox.bytesFor(slots)));
  }

  /** One end of an existing ring, in any thread: `put` in one and `take` in another. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#slots = (this.#words.length - SLOTS_AT) / SLOT_WORDS;
    this.#tail = Atomics.load(this.#words, TAIL);
    this.#head = Atomics.load(this.#words, HEAD);
  }

  /**
   * Reports `kind` about the session of `protocol` whose original tuple is the `width` words at `at` of `words`, and whose pod is `pod`;
   * `flags` are those of the TCP segment. False: the ring is full, nothing was reported.
   */
  put(
    kind: number,
    protocol: number,
    flags: number,
    pod: number,
    words: Int32Array,
    at: number,
    width: number,
  ): boolean {
    const own = this.#words;
    let used = (this.#tail - this.#head) | 0;
    if (used >= this.#slots >> 1) {
      this.#head = Atomics.load(own, HEAD);
      used = (this.#tail - this.#head) | 0;
      if (used >= this.#slots >> 1) this.wakes = true;
      if (used === this.#slots) return false;
    }
    if (kind === REPORT_END) this.wakes = true;
    const slot = SLOTS_AT + (this.#tail & (this.#slots - 1)) * SLOT_WORDS;
    own[slot + SLOT_WHAT] = (kind << 24) | (width << 16) | (protocol << 8) | (flags & 0xff);
    own[slot + SLOT_POD] = pod;
    for (let i = 0; i < width; i++) own[slot + SLOT_TUPLE + i] = words[at + i];
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(own, TAIL, this.#tail);
    return true;
  }

  /** Takes the oldest report into `kind` … `width`. False: there is none. */
  take(): boolean {
    const own = this.#words;
    if (this.#head === this.#tail) {
      this.#tail = Atomics.load(own, TAIL);
      if (this.#head === this.#tail) return false;
    }
    const slot = SLOTS_AT + (this.#head & (this.#slots - 1)) * SLOT_WORDS;
    const what = own[slot + SLOT_WHAT];
    this.kind = what >>> 24;
    this.width = (what >>> 16) & 0xff;
    this.protocol = (what >>> 8) & 0xff;
    this.flags = what & 0xff;
    this.pod = own[slot + SLOT_POD];
    for (let i = 0; i < this.width; i++) this.tuple[i] = own[slot + SLOT_TUPLE + i];
    this.#head = (this.#head + 1) | 0;
    Atomics.store(own, HEAD, this.#head);
    return true;
  }
}
