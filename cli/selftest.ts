/** `ku selftest`: whether ku works on this machine. */

import { selftest, type SelftestResult } from "../mod/control/selftest.ts";
import { optionsOrHelp } from "./client.ts";
import { EXIT_ERROR, print, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { isStyled, styled } from "./style.ts";
import { TableWriter } from "./table.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "selftest",
  summary: "try every NAT mode with real sockets in namespaces",
  about: [
    "Makes a client, a node and two pods in network namespaces, runs ku on the node, and sends TCP and UDP through a VIP of every type, in " +
    "both ways of steering. What comes back must be what was sent, and the pod must see the right source. Nothing of the machine's own " +
    "network is touched, and nothing is left behind. Wants root, iproute2 and util-linux.",
    "The exit code is 0 if all has passed, else 1.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [{ words: ["--json"], help: "The results as JSON." }],
  local: true,
  examples: [{ line: "ku selftest" }],
};

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  new WordReader(description, options.words).end();
  const self = [Deno.execPath(), ...Deno.build.standalone ? [] : ["run", "-A", Deno.mainModule]];
  const results: SelftestResult[] = [];
  // Wide enough from the start: the lines come one by one.
  const table = new TableWriter([
    { title: "Mode  " },
    { title: "Type " },
    { title: "Protocol" },
    { title: "  Bytes", right: true },
    { title: "    Time", right: true },
    { title: "Result" },
  ]);
  const json = options.flags.has("json");
  // A signal ends it after the test that is under way, so that everything is taken away again.
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => interrupted = true);
  }
  for await (const result of selftest(self)) {
    if (interrupted) break;
    results.push(result);
    if (!json) print(table.rows([cells(result)]));
  }
  const failed = results.filter(({ failure }) => failure !== null).length;
  if (json) printJson(results);
  else print(`\n${results.length - failed} passed, ${failed} failed\n`);
  if (failed > 0 || interrupted) Deno.exit(EXIT_ERROR);
}

function cells({ mode, type, protocol, bytes, failure, elapsedMs }: SelftestResult): string[] {
  const verdict = failure === null
    ? styled("pass", "green", isStyled())
    : styled(`FAIL: ${failure}`, "red", isStyled());
  return [mode, type, protocol, String(bytes), `${Math.round(elapsedMs)} ms`, verdict];
}
