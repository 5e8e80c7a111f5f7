/**
 * The four rings of an AF_XDP socket: fill and TX, which ku produces, RX and completion, which it consumes.
 *
 * Each is a producer index, a consumer index and a power of two of entries, mapped by the kernel. The indices run
 * freely through 32 bits; only their wrapped difference means something, and they are masked only when indexing.
 * A side writes its own index, and reads the other's only when its cached value leaves nothing to do.
 *
 * Rule: one Atomics access for a batch, never for an entry. Atomics are what orders the entries against the index
 * (net/xdp/xsk_queue.h pairs them with smp_load_acquire and smp_store_release); V8 accepts them on the kernel's
 * memory, which is not a SharedArrayBuffer.
 *
 * Addresses are byte offsets in the UMEM below 4 GiB: the high words of the entries are zero from the start and stay so.
 *
 * @module
 */

import {
  ADDRESS_WORDS,
  DESCRIPTOR_LENGTH_WORD,
  DESCRIPTOR_WORDS,
  RING_BYTES,
  RING_CONSUMER,
  RING_ENTRIES,
  RING_FLAGS,
  RING_PRODUCER,
  RING_SIZE,
  XDP_RING_NEED_WAKEUP,
} from "../../ffi/if_xdp.ts";
import { pointerTo, viewOf } from "../../ffi/memory.ts";

/** The memory of one ring. In production the kernel's; in tests any. */
export interface RingMemory {
  /** One word: how many entries were ever produced, modulo 2^32. */
  readonly producer: Int32Array;
  /** One word: how many were ever consumed. */
  readonly consumer: Int32Array;
  /** One word: XDP_RING_* flags. */
  readonly flags: Int32Array;
  /** The entries, `size` times two words (fill, completion) or four (RX, TX). */
  readonly words: Int32Array;
  /** Entries; a power of two. */
  readonly size: number;
}

/** A ring that ku puts entries into. `reserve`, `write` each, `submit`. */
class ProducerRing {
  protected readonly words: Int32Array;
  protected readonly mask: number;
  /** Entries submitted so far, wrapped: where the next batch starts. */
  protected head: number;
  /** Entries written beyond `head`. */
  protected pending = 0;
  readonly size: number;
  readonly #producer: Int32Array;
  readonly #consumer: Int32Array;
  readonly #flags: Int32Array;
  #cachedConsumer: number;

  constructor(memory: RingMemory) {
    this.words = memory.words;
    this.size = memory.size;
    this.mask = memory.size - 1;
    this.#producer = memory.producer;
    this.#consumer = memory.consumer;
    this.#flags = memory.flags;
    this.head = Atomics.load(memory.producer, 0);
    this.#cachedConsumer = Atomics.load(memory.consumer, 0);
  }

