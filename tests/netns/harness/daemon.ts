/** The program under test: `dist/ku run` in the node's namespace with a socket of its own, and `ku …` commands sent to it. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { parseLine, type Said } from "../../../cli/exec.ts";
import type { Query } from "../../../mod/control/protocol.ts";
import { callDaemon } from "../../../mod/control/rpc_client.ts";
import { differences, footprint } from "./footprint.ts";
import type { Ground } from "./ground.ts";
import { startKu } from "../../../mod/control/ground/daemon.ts";
import { type Process, run, type RunOptions, type RunResult } from "./process.ts";
import type { Namespace } from "./namespace.ts";
import { until } from "./wait.ts";

/** The executable: dist/ku of this repository, or what KU_BINARY names. */
export const KU = Deno.env.get("KU_BINARY") ?? new URL("../../../dist/ku", import.meta.url).pathname;

/** KU_TEST_OFFLOAD=off: the same tests without the kernel's repeating, which must change nothing but speed. */
const OFFLOAD_OFF = Deno.env.get("KU_TEST_OFFLOAD") === "off";

export type Mode = "native" | "tc";
/** The two ways of steering that every feature is tested in, all interfaces alike. */
export const MODES: readonly Mode[] = ["native", "tc"];

export interface ShowPod {
  address: string;
  weight: number;
  buckets: number;
  sessions: number;
  state: string;
  packets: number;
}

export interface ShowVip {
  prefix: string;
  protocol: string | null;
  port: number | null;
  targetPort: number | null;
  nodePort: number | null;
  type: string;
  newLen: number;
  counters: {
    nextPacket: number;
    firstPacket: number;
    untracked: number;
    noServer: number;
    replyPackets: number;
  };
  pods: ShowPod[];
}

export interface ShowSession {
  worker: number;
  protocol: string;
  client: string;
  vip: string;
  pod: string;
  state: string;
  idleSeconds: number;
  kernel: { packets: number; bytes: number; replyPackets: number; replyBytes: number } | null;
}

export interface ShowOffload {
  enabled: boolean;
  capacity: number;
  used: number;
  refused: number;
  hits: number;
  hitBytes: number;
  misses: Record<string, number>;
}

export interface ShowInterface {
  name: string;
  mtuBytes: number;
  rxPackets: number;
  txPackets: number;
  kernel: { rxPackets: number; txPackets: number };
}

export interface ShowSummary {
  vips: number;
  pods: number;
  workers: { worker: number; timeoutSeconds: number; sessions: { used: number; capacity: number } }[];
  memoryBytes: number;
}

export interface ShowNodeCounter {
  count: number;
  node: string;
  reason: string;
}

export interface DaemonOptions {
  /** Written to a file and passed with --config. */
  config?: unknown;
  /** Further words after `run`. */
  words?: string[];
  /** Words in front of the executable, for instance `unshare -m …`. */
  before?: string[];
  binary?: string;
  socket?: string;
  env?: Record<string, string>;
  /** The one that it takes over from. */
  successorOf?: Daemon;
  /** Keep its log to itself also when the test ends without having stopped it. */
  quiet?: boolean;
}

let configurations = 0;

export class Daemon implements AsyncDisposable {
  #stopped = false;

  private constructor(
    readonly node: Namespace,
    readonly process: Process,
    readonly socket: string,
    readonly before: readonly string[],
    readonly quiet: boolean,
  ) {}

  /** Starts the daemon and waits until it answers. Throws with its words when it ends instead. */
  static async start(
    ground: Pick<Ground, "node" | "directory">,
    options: DaemonOptions = {},
  ): Promise<Daemon> {
    const socket = options.socket ?? `${ground.directory}/ku.sock`;
    const words = [...(options.words ?? [])];
    if (options.config !== undefined) {
      const file = `${ground.directory}/config-${++configurations}.json`;
      await Deno.writeTextFile(file, JSON.stringify(options.config, undefined, 2));
      words.push("--config", file);
    }
    const before = await footprint(ground.node);
    const ku = [...(options.before ?? []), options.binary ?? KU];
    const { env, successorOf } = options;
    const process = await startKu(ground.node, ku, socket, words, { env, predecessor: successorOf?.process });
    if (successorOf !== undefined) successorOf.#stopped = true;
    const daemon = new Daemon(ground.node, process, socket, before, options.quiet ?? false);
    try {
      if (OFFLOAD_OFF) await daemon.ku("conf offload off");
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
    return daemon;
  }

  /** The one that `process` (`ku run --upgrade`), which stands still, makes of itself when it goes on. */
  static async succeed(predecessor: Daemon, process: Process): Promise<Daemon> {
    const { node, socket, before } = predecessor;
    process.signal("SIGCONT");
    await predecessor.process.ended(20_000);
    predecessor.#stopped = true;
    const daemon = new Daemon(node, process, socket, before, true);
    await until("an answer", async () => (await daemon.run("show")).code === 0);
    return daemon;
  }

  /** `ku <words>`, whatever comes of it. */
  run(...words: string[]): Promise<RunResult> {
    return this.runWith({}, ...words);
  }

  runWith(options: RunOptions, ...words: string[]): Promise<RunResult> {
    return run([KU, ...words], {
      timeoutMs: 10_000,
      ...options,
      env: { KU_SOCKET: this.socket, ...options.env },
    });
  }

  /** `ku <line>` by the program itself, words apart by blanks; it must succeed and print nothing. */
  async command(line: string): Promise<void> {
    const result = await this.run(...line.split(" "));
    assertEquals({ line, code: result.code, said: result.stderr + result.text }, { line, code: 0, said: "" });
  }

  /**
   * A command or a clearing as `ku <line>` asks for it, here and not by the program, whose start takes a fifth of a second of a core and is
   * the tests' of the commands.
   */
  async ku(line: string): Promise<void> {
    const said = await parseLine(line);
    assert(said !== null && !("task" in said), `a command: ${line}`);
    if ("command" in said) await callDaemon(this.socket, said.command.method, said.command.params);
    else await this.#ask(said.request.query);
  }

  /** Many of them as one change, as `ku exec --atomic` sends them; clearings and the like follow. */
  async apply(...lines: string[]): Promise<void> {
    const all: Said[] = (await Promise.all(lines.map(parseLine))).filter((said) => said !== null);
    const commands = all.flatMap((said) => "command" in said ? [said.command] : []);
    const { failed } = await callDaemon(this.socket, "batch", { commands, atomic: true });
    assertEquals(failed, null);
    for (const said of all) if ("request" in said) await this.#ask(said.request.query);
  }

  #ask({ method, params }: Query): Promise<unknown> {
    return callDaemon(this.socket, method, params);
  }

