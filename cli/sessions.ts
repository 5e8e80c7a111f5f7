/** `ku sessions`: live sessions, filtered by the daemon, printed as they come. */

import { SESSION_STATES, type SessionQuery, type ShowSession } from "../mod/control/protocol.ts";
import type { DaemonConnection } from "../mod/control/rpc_client.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import { SESSION_COLUMNS, sessionCells } from "./format.ts";
import { print } from "./output.ts";
import type { Description } from "./spec.ts";
import { TableWriter } from "./table.ts";
import { WordReader } from "./words.ts";

const FILTERS = ["vip", "pod", "client", "protocol", "state"] as const;

export const description: Description = {
  command: "sessions",
  summary: "list sessions, with filters",
  about: [
    "Lists live sessions. A session must pass every filter that is given; an address may be a prefix, or have a port behind it " +
    "(10.96.0.10:80, [2001:db8::1]:80). The list is printed while it is read, however long it is; what comes or goes meanwhile " +
    "may be in it or not.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    { words: ["--vip"], value: { name: "A", completes: "vip" }, help: "The address that clients used." },
    { words: ["--pod"], value: { name: "A", completes: "pod" }, help: "The pod that serves it." },
    { words: ["--client"], value: { name: "A" }, help: "The client." },
    {
      words: ["--protocol"],
      value: { name: "P", choices: ["tcp", "udp", "sctp", "icmp", "icmp6"] },
      help: "tcp, udp, sctp, icmp, icmp6, or a protocol's number.",
    },
    {
      words: ["--state"],
      value: { name: "S", choices: SESSION_STATES },
      help: "transitory, established or closing (TCP), active (the rest).",
    },
    { words: ["--json"], help: "One JSON object a line." },
  ],
  examples: [
    { line: "ku sessions --vip 10.96.0.10:80 --state established" },
    { line: "ku sessions --client 10.1.0.0/16 --json | jq -r .pod | sort | uniq -c" },
  ],
};

export function prepare({ words, values, flags }: Options): Task {
  new WordReader(description, words).end();
  const query: SessionQuery = {};
  for (const name of FILTERS) query[name] = values.get(name)?.[0];
  return (connection) => list(connection, query, flags.has("json") ? jsonLines : tableLines());
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}

async function list(
  connection: DaemonConnection,
  query: SessionQuery,
  textOf: (sessions: readonly ShowSession[]) => string,
): Promise<void> {
  let cursor: number | undefined;
  do {
    const page = await connection.call("listSessions", { ...query, cursor });
    print(textOf(page.sessions));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
}

function jsonLines(sessions: readonly ShowSession[]): string {
  return sessions.map((session) => JSON.stringify(session) + "\n").join("");
}

/** Columns that only grow wider from one page to the next. */
function tableLines(): (sessions: readonly ShowSession[]) => string {
  const writer = new TableWriter(SESSION_COLUMNS);
  return (sessions) => writer.rows(sessions.map(sessionCells));
}
