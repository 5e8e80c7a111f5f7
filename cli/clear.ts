/** `ku clear node counters`: counts from zero again. */

import type { Query } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "clear",
  summary: "set the node counters to zero",
  about: ['Sets every counter of "ku show node counters" to zero. Counters of VIPs and pods stay.'],
  forms: [{ lead: ["node", "counters"], args: [] }],
  examples: [{ line: "ku clear node counters" }],
};

/** The words after `ku clear` as a request. */
export function parse(words: readonly string[]): Query {
  const reader = new WordReader(description, words);
  reader.form();
  reader.end();
  return { method: "clearNodeCounters", params: {} };
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const query = parse(options.words);
  await callDaemon(options.socket, query.method, query.params);
}
