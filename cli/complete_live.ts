/**
 * `ku __complete [--] <word>...`: what the completion scripts of the shells ask, for the last word. One candidate a line with its
 * help after a tab; `:file` alone leaves the word to the shell's own completion of file names.
 *
 * Rule: quick and silent. No daemon, or one that does not answer soon, only means that its names are not offered.
 */

import type { ShowVip, ShowVipVerbose } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { defaultSocket } from "./client.ts";
import { type Candidate, nextWords } from "./complete.ts";
import { print } from "./output.ts";
import { type Commands, type Completes, descriptionsOf } from "./spec.ts";

const FILE_NAMES = ":file";
/** Longer than this nobody waits for a Tab. */
const PATIENCE_MS = 1000;

export async function run(args: string[], commands: Commands): Promise<void> {
  const found = await completeLine(args[0] === "--" ? args.slice(1) : args, commands);
  if (found === null) print(`${FILE_NAMES}\n`);
  else print(found.map(({ text, help }) => `${text}\t${help}\n`).join(""));
}

/** Candidates for the last of `line`'s words, which stand behind "ku"; null for a file's name. */
export async function completeLine(line: readonly string[], commands: Commands): Promise<Candidate[] | null> {
  const words = [...line];
  const current = words.pop() ?? "";
  if (words.length === 0) return startingWith(current, await commandNames(commands));
  const [name, ...rest] = words;
  const load = commands.get(name);
  if (load === undefined) return [];
  // The word that VPP's document has in "show ku vip".
  if (name === "show" && rest[0] === "ku") rest.shift();
  const { candidates, completes } = nextWords((await load()).description, rest, current);
  if (completes === "file" && !current.startsWith("-")) {
    return candidates.length === 0 ? null : startingWith(current, candidates);
  }
  const values = completes === null ? [] : await lookUp(completes, rest, socketOf(rest), commands);
  return startingWith(current, [...values, ...candidates]);
}

function startingWith(start: string, candidates: readonly Candidate[]): Candidate[] {
  const unique = new Map(candidates.map((each) => [each.text, each]));
  return [...unique.values()].filter(({ text }) => text.startsWith(start));
}

async function commandNames(commands: Commands): Promise<Candidate[]> {
  return (await descriptionsOf(commands)).map(({ command, summary }) => ({ text: command, help: summary }));
}

function socketOf(words: readonly string[]): string {
  const inline = words.find((word) => word.startsWith("--socket="))?.slice("--socket=".length);
  const after = words.includes("--socket") ? words[words.indexOf("--socket") + 1] : undefined;
  return inline ?? after ?? defaultSocket();
}

async function lookUp(
  kind: Completes,
  words: readonly string[],
  socket: string,
  commands: Commands,
): Promise<Candidate[]> {
  switch (kind) {
    case "command":
      return await commandNames(commands);
    case "interface":
      return interfaces();
    case "vip":
      return (await vips(socket)).map((vip) => ({ text: vip.prefix, help: serviceText(vip) }));
    case "port": {
      const own = (await vips(socket)).filter(({ prefix, port }) => port !== null && names(words, prefix));
      return own.map((vip) => ({ text: String(vip.port), help: serviceText(vip) }));
    }
    case "pod": {
      const all = await vips(socket);
      const named = all.filter(({ prefix }) => names(words, prefix));
      return (named.length > 0 ? named : all).flatMap((vip) =>
        vip.pods.map((pod) => ({ text: pod.address, help: `${pod.state}, weight ${pod.weight}` }))
      ).filter(({ text }) => !words.includes(text));
    }
    case "file":
      return [];
  }
}

/** Whether a word names a VIP's prefix; a host may leave its length out. */
function names(words: readonly string[], prefix: string): boolean {
  return words.some((word) => word === prefix || prefix.replace(/\/(32|128)$/, "") === word);
}

function serviceText({ protocol, port, podCount }: ShowVip): string {
  const what = port === null ? "every port" : `${protocol ?? "any protocol"} ${port}`;
  return `${what}, ${podCount} ${podCount === 1 ? "pod" : "pods"}`;
}

async function vips(socket: string): Promise<ShowVipVerbose[]> {
  let timer = 0;
  const late = new Promise<[]>((resolve) => timer = setTimeout(() => resolve([]), PATIENCE_MS));
  const asked = callDaemon(socket, "showVip", { verbose: true }).catch(() => []);
  const answer = await Promise.race([asked, late]);
  clearTimeout(timer);
  return answer as ShowVipVerbose[];
}

/** Names of the node's interfaces, ku's own pair and the loopback apart. */
function interfaces(): Candidate[] {
  const folder = "/sys/class/net";
  try {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    return names.filter((name) => !["lo", "ku0", "ku1"].includes(name)).sort()
      .map((text) => ({ text, help: "interface" }));
  } catch {
    return [];
  }
}
