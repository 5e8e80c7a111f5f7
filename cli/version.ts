/** `ku version`: of ku itself and of what it is made of. */

import { VERSION } from "../mod/config/version.ts";
import type { ShowVersion } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { type Description, helpText, takeOptions } from "./client.ts";
import { print, printJson } from "./output.ts";
import { UsageError } from "./words.ts";

export const description: Description = {
  command: "version",
  usage: "ku version [--json]",
  summary: "print versions",
  help: `
Prints the versions of this executable; when a daemon runs, also the daemon's and those of the
libraries it has loaded.`,
};

interface Versions {
  ku: string;
  deno: string;
  v8: string;
  /** What the daemon says; null when none runs. */
  daemon: ShowVersion | null;
}

export async function run(args: string[]): Promise<void> {
  const { words, socket, flags } = takeOptions(args, description, ["json"]);
  if (flags.has("help")) return print(helpText(description));
  if (words.length > 0) throw new UsageError(`unknown word "${words[0]}"`, description.usage);
  const versions: Versions = {
    ku: VERSION,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    // No daemon is no error here: the question is about this executable first.
    daemon: await callDaemon(socket, "version", {}).catch(() => null),
  };
  if (flags.has("json")) printJson(versions);
  else print(formatVersions(versions));
}

/** A line for each part. */
export function formatVersions({ ku, deno, v8, daemon }: Versions): string {
  const lines = [`ku ${ku}`, `deno ${deno}`, `v8 ${v8}`];
  if (daemon !== null) {
    lines.push(`daemon ${daemon.ku}`);
    if (daemon.libbpf !== null) lines.push(`libbpf ${daemon.libbpf}`);
    if (daemon.libxdp !== null) lines.push(`libxdp ${daemon.libxdp}`);
  }
  return lines.join("\n") + "\n";
}
