/**
 * The datapath watched while it works on one packet: what went in, what came out, and which reasons it counted.
 *
 * @module
 */

import { type Counters, NODE_COUNTERS, type NodeCounter } from "../metrics/counters.ts";
import {
  type Processor,
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PIECES,
  VERDICT_PUNT_IN,
  VERDICT_PUNT_KU,
  VERDICT_TX,
} from "../datapath/processor.ts";

export type VerdictWord = "sent" | "punted in" | "punted" | "dropped" | "held" | "in pieces";

const VERDICT_WORDS: Readonly<Record<number, VerdictWord>> = {
  [VERDICT_TX]: "sent",
  [VERDICT_PUNT_IN]: "punted in",
  [VERDICT_PUNT_KU]: "punted",
  [VERDICT_DROP]: "dropped",
  [VERDICT_HOLD]: "held",
  [VERDICT_PIECES]: "in pieces",
};

export interface Observation {
  verdict: VerdictWord;
  /** Slot it leaves by, when sent. */
  outSlot: number;
  /** Copies of the frame as it came and as it leaves; null when it does not leave. */
  before: Uint8Array;
  after: Uint8Array | null;
  /** What was counted on the way, in the order of the table. */
  counted: NodeCounter[];
}

/** Has `processor` decide about the frame at `at`; see Processor.process. Not for the hot path: it copies and compares. */
export function observe(
  processor: Processor,
  counters: Counters,
  frames: Uint8Array,
  at: number,
  length: number,
  inSlot: number,
  frameEnd: number,
): Observation {
  const node = counters.node.slice();
  const before = frames.slice(at, at + length);
  const verdict = processor.process(at, length, inSlot, frameEnd);
  const leaves = verdict !== VERDICT_DROP && verdict !== VERDICT_HOLD && verdict !== VERDICT_PIECES;
  return {
    verdict: verdictWord(verdict),
    outSlot: processor.outSlot,
    before,
    after: leaves ? frames.slice(processor.outAt, processor.outAt + processor.outLength) : null,
    counted: NODE_COUNTERS.filter((_, index) => counters.node[index] !== node[index]),
  };
}

/** The word for people who do not care by which way the kernel gets it. */
export function verdictText(verdict: number): string {
  const word = verdictWord(verdict);
  return word === "punted" || word === "punted in" ? "to the kernel" : word;
}

export function verdictWord(verdict: number): VerdictWord {
  return VERDICT_WORDS[verdict] ?? "dropped";
}
