/**
 * How long commands may take: one answers at once, its start included, and 10,000 services are looked through within seconds.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods        no traffic here
 */

import { assertEquals, assertLess } from "@std/assert";
import { findDenort } from "../../ffi/build/denort.ts";
import { Daemon } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { run } from "./harness/process.ts";
import { requireGround } from "./harness/requirements.ts";
import { attached } from "./harness/service.ts";

await requireGround();

Deno.test("each command answers within 100 ms, start included", async () => {
  await using ground = await Ground.create();
  await using daemon = await Daemon.start(ground);
  await quick(daemon, ground);
  await daemon.stop();
});

/**
 * Within 100 ms; where the machine takes longer than 50 to start a program that does nothing, compiled as ku is, within twice that.
 */
async function quick(daemon: Daemon, ground: Ground): Promise<void> {
  const empty = await compileEmpty(ground.directory);
  const bareTimes: number[] = [];
  const pairs = [
    ["vip 10.96.2.1/32 protocol tcp port 80", "vip 10.96.2.1/32 protocol tcp port 80 del"],
    ["set interface nat4 in pod3", "interface pod3 del"],
    ["show vip verbose --json", "show sessions --json"],
    ["show node counters", "show interface"],
    ["conf timeout 50", "version"],
  ];
  for (const pair of pairs) {
    const times: number[][] = pair.map(() => []);
    for (let round = 0; round < 7; round++) {
      bareTimes.push((await run([empty])).elapsedMs);
      for (const [index, line] of pair.entries()) {
        const result = await daemon.run(...line.split(" "));
        assertEquals([line, result.code, result.stderr], [line, 0, ""]);
        times[index].push(result.elapsedMs);
      }
    }
    for (const [index, line] of pair.entries()) {
      const bare = medianOf(bareTimes);
      const bound = Math.max(100, 2 * bare);
      assertLess(
        medianOf(times[index]),
        bound,
        `median ms of "${line}", of a program that does nothing ${bare}`,
      );
    }
  }
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Path of an executable like ku's, of a program that does nothing. */
async function compileEmpty(directory: string): Promise<string> {
  const [source, executable] = [`${directory}/empty.ts`, `${directory}/empty`];
  await Deno.writeTextFile(source, "");
  const denort = await findDenort();
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["compile", "--quiet", "--no-check", "--no-config", "--output", executable, source],
    env: denort === null ? {} : { DENORT_BIN: denort },
  }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  return executable;
}

Deno.test("get | apply of 10,000 services says no change within 5 s", async () => {
  await using ground = await Ground.create();
  await using daemon = await Daemon.start(ground, { config: attached(ground, "tc") });
  const vips = Array.from({ length: 10_000 }, (_, n) => ({
    prefix: `10.${100 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}/32`,
    protocol: "tcp",
    port: 80,
    targetPort: 8080,
    pods: Array.from({ length: 4 }, (_, p) => `10.${200 + p}.${(n >> 8) & 255}.${n & 255}`),
  }));
  const first = await daemon.runWith(
    { stdin: JSON.stringify({ vips }), timeoutMs: 60_000 },
    "apply",
    "-f",
    "-",
    "--quiet",
  );
  assertEquals([first.code, first.stderr], [0, ""]);
  const start = performance.now();
  const { text } = await daemon.runWith({ timeoutMs: 30_000 }, "get");
  const again = await daemon.runWith({ stdin: text, timeoutMs: 30_000 }, "apply", "-f", "-");
  const elapsedMs = performance.now() - start;
  assertEquals([again.code, again.text, again.stderr], [0, "no change\n", ""]);
  assertLess(elapsedMs, 5000);
  await daemon.stop();
});
