/** The end-to-end bench still runs: its own sender, sink and rules, at small size; ku and nftables both carry packets. */

import { assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { run } from "./harness/process.ts";

await requireGround();

Deno.test("the end-to-end bench measures ku and nftables", async () => {
  const path = new URL("../../bench/e2e.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const command = [Deno.execPath(), "run", "-A", "--no-check", "--config", config, path, "--quick"];
  const result = await run(command, { timeoutMs: 60_000 });
  assertEquals({ code: result.code, stderr: result.stderr }, { code: 0, stderr: "" }, result.text);
  assertEquals(result.text.split("\n").filter((line) => line.startsWith("e2e ")).length, 4, result.text);
});
