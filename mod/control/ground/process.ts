/**
 * Programs beside this one: `run` for those that end by themselves, within a deadline, and `Process` for servers, which are ended by
 * their own pid and nothing else.
 *
 * @module
 */

import { until } from "./wait.ts";

export interface RunOptions {
  /** Bytes or text for the program's standard input; none: it reads an empty one. */
  stdin?: string | Uint8Array;
  /** After this the program is killed and `run` throws. */
  timeoutMs?: number;
  env?: Record<string, string>;
  cwd?: string;
}

export interface RunResult {
  code: number;
  stdout: Uint8Array;
  /** Standard output and standard error, as text. */
  text: string;
  stderr: string;
  elapsedMs: number;
}

const decoder = new TextDecoder();
const LOG_LIMIT_BYTES = 256 * 1024;

/** Runs a program to its end, whatever its exit code. Throws when it cannot be started or takes too long. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const start = performance.now();
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    env: options.env,
    cwd: options.cwd,
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const feeding = options.stdin === undefined ? undefined : feed(child, options.stdin);
    const output = await child.output();
    await feeding;
    const elapsedMs = performance.now() - start;
    const stderr = decoder.decode(output.stderr);
    if (late) throw new Error(`${command.join(" ")}: no end within ${timeoutMs} ms\n${stderr}`);
    return {
      code: output.code,
      stdout: output.stdout,
      text: decoder.decode(output.stdout),
      stderr,
      elapsedMs,
    };
  } finally {
    clearTimeout(timer);
  }
}

async function feed(child: Deno.ChildProcess, stdin: string | Uint8Array): Promise<void> {
  const writer = child.stdin.getWriter();
  try {
    await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
    await writer.close();
  } catch {
    // The program ended without reading all of it; its exit code tells.
  }
}

/** A program ended with another exit code than 0. */
export class CommandError extends Error {
  override name = "CommandError";
  /** `said`: the last it wrote on standard error, or else on standard output. */
  constructor(readonly command: string, readonly code: number, readonly said: string) {
    super(`${command}: exit ${code}: ${said}`);
  }
}

/** As `run`, but an exit code other than 0 throws a CommandError with what the program said. Returns its standard output as text. */
export async function runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.code !== 0) {
    const said = (result.stderr || result.text).trim();
    throw new CommandError(command.join(" ").slice(0, 400), result.code, said);
  }
  return result.text;
}

/** A program that runs on. `await using` ends it: SIGTERM, then SIGKILL when that did not help. */
export class Process implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** What it wrote so far, standard output and standard error apart, the last 256 KiB of each. */
  stdout = "";
  stderr = "";
  /** Set once it has ended. */
  status: Deno.CommandStatus | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #ended: Promise<Deno.CommandStatus>;

  constructor(name: string, command: readonly string[], options: Omit<RunOptions, "stdin"> = {}) {
    this.name = name;
    const child = new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      env: options.env,
      cwd: options.cwd,
    }).spawn();
    this.#child = child;
    this.pid = child.pid;
    const readers = [
      collect(child.stdout, (text) => this.stdout = (this.stdout + text).slice(-LOG_LIMIT_BYTES)),
      collect(child.stderr, (text) => this.stderr = (this.stderr + text).slice(-LOG_LIMIT_BYTES)),
    ];
    this.#ended = (async () => {
      const status = await child.status;
      this.status = status;
      await Promise.all(readers);
      return status;
    })();
  }

  get running(): boolean {
    return this.status === undefined;
  }

  signal(signal: Deno.Signal): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Its exit status; throws when it has not ended within the deadline. */
  async ended(deadlineMs = 10_000): Promise<Deno.CommandStatus> {
    await until(`the end of ${this.name}`, () => !this.running, deadlineMs);
    return await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.signal("SIGTERM");
      await this.ended(3_000);
    } catch {
      this.signal("SIGKILL");
      await this.#ended;
    }
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const text = new TextDecoder();
  for await (const chunk of stream) take(text.decode(chunk, { stream: true }));
}

/**
 * Waits until something in the network namespace of process `pid` listens on `port` (a UDP socket: is bound to it). Looks in /proc, so
 * that no packet is sent to find out.
 */
export async function untilListening(pid: number, protocol: "tcp" | "udp", port: number): Promise<void> {
  const tail = ":" + port.toString(16).toUpperCase().padStart(4, "0");
  const states = protocol === "tcp" ? ["0A"] : ["07", "01"]; // TCP_LISTEN; unconnected and connected UDP
  await until(`a ${protocol} socket on port ${port}`, async () => {
    for (const table of [`/proc/${pid}/net/${protocol}`, `/proc/${pid}/net/${protocol}6`]) {
      for (const line of (await Deno.readTextFile(table)).split("\n").slice(1)) {
        const fields = line.trim().split(/\s+/);
        if (fields[1]?.endsWith(tail) && states.includes(fields[3])) return true;
      }
    }
    return false;
  });
}
