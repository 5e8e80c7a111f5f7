/**
 * The free frames of one UMEM: a stack of byte offsets. Every frame is at any time in exactly one place: here, in a
 * fill ring, being processed, held (an early fragment), in a transmit ring, or in a completion ring. So a frame taken
 * must be given to a ring or put back, and the pool can never hold more than it was made with.
 *
 * @module
 */

import type { CompletionRing, FillRing } from "../xdp/ring.ts";

/** What {@link FramePool.take} returns when there is none. */
export const NO_FRAME = -1;

/** The least that a ring is of use with. */
const MIN_RING_SIZE = 32;

/**
 * Entries of another receiving ring, a power of two of at most `most`, when `frames` are not yet promised to one: about an eighth, so that
 * the first rings are as large as they may be and nearly forty find a place; 0 when there is none left.
 */
export function ringSizeFor(frames: number, most: number): number {
  if (frames < MIN_RING_SIZE) return 0;
  const share = 2 ** Math.round(Math.log2(frames / 8));
  return Math.min(most, Math.max(MIN_RING_SIZE, share));
}

export class FramePool {
  readonly #free: Int32Array;
  #count: number;

  /** `frameCount` frames of `frameBytes` each, from UMEM offset 0 on; all free. */
  constructor(frameCount: number, frameBytes: number) {
    if (frameCount * frameBytes > 0x7fffffff) throw new RangeError("a UMEM is at most 2 GiB");
    this.#free = new Int32Array(frameCount);
    // The lowest offset comes out first, so that light load stays in few cache lines and pages.
    for (let i = 0; i < frameCount; i++) this.#free[i] = (frameCount - 1 - i) * frameBytes;
    this.#count = frameCount;
  }

  /** How many frames are free. */
  get count(): number {
    return this.#count;
  }

  /** How many frames there are in all. */
  get capacity(): number {
    return this.#free.length;
  }

  /** UMEM offset of a free frame, which is the caller's from now on; {@link NO_FRAME} when there is none. */
  take(): number {
    if (this.#count === 0) return NO_FRAME;
    return this.#free[--this.#count];
  }

  /** Gives a frame back. `frameAddr` is its first byte's UMEM offset. */
  put(frameAddr: number): void {
    this.#free[this.#count++] = frameAddr;
  }

  /** Takes back `count` frames whose transmission is over. */
  putCompleted(completion: CompletionRing, count: number, frameMask: number): void {
    completion.readAll(count, frameMask, this.#free, this.#count);
    this.#count += count;
  }

  /** Writes `count` frames, which must be there, into a fill ring. */
  fill(ring: FillRing, count: number): void {
    ring.writeAll(this.#free, this.#count, count);
    this.#count -= count;
  }
}
