/**
 * A case of the micro benches for Deno's own bench. `bench/micro.ts` runs the files in several processes and reads the figures from the
 * names, so these say everything: `datapath {"mode":"nat44","flows":1000} × 512`.
 *
 * Only `run` is timed. NB: Deno's bench times single iterations only where they take more than 10 µs, hence cases that do many at once.
 */

export type Params = { [name: string]: string | number };

export interface Step {
  /** Before every run, not timed. */
  before?(): void;
  /** Does the work `times` times; its result depends on all of it, so that nothing is left out. */
  run(): number;
}

export const QUICK = Deno.args.includes("--quick");

/** The group to be measured, of files that have several; all if it is left out. */
const ONLY = Deno.args.indexOf("--group");
let groups = 0;

/**
 * Cases that need a process of their own: a worker has one processor, for whose memory its code is compiled, and a second one in the
 * same process would have it compiled for any. Measured without `--group`, all but the first are slower than they are.
 */
export function group(register: () => void): void {
  if (ONLY < 0 || Number(Deno.args[ONLY + 1]) === groups) register();
  groups++;
}

const warmed = new Set<string>();

/** What the results come together in. */
let total = 0;

/** Registers a case. `prepare` is called when its turn comes; `n` = how many runs are measured, a third as many go before. */
export function bench(name: string, params: Params, times: number, prepare: () => Step, n = 120): void {
  let step: Step | undefined;
  Deno.bench({
    name: `${name} ${JSON.stringify(params)} × ${times}`,
    n: QUICK ? 10 : n,
    warmup: QUICK ? 1 : Math.ceil(n / 3),
    fn(timer) {
      if (step === undefined) {
        step = prepare();
        warm(step, `${name} ${params.by} ${params.mode} ${params.family}`);
      }
      step.before?.();
      timer.start();
      const result = step.run();
      timer.end();
      total = (total + result) | 0;
    },
  });
}

/** Code that is run for the first time gets what the compiler needs to come to its end; known code, only its data into the cache. */
function warm(step: Step, code: string): void {
  const ms = QUICK ? 0 : warmed.has(code) ? 60 : 600;
  warmed.add(code);
  for (const end = performance.now() + ms; performance.now() < end;) work(step);
}

function work(step: Step): void {
  step.before?.();
  total = (total + step.run()) | 0;
}

/** Keeps the last thing made, for cases in a row that share it. */
export class Kept<T> {
  #key = "";
  #value: T | undefined;

  get(key: string, make: () => T): T {
    if (this.#value === undefined || key !== this.#key) {
      this.#value = undefined; // so that two are never in memory
      this.#value = make();
      this.#key = key;
    }
    return this.#value;
  }
}
