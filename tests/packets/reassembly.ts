/**
 * What the far side makes of fragments: the whole packet. And a worker that keeps early fragments, as mod/worker/burst.ts does.
 *
 * Rule: shares no arithmetic with mod/ (see builder.ts).
 */

import { VERDICT_HOLD, VERDICT_TX } from "../../mod/datapath/processor.ts";
import { concat, slowSum } from "./builder.ts";
import { FRAME_BYTES, HEADROOM, type World } from "./world.ts";

interface Piece {
  offset: number;
  more: boolean;
  payload: Uint8Array;
}

const u16 = (bytes: Uint8Array, at: number) => bytes[at] << 8 | bytes[at + 1];

/** Where the fragment header of an IPv6 frame is. */
function fragmentHeaderAt(frame: Uint8Array): number {
  let next = frame[20];
  let at = 54;
  while (next !== 44) {
    next = frame[at];
    at += (frame[at + 1] + 1) * 8;
  }
  return at;
}

function pieceOf(frame: Uint8Array): Piece {
  if (u16(frame, 12) === 0x0800) {
    const field = u16(frame, 20);
    const payload = frame.subarray(14 + (frame[14] & 15) * 4, 14 + u16(frame, 16));
    return { offset: (field & 0x1fff) * 8, more: (field & 0x2000) !== 0, payload };
  }
  const at = fragmentHeaderAt(frame);
  const field = u16(frame, at + 2);
  return {
    offset: field & 0xfff8,
    more: (field & 1) !== 0,
    payload: frame.subarray(at + 8, 54 + u16(frame, 18)),
  };
}

/** The frame of the first fragment with all that the others bring, as if it had never been cut. Throws if it does not fit together. */
export function reassemble(frames: Uint8Array[]): Uint8Array {
  const pieces = frames.map(pieceOf);
  const order = pieces.map((_, i) => i).sort((a, b) => pieces[a].offset - pieces[b].offset);
  let end = 0;
  for (const i of order) {
    if (pieces[i].offset !== end) throw new Error(`a hole or an overlap at ${end}: ${pieces[i].offset}`);
    end += pieces[i].payload.length;
    if (pieces[i].more !== (i !== order.at(-1))) {
      throw new Error(`"more" in the fragment at ${pieces[i].offset}`);
    }
  }
  const payload = concat(...order.map((i) => pieces[i].payload));
  const first = frames[order[0]];
  if (u16(first, 12) === 0x0800) {
    const header = first.slice(0, 14 + (first[14] & 15) * 4);
    const ip = header.subarray(14);
    ip.set([(ip.length + payload.length) >> 8, (ip.length + payload.length) & 0xff], 2);
    ip.set([ip[6] & 0x40, 0], 6);
    ip.set([0, 0], 10);
    const checksum = ~slowSum(ip) & 0xffff;
    ip.set([checksum >> 8, checksum & 0xff], 10);
    return concat(header, payload);
  }
  const at = fragmentHeaderAt(first);
  const header = first.slice(0, at);
  const length = at - 54 + payload.length;
  header.set([length >> 8, length & 0xff], 18);
  // Whichever header pointed to the fragment header points to what is behind it now.
  let pointer = 20;
  for (let next = 54; next < at; next += (first[next + 1] + 1) * 8) pointer = next;
  header[pointer] = first[at];
  return concat(header, payload);
}

/** A verdict, and what left by VERDICT_TX. */
export interface Outcome {
  verdict: number;
  frame: Uint8Array;
  /** The frame that came in. */
  input: Uint8Array;
}

/** A worker around a world: what is held is processed again behind the first fragment, or when `giveUp` says so. */
export class HoldingWorker {
  readonly #held: { input: Uint8Array; slot: number; tag: number }[] = [];

  constructor(readonly world: World, readonly room: number) {
    world.processor.holdRoom = room;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  /** All that was decided because of this frame, in order: nothing if it is held. */
  receive(input: Uint8Array, slot: number): Outcome[] {
    const { processor } = this.world;
    const firsts = processor.firstFragments;
    const outcome = this.#run(input, slot);
    if (outcome.verdict === VERDICT_HOLD) {
      this.#held.push({ input, slot, tag: processor.fragmentTag });
      processor.holdRoom = this.room - this.#held.length;
      return [];
    }
    if (processor.firstFragments === firsts) return [outcome];
    const tag = processor.fragmentTag;
    const due = this.#held.filter((one) => one.tag === tag);
    return [outcome, ...due.flatMap((one) => this.#again(one))];
  }

  /** All that is held goes, with no room to be held again. */
  giveUp(): Outcome[] {
    this.world.processor.holdRoom = 0;
    return [...this.#held].flatMap((one) => this.#again(one));
  }

  #again(one: { input: Uint8Array; slot: number; tag: number }): Outcome[] {
    const outcome = this.#run(one.input, one.slot);
    if (outcome.verdict === VERDICT_HOLD) return [];
    this.#held.splice(this.#held.indexOf(one), 1);
    this.world.processor.holdRoom = this.room - this.#held.length;
    return [outcome];
  }

  #run(input: Uint8Array, slot: number): Outcome {
    const { processor } = this.world;
    const at = this.world.place(input);
    const verdict = processor.process(at, input.length, slot, FRAME_BYTES);
    if (verdict !== VERDICT_TX) {
      return { verdict, frame: this.world.memory.slice(HEADROOM, HEADROOM + input.length), input };
    }
    return { verdict, frame: this.world.result(), input };
  }
}
