/** `ku get`: the running configuration as a file for `ku apply` and `ku run --config`. */

import { dump } from "js-yaml";
import type { ConfigDocument } from "../mod/config/document.ts";
import { type Options, runConnected, type Task } from "./client.ts";
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

export function prepare({ words, values }: Options): Task {
  new WordReader(description, words).end();
  const [format = "yaml"] = values.get("output") ?? [];
  if (format !== "yaml" && format !== "json") {
    throw usageError(description, `-o wants yaml or json, not "${format}"`);
  }
  return async (connection) => {
    const document = await connection.call("getConfig", {});
    if (format === "json") printJson(document);
    else print(toYaml(document));
  };
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}

/** Pods on one line, as people write them. */
export function toYaml(document: ConfigDocument): string {
  return dump(document, { lineWidth: -1, noRefs: true, flowLevel: 3, flowBracketPadding: false });
}
