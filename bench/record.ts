/** A figure of the benches: what was measured, under which parameters, and all samples of it. One JSON object a line. */

export interface Record {
  suite: string;
  name: string;
  params: { [name: string]: string | number };
  unit: string;
  better: "less" | "more";
  median: number;
  least: number;
  greatest: number;
  samples: number[];
  /** When the run began that made it, to the second, UTC: figures of one run may be compared, those of several with care. */
  run?: string;
}

/** A record of `samples`, at least one. */
export function record(
  head: Pick<Record, "suite" | "name" | "params" | "unit" | "better">,
  samples: readonly number[],
): Record {
  const sorted = [...samples].sort((a, b) => a - b);
  const [least, median, greatest] = [sorted[0], sorted[sorted.length >> 1], sorted[sorted.length - 1]];
  return { ...head, median, least, greatest, samples: [...samples] };
}

/** One line for people. */
export function describe({ suite, name, params, unit, median, least, greatest }: Record): string {
  const words = Object.entries(params).map(([key, value]) => `${key} ${value}`).join(", ");
  const number = (value: number) =>
    value.toPrecision(4).replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "").replace("e+", "e");
  return `${suite.padEnd(8)} ${name.padEnd(20)} ${words.padEnd(52)} ${number(median).padStart(9)} ${unit}` +
    `  (${number(least)} … ${number(greatest)})`;
}

/** Where bench/run.ts leaves its beginning to the suites that it starts. */
export const RUN_VARIABLE = "KU_BENCH_RUN";

/** The name of a run that begins now. */
export function runNow(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

/** Prints records as they come, and keeps them in `path`, if any, as lines of JSON. */
export class Recorder {
  readonly records: Record[] = [];
  readonly run = Deno.env.get(RUN_VARIABLE) ?? runNow();

  constructor(readonly path?: string) {
    if (path !== undefined) Deno.writeTextFileSync(path, "");
  }

  add(...args: Parameters<typeof record>): Record {
    const made = { ...record(...args), run: this.run };
    this.records.push(made);
    console.log(describe(made));
    if (this.path !== undefined) {
      Deno.writeTextFileSync(this.path, JSON.stringify(made) + "\n", { append: true });
    }
    return made;
  }
}