  /** `ku <line>` must fail with this exit code, one line on stderr, nothing on stdout, no stack trace. Returns the line. */
  async fails(code: 1 | 2, ...words: string[]): Promise<string> {
    const result = await this.run(...words);
    assertOneLine(words.join(" "), result, code);
    return result.stderr.trimEnd();
  }

  /** What `ku show <words> --json` prints. */
  async #show<T>(words = ""): Promise<T> {
    const said = await parseLine(`show ${words} --json`);
    assert(said !== null && "request" in said);
    return await this.#ask(said.request.query) as T;
  }

  summary(): Promise<ShowSummary> {
    return this.#show();
  }

  vips(): Promise<ShowVip[]> {
    return this.#show("vip verbose");
  }

  /** The one VIP of this port and protocol. */
  async vip(port: number, protocol = "tcp"): Promise<ShowVip> {
    const found = (await this.vips()).filter((vip) => vip.port === port && vip.protocol === protocol);
    assertEquals(found.length, 1, `one VIP with ${protocol} port ${port}`);
    return found[0];
  }

  sessions(): Promise<ShowSession[]> {
    return this.#show("sessions");
  }

  offload(): Promise<ShowOffload> {
    return this.#show("offload");
  }

  interfaces(): Promise<ShowInterface[]> {
    return this.#show("interface");
  }

  /** Waits until packets go by this MTU of the interfaces: the daemon hears of it a moment after the kernel has changed it. */
  async untilMtu(mtuBytes: number, ...names: string[]): Promise<void> {
    await until(`an MTU of ${mtuBytes} bytes`, async () => {
      const all = await this.interfaces();
      return names.every((name) => all.find((one) => one.name === name)?.mtuBytes === mtuBytes);
    });
    await this.apply(); // carried out behind what the news set off
  }

  nodeCounters(): Promise<ShowNodeCounter[]> {
    return this.#show("node counters");
  }

  /** Ends it by a signal; exit code 0 within the deadline. `stop` looks at what is left as well. */
  async end(signal: "SIGTERM" | "SIGINT"): Promise<void> {
    this.process.signal(signal);
    const status = await this.process.ended(10_000);
    this.#stopped = true;
    assertEquals({ code: status.code, signal: status.signal, stderr: this.#complaints() }, {
      code: 0,
      signal: null,
      stderr: "",
    });
  }

  /** SIGTERM: exit code 0 within the deadline, and the namespace is as it was before the start, the socket gone. */
  async stop(): Promise<void> {
    await this.end("SIGTERM");
    assertEquals(differences(this.before, await footprint(this.node)), [], "left behind after SIGTERM");
    assertEquals(await exists(this.socket), false, `${this.socket} left behind after SIGTERM`);
  }

  /** kill -9, and the end of the process. */
  async kill(): Promise<void> {
    this.process.signal("SIGKILL");
    await this.process.ended();
    this.#stopped = true;
  }

  /** Lines of the log that tell of a crash. */
  #complaints(): string {
    return this.process.stderr.split("\n").filter((line) =>
      /\bat .*:\d+:\d+|panic|Uncaught|TypeError/.test(line)
    ).join("\n");
  }

  /** For the ends that `stop` did not reach: a failed test. Shows what the daemon said. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.process[Symbol.asyncDispose]();
    const said = (this.process.stdout + this.process.stderr).trim();
    if (said !== "" && !this.quiet) console.error(`--- ku run said:\n${said.slice(-4000)}\n---`);
  }
}

/** What the contract asks of every refused command. */
export function assertOneLine(what: string, result: RunResult, code: 1 | 2): void {
  const lines = result.stderr.trimEnd().split("\n");
  assertEquals({ what, code: result.code, stdout: result.text, lines: lines.length, said: result.stderr }, {
    what,
    code,
    stdout: "",
    lines: 1,
    said: result.stderr,
  });
  assertMatch(result.stderr, code === 1 ? /^ku: .+: .+, .+\n$/ : /^usage: ku .+\n$/i, what);
  assertEquals(/\s+at .*:\d+:\d+/.test(result.stderr), false, `a stack trace: ${result.stderr}`);
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    return false;
  }
}
