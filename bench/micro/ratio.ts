/**
 * TypeScript and C by turns: a batch of packets by one, a batch by the other, and so on, so that whatever else the machine does meets
 * both alike. Ratios come from here; that of two figures taken seconds apart says more about the machine. Each shape in several processes
 * of its own (turns.ts), as a worker's processor is the only one of its thread.
 */

import type { Recorder } from "../record.ts";
import type { Shape } from "./flows.ts";
import type { Turns } from "./turns.ts";

const PROCESSES = 3;

export async function benchRatio(recorder: Recorder, quick: boolean): Promise<void> {
  const base = { mode: "nat44", frameBytes: 60, protocol: "udp" } as const;
  const shapes: Shape[] = [];
  for (const flows of quick ? [1000] : [1000, 65_536, 1 << 20]) {
    for (const services of quick ? [1] : [1, 1000]) shapes.push({ ...base, flows, services });
  }
  const few = { ...base, flows: 1000, services: 1 };
  shapes.push({ ...few, reply: true }, { ...few, protocol: "tcp" });
  shapes.push({ ...few, protocol: "tcp", frameBytes: 1514, halfDone: true });
  for (const shape of shapes) await compare(shape, recorder, quick);
}

async function compare(shape: Shape, recorder: Recorder, quick: boolean): Promise<void> {
  const all: Turns = { by: {}, ratios: [] };
  for (let i = 0; i < (quick ? 1 : PROCESSES); i++) {
    const { by, ratios } = await takeTurns(shape, quick);
    for (const [name, samples] of Object.entries(by)) all.by[name] = [...all.by[name] ?? [], ...samples];
    all.ratios.push(...ratios);
  }
  const { protocol, frameBytes, flows, services } = shape;
  const direction = shape.reply ? "reply" : "request";
  const params = { protocol, direction, bytes: frameBytes === 60 ? 64 : frameBytes, flows, services };
  const head = { suite: "micro", better: "less" as const };
  for (const [by, samples] of Object.entries(all.by)) {
    recorder.add({ ...head, name: "nat44 by turns", params: { by, ...params }, unit: "ns" }, samples);
  }
  recorder.add({ ...head, name: "TypeScript to the faster C", params, unit: "×" }, all.ratios);
}

async function takeTurns(shape: Shape, quick: boolean): Promise<Turns> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      `${import.meta.dirname}/turns.ts`,
      JSON.stringify(shape),
      ...quick ? ["--quick"] : [],
    ],
    stdin: "null",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`${JSON.stringify(shape)} failed, see above`);
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
}
