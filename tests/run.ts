/**
 * Runs everything that has to hold, and counts. `deno run -A tests/run.ts [build] [ok] [netns]`
 *
 *   build   dist/ku and all it is made of (ffi/build)
 *   ok      format, lint, types; tidy, unit tests, a short fuzz; the benches still run
 *   netns   end to end: dist/ku in network namespaces, with real clients and servers; some of it once more with `conf offload off`
 *
 * Rule: the last line is `N passed, N failed`, alone, and the exit code is 0 only if something ran and nothing
 * failed. What cannot run here (no root, no AF_XDP) has failed: nothing passes by being skipped.
 */

import { build } from "../ffi/build/main.ts";
import { LOCK_FLAGS, ROOT, StepError } from "../ffi/build/steps.ts";
import { readTotals, type Totals } from "./run/junit.ts";

const REPORT_FOLDER = `${ROOT}/dist/report`;
const OK_TESTS = ["tests/tidy_test.ts", "tests/unit/", "tests/fuzz/"];
const NETNS_TESTS = ["tests/netns/"];
/** What the kernel's repeating of sessions must not change. */
const OFFLOAD_TESTS = [
  "dnat_tcp",
  "dnat_udp",
  "nat66",
  "sessions",
  "pod_life",
  "hairpin",
  "protocols",
  "source",
]
  .map((name) => `tests/netns/${name}_test.ts`);
const NETNS_REQUIREMENTS = "tests/netns/harness/requirements.ts";
/** A run that hangs has failed; far above what the tests take. */
const TIME_LIMIT_MS = 30 * 60_000;

const total: Totals = { passed: 0, failed: 0 };
const parts: Record<string, () => Promise<void>> = { build: runBuild, ok: runOk, netns: runNetns };

let running: Deno.ChildProcess | undefined;
let interrupted = false;
let buildFailed = false;

/** What failed, to be repeated before the closing line. */
const failures: string[] = [];

function count(name: string, totals: Totals): void {
  total.passed += totals.passed;
  total.failed += totals.failed;
  if (totals.failed > 0) failures.push(`${name}: ${totals.failed} failed`);
}

async function runBuild(): Promise<void> {
  heading("build");
  try {
    await build();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    console.error(`build: ${error.message}`);
    buildFailed = true;
    count("build", { passed: 0, failed: 1 });
  }
}

async function runOk(): Promise<void> {
  await runCheck("format", ["fmt", "--check"]);
  await runCheck("lint", ["lint"]);
  await runCheck("types", ["check", ...LOCK_FLAGS, "."]);
  await runTests("unit", OK_TESTS);
  await runCheck("bench", ["run", "-A", "bench/run.ts", "--quick"]);
}

async function runNetns(): Promise<void> {
  if (buildFailed) {
    console.error("end-to-end tests cannot run: dist/ku was not built, see above");
    count("netns", { passed: 0, failed: 1 });
  } else if (await runDeno("netns", ["run", "-A", ...LOCK_FLAGS, NETNS_REQUIREMENTS])) {
    await runTests("netns", NETNS_TESTS);
    await runTests("netns without offload", OFFLOAD_TESTS, { KU_TEST_OFFLOAD: "off" });
  } else {
    count("netns", { passed: 0, failed: 1 });
  }
}

/** One command of Deno's that says yes or no. */
async function runCheck(name: string, args: string[]): Promise<void> {
  const success = await runDeno(name, args);
  count(name, success ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
}

/** `deno test`, counted from its JUnit report. */
async function runTests(name: string, paths: string[], env: Record<string, string> = {}): Promise<void> {
  const report = `${REPORT_FOLDER}/${name.replaceAll(" ", "_")}.xml`;
  Deno.mkdirSync(REPORT_FOLDER, { recursive: true });
  Deno.writeTextFileSync(report, "");
  // Types are a step of their own; one error of theirs should not keep all tests from running.
  const success = await runDeno(name, [
    "test",
    "-A",
    "--no-check",
    ...LOCK_FLAGS,
    `--junit-path=${report}`,
    ...paths,
  ], env);
  const totals = readTotals(Deno.readTextFileSync(report));
  // A module that does not load, a leak outside of tests, no test at all: none of them is in the report.
  if (totals.failed === 0 && (!success || totals.passed === 0)) totals.failed = 1;
  count(name, totals);
}

/** Whether it ended with exit code 0. Its output goes where ours goes. */
async function runDeno(name: string, args: string[], env: Record<string, string> = {}): Promise<boolean> {
  if (interrupted) return false;
  heading(`${name}: deno ${args.filter((arg) => !arg.startsWith("--")).join(" ")}`);
  const child = new Deno.Command(Deno.execPath(), { args, env, cwd: ROOT, stdin: "null" }).spawn();
  running = child;
  const limit = setTimeout(() => {
    console.error(`${name}: still running after ${TIME_LIMIT_MS / 60_000} minutes, stopped`);
    stop(child);
  }, TIME_LIMIT_MS);
  const { success } = await child.status;
  clearTimeout(limit);
  running = undefined;
  return success;
}

function heading(text: string): void {
  console.log(`\n── ${text}`);
}

function stop(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch {
    // It has just ended by itself.
  }
}

async function main(): Promise<void> {
  const names = Deno.args.length > 0 ? Deno.args : Object.keys(parts);
  const unknown = names.find((name) => !(name in parts));
  if (unknown !== undefined) {
    console.error(`tests/run.ts: ${unknown} : no such part, choose from ${Object.keys(parts).join(", ")}`);
    Deno.exit(2);
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      interrupted = true;
      if (running !== undefined) stop(running);
    });
  }
  for (const name of names) {
    if (!interrupted) await parts[name]();
  }
  if (interrupted) count("interrupted", { passed: 0, failed: 1 });
  console.log("");
  for (const failure of failures) console.log(`failed: ${failure}`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  Deno.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
}

await main();
