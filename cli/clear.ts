/** `ku clear`: counts from zero again, forgets a trace. */

import type { Query } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "clear",
  summary: "set the node counters to zero, forget a trace",
  about: [],
  forms: [
    {
      lead: ["node", "counters"],
      args: [],
      help: 'Sets every counter of "ku show node counters" to zero. Counters of VIPs and pods stay.',
    },
    { lead: ["trace"], args: [], help: "Forgets what was traced, and ends a trace that is under way." },
  ],
  examples: [{ line: "ku clear node counters" }, { line: "ku clear trace" }],
};

/** The words after `ku clear` as a request. */
export function parse(words: readonly string[]): Query {
  const reader = new WordReader(description, words);
  const [what] = reader.form().lead;
  reader.end();
  return { method: what === "trace" ? "traceClear" : "clearNodeCounters", params: {} };
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const query = parse(options.words);
  await callDaemon(options.socket, query.method, query.params);
}
