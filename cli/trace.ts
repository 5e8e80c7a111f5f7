/** `ku trace add`: keeps the next packets, for `ku show trace`. */

import type { Query } from "../mod/control/protocol.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import type { Description } from "./spec.ts";
import { wholeNumber, WordReader } from "./words.ts";

export const description: Description = {
  command: "trace",
  summary: "keep the next packets for ku show trace",
  about: [
    'Keeps what happens to the next packets that ku receives: as they came, the nodes that had something to say, as they left. "ku show ' +
    'trace" prints them, "ku clear trace" forgets them. It costs nothing once they have been kept.',
  ],
  forms: [{
    lead: ["add"],
    args: [{ value: { name: "<n>" }, required: true, help: "How many, at most 10000 in all." }],
  }],
  examples: [{ line: "ku trace add 10" }],
};

/** The words after `ku trace` as a request. */
export function parse(words: readonly string[]): Query {
  const reader = new WordReader(description, words);
  reader.form();
  const count = reader.next();
  if (count === undefined) throw reader.missing("the number of packets");
  reader.end();
  return { method: "traceAdd", params: { count: wholeNumber("count", count) } };
}

export function prepare({ words }: Options): Task {
  const { method, params } = parse(words);
  return async (connection) => {
    await connection.call(method, params);
  };
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}
