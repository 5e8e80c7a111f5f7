/**
 * `ku exec`: many command lines over one connection.
 *
 * Rule: lines take effect in order, and what a `show` between them prints is what the lines before it made.
 * Without `--atomic` the first line that fails ends the run and the lines before it stay; with it, all lines
 * that change something are one change, published once or not at all, and the shows follow.
 *
 * Commands that stand together travel together (`batch`), so that a file of 10,000 services is a handful of
 * requests and generations instead of 10,000.
 */

import { type Command, ConfigError } from "../mod/config/model.ts";
import { type Query, RPC_CONFIG_ERROR } from "../mod/control/protocol.ts";
import { DaemonConnection, RpcError } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import { parse as parseClear } from "./clear.ts";
import { parse as parseConf } from "./conf.ts";
import { parse as parseFlush } from "./flush.ts";
import { parse as parseInterface } from "./interface.ts";
import { readFile } from "./input.ts";
import { print } from "./output.ts";
import { parse as parsePod } from "./pod.ts";
import { parse as parseSet } from "./set.ts";
import { ask, parse as parseShow, type ShowRequest } from "./show.ts";
import type { Description } from "./spec.ts";
import { parse as parseVip } from "./vip.ts";
import { hint, UsageError, usageError } from "./words.ts";

export const description: Description = {
  command: "exec",
  summary: "carry out many command lines from a file",
  about: [
    'Each line is one of conf, interface, vip, pod, set, flush, show, clear; "ku" and "show" in front may be left out, ' +
    "empty lines and what follows a # are skipped. The first line that fails is named and ends the run; the lines " +
    "before it stay.",
  ],
  forms: [{
    lead: [],
    args: [{
      value: { name: "FILE|-", completes: "file" },
      required: true,
      help: '"-" reads standard input.',
    }],
  }],
  optionsFirst: true,
  options: [{ words: ["--atomic"], help: "All lines or none, as one change." }],
  examples: [{ line: "ku exec services.ku" }, { line: "generate-services | ku exec --atomic -" }],
};

/** One line of a file that does something. */
type Line = { number: number } & ({ command: Command } | { request: ShowRequest });

const COMMANDS: Readonly<Record<string, (words: readonly string[]) => Command>> = {
  conf: parseConf,
  interface: parseInterface,
  vip: parseVip,
  pod: parsePod,
  set: parseSet,
  flush: parseFlush,
};

/** Words a line may begin with, for suggestions. */
const FIRST_WORDS = [...Object.keys(COMMANDS), "show", "clear", "sessions", "node"];

/** Most commands of one request when they need not be one change: bounds the line on the socket. */
const MAX_BATCH = 5000;

/** What one line of text says; null for a blank one. Throws UsageError or ConfigError. */
export function parseLine(text: string): { command: Command } | { request: ShowRequest } | null {
  const words = text.replace(/(^|\s)#.*$/, "").trim().split(/\s+/).filter((word) => word !== "");
  const json = words.includes("--json");
  const own = words.filter((word) => word !== "--json");
  if (own[0] === "ku") own.shift();
  if (own.length === 0) {
    // "ku" alone, as in "show ku": the overview.
    return words.length > 0 ? { request: parseShow([], json) } : null;
  }
  const [first, ...rest] = own;
  if (first === "show") return { request: parseShow(rest, json) };
  if (isBareShow(own)) return { request: parseShow(own, json) };
  if (json) throw usageError(description, "--json fits show only");
  if (first === "clear") return { request: silent(parseClear(rest)) };
  if (Object.hasOwn(COMMANDS, first)) return { command: COMMANDS[first](rest) };
  throw usageError(description, `unknown command "${first}"${hint(first, FIRST_WORDS)}`);
}

/** Whether words without `show` are one of its lines: "sessions", "vip verbose", but not "vip 10.0.0.1". */
function isBareShow(words: readonly string[]): boolean {
  if (["sessions", "session", "node", "vips", "interfaces"].includes(words[0])) return true;
  if (words[0] === "vip") return words.length === 1 || (words.length === 2 && words[1] === "verbose");
  return words[0] === "interface" && words.length === 1;
}

function silent(query: Query): ShowRequest {
  return { query, verbose: false, json: false };
}

/** The lines of a text, numbered from `first`; stops before the one that is wrong and hands out why. */
function parseLines(
  texts: readonly string[],
  first: number,
  source: string,
): { lines: Line[]; error?: Error } {
  const lines: Line[] = [];
  for (const [index, text] of texts.entries()) {
    try {
      const parsed = parseLine(text);
      if (parsed !== null) lines.push({ number: first + index, ...parsed });
    } catch (error) {
      return { lines, error: located(error, source, first + index) };
    }
  }
  return { lines };
}

/** The error with file and line in front. */
function located(error: unknown, source: string, line: number): Error {
  const where = `${source} line ${line}`;
  if (error instanceof UsageError) {
    return new UsageError(`${where}: ${error.reason}`, error.usage);
  }
  if (error instanceof ConfigError) return error.within(`${where} `);
  return error instanceof Error ? error : new Error(String(error));
}

/** Sends commands as one request. Throws, with the line, what the daemon says of the one that failed. */
async function sendBatch(
  connection: DaemonConnection,
  lines: readonly { number: number; command: Command }[],
  atomic: boolean,
  source: string,
): Promise<void> {
  if (lines.length === 0) return;
  const { failed } = await connection.call("batch", { commands: lines.map((line) => line.command), atomic });
  if (failed === null) return;
  throw new RpcError(RPC_CONFIG_ERROR, `${source} line ${lines[failed.index].number} ${failed.message}`);
}

/** Carries out parsed lines in order; commands that stand together go together. */
async function execute(connection: DaemonConnection, lines: readonly Line[], source: string): Promise<void> {
  let pending: { number: number; command: Command }[] = [];
  for (const line of lines) {
    if ("command" in line) pending.push(line);
    if (pending.length >= MAX_BATCH || "request" in line) {
      await sendBatch(connection, pending, false, source);
      pending = [];
    }
    if ("request" in line) print(await ask(connection, line.request));
  }
  await sendBatch(connection, pending, false, source);
}

async function executeAtomic(
  connection: DaemonConnection,
  lines: readonly Line[],
  source: string,
): Promise<void> {
  await sendBatch(connection, lines.filter((line) => "command" in line), true, source);
  for (const line of lines) if ("request" in line) print(await ask(connection, line.request));
}

/** Pieces of the input that end with a line: the whole file, or what standard input has so far. */
async function* readPieces(file: string, whole: boolean): AsyncGenerator<string[]> {
  if (file !== "-") {
    yield readFile(file).split(/\r?\n/);
    return;
  }
  let rest = "";
  for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    rest += piece;
    if (whole) continue;
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    if (lines.length > 0) yield lines;
  }
  yield rest.split(/\r?\n/);
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const { words, socket, flags } = options;
  if (words.length === 0) throw usageError(description, "the file is missing");
  if (words.length > 1) throw usageError(description, `one file only, not "${words[1]}" too`);
  const [file] = words;
  const source = file === "-" ? "stdin" : file;
  const atomic = flags.has("atomic");
  const connection = await DaemonConnection.connect(socket);
  try {
    let first = 1;
    for await (const texts of readPieces(file, atomic)) {
      const { lines, error } = parseLines(texts, first, source);
      if (atomic && error) throw error;
      await (atomic ? executeAtomic : execute)(connection, lines, source);
      if (error) throw error;
      first += texts.length;
    }
  } finally {
    connection.close();
  }
}
