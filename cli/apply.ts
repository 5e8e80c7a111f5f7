/** `ku apply`: the node is brought to a configuration, as one change. */

import { printChanges, pruneOf, readApply } from "./declare.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import { printJson } from "./output.ts";
import type { Argument, Description } from "./spec.ts";
import { usageError, WordReader } from "./words.ts";

export const FILE_OPTION: Argument = {
  words: ["-f", "--file"],
  value: { name: "FILE|-", completes: "file" },
  required: true,
  help: 'YAML or JSON; "-" reads standard input.',
};

export const description: Description = {
  command: "apply",
  summary: "bring the node to a configuration file, as one change",
  about: [
    "Makes the running configuration that of the file: what is in both stays with its sessions and counters, what differs is changed, " +
    "what is missing in the file goes, all of it as one generation or, if anything is wrong, nothing.",
    "A section (conf, interfaces, vips) that the file leaves out stays as it is; an empty one (vips: []) is emptied. A VIP in the file is " +
    "whole: its options and its pods are those of the file.",
    'Prints a line for each thing that changed and a summary, or "no change". The file is that of "ku run --config"; "ku get" prints the ' +
    'running configuration as one, "ku schema" its JSON Schema.',
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    FILE_OPTION,
    {
      words: ["--prune"],
      value: { name: "true|false", choices: ["true", "false"] },
      help: "false: what the file does not name stays (default true).",
    },
    { words: ["--dry-run"], help: "Say what would change, and change nothing." },
    { words: ["--quiet"], help: "Print nothing." },
    { words: ["--json"], help: "Print the changes as JSON." },
  ],
  examples: [
    { line: "ku apply -f ku.yaml" },
    { line: "ku apply -f - --dry-run < ku.yaml" },
    { line: "ku get | sed 's/timeout: 40/timeout: 60/' | ku apply -f -" },
    { line: "ku apply -f one-more-vip.yaml --prune=false" },
  ],
};

export async function prepare({ words, values, flags }: Options): Promise<Task> {
  new WordReader(description, words).end();
  const [file] = values.get("file") ?? [];
  if (file === undefined) throw usageError(description, "-f FILE is missing");
  const dryRun = flags.has("dry-run");
  const apply = await readApply(file, { prune: pruneOf(values, description), dryRun });
  return async (connection) => {
    const result = await apply(connection);
    if (flags.has("quiet")) return;
    if (flags.has("json")) printJson(result);
    else printChanges(result, dryRun);
  };
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}
