/** `ku show`: what the daemon knows, as text or JSON. */

import type { Query, ShowVipVerbose } from "../mod/control/protocol.ts";
import { DaemonConnection } from "../mod/control/rpc_client.ts";
import { type Description, helpText, takeOptions } from "./client.ts";
import {
  formatInterfaces,
  formatKu,
  formatNodeCounters,
  formatSessions,
  formatVips,
  formatVipsVerbose,
} from "./format.ts";
import { print } from "./output.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "show",
  usage: "ku show [ku] [vip [verbose] | node counters [verbose] | sessions | interface] [--json]",
  summary: "show state, VIPs, counters, sessions, interfaces",
  help: `
  (nothing)         globals, workers, memory
  vip               VIPs, a line each
  vip verbose       VIPs with counters and pods
  node counters     what happened to packets, by node and reason; verbose: what never happened, too
  sessions          live sessions
  interface         attached interfaces, their mode and why

  --json            the same as JSON

examples:
  ku show
  ku show ku vip verbose
  ku show node counters
  ku show sessions --json | jq '.[] | select(.protocol == "udp")'`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["vip", "verbose", "node", "counters", "sessions", "interface"],
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
    grammar,
    own.map((word) => Object.hasOwn(SYNONYMS, word) ? SYNONYMS[word] : word),
  );
  const request = readQuery(reader, json);
  const rest = reader.next();
  if (rest !== undefined) throw reader.unknown(rest);
  return request;
}

function readQuery(reader: WordReader, json: boolean): ShowRequest {
  const what = reader.next();
  switch (what) {
    case undefined:
      return { query: { method: "show", params: {} }, verbose: false, json };
    case "vip": {
      const verbose = reader.textIs("verbose");
      return { query: { method: "showVip", params: { verbose } }, verbose, json };
    }
    case "node": {
      const counters = reader.next();
      if (counters === undefined) throw reader.missing(`"counters"`);
      if (counters !== "counters") throw reader.unknown(counters);
      return { query: { method: "showNodeCounters", params: {} }, verbose: reader.textIs("verbose"), json };
    }
    case "sessions":
      return { query: { method: "showSessions", params: {} }, verbose: false, json };
    case "interface":
      return { query: { method: "showInterface", params: {} }, verbose: false, json };
    default:
      throw reader.unknown(what);
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
    default:
      await connection.call(query.method, query.params);
      return "";
  }
}

export async function run(args: string[]): Promise<void> {
  const { words, socket, flags } = takeOptions(args, description, ["json"]);
  if (flags.has("help")) return print(helpText(description));
  const request = parse(words, flags.has("json"));
  const connection = await DaemonConnection.connect(socket);
  try {
    print(await ask(connection, request));
  } finally {
    connection.close();
  }
}
