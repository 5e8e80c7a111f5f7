/** `ku show`: what the daemon knows, as text or JSON. */

import type { Query, ShowVipVerbose } from "../mod/control/protocol.ts";
import { DaemonConnection } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import {
  formatInterfaces,
  formatKu,
  formatNodeCounters,
  formatOffload,
  formatSessions,
  formatTrace,
  formatVips,
  formatVipsVerbose,
} from "./format.ts";
import { print } from "./output.ts";
import type { Argument, Description } from "./spec.ts";
import { WordReader } from "./words.ts";

const VERBOSE: Argument = { words: ["verbose"], help: "" };

export const description: Description = {
  command: "show",
  summary: "show state, VIPs, counters, sessions, interfaces, a trace",
  about: ['A word "ku" after "show" is allowed, as in VPP.'],
  forms: [
    { lead: [], args: [], help: "Globals, workers, memory." },
    {
      lead: ["vip"],
      args: [{ ...VERBOSE, help: "With counters and pods." }],
      help: "VIPs, a line each.",
    },
    {
      lead: ["node", "counters"],
      args: [{ ...VERBOSE, help: "What never happened, too." }],
      help: "What happened to packets, by node and reason.",
    },
    { lead: ["sessions"], args: [], help: "Live sessions." },
    { lead: ["interface"], args: [], help: "Attached interfaces, their mode and why." },
    {
      lead: ["offload"],
      args: [],
      help: "What the kernel repeats of established sessions, and what it leaves.",
    },
    { lead: ["trace"], args: [], help: 'Packets that "ku trace add" has kept: in, the nodes, out.' },
  ],
  options: [
    { words: ["--json"], help: "The same as JSON; with --watch, one line each time." },
    { words: ["--watch"], help: "Again every second, until Ctrl-C; on a terminal in place." },
  ],
  examples: [
    { line: "ku show" },
    { line: "ku show ku vip verbose" },
    { line: "ku show node counters --watch" },
    { line: `ku show sessions --json | jq '.[] | select(.protocol == "udp")'` },
  ],
};

/** What to ask and how to print it. */
export interface ShowRequest {
  query: Query;
  verbose: boolean;
  json: boolean;
}

/** Words that mean the same. */
const SYNONYMS: Readonly<Record<string, string>> = {
  vips: "vip",
  session: "sessions",
  interfaces: "interface",
  counter: "counters",
};

/** The words after `ku show` as a request. */
export function parse(words: readonly string[], json: boolean): ShowRequest {
  const own = words[0] === "ku" ? words.slice(1) : words;
  const reader = new WordReader(
    description,
    own.map((word) => Object.hasOwn(SYNONYMS, word) ? SYNONYMS[word] : word),
  );
  const [what] = reader.form().lead;
  const verbose = (what === "vip" || what === "node") && reader.textIs("verbose");
  reader.end();
  return { query: queryOf(what, verbose), verbose, json };
}

function queryOf(what: string | undefined, verbose: boolean): Query {
  switch (what) {
    case "vip":
      return { method: "showVip", params: { verbose } };
    case "node":
      return { method: "showNodeCounters", params: {} };
    case "sessions":
      return { method: "showSessions", params: {} };
    case "interface":
      return { method: "showInterface", params: {} };
    case "offload":
      return { method: "showOffload", params: {} };
    case "trace":
      return { method: "showTrace", params: {} };
    default:
      return { method: "show", params: {} };
  }
}

/** Asks the daemon; the answer as it is to be printed. */
export async function ask(
  connection: DaemonConnection,
  { query, verbose, json }: ShowRequest,
): Promise<string> {
  if (json) return JSON.stringify(await connection.call(query.method, query.params), null, 2) + "\n";
  switch (query.method) {
    case "show":
      return formatKu(await connection.call(query.method, query.params));
    case "showVip": {
      const vips = await connection.call(query.method, query.params);
      return verbose ? formatVipsVerbose(vips as ShowVipVerbose[]) : formatVips(vips);
    }
    case "showNodeCounters":
      return formatNodeCounters(await connection.call(query.method, query.params), verbose);
    case "showSessions":
      return formatSessions(await connection.call(query.method, query.params));
    case "showInterface":
      return formatInterfaces(await connection.call(query.method, query.params));
    case "showOffload":
      return formatOffload(await connection.call(query.method, query.params));
    case "showTrace":
      return formatTrace(await connection.call(query.method, query.params));
    default:
      await connection.call(query.method, query.params);
      return "";
  }
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const request = parse(options.words, options.flags.has("json"));
  const connection = await DaemonConnection.connect(options.socket);
  try {
    if (options.flags.has("watch")) await watch(connection, request);
    else print(await ask(connection, request));
  } finally {
    connection.close();
  }
}

const WATCH_MS = 1000;

/** Until somebody ends it. A terminal shows the newest in place, anything else gets one after the other. */
async function watch(connection: DaemonConnection, request: ShowRequest): Promise<void> {
  const inPlace = Deno.stdout.isTerminal();
  for (let first = true;; first = false) {
    const text = await askCompactly(connection, request);
    if (inPlace) print(screenful(text));
    else print(first || request.json ? text : `\n${text}`);
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
}

async function askCompactly(connection: DaemonConnection, request: ShowRequest): Promise<string> {
  if (!request.json) return await ask(connection, request);
  return JSON.stringify(await connection.call(request.query.method, request.query.params)) + "\n";
}

/** As much of `text` as the terminal has lines, written over what is there. ECMA-48: CUP, EL, ED. */
function screenful(text: string): string {
  const { rows, columns } = Deno.consoleSize();
  const lines = text.trimEnd().split("\n").slice(0, Math.max(1, rows - 1)).map((line) =>
    line.slice(0, columns)
  );
  return `\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`;
}