  /** How many entries, at most `count`, there is room for besides those already written. Promises, takes nothing. */
  reserve(count: number): number {
    let room = this.size - ((this.head + this.pending - this.#cachedConsumer) | 0);
    if (room < count) {
      this.#cachedConsumer = Atomics.load(this.#consumer, 0);
      room = this.size - ((this.head + this.pending - this.#cachedConsumer) | 0);
    }
    return room < count ? room : count;
  }

  /** Hands the first `count` written entries to the kernel, and forgets any written after them. */
  submit(count: number): void {
    this.head = (this.head + count) | 0;
    this.pending = 0;
    Atomics.store(this.#producer, 0, this.head);
  }

  /** Entries submitted that the kernel has not taken yet. */
  outstanding(): number {
    this.#cachedConsumer = Atomics.load(this.#consumer, 0);
    return (this.head - this.#cachedConsumer) | 0;
  }

  /** Whether the kernel asks to be woken for new entries (a driver that polls does not). */
  needsWakeup(): boolean {
    return (this.#flags[0] & XDP_RING_NEED_WAKEUP) !== 0;
  }
}

/** Frames for the kernel to receive into. */
export class FillRing extends ProducerRing {
  /** The i-th entry of the batch: the frame at UMEM byte `frameAddr`. */
  write(i: number, frameAddr: number): void {
    this.words[((this.head + i) & this.mask) * ADDRESS_WORDS] = frameAddr;
    if (i >= this.pending) this.pending = i + 1;
  }

  /** The next `count` entries of the batch, from its first: the last `count` of the first `from` words of `frameAddrs`, last one first. */
  writeAll(frameAddrs: Int32Array, from: number, count: number): void {
    const { words, mask } = this;
    const head = this.head | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      words[((head + i) & mask) * ADDRESS_WORDS] = frameAddrs[from - 1 - i];
    }
    if (count > this.pending) this.pending = count;
  }

  /** Addresses the kernel has not taken yet; for a closed socket. */
  *left(): Generator<number> {
    for (let count = this.outstanding(); count > 0; count--) {
      yield this.words[((this.head - count) & this.mask) * ADDRESS_WORDS] >>> 0;
    }
  }
}

/** Packets to transmit. */
export class TxRing extends ProducerRing {
  /** The i-th entry of the batch: the packet of `lengthBytes` bytes at UMEM byte `packetAddr`. */
  write(i: number, packetAddr: number, lengthBytes: number): void {
    const at = ((this.head + i) & this.mask) * DESCRIPTOR_WORDS;
    this.words[at] = packetAddr;
    this.words[at + DESCRIPTOR_LENGTH_WORD] = lengthBytes;
    if (i >= this.pending) this.pending = i + 1;
  }

  /** Entries `first` … of the batch: the packets at places `from` … `end` - 1 of both arrays. */
  writeAll(first: number, packetAddrs: Int32Array, lengths: Int32Array, from: number, end: number): void {
    const { words, mask } = this;
    const head = (this.head + first - from) | 0;
    for (let i = from | 0; i < end; i = (i + 1) | 0) {
      const at = ((head + i) & mask) * DESCRIPTOR_WORDS;
      words[at] = packetAddrs[i];
      words[at + DESCRIPTOR_LENGTH_WORD] = lengths[i];
    }
    if (first + end - from > this.pending) this.pending = first + end - from;
  }

  /** Addresses of packets the kernel has not taken yet; for a closed socket. */
  *left(): Generator<number> {
    for (let count = this.outstanding(); count > 0; count--) {
      yield this.words[((this.head - count) & this.mask) * DESCRIPTOR_WORDS] >>> 0;
    }
  }
}

/** A ring that the kernel puts entries into. `peek`, read each, `release`. */
class ConsumerRing {
  protected readonly words: Int32Array;
  protected readonly mask: number;
  /** Entries released so far, wrapped: where the next batch starts. */
  protected tail: number;
  readonly size: number;
  readonly #producer: Int32Array;
  readonly #consumer: Int32Array;
  #cachedProducer: number;

  constructor(memory: RingMemory) {
    this.words = memory.words;
    this.size = memory.size;
    this.mask = memory.size - 1;
    this.#producer = memory.producer;
    this.#consumer = memory.consumer;
    this.tail = Atomics.load(memory.consumer, 0);
    this.#cachedProducer = this.tail;
  }

  /** Entries ready to read, at most `max`. */
  peek(max: number): number {
    let count = (this.#cachedProducer - this.tail) | 0;
    if (count === 0) {
      this.#cachedProducer = Atomics.load(this.#producer, 0);
      count = (this.#cachedProducer - this.tail) | 0;
    }
    return count < max ? count : max;
  }

  /** Gives the first `count` entries' places back to the kernel; they must not be read any more. */
  release(count: number): void {
    this.tail = (this.tail + count) | 0;
    Atomics.store(this.#consumer, 0, this.tail);
  }
}

/** Received packets. */
export class RxRing extends ConsumerRing {
  /** UMEM byte where the i-th packet of the batch begins: inside its frame, after the headroom. */
  frameAddr(i: number): number {
    return this.words[((this.tail + i) & this.mask) * DESCRIPTOR_WORDS] >>> 0;
  }

  /** Its length. */
  lengthBytes(i: number): number {
    return this.words[((this.tail + i) & this.mask) * DESCRIPTOR_WORDS + DESCRIPTOR_LENGTH_WORD];
  }

  /** Both of the first `count` packets. */
  readAll(count: number, packetAddrs: Int32Array, lengths: Int32Array): void {
    const { words, mask } = this;
    const tail = this.tail | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      const at = ((tail + i) & mask) * DESCRIPTOR_WORDS;
      packetAddrs[i] = words[at];
      lengths[i] = words[at + DESCRIPTOR_LENGTH_WORD];
    }
  }
}

/** Frames whose transmission is over. */
export class CompletionRing extends ConsumerRing {
  /** UMEM byte of the i-th entry of the batch: the address that was transmitted from. */
  frameAddr(i: number): number {
    return this.words[((this.tail + i) & this.mask) * ADDRESS_WORDS] >>> 0;
  }

  /** The first `count` of them, each masked with `frameMask`, into `frameAddrs` from place `to` on. */
  readAll(count: number, frameMask: number, frameAddrs: Int32Array, to: number): void {
    const { words, mask } = this;
    const tail = this.tail | 0;
    for (let i = 0; i < count; i = (i + 1) | 0) {
      frameAddrs[to + i] = words[((tail + i) & mask) * ADDRESS_WORDS] & frameMask;
    }
  }
}

/** The ring that libxdp described in `struct_`, RING_BYTES long, with entries of `entryWords` words. */
export function ringMemoryOf(struct_: DataView, entryWords: number): RingMemory {
  if (struct_.byteLength !== RING_BYTES) throw new RangeError("not a ring of libxdp");
  const size = struct_.getUint32(RING_SIZE, true);
  const view = (at: number, words: number) =>
    new Int32Array(viewOf(pointerTo(struct_.getBigUint64(at, true)), words * 4));
  return {
    producer: view(RING_PRODUCER, 1),
    consumer: view(RING_CONSUMER, 1),
    flags: view(RING_FLAGS, 1),
    words: view(RING_ENTRIES, size * entryWords),
    size,
  };
}

/** A ring of `size` entries in plain memory, empty: what a socket that does not receive has, and tests use. */
export function plainRingMemory(size: number, entryWords: number): RingMemory {
  return {
    producer: new Int32Array(1),
    consumer: new Int32Array(1),
    flags: new Int32Array(1),
    words: new Int32Array(size * entryWords),
    size,
  };
}
