/** `ku get`: the running configuration as a file for `ku apply` and `ku run --config`. */

import { dump } from "js-yaml";
import type { ConfigDocument } from "../mod/config/document.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import { print, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError, WordReader } from "./words.ts";

const FORMATS = ["yaml", "json"] as const;

export const description: Description = {
  command: "get",
  summary: "print the running configuration as a file",
  about: [
    "Prints the running configuration as a configuration file: globals, interfaces, VIPs with their pods. Options that have their default are " +
    'left out. "ku get | ku apply -f -" changes nothing.',
  ],
  forms: [{ lead: [], args: [] }],
  options: [{
    words: ["-o", "--output"],
    value: { name: "yaml|json", choices: FORMATS },
    help: "Format (default yaml).",
  }],
  examples: [{ line: "ku get > ku.yaml" }, { line: "ku get -o json | jq '.vips | length'" }],
};

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  new WordReader(description, options.words).end();
  const [format = "yaml"] = options.values.get("output") ?? [];
  if (format !== "yaml" && format !== "json") {
    throw usageError(description, `-o wants yaml or json, not "${format}"`);
  }
  const document = await callDaemon(options.socket, "getConfig", {});
  if (format === "json") printJson(document);
  else print(toYaml(document));
}

/** Pods on one line, as people write them. */
export function toYaml(document: ConfigDocument): string {
  return dump(document, { lineWidth: -1, noRefs: true, flowLevel: 3, flowBracketPadding: false });
}
