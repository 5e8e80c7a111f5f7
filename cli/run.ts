/** `ku run`: the daemon. Only its command line is here; the daemon is mod/control/daemon.ts. */

import { parseArgs } from "@std/cli/parse-args";
import { ConfigError } from "../mod/config/model.ts";
import { checkInterfaceName, checkListenAddress, checkRange, checkWord } from "../mod/config/rules.ts";
import { LOG_LEVELS, type RunOptions } from "../mod/config/run_options.ts";
import { defaultSocket, type Description, helpText } from "./client.ts";
import { print } from "./output.ts";
import { closest } from "./suggest.ts";
import { UsageError } from "./words.ts";

export const description: Description = {
  command: "run",
  usage:
    "ku run [--config FILE] [--socket PATH] [--workers N] [--interface IF]... [--metrics ADDR:PORT] [--log-level L]",
  summary: "run the daemon",
  help: `
Runs the daemon in the foreground until SIGTERM or SIGINT, which take everything it has set up
away again.

  --config FILE        configuration to start with, YAML or JSON
  --socket PATH        socket for the other commands (default /run/ku/ku.sock, or KU_SOCKET)
  --workers N          threads that move packets (default: RX queues of the interfaces, at most cores)
  --interface IF       attach this interface, mode auto; may be repeated
  --metrics ADDR:PORT  serve Prometheus metrics there
  --log-level L        error, warn, info (default) or debug

examples:
  ku run --interface eth0
  ku run --config /etc/ku.yaml --metrics 127.0.0.1:9753`,
};

const TEXT_OPTIONS = ["config", "socket", "workers", "interface", "metrics", "log-level"] as const;
/** A worker a core; nodes with more cores than this leave the rest to the pods. */
const MAX_WORKERS = 64;

/** The arguments after `ku run` as options, null when help is asked for. */
export function parse(args: readonly string[]): RunOptions | null {
  const usage = (reason: string) => new UsageError(reason, description.usage);
  const parsed = parseArgs(args, {
    string: [...TEXT_OPTIONS, "_"],
    boolean: ["help"],
    collect: ["interface"],
    alias: { help: "h" },
    unknown: (arg, key) => {
      if (key === undefined) throw usage(`unknown word "${arg}"`);
      const meant = closest(key, [...TEXT_OPTIONS, "help"]);
      throw usage(`unknown option "${arg}"${meant === undefined ? "" : `: did you mean "--${meant}"?`}`);
    },
  });
  if (parsed.help) return null;
  for (const name of TEXT_OPTIONS) {
    // An option without its value is read as an empty text.
    const value = parsed[name];
    if (value === "" || (Array.isArray(value) && value.includes(""))) throw usage(`--${name} wants a value`);
  }
  const options: RunOptions = {
    socket: parsed.socket ?? defaultSocket(),
    interfaces: parsed.interface.map(checkInterfaceName),
    logLevel: checkWord("log-level", parsed["log-level"] ?? "info", LOG_LEVELS),
  };
  if (parsed.config !== undefined) options.config = parsed.config;
  if (parsed.workers !== undefined) options.workers = readWorkers(parsed.workers);
  if (parsed.metrics !== undefined) {
    checkListenAddress("metrics", parsed.metrics);
    options.metrics = parsed.metrics;
  }
  return options;
}

function readWorkers(text: string): number {
  if (!/^\d+$/.test(text)) throw new ConfigError("workers", text, `give a number from 1 to ${MAX_WORKERS}`);
  return checkRange("workers", Number(text), 1, MAX_WORKERS);
}

export async function run(args: string[]): Promise<void> {
  const options = parse(args);
  if (options === null) return print(helpText(description));
  const { runDaemon } = await import("../mod/control/daemon.ts");
  await runDaemon(options);
}
