/**
 * `ku run` in a namespace, started and waited for.
 *
 * @module
 */

import { DaemonConnection } from "../rpc_client.ts";
import type { Namespace } from "./namespace.ts";
import { Process } from "./process.ts";
import { until } from "./wait.ts";

const START_MS = 20_000;

/**
 * Starts `<ku> run --socket <socket> <words>` and waits until it answers. Throws with its words when it ends instead. `ku`: the command line
 * of the program, words in front of it included. `predecessor`: the one that it takes over from, which answers meanwhile.
 */
export async function startKu(
  node: Namespace,
  ku: readonly string[],
  socket: string,
  words: readonly string[],
  options: { env?: Record<string, string>; predecessor?: Process } = {},
): Promise<Process> {
  // `ip netns exec` gives the daemon the /sys of its namespace, as a daemon on a node has it.
  const command = ["ip", "netns", "exec", node.name, ...ku, "run", "--socket", socket, ...words];
  const process = new Process("ku run", command, { env: options.env });
  try {
    await until("an answer of ku run", async () => {
      if (!process.running) return true;
      return options.predecessor?.running !== true && await answers(socket);
    }, START_MS);
    if (!process.running) throw new Error(`ku run ended at once: ${process.stderr.trim()}`);
  } catch (error) {
    await process[Symbol.asyncDispose]();
    throw error;
  }
  return process;
}

async function answers(socket: string): Promise<boolean> {
  const connection = await DaemonConnection.connect(socket);
  try {
    await connection.call("show", {});
    return true;
  } finally {
    connection.close();
  }
}
