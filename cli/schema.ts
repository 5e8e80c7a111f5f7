/** `ku schema`: the JSON Schema of the configuration file. */

import { CONFIG_SCHEMA } from "../mod/config/schema.ts";
import { optionsOrHelp } from "./client.ts";
import { printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "schema",
  summary: "print the JSON Schema of the configuration file",
  about: [
    "Prints the JSON Schema (draft 2020-12) of the configuration file, for editors and CI. It is docs/ku.schema.json of this version. What a " +
    "schema cannot say (host bits, duplicates, node ports taken twice, pods of the wrong family) is found by ku diff and ku apply.",
  ],
  forms: [{ lead: [], args: [] }],
  local: true,
  examples: [{ line: "ku schema > ku.schema.json" }],
};

export function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options !== null) {
    new WordReader(description, options.words).end();
    printJson(CONFIG_SCHEMA);
  }
  return Promise.resolve();
}
