/** Standard output and the way out: what scripts see of ku. */

import { RpcError } from "../mod/control/rpc_client.ts";
import { UsageError } from "./words.ts";

/** Exit codes of the command contract. */
export const EXIT_OK = 0;
export const EXIT_ERROR = 1;
export const EXIT_USAGE = 2;

/** Writes all of `text`. A reader that has left (`ku show sessions | head`) ends the program quietly. */
export function print(text: string): void {
  printBytes(new TextEncoder().encode(text));
}

/** The same for bytes. */
export function printBytes(bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(EXIT_OK);
    throw error;
  }
}

/** Something to know beside what was asked for: a line on stderr. */
export function noteLine(text: string): void {
  console.error(oneLine(text));
}

/** Prints a value as `--json` does. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2) + "\n");
}

/** An error of a command that has its own exit code for it: of `diff`, where 1 means "different". */
export class Trouble extends Error {
  override name = "Trouble";
  constructor(override readonly cause: unknown) {
    super();
  }
}

/** Runs `task`, whose number is the exit code; a failure becomes one line on stderr. Returns the exit code. */
export async function guard(task: () => Promise<number | void>): Promise<number> {
  try {
    return await task() ?? EXIT_OK;
  } catch (error) {
    const reason = error instanceof Trouble ? error.cause : error;
    console.error(describe(reason));
    return reason !== error || reason instanceof UsageError ? EXIT_USAGE : EXIT_ERROR;
  }
}

/** An error as one line, whatever it is. */
function describe(error: unknown): string {
  if (error instanceof UsageError) return oneLine(error.message);
  if (error instanceof RpcError && error.code < 0) {
    return oneLine(`ku: daemon : ${error.message}, look at the log of "ku run"`);
  }
  return oneLine(`ku: ${error instanceof Error ? error.message : String(error)}`);
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*[\r\n]+\s*/g, " ");
}
