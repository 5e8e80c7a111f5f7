/**
 * The lines of `ku exec` on their way to the daemon.
 *
 * Rule: commands that stand together travel together (`batch`), so that a file of 10,000 services is a handful of
 * requests and generations instead of 10,000.
 */

import type { Command } from "../mod/config/model.ts";
import { RPC_CONFIG_ERROR } from "../mod/control/protocol.ts";
import { type DaemonConnection, RpcError } from "../mod/control/rpc_client.ts";
import type { Task } from "./client.ts";
import { print } from "./output.ts";
import { ask, type ShowRequest } from "./show.ts";

/** One line of a file that does something. */
export type Line = { number: number } & ({ command: Command } | { request: ShowRequest } | { task: Task });

/** Most commands of one request when they need not be one change: bounds the line on the socket. */
const MAX_BATCH = 5000;

/** Sends commands as one request. Throws, with the line, what the daemon says of the one that failed. */
async function sendBatch(
  connection: DaemonConnection,
  lines: readonly { number: number; command: Command }[],
  atomic: boolean,
  source: string,
): Promise<void> {
  if (lines.length === 0) return;
  const { failed } = await connection.call("batch", { commands: lines.map((line) => line.command), atomic });
  if (failed === null) return;
  throw new RpcError(RPC_CONFIG_ERROR, `${source} line ${lines[failed.index].number} ${failed.message}`);
}

/** Carries out parsed lines in order; commands that stand together go together. */
export async function execute(
  connection: DaemonConnection,
  lines: readonly Line[],
  source: string,
): Promise<void> {
  let pending: { number: number; command: Command }[] = [];
  for (const line of lines) {
    if ("command" in line) pending.push(line);
    if (pending.length >= MAX_BATCH || !("command" in line)) {
      await sendBatch(connection, pending, false, source);
      pending = [];
    }
    if ("request" in line) print(await ask(connection, line.request));
    if ("task" in line) await carryOut(connection, line, source);
  }
  await sendBatch(connection, pending, false, source);
}

export async function executeAtomic(
  connection: DaemonConnection,
  lines: readonly Line[],
  source: string,
): Promise<void> {
  await sendBatch(connection, lines.filter((line) => "command" in line), true, source);
  for (const line of lines) if ("request" in line) print(await ask(connection, line.request));
}

async function carryOut(
  connection: DaemonConnection,
  line: { number: number; task: Task },
  source: string,
): Promise<void> {
  try {
    await line.task(connection);
  } catch (error) {
    if (!(error instanceof RpcError) || error.code !== RPC_CONFIG_ERROR) throw error;
    throw new RpcError(RPC_CONFIG_ERROR, `${source} line ${line.number} ${error.message}`);
  }
}
