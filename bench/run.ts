/**
 * The benches, one after the other, each a program of its own: `deno task bench`.
 *
 *     deno run -A bench/run.ts [--quick] [--only micro,e2e,control] [--rounds N] [--out records.jsonl] [--report]
 *
 * `--quick` is for seeing that they still run, by default the micro part alone, which needs no root; its numbers mean little.
 * `--report` writes bench/RESULTS.md and the charts from what was measured (bench/report/main.ts does so from kept records).
 */

import { ROOT } from "../ffi/build/steps.ts";
import { RUN_VARIABLE, runNow } from "./record.ts";

const SUITES = ["micro", "e2e", "control"];

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

async function run(...args: string[]): Promise<void> {
  console.log(`\n── ${args[0]}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--lock=deno.lock", "--frozen", ...args],
    cwd: ROOT,
    stdin: "null",
    env: { [RUN_VARIABLE]: begun },
  }).spawn().status;
  if (code === 0) return;
  console.error(`${args[0]} failed (exit code ${code}), see its message above`);
  Deno.exit(1);
}

const begun = runNow();
const quick = Deno.args.includes("--quick");
const suites = option("only")?.split(",") ?? (quick ? ["micro"] : SUITES);
const unknown = suites.find((suite) => !SUITES.includes(suite));
if (unknown !== undefined) {
  console.error(`bench/run.ts: ${unknown} : no such suite, choose from ${SUITES.join(", ")}`);
  Deno.exit(2);
}
Deno.mkdirSync(`${ROOT}/dist/bench`, { recursive: true });
const out = option("out") ?? `${ROOT}/dist/bench/records.jsonl`;
const parts: string[] = [];
for (const suite of suites) {
  const part = `${ROOT}/dist/bench/${suite}.jsonl`;
  const rounds = option("rounds");
  const start = performance.now();
  await run(
    `bench/${suite}.ts`,
    ...quick ? ["--quick"] : [],
    ...rounds === undefined ? [] : ["--rounds", rounds],
    "--out",
    part,
  );
  console.log(`· ${suite}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
  parts.push(Deno.readTextFileSync(part));
}
Deno.writeTextFileSync(out, parts.join(""));
if (Deno.args.includes("--report")) await run("bench/report/main.ts", out);
