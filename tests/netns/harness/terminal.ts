/** Programs at a pseudo-terminal, which is where they color, complete and draw. */

import { run, type RunResult } from "./process.ts";

/** What to wait for in the program's output, and what to type then. */
export type Dialog = readonly (readonly [wanted: string, typed: string])[];

const PLAYER = new URL("./terminal.py", import.meta.url).pathname;

export interface TalkOptions {
  env?: Record<string, string>;
  columns?: number;
  lines?: number;
  timeoutMs?: number;
}

/** Runs `command` and plays `dialog`; its output, escape sequences included, and its exit code (124: a text did not come). */
export function talk(
  command: readonly string[],
  dialog: Dialog,
  options: TalkOptions = {},
): Promise<RunResult> {
  const { columns = 120, lines = 40, env = {}, timeoutMs = 120_000 } = options;
  return run(["/usr/bin/python3", "-I", PLAYER, JSON.stringify(dialog), `${columns}x${lines}`, ...command], {
    env: { TERM: "xterm", ...env },
    timeoutMs,
  });
}
