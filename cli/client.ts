/**
 * What every command shares: the options with dashes, the socket's path, sending.
 *
 * Rule: success prints nothing but what was asked for.
 */

import type { Command } from "../mod/config/model.ts";
import { DEFAULT_SOCKET_PATH } from "../mod/control/protocol.ts";
import { callDaemon, DaemonConnection } from "../mod/control/rpc_client.ts";
import { printHelp } from "./help_text.ts";
import { type Description, optionsOf } from "./spec.ts";
import { hint, usageError } from "./words.ts";

export interface Options {
  /** The arguments that are no options, in order. */
  words: string[];
  socket: string;
  /** Options without a value that were given, without dashes. */
  flags: Set<string>;
  /** Values of the others, in order, by name without dashes. */
  values: Map<string, string[]>;
}

/** Where the daemon's socket is when `--socket` does not say. */
export function defaultSocket(): string {
  return Deno.env.get("KU_SOCKET") || DEFAULT_SOCKET_PATH;
}

/** Takes the options of `description` out of `args`, wherever they stand; "--" ends them. Throws UsageError. */
export function takeOptions(args: readonly string[], description: Description): Options {
  const options: Options = { words: [], socket: defaultSocket(), flags: new Set(), values: new Map() };
  const known = new Map(
    optionsOf(description).flatMap((option) => option.words!.map((word) => [word, option] as const)),
  );
  known.set("-h", known.get("--help")!);
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === "--") {
      options.words.push(...args.slice(index + 1));
      break;
    }
    const [word, inline] = splitOption(arg);
    const option = known.get(word);
    if (option === undefined) {
      // NB: "-" is standard input and "-1" a number, and so are words.
      if (!/^--?[a-z]/i.test(arg)) options.words.push(arg);
      else {throw usageError(
          description,
          `unknown option "${word}"${hint(word, [...known.keys()].filter(isLong))}`,
        );}
    } else if (option.value === undefined) {
      if (inline !== undefined) throw usageError(description, `${word} wants no value`);
      options.flags.add(option.words!.find(isLong)!.slice(2));
    } else {
      const value = inline ?? args[++index];
      if (!value) {
        throw usageError(description, `${word} wants ${option.value.name === "PATH" ? "a path" : "a value"}`);
      }
      const name = option.words!.find(isLong)?.slice(2) ?? word.slice(1);
      const values = options.values.get(name) ?? [];
      if (values.length > 0 && !option.repeated) throw usageError(description, `${word} is given twice`);
      options.values.set(name, [...values, value]);
    }
  }
  options.socket = options.values.get("socket")?.[0] ?? options.socket;
  return options;
}

const isLong = (word: string): boolean => word.startsWith("--");

/** "--name=value" in its parts. */
function splitOption(arg: string): [word: string, value?: string] {
  const at = arg.indexOf("=");
  return isLong(arg) && at > 0 ? [arg.slice(0, at), arg.slice(at + 1)] : [arg];
}

/** The options, or null when the help was asked for and printed. */
export function optionsOrHelp(args: readonly string[], description: Description): Options | null {
  const options = takeOptions(args, description);
  if (!options.flags.has("help")) return options;
  printHelp(description);
  return null;
}

/** What a command does on a connection that is there; its exit code, 0 when it gives none. */
export type Task = (connection: DaemonConnection) => Promise<number | void>;

/** Runs a command that needs a connection: `prepare` reads its words and files, what it returns is done on a connection of its own. */
export async function runConnected(
  args: readonly string[],
  description: Description,
  prepare: (options: Options) => Task | Promise<Task>,
): Promise<number | void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const task = await prepare(options);
  const connection = await DaemonConnection.connect(options.socket);
  try {
    return await task(connection);
  } finally {
    connection.close();
  }
}

/** Runs a command that changes the state: parse, send, say nothing. */
export async function sendCommand(
  args: readonly string[],
  description: Description,
  parse: (words: readonly string[]) => Command,
): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const command = parse(options.words);
  await callDaemon(options.socket, command.method, command.params);
}
