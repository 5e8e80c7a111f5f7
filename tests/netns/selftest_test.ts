/** `ku selftest` passes where the tests run, and leaves nothing behind, also when it is interrupted. It makes its own ground. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { KU } from "./harness/daemon.ts";
import { Process, run, runOk } from "./harness/process.ts";
import { until } from "./harness/wait.ts";

await requireGround();

const left = async (): Promise<string[]> =>
  (await runOk(["ip", "netns", "list"])).split("\n").filter((line) => line.startsWith("kuself-"));

Deno.test("selftest: every type, protocol and mode passes", async () => {
  const { code, text, stderr } = await run([KU, "selftest", "--json"], { timeoutMs: 120_000 });
  assertEquals([code, stderr], [0, ""]);
  const results: { mode: string; type: string; protocol: string; failure: string | null }[] = JSON.parse(
    text,
  );
  assertEquals(results.filter(({ failure }) => failure !== null), []);
  const names = results.map(({ mode, type, protocol }) => `${mode} ${type} ${protocol}`);
  assertEquals([names.length, new Set(names).size], [16, 16]);
  assertEquals(await left(), []);
});

Deno.test("selftest: interrupted, it takes its ground away; without root it says so", async () => {
  await using going = new Process("ku selftest", [KU, "selftest"]);
  await until("the first line", () => going.stdout.includes("nat44"), 60_000);
  assert((await left()).length > 0);
  going.signal("SIGINT");
  assertEquals((await going.ended(30_000)).code, 1);
  assertMatch(
    going.stdout,
    /^Mode +Type +Protocol +Bytes +Time +Result\ntc +nat44 +tcp +1048576 +\d+ ms +pass\n/,
  );
  assertEquals(await left(), []);
  const { code, stderr } = await run([
    "setpriv",
    "--reuid=65534",
    "--clear-groups",
    "--no-new-privs",
    KU,
    "selftest",
  ], {
    env: { HOME: "/tmp" },
  });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "ku: selftest : ip netns add");
});
