/** `ku clear node counters`: counts from zero again. */

import type { Query } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { type Description, helpText, takeOptions } from "./client.ts";
import { print } from "./output.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "clear",
  usage: "ku clear node counters",
  summary: "set the node counters to zero",
  help: `
Sets every counter of "ku show node counters" to zero. Counters of VIPs and pods stay.`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["node", "counters"],
};

/** The words after `ku clear` as a request. */
export function parse(words: readonly string[]): Query {
  const reader = new WordReader(grammar, words);
  for (const wanted of grammar.words) {
    const word = reader.next();
    if (word === undefined) throw reader.missing(`"${wanted}"`);
    if (word !== wanted) throw reader.unknown(word);
  }
  const rest = reader.next();
  if (rest !== undefined) throw reader.unknown(rest);
  return { method: "clearNodeCounters", params: {} };
}

export async function run(args: string[]): Promise<void> {
  const { words, socket, flags } = takeOptions(args, description);
  if (flags.has("help")) return print(helpText(description));
  const query = parse(words);
  await callDaemon(socket, query.method, query.params);
}
