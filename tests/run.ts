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
const NETNS_FOLDER = "tests/netns";
/** They measure how long something takes, compare rates, or keep every core busy: nothing else may run beside them. */
const ALONE = ["bench", "rate", "rest", "speed"];
/** The longest of the others, so that none of them is begun last. */
const LONGEST = [
  "docs",
  "examples",
  "fragment",
  "commands",
  "steering",
  "change",
  "offload",
  "dnat_tcp",
  "mode_switch",
  "kill_rounds",
  "workers",
  "sessions",
  "many_interfaces",
  "random",
  "queues",
];
/** Tests of nat44 and nat66, all of which the kernel's repeating of sessions must not change; they run once more without it. */
const OFFLOAD_TESTS = [
  "fragment",
  "mode_switch",
  "workers",
  "lifecycle",
  "many_interfaces",
  "queues",
  "dnat_tcp",
  "dnat_udp",
  "hairpin",
  "host_pod",
  "host",
  "icmp",
  "import",
  "nat66",
  "no_pod",
  "node_port",
  "pmtu",
  "pod_life",
  "prefix",
  "protocols",
  "routing",
  "session_filter",
  "sessions",
  "source",
];
const OFFLOAD_ALONE = ["rest"];
/** Files tested at the same time: each keeps about one core busy, and their deadlines are for a machine that is not overloaded. */
const JOBS = Math.max(2, navigator.hardwareConcurrency);
const NETNS_REQUIREMENTS = "tests/netns/harness/requirements.ts";
/** A run that hangs has failed; far above what the tests take. */
const TIME_LIMIT_MS = 30 * 60_000;

/** Of what a failed command said, at the end of a long run. */
const REPEATED_CHARS = 4000;

const total: Totals = { passed: 0, failed: 0 };
const parts: Record<string, () => Promise<void>> = { build: runBuild, ok: runOk, netns: runNetns };

const running = new Set<Deno.ChildProcess>();
interface RunOptions {
  env?: Record<string, string>;
  /** Others run at the same time. */
  together?: boolean;
}

let interrupted = false;
let buildFailed = false;

/** What failed, and what it said of it: repeated before the closing line. */
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
  await runJobs([
    (together) => runCheck("types", ["check", ...LOCK_FLAGS, "."], together),
    (together) => runCheck("lint", ["lint"], together),
    (together) => runCheck("format", ["fmt", "--check"], together),
  ], JOBS);
  await runTests("unit", OK_TESTS);
  await runCheck("bench", ["run", "-A", "bench/run.ts", "--quick"]);
}

async function runNetns(): Promise<void> {
  if (buildFailed) {
    console.error("end-to-end tests cannot run: dist/ku was not built, see above");
    count("netns", { passed: 0, failed: 1 });
  } else if (await runDeno("netns", ["run", "-A", ...LOCK_FLAGS, NETNS_REQUIREMENTS])) {
    const others = netnsTests().filter((name) => !ALONE.includes(name) && !LONGEST.includes(name));
    await runJobs([...[...LONGEST, ...others].map(netns), ...OFFLOAD_TESTS.map(netnsWithoutOffload)], JOBS);
    await runJobs([...ALONE.map(netns), ...OFFLOAD_ALONE.map(netnsWithoutOffload)], 1);
  } else {
    count("netns", { passed: 0, failed: 1 });
  }
}

/** The tests' names: files of the folder without their "_test.ts". */
function netnsTests(): string[] {
  const files = [...Deno.readDirSync(`${ROOT}/${NETNS_FOLDER}`)].map(({ name }) => name);
  return files.filter((name) => name.endsWith("_test.ts")).map((name) => name.replace("_test.ts", "")).sort();
}

type Job = (together: boolean) => Promise<void>;

/** One file of the folder, by a process of its own. */
function netns(test: string): Job {
  return (together) => runTests(`netns: ${test}`, [`${NETNS_FOLDER}/${test}_test.ts`], { together });
}

function netnsWithoutOffload(test: string): Job {
  const env = { KU_TEST_OFFLOAD: "off" };
  return (together) =>
    runTests(`netns without offload: ${test}`, [`${NETNS_FOLDER}/${test}_test.ts`], { env, together });
}

/** All of them, begun in this order, at most `atOnce` at a time. */
async function runJobs(jobs: readonly Job[], atOnce: number): Promise<void> {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await job(atOnce > 1);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

/** One command of Deno's that says yes or no. */
async function runCheck(name: string, args: string[], together = false): Promise<void> {
  const success = await runDeno(name, args, { together });
  count(name, success ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });
}

/** `deno test`, counted from its JUnit report. */
async function runTests(name: string, paths: string[], options: RunOptions = {}): Promise<void> {
  if (interrupted) return;
  const report = `${REPORT_FOLDER}/${name.replaceAll(/\W+/g, "_")}.xml`;
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
  ], options);
  const totals = readTotals(Deno.readTextFileSync(report));
  // A module that does not load, a leak outside of tests, no test at all: none of them is in the report.
  if (totals.failed === 0 && (!success || totals.passed === 0)) totals.failed = 1;
  count(name, totals);
}

/** Whether it ended with exit code 0. Its output goes where ours goes, at its end if others run beside it. */
async function runDeno(
  name: string,
  args: string[],
  { env = {}, together = false }: RunOptions = {},
): Promise<boolean> {
  if (interrupted) return false;
  const title = `${name}: deno ${args.filter((arg) => !arg.startsWith("--")).join(" ")}`;
  if (!together) heading(title);
  const output = together ? "piped" : "inherit";
  const began = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env,
    cwd: ROOT,
    stdin: "null",
    stdout: output,
    stderr: output,
  }).spawn();
  running.add(child);
  const limit = setTimeout(() => {
    console.error(`${name}: still running after ${TIME_LIMIT_MS / 60_000} minutes, stopped`);
    stop(child);
  }, TIME_LIMIT_MS);
  const said = together ? await child.output() : null;
  const { success } = await child.status;
  clearTimeout(limit);
  running.delete(child);
  if (said !== null) {
    heading(`${title} (${Math.round((performance.now() - began) / 1000)} s)`);
    const texts = [said.stdout, said.stderr].map((bytes) => new TextDecoder().decode(bytes).trimEnd());
    for (const text of texts) console.log(text);
    if (!success) failures.push(`${name} said:\n${errorsOf(texts.join("\n"))}`);
  }
  return success;
}

/** What is worth repeating of a failed command's output: from where `deno test` tells of the errors, or the end. */
function errorsOf(output: string): string {
  const at = output.indexOf(" ERRORS ");
  return at < 0 ? output.slice(-REPEATED_CHARS) : output.slice(at, at + REPEATED_CHARS);
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
      for (const child of running) stop(child);
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
