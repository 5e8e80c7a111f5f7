/**
 * Frames with early fragments: what came before the first fragment of its datagram stays where it is, for a moment, and is processed
 * again behind that one (burst.ts). A short list, in the order in which they came.
 *
 * @module
 */

/** Frames a worker keeps at most: an IPv4 datagram of 64 KiB in reversed order has 44. */
export const HELD_FRAMES = 64;
/** How long. Fragments are overtaken by those on other paths, microseconds to a few milliseconds apart. */
export const HOLD_MS = 200;

export class HeldFrames {
  /** How many there are: places 0 … count - 1 of the columns. */
  count = 0;
  /** UMEM offset of the frame, of the packet in it, and its length in bytes. */
  readonly frameStarts = new Int32Array(HELD_FRAMES);
  readonly packetAts = new Int32Array(HELD_FRAMES);
  readonly lengths = new Int32Array(HELD_FRAMES);
  /** The slot it came in by, and its datagram's tag. */
  readonly slots = new Int32Array(HELD_FRAMES);
  readonly tags = new Int32Array(HELD_FRAMES);
  /** When it came, in ms. */
  readonly since = new Float64Array(HELD_FRAMES);

  /** How many more fit. */
  get room(): number {
    return HELD_FRAMES - this.count;
  }

  /** The caller has seen that there is room. */
  add(frameStart: number, at: number, length: number, slot: number, tag: number, nowMs: number): void {
    const place = this.count++;
    this.frameStarts[place] = frameStart;
    this.packetAts[place] = at;
    this.lengths[place] = length;
    this.slots[place] = slot;
    this.tags[place] = tag;
    this.since[place] = nowMs;
  }

  /** Copies what is at `from` to the place `to`, which is not behind it. */
  move(from: number, to: number): void {
    if (from === to) return;
    this.frameStarts[to] = this.frameStarts[from];
    this.packetAts[to] = this.packetAts[from];
    this.lengths[to] = this.lengths[from];
    this.slots[to] = this.slots[from];
    this.tags[to] = this.tags[from];
    this.since[to] = this.since[from];
  }
}
