/** `ku version`: of ku itself and of what it is made of. */

import { VERSION } from "../mod/config/version.ts";
import type { ShowVersion } from "../mod/control/protocol.ts";
import { callDaemon } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import { print, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "version",
  summary: "print versions",
  about: [
    "Prints the versions of this executable; when a daemon runs, also the daemon's and those of the libraries it has loaded.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [{ words: ["--json"], help: "The same as JSON." }],
  examples: [{ line: "ku version" }],
};

interface Versions {
  ku: string;
  deno: string;
  v8: string;
  /** What the daemon says; null when none runs. */
  daemon: ShowVersion | null;
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  new WordReader(description, options.words).end();
  const versions: Versions = {
    ku: VERSION,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    // No daemon is no error here: the question is about this executable first.
    daemon: await callDaemon(options.socket, "version", {}).catch(() => null),
  };
  if (options.flags.has("json")) printJson(versions);
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
