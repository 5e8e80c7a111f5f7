/** `ku apply`: the node is brought to a configuration, as one change. */

import { applyFile, formatChanges, isChange, summaryText } from "./declare.ts";
import { optionsOrHelp } from "./client.ts";
import { print, printJson } from "./output.ts";
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

/** What was asked for, null when help was printed. */
function read(args: readonly string[]) {
  const options = optionsOrHelp(args, description);
  if (options === null) return null;
  new WordReader(description, options.words).end();
  const [file] = options.values.get("file") ?? [];
  if (file === undefined) throw usageError(description, "-f FILE is missing");
  const [prune = "true"] = options.values.get("prune") ?? [];
  if (prune !== "true" && prune !== "false") {
    throw usageError(description, `--prune wants true or false, not "${prune}"`);
  }
  const { socket, flags } = options;
  return {
    socket,
    file,
    prune: prune === "true",
    dryRun: flags.has("dry-run"),
    json: flags.has("json"),
    quiet: flags.has("quiet"),
  };
}

export async function run(args: string[]): Promise<void> {
  const asked = read(args);
  if (asked === null) return;
  const { socket, file, prune, dryRun, json, quiet } = asked;
  const result = await applyFile(socket, file, { prune, dryRun });
  if (quiet) return;
  if (json) return printJson(result);
  const suffix = dryRun ? " (dry run)" : "";
  print(
    isChange(result)
      ? formatChanges(result, dryRun) + summaryText(result).replace("\n", `${suffix}\n`)
      : `no change${suffix}\n`,
  );
}
