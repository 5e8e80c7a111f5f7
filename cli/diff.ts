/** `ku diff`: what `ku apply` would change, and what that means to those who use the node. */

import { FILE_OPTION } from "./apply.ts";
import { formatChanges, isChange, pruneOf, readApply, summaryText } from "./declare.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import { EXIT_ERROR, EXIT_OK, print, printJson, Trouble } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError, WordReader } from "./words.ts";

export const description: Description = {
  command: "diff",
  summary: "say what applying a configuration file would change",
  about: [
    "Compares the running configuration with the file, and for each VIP says what would move: its options and pods, how many slots of its " +
    "new-connection table (the share of new clients that get another pod), and how many live sessions end, get another pod, or stay on a " +
    "removed pod until they end.",
    "Exits with 0 when there is no difference, 1 when there is, 2 when it cannot tell (a broken file, no daemon, wrong usage).",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    FILE_OPTION,
    { words: ["--prune"], value: { name: "true|false", choices: ["true", "false"] }, help: "As for apply." },
    { words: ["--json"], help: "The same as JSON." },
  ],
  examples: [{ line: "ku diff -f ku.yaml" }, { line: "ku diff -f ku.yaml --json | jq '.vips[].slots'" }],
};

export async function run(args: string[]): Promise<number> {
  try {
    return await runConnected(args, description, prepare) ?? EXIT_OK;
  } catch (error) {
    throw new Trouble(error);
  }
}

export async function prepare({ words, values, flags }: Options): Promise<Task> {
  new WordReader(description, words).end();
  const [file] = values.get("file") ?? [];
  if (file === undefined) throw usageError(description, "-f FILE is missing");
  const compare = await readApply(file, { prune: pruneOf(values, description), dryRun: true });
  return async (connection) => {
    const result = await compare(connection);
    const changed = isChange(result);
    if (flags.has("json")) printJson(result);
    else if (changed) print(formatChanges(result, true) + summaryText(result));
    return changed ? EXIT_ERROR : EXIT_OK;
  };
}
