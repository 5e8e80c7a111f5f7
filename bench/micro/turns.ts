/**
 * One shape of ratio.ts, in a process of its own: a batch of packets by TypeScript, one by C in either structure, and so on.
 *
 *     deno run -A bench/micro/turns.ts '{"mode":"nat44",…}' [--quick]
 *
 * Prints one line, a {@link Turns}.
 */

import { BATCH, type Shape, Traffic } from "./flows.ts";
import { NativeDatapath } from "./native.ts";

export interface Turns {
  /** Samples by who did it, ns a packet. */
  by: { [name: string]: number[] };
  /** TypeScript to the faster C, sample by sample. */
  ratios: number[];
}

const WARM_BATCHES = 4000;
const SAMPLES = 9;
const BATCHES = 150;

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

const shape: Shape = JSON.parse(Deno.args[0]);
const quick = Deno.args.includes("--quick");
const traffic = new Traffic(shape);
const native = new NativeDatapath(traffic);
const runners = [() => traffic.run(), () => native.run("phases"), () => native.run("single")];

/** Medians of `batches` batches by each. */
function round(batches: number): number[] {
  const times: number[][] = runners.map(() => []);
  for (let i = 0; i < batches; i++) {
    runners.forEach((run, which) => {
      traffic.fill();
      const start = performance.now();
      const sent = run();
      times[which].push((performance.now() - start) * 1e6 / BATCH);
      if (sent !== BATCH) throw new Error(`${sent} of ${BATCH} packets were sent`);
    });
  }
  return times.map(median);
}

round(quick ? 5 : WARM_BATCHES);
const samples: number[][] = [];
for (let sample = 0; sample < (quick ? 1 : SAMPLES); sample++) samples.push(round(quick ? 5 : BATCHES));
const [typescript, phases, single] = runners.map((_, which) => samples.map((values) => values[which]));
const turns: Turns = {
  by: { TypeScript: typescript, "C, phases": phases, "C, single": single },
  ratios: typescript.map((ns, sample) => ns / Math.min(phases[sample], single[sample])),
};
console.log(JSON.stringify(turns));
