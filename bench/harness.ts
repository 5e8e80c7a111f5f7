/**
 * What the micro benches share: a seeded random source, and `measure`, which prints one line with the median ns an operation, the
 * spread, and a hash of the results (so that nothing is optimized away, and two runs can be seen to have done the same).
 */

export { Random } from "../tests/packets/random.ts";

export interface Measured {
  name: string;
  nsMedian: number;
  nsLeast: number;
  nsMost: number;
}

const WARM_MS = 60;
const SAMPLE_MS = 12;
const SAMPLES = 9;

function runFor(ms: number, run: () => number): { runs: number; elapsedMs: number; result: number } {
  const start = performance.now();
  let runs = 0, elapsedMs = 0, result = 0;
  do {
    result = run();
    runs++;
    elapsedMs = performance.now() - start;
  } while (elapsedMs < ms);
  return { runs, elapsedMs, result };
}

/** Runs `run` (which does `operations` of them and returns a number that depends on all) for about 0.2 s and prints its line. */
export function measure(name: string, operations: number, run: () => number): Measured {
  runFor(WARM_MS, run);
  const ns: number[] = [];
  let result = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const sample = runFor(SAMPLE_MS, run);
    ns.push(sample.elapsedMs * 1e6 / sample.runs / operations);
    result = sample.result;
  }
  ns.sort((a, b) => a - b);
  const measured = { name, nsMedian: ns[SAMPLES >> 1], nsLeast: ns[0], nsMost: ns[SAMPLES - 1] };
  const hash = (result >>> 0).toString(16).padStart(8, "0");
  console.log(
    `${name.padEnd(56)} ${measured.nsMedian.toFixed(2).padStart(10)} ns/op  ` +
      `(${measured.nsLeast.toFixed(2)} … ${measured.nsMost.toFixed(2)})  ${hash}`,
  );
  return measured;
}
