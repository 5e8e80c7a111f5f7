/**
 * The configuration that a daemon starts with: what the last one saved, else the configuration file; and the interfaces of the command line.
 *
 * @module
 */

import { loadConfig } from "../config/file.ts";
import { ConfigError } from "../config/model.ts";
import type { RunOptions } from "../config/run_options.ts";
import { type Checks, ConfigState } from "../config/state.ts";
import type { Log } from "./log.ts";
import { StateFile } from "./state_file.ts";

/** Throws a ConfigError for what cannot be read or is none. */
export async function initialState(options: RunOptions, checks: Checks, log: Log): Promise<ConfigState> {
  return restored(options, checks, log) ?? await configured(options, checks);
}

/** What the last daemon saved. An interface that is not there any more waits for its return, as it would have under that daemon. */
function restored({ stateDir, config }: RunOptions, checks: Checks, log: Log): ConfigState | null {
  const text = stateDir === undefined ? null : StateFile.read(stateDir);
  if (stateDir === undefined || text === null) return null;
  const path = StateFile.pathIn(stateDir);
  const state = new ConfigState(checks);
  state.replaceWith(loadConfig(text, path));
  log.info(`restored : ${state.vips.size} VIPs, ${state.interfaces.size} interfaces from ${path}`);
  if (config !== undefined) log.info(notRead(config));
  for (const name of state.interfaces.keys()) {
    if (!checks.interfaceExists?.(name)) {
      log.warn(`interface ${name} : is not there, waiting for it to come`);
    }
  }
  return state;
}

/** Said of a file that is given beside a configuration that is there already. */
export function notRead(config: string): string {
  return `config ${config} : not read, "ku apply -f ${config}" brings the node to it`;
}

async function configured({ config }: RunOptions, checks: Checks): Promise<ConfigState> {
  if (config === undefined) return new ConfigState(checks);
  let text: string;
  try {
    text = await Deno.readTextFile(config);
  } catch (error) {
    throw new ConfigError("config", config, `cannot be read: ${(error as Error).message}`);
  }
  return loadConfig(text, config, checks);
}
