/**
 * The table that drives the datapath's tests: what comes in, what the datapath says, what comes out.
 */

import { assertEquals } from "@std/assert";
import {
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PUNT_IN,
  VERDICT_PUNT_KU,
  VERDICT_TX,
} from "../../mod/datapath/processor.ts";
import type { World } from "./world.ts";

const VERDICTS: Record<string, number> = {
  tx: VERDICT_TX,
  puntIn: VERDICT_PUNT_IN,
  puntKu: VERDICT_PUNT_KU,
  drop: VERDICT_DROP,
  hold: VERDICT_HOLD,
};

export type VerdictWord = "tx" | "puntIn" | "puntKu" | "drop" | "hold";

/** One packet. */
export interface Step {
  input: Uint8Array;
  /** Slot it comes in by. */
  slot: number;
  verdict: VerdictWord;
  /** The frame that comes out, from its IP header on for punts (whose MACs the worker writes); absent = not looked at. */
  output?: Uint8Array;
  /** Slot it leaves by. */
  outSlot?: number;
}

export interface Fixture {
  description: string;
  /** Packets in order; the last one is what the fixture is about. */
  steps: Step[];
  /** Node counters that must be there afterwards, by "node: reason". */
  counted?: Record<string, number>;
}

/** A frame as text, sixteen bytes a line, so that a failure shows where two differ. */
export function hexLines(frame: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < frame.length; at += 16) {
    const bytes = [...frame.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, "0"));
    lines.push(`${at.toString().padStart(4)}  ${bytes.join(" ")}`);
  }
  return lines;
}

export function verdictWord(verdict: number): string {
  return Object.keys(VERDICTS).find((word) => VERDICTS[word] === verdict) ?? `verdict ${verdict}`;
}

/** Runs a step and checks all it says. */
export function checkStep(world: World, step: Step): void {
  const verdict = world.run(step.input, step.slot);
  assertEquals(verdictWord(verdict), step.verdict, JSON.stringify(world.nodeCounts()));
  if (step.outSlot !== undefined) assertEquals(world.processor.outSlot, step.outSlot);
  if (step.output === undefined) return;
  const result = world.result();
  const skipped = step.verdict === "tx" ? 0 : 12;
  assertEquals(hexLines(result.subarray(skipped)), hexLines(step.output.subarray(skipped)));
}

/** Runs a fixture on a world of its own. */
export function checkFixture(world: World, fixture: Fixture): void {
  for (const step of fixture.steps) checkStep(world, step);
  const counts = world.nodeCounts();
  for (const [name, value] of Object.entries(fixture.counted ?? {})) {
    assertEquals(counts[name] ?? 0, value, `${name} in ${JSON.stringify(counts)}`);
  }
}
