/** The harness leaves nothing behind when a test dies by an error that nobody catches (a return, Ctrl-C and kill -9 end otherwise). */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "./harness/daemon.ts";
import { run } from "./harness/process.ts";
import { until } from "./harness/wait.ts";

Deno.test("a test that dies by an uncaught error leaves no namespace and no process", async () => {
  const name = `ku${Deno.pid.toString(16)}-${crypto.randomUUID().slice(0, 4)}-uncaught`;
  const file = new URL("./harness/uncaught.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const words = ["test", "-A", "--no-check", "--no-lock", "--config", config, file];
  const result = await run([Deno.execPath(), ...words], { env: { KU_TEST_NAMESPACE: name } });
  assertStringIncludes(result.text + result.stderr, "nobody catches this");
  assertEquals(result.code, 1);
  await until("the end of its namespace", async () => !(await exists(`/run/netns/${name}`)), 5_000);
});
