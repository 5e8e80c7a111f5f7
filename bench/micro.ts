/**
 * The micro benches: every bench/*_bench.ts by Deno's own bench, a process each, so that none finds the compiler's work of another, and
 * all of that several times, so that the figures have a median and a spread over processes; then TypeScript and C by turns, and two workers
 * beside one.
 *
 *     deno run -A bench/micro.ts [--quick] [--only datapath,session,…] [--rounds 5] [--out records.jsonl]
 *
 * A process's figure is the 75th percentile of its runs: of what Deno's bench gives, the nearest above the median, and unlike the mean it
 * is not moved by the few runs that an interrupt fell into.
 */

import { compileDatapath } from "./compile.ts";
import { Recorder } from "./record.ts";
import { benchRatio } from "./micro/ratio.ts";
import { benchWorkers } from "./micro/workers.ts";

interface Report {
  benches: {
    name: string;
    results: { ok?: { p75: number; usedExplicitTimers: boolean }; failed?: unknown }[];
  }[];
}

const quick = Deno.args.includes("--quick");
/** What is no file for Deno's bench: it measures one thing after the other, and in one thread. */
const OWN = ["ratio", "workers"];
/** Files whose groups are measured in a process each: micro/case.ts. */
const GROUPED = ["datapath", "mixed"];
const folder = import.meta.dirname!;

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

const ROUNDS = Number(option("rounds") ?? (quick ? 1 : 5));

/** Runs one file, group by group if it has some; adds each of its figures, in ns an operation, to the samples of its name. */
async function runFile(name: string, samples: Map<string, number[]>): Promise<void> {
  if (quick || !GROUPED.includes(name)) {
    if (await runGroup(name, null, samples) === 0) throw new Error(`bench/${name}_bench.ts measured nothing`);
    return;
  }
  let group = 0;
  while (await runGroup(name, group, samples) > 0) group++;
  if (group === 0) throw new Error(`bench/${name}_bench.ts measured nothing`);
}

/** A group, or all of them in one process; returns how many figures there were. */
async function runGroup(name: string, group: number | null, samples: Map<string, number[]>): Promise<number> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bench",
      "-A",
      "--no-check",
      "--json",
      `${folder}/${name}_bench.ts`,
      "--",
      ...group === null ? [] : ["--group", String(group)],
      ...quick ? ["--quick"] : [],
    ],
    stdin: "null",
    stderr: "inherit",
  }).output();
  const text = new TextDecoder().decode(stdout); // the compiler's step may have a line before
  if (code !== 0) throw new Error(`bench/${name}_bench.ts failed, see above`);
  const report: Report = JSON.parse(text.slice(text.indexOf("{")));
  for (const { name: title, results: [{ ok, failed }] } of report.benches) {
    const [, head, times] = title.match(/^(.*) × (\d+)$/)!;
    if (ok === undefined) throw new Error(`${head}: ${JSON.stringify(failed)}`);
    if (!ok.usedExplicitTimers) throw new Error(`${head}: a run is too short to be timed, do more in it`);
    samples.set(head, [...samples.get(head) ?? [], ok.p75 / Number(times)]);
  }
  return report.benches.length;
}

/** The C datapath does what the TypeScript does, or all comparison is idle. */
async function requireEqual(): Promise<void> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${folder}/micro/equal.ts`],
    stdin: "null",
  }).spawn().status;
  if (code !== 0) throw new Error("TypeScript and C differ, see above");
}

const all = [...Deno.readDirSync(folder)].map(({ name }) => name.match(/^(\w+)_bench\.ts$/)?.[1] ?? "");
const names = option("only")?.split(",") ?? [...all.filter((name) => name !== "").sort(), ...OWN];
const unknown = names.find((name) => !OWN.includes(name) && !all.includes(name));
if (unknown !== undefined) {
  console.error(`bench/micro.ts: ${unknown} : no such bench, see the files bench/*_bench.ts`);
  Deno.exit(2);
}
await compileDatapath();
if (names.includes("datapath") || names.includes("ratio")) await requireEqual();
const recorder = new Recorder(option("out"));
const samples = new Map<string, number[]>();
for (let round = 0; round < ROUNDS; round++) {
  for (const name of names) if (!OWN.includes(name)) await runFile(name, samples);
}
for (const [head, values] of samples) {
  const [, name, params] = head.match(/^(.*?) (\{.*\})$/)!;
  recorder.add({ suite: "micro", name, params: JSON.parse(params), unit: "ns", better: "less" }, values);
}
if (names.includes("ratio")) await benchRatio(recorder, quick);
if (names.includes("workers")) await benchWorkers(recorder, quick);
