/**
 * What every client command shares: the options with two dashes, the socket's path, sending.
 *
 * Rule: success prints nothing but what was asked for.
 */

import type { Command } from "../mod/config/model.ts";
import { DEFAULT_SOCKET_PATH } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { print } from "./output.ts";
import { closest } from "./suggest.ts";
import { UsageError } from "./words.ts";

/** A command's own description: what `run` and `ku help` print. */
export interface Description {
  command: string;
  usage: string;
  /** One line for the overview. */
  summary: string;
  /** What follows the usage line in `ku <command> --help`. */
  help: string;
}

export interface Options {
  /** The arguments that are no options, in order. */
  words: string[];
  socket: string;
  /** Flags that were given, without dashes. */
  flags: Set<string>;
}

/** Where the daemon's socket is when `--socket` does not say. */
export function defaultSocket(): string {
  return Deno.env.get("KU_SOCKET") || DEFAULT_SOCKET_PATH;
}

/** Takes `--socket PATH`, `--help` and the command's `flags` out of `args`, wherever they stand. */
export function takeOptions(
  args: readonly string[],
  description: Description,
  flags: readonly string[] = [],
): Options {
  const options: Options = { words: [], socket: defaultSocket(), flags: new Set() };
  const usage = (reason: string) => new UsageError(reason, description.usage);
  const known = ["help", ...flags];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === "-h") {
      options.flags.add("help");
    } else if (!arg.startsWith("--")) {
      options.words.push(arg);
    } else if (known.includes(arg.slice(2))) {
      options.flags.add(arg.slice(2));
    } else if (arg === "--socket" || arg.startsWith("--socket=")) {
      const path = arg === "--socket" ? args[++index] : arg.slice("--socket=".length);
      if (!path) throw usage("--socket wants a path");
      options.socket = path;
    } else {
      const meant = closest(arg.slice(2), [...known, "socket"]);
      throw usage(`unknown option "${arg}"${meant === undefined ? "" : `: did you mean "--${meant}"?`}`);
    }
  }
  return options;
}

/** The text of `ku <command> --help`. */
export function helpText(description: Description): string {
  return `usage: ${description.usage}\n\n${description.help.trim()}\n`;
}

/** Runs a command that changes the state: parse, send, say nothing. */
export async function sendCommand(
  args: readonly string[],
  description: Description,
  parse: (words: readonly string[]) => Command,
): Promise<void> {
  const { words, socket, flags } = takeOptions(args, description);
  if (flags.has("help")) return print(helpText(description));
  const command = parse(words);
  await callDaemon(socket, command.method, command.params);
}
