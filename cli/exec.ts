/**
 * `ku exec`: many command lines over one connection.
 *
 * Rule: lines take effect in order, and what a `show` between them prints is what the lines before it made.
 * Without `--atomic` the first line that fails ends the run and the lines before it stay; with it, all lines
 * that change something are one change, published once or not at all, and the shows follow.
 */

import { type Command, ConfigError } from "../mod/config/model.ts";
import type { Query } from "../mod/control/protocol.ts";
import { DaemonConnection } from "../mod/control/rpc_client.ts";
import { type Options, optionsOrHelp, takeOptions, type Task } from "./client.ts";
import { parse as parseClear } from "./clear.ts";
import { parse as parseConf } from "./conf.ts";
import { execute, executeAtomic, type Line } from "./exec_send.ts";
import { parse as parseFlush } from "./flush.ts";
import { parse as parseInterface } from "./interface.ts";
import { readFile } from "./input.ts";
import { parse as parsePod } from "./pod.ts";
import { parse as parseSet } from "./set.ts";
import { parse as parseShow, type ShowRequest } from "./show.ts";
import type { Description } from "./spec.ts";
import { parse as parseVip } from "./vip.ts";
import { hint, UsageError, usageError } from "./words.ts";

export const description: Description = {
  command: "exec",
  summary: "carry out many command lines from a file",
  about: [
    'Each line is one of conf, interface, vip, pod, set, flush, show, clear, sessions, explain, trace, apply, diff, get, import; "ku" and ' +
    '"show" in front may be left out, empty lines and what follows a # are skipped. The first line that fails is named and ends the run; ' +
    "the lines before it stay. A difference that diff finds is no failure.",
    "With --atomic the lines are one change, and the shows among them are answered after it; commands that are changes or questions of their " +
    "own (apply, diff, get, import, sessions with filters, explain, trace) do not fit.",
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

/** What a line says: a change, a look, or a command that does both or neither. */
export type Said = { command: Command } | { request: ShowRequest } | { task: Task };

const COMMANDS: Readonly<Record<string, (words: readonly string[]) => Command>> = {
  conf: parseConf,
  interface: parseInterface,
  vip: parseVip,
  pod: parsePod,
  set: parseSet,
  flush: parseFlush,
};

/** Commands that ask or change more than one line of the configuration; loaded when a line begins with one. */
const TASKS: Readonly<Record<string, () => Promise<TaskModule>>> = {
  sessions: () => import("./sessions.ts"),
  explain: () => import("./explain.ts"),
  trace: () => import("./trace.ts"),
  apply: () => import("./apply.ts"),
  diff: () => import("./diff.ts"),
  get: () => import("./get.ts"),
  import: () => import("./import.ts"),
};

interface TaskModule {
  description: Description;
  prepare(options: Options): Task | Promise<Task>;
}

/** Words a line may begin with, for suggestions. */
const FIRST_WORDS = [...Object.keys(COMMANDS), ...Object.keys(TASKS), "show", "clear", "node"];
/** Commands that are no question to a daemon, or last as long as they are wanted. */
const BY_THEMSELVES = [
  "run",
  "stop",
  "top",
  "capture",
  "exec",
  "schema",
  "doctor",
  "selftest",
  "replay",
  "completion",
  "version",
  "help",
];
/** Of `show`, whose word may be left out. */
const SHOWN = ["sessions", "session", "node", "vips", "interfaces", "offload"];

/** What one line of text says; null for a blank one. Rejects with UsageError or ConfigError. */
// deno-lint-ignore require-await -- what is thrown becomes a rejection
export async function parseLine(text: string): Promise<Said | null> {
  return readLine(text);
}

/** The same, at once but for a task, whose module may have to be loaded: ten thousands of lines do not wait for each other. */
function readLine(text: string): Said | null | Promise<Said> {
  const words = wordsOfLine(text);
  const json = words.includes("--json");
  const own = words.filter((word) => word !== "--json");
  if (own[0] === "ku") own.shift();
  if (own.length === 0) {
    // "ku" alone, as in "show ku": the overview.
    return words.length > 0 ? { request: parseShow([], json) } : null;
  }
  const [first, ...rest] = own;
  if (own.includes("--watch")) {
    throw usageError(description, `"${first} --watch" runs by itself, not in exec`);
  }
  if (first === "show") return { request: parseShow(rest, json) };
  if (isBareShow(own)) return { request: parseShow(own, json) };
  if (Object.hasOwn(TASKS, first)) {
    return taskOf(first, json ? [...rest, "--json"] : rest).then((task) => ({ task }));
  }
  if (json) throw usageError(description, `--json does not fit ${first}`);
  if (first === "clear") return { request: silent(parseClear(rest)) };
  if (Object.hasOwn(COMMANDS, first)) return { command: COMMANDS[first](rest) };
  if (BY_THEMSELVES.includes(first)) {
    throw usageError(description, `"${first}" runs by itself, not in exec: use ku ${first}`);
  }
  throw usageError(description, `unknown command "${first}"${hint(first, FIRST_WORDS)}`);
}

/** The words before a comment. */
function wordsOfLine(text: string): string[] {
  const line = text.includes("#") ? text.replace(/(^|\s)#.*$/, "") : text;
  const words = line.trim().split(/\s+/);
  return words[0] === "" ? [] : words;
}

/** Whether words without `show` are one of its lines: "sessions", "vip verbose", but not "vip 10.0.0.1". */
function isBareShow(words: readonly string[]): boolean {
  if (words[0] === "vip") return words.length === 1 || (words.length === 2 && words[1] === "verbose");
  if (words[0] === "interface" || words[0] === "trace" || words[0] === "sessions") return words.length === 1;
  return SHOWN.includes(words[0]);
}

async function taskOf(command: string, args: readonly string[]): Promise<Task> {
  const module = await TASKS[command]();
  const options = takeOptions(args, module.description);
  for (const name of ["socket", "help"]) {
    if (options.flags.has(name) || options.values.has(name)) {
      throw usageError(description, `--${name} does not fit a line, only exec itself`);
    }
  }
  // Where exec's own lines come from, perhaps.
  if (options.values.get("file")?.includes("-")) {
    throw usageError(description, `"-f -" does not fit a line: name a file`);
  }
  return await module.prepare(options);
}

function silent(query: Query): ShowRequest {
  return { query, verbose: false, json: false };
}

/** The lines of a text, numbered from `first`; stops before the one that is wrong and hands out why. */
async function parseLines(
  texts: readonly string[],
  first: number,
  source: string,
): Promise<{ lines: Line[]; error?: Error }> {
  const lines: Line[] = [];
  for (const [index, text] of texts.entries()) {
    try {
      const said = readLine(text);
      const parsed = said instanceof Promise ? await said : said;
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
      const { lines, error } = await parseLines(texts, first, source);
      if (atomic && error) throw error;
      const task = atomic ? lines.find((line) => "task" in line) : undefined;
      if (task !== undefined) {
        throw usageError(
          description,
          `${source} line ${task.number}: a command of its own, which fits no --atomic`,
        );
      }
      await (atomic ? executeAtomic : execute)(connection, lines, source);
      if (error) throw error;
      first += texts.length;
    }
  } finally {
    connection.close();
  }
}
