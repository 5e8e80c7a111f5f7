/** `ku import`: Kubernetes Services and EndpointSlices, as kubectl prints them, become VIPs and pods. */

import { ConfigError } from "../mod/config/model.ts";
import { SourceText } from "../mod/config/source_text.ts";
import type { ApplyResult } from "../mod/control/protocol.ts";
import { convert } from "../mod/kubernetes/convert.ts";
import { type Note, sortObjects } from "../mod/kubernetes/objects.ts";
import { FILE_OPTION } from "./apply.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import { printChanges } from "./declare.ts";
import { readInput, sourceName } from "./input.ts";
import { noteLine, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError, WordReader } from "./words.ts";

export const description: Description = {
  command: "import",
  summary: "make VIPs of Kubernetes Services and EndpointSlices",
  about: [
    "Reads Service, EndpointSlice and Node objects as kubectl prints them, YAML or JSON, Lists and several documents too, and makes the VIPs that " +
    "kube-proxy would program on this node, as one change. No cluster is contacted.",
    "What the last import brought is replaced: each such VIP names its Service (service:default/web:http). What was configured otherwise stays, " +
    "and goes first where both want the same. What cannot be carried over is named on stderr, a line each.",
    "Nodes are needed for local traffic policies (by name alone), for zone hints, and for node ports of Services without external address: these are " +
    "served on the addresses of this node's Node object.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    { ...FILE_OPTION, repeated: true },
    {
      words: ["--node"],
      value: { name: "NAME" },
      help: "Name of this node in the cluster (default: the host's name).",
    },
    { words: ["--dry-run"], help: "Say what would change, and change nothing." },
    { words: ["--quiet"], help: "Print nothing but what could not be carried over." },
    { words: ["--json"], help: "Print changes and notes as JSON." },
  ],
  examples: [
    { line: "kubectl get services,endpointslices,nodes -A -o json | ku import -f -" },
    { line: "ku import -f services.yaml -f slices.yaml --node worker-1 --dry-run" },
  ],
};

export async function prepare({ words, values, flags }: Options): Promise<Task> {
  new WordReader(description, words).end();
  const files = values.get("file") ?? [];
  if (files.length === 0) throw usageError(description, "-f FILE is missing");
  const [node = Deno.hostname().toLowerCase()] = values.get("node") ?? [];
  const dryRun = flags.has("dry-run");
  const documents: unknown[] = [];
  for (const file of files) documents.push(...await readDocuments(file));
  const { vips, notes } = convert(sortObjects(documents), node);
  return async (connection) => {
    const result = await connection.call("import", { document: { vips }, dryRun });
    const all = [...notes, ...result.left.map(noteOf)];
    if (flags.has("json")) return printJson({ ...result, notes: all });
    for (const { object, what, why } of all) noteLine(`ku: ${object} : ${what}, ${why}`);
    if (!flags.has("quiet")) printChanges(result, dryRun);
  };
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}

/** The objects of a file. Nothing at all is a mistake: it would take away what the last import brought. */
async function readDocuments(file: string): Promise<unknown[]> {
  const source = new SourceText(await readInput(file), sourceName(file));
  const documents = source.documents().filter((document) => document !== null);
  if (documents.length > 0) return documents;
  throw new ConfigError("import", source.name, "is empty: give what kubectl get -o json or yaml prints");
}

function noteOf({ service, what, why }: ApplyResult["left"][number]): Note {
  return { object: `Service ${service}`, what, why };
}
