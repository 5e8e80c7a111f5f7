/** The benches that need root still run, at small size: sender and sink, the rules, the C programs; every figure is a number. */

import { assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { run } from "./harness/process.ts";

await requireGround();

/** Runs a bench by its path; its figures, one line each. */
async function figures(path: string, ...words: string[]): Promise<string[]> {
  const folder = new URL("../../", import.meta.url).pathname;
  const config = `${folder}deno.json`;
  const command = [
    Deno.execPath(),
    "run",
    "-A",
    "--no-check",
    "--config",
    config,
    folder + path,
    "--quick",
    ...words,
  ];
  const result = await run(command, { timeoutMs: 120_000 });
  assertEquals({ code: result.code, stderr: result.stderr }, { code: 0, stderr: "" }, result.text);
  return result.text.split("\n").filter((line) => /^(e2e|control) .*\d/.test(line));
}

Deno.test("the end-to-end bench measures packets, round-trips, bulk and requests of ku and nftables", async () => {
  const lines = await figures("bench/e2e.ts");
  assertEquals(lines.length, 2 * (2 + 2 + 4 + 4), lines.join("\n"));
});

Deno.test("the other contestants forward packets too", async () => {
  const contestants = ["ku-ring", "ku auto", "xdp", "iptables", "forward", "routing"];
  const lines = await figures("bench/e2e.ts", "--only", "packets", "--contestants", contestants.join());
  assertEquals(lines.length, 2 * contestants.length, lines.join("\n"));
});

Deno.test("the bench of the control plane measures ku, nft and iptables-restore", async () => {
  const lines = await figures("bench/control.ts");
  assertEquals(lines.length, 15, lines.join("\n"));
});
