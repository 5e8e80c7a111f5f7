/** `ku stop`: ends the daemon; or, where there is none, takes away what a dead one left. */

import { DaemonConnection, NoDaemonError } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "stop",
  summary: "end the daemon, with or without what the kernel repeats",
  about: [
    "Ends the daemon, as SIGTERM does, and returns when it is gone: programs, veth pair, routes and socket are removed.",
    'With --keep the kernel goes on to repeat established sessions, until the next "ku run" takes them over; what is new passes to the kernel meanwhile.',
    "Where no daemon runs, what a killed or kept one has left in this network namespace is removed.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    { words: ["--keep"], help: "Leave programs, maps, veth pair and routes in the kernel." },
  ],
  examples: [{ line: "ku stop" }, { line: "ku stop --keep" }],
};

/** The words after `ku stop`, of which there are none. */
export function parse(words: readonly string[]): void {
  new WordReader(description, words).end();
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  parse(options.words);
  const keep = options.flags.has("keep");
  let connection: DaemonConnection;
  try {
    connection = await DaemonConnection.connect(options.socket);
  } catch (error) {
    if (error instanceof NoDaemonError && !keep && await removedLeftovers(options.socket)) return;
    throw error;
  }
  try {
    await connection.call("stop", { keep });
    await connection.gone();
  } finally {
    connection.close();
  }
}

/** False when there was nothing to remove. */
async function removedLeftovers(socket: string): Promise<boolean> {
  const { removeLeftovers } = await import("../mod/control/leftovers.ts");
  return await removeLeftovers(socket);
}
