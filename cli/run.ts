/** `ku run`: the daemon. Only its command line is here; the daemon is mod/control/daemon.ts. */

import { ConfigError } from "../mod/config/model.ts";
import { checkInterfaceName, checkListenAddress, checkRange, checkWord } from "../mod/config/rules.ts";
import { LOG_FORMATS, LOG_LEVELS, type RunOptions } from "../mod/config/run_options.ts";
import { optionsOrHelp } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "run",
  summary: "run the daemon",
  about: [
    "Runs the daemon in the foreground until SIGTERM or SIGINT, which take everything it has set up away again.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    {
      words: ["--config"],
      value: { name: "FILE", completes: "file" },
      help: "Configuration to start with, YAML or JSON.",
    },
    {
      words: ["--state-dir"],
      value: { name: "DIR", completes: "file" },
      help:
        "Keep the running configuration in DIR/ku.json, saved after every change. When there is one at the start, it is restored, and --config is for the first start only.",
    },
    {
      words: ["--socket"],
      value: { name: "PATH", completes: "file" },
      help: "Socket for the other commands (default /run/ku/ku.sock, or KU_SOCKET).",
    },
    {
      words: ["--workers"],
      value: { name: "N" },
      help: "Threads that move packets (default: RX queues of the interfaces, at most cores).",
    },
    {
      words: ["--interface"],
      value: { name: "IF", completes: "interface" },
      repeated: true,
      help: "Attach this interface, mode auto.",
    },
    {
      words: ["--metrics"],
      value: { name: "ADDR:PORT" },
      help: "Serve metrics for Prometheus there at /metrics, and /healthz and /readyz.",
    },
    {
      words: ["--log-level"],
      value: { name: "L", choices: LOG_LEVELS },
      help: "What is logged at least: error, warn, info (default) or debug.",
    },
    {
      words: ["--log-format"],
      value: { name: "text|json", choices: LOG_FORMATS },
      help: "A line of text (default) or a JSON object for each event, on standard error.",
    },
    {
      words: ["--upgrade"],
      help:
        "Take over from the daemon that runs at the socket, with its configuration and sessions; it ends when this one has everything, and goes on if this one fails.",
    },
  ],
  local: true,
  examples: [
    { line: "ku run --interface eth0" },
    { line: "ku run --config /etc/ku.yaml --metrics 127.0.0.1:9753" },
    { line: "ku run --upgrade --metrics 127.0.0.1:9753" },
  ],
};

/** A worker a core; nodes with more cores than this leave the rest to the pods. */
const MAX_WORKERS = 64;

/** The arguments after `ku run` as options, null when help was asked for and printed. */
export function parse(args: readonly string[]): RunOptions | null {
  const given = optionsOrHelp(args, description);
  if (given === null) return null;
  new WordReader(description, given.words).end();
  const value = (name: string): string | undefined => given.values.get(name)?.[0];
  const options: RunOptions = {
    socket: given.socket,
    interfaces: (given.values.get("interface") ?? []).map(checkInterfaceName),
    logLevel: checkWord("log-level", value("log-level") ?? "info", LOG_LEVELS),
    logFormat: checkWord("log-format", value("log-format") ?? "text", LOG_FORMATS),
  };
  const config = value("config");
  const workers = value("workers");
  const metrics = value("metrics");
  const stateDir = value("state-dir");
  if (given.flags.has("upgrade")) options.upgrade = true;
  if (config !== undefined) options.config = config;
  if (stateDir !== undefined) options.stateDir = stateDir;
  if (workers !== undefined) options.workers = readWorkers(workers);
  if (metrics !== undefined) {
    checkListenAddress("metrics", metrics);
    options.metrics = metrics;
  }
  return options;
}

function readWorkers(text: string): number {
  if (!/^\d+$/.test(text)) throw new ConfigError("workers", text, `give a number from 1 to ${MAX_WORKERS}`);
  return checkRange("workers", Number(text), 1, MAX_WORKERS);
}

export async function run(args: string[]): Promise<void> {
  const options = parse(args);
  if (options === null) return;
  const { runDaemon } = await import("../mod/control/daemon.ts");
  await runDaemon(options);
}
