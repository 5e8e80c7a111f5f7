/** `ku doctor`: whether this node can run ku, and what to do if not. */

import { type Check, diagnose, passes, type Verdict } from "../mod/control/doctor.ts";
import { optionsOrHelp } from "./client.ts";
import { EXIT_ERROR, print, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { isStyled, type Style, styled } from "./style.ts";

export const description: Description = {
  command: "doctor",
  summary: "check whether this node can run ku",
  about: [
    "Looks at the kernel, capabilities, memory, forwarding, and interfaces: driver and mode, queues, MTU, offloads, XDP programs of " +
    "others, bridges, reverse-path filters. Each check has a verdict, and a remedy where it is not ok. Nothing is changed, and no " +
    "daemon is needed; of one that runs, the attached interfaces are looked at unless some are named.",
    "The exit code is 0 if nothing has failed (warnings are no failures), else 1.",
  ],
  forms: [{
    lead: [],
    args: [{
      value: { name: "<intfc>", completes: "interface" },
      repeated: true,
      help: "Interfaces to look at (default: those attached, else every Ethernet device that is up).",
    }],
  }],
  options: [{ words: ["--json"], help: "The checks as JSON." }],
  examples: [{ line: "ku doctor" }, {
    line: "ku doctor eth0 --json | jq '.[] | select(.verdict != \"ok\")'",
  }],
};

const COLORS: Readonly<Record<Verdict, Style>> = { ok: "green", warn: "yellow", fail: "red" };

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const { lookAtNode } = await import("../mod/control/doctor_facts.ts");
  const checks = diagnose(await lookAtNode(options.words, options.socket));
  if (options.flags.has("json")) printJson(checks);
  else print(formatChecks(checks, isStyled()));
  if (!passes(checks)) Deno.exit(EXIT_ERROR);
}

/** A line a check, the remedy below it. */
export function formatChecks(checks: readonly Check[], style = false): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map(({ verdict, name, detail, remedy }) => {
    const line = `${styled(verdict.padEnd(4), COLORS[verdict], style)}  ${name.padEnd(width)}  ${detail}\n`;
    return remedy === null ? line : `${line}${" ".repeat(width + 8)}→ ${remedy}\n`;
  });
  const count = (verdict: Verdict): number => checks.filter((check) => check.verdict === verdict).length;
  return `${lines.join("")}\n${count("ok")} ok, ${count("warn")} warnings, ${count("fail")} failed\n`;
}
