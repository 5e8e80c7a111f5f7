/**
 * The command line's end of the socket: one connection, requests answered in order.
 *
 * Rule: every failure is an error whose message can be shown as it stands. A ConfigError of the daemon arrives
 * as an RpcError with code RPC_CONFIG_ERROR and the same text.
 */

import { ConfigError } from "../config/model.ts";
import { LineSplitter } from "./lines.ts";
import type { Method, Methods } from "./protocol.ts";

/** The daemon answered with an error. */
export class RpcError extends Error {
  override name = "RpcError";
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** Nobody listens at the socket. */
export class NoDaemonError extends ConfigError {
  constructor(path: string) {
    super("daemon", path, `is not running: start it with "ku run" or name its socket with --socket`);
  }
}

/** Longest wait for an answer; a batch of 10,000 services takes the daemon a few seconds. */
const ANSWER_TIMEOUT_MS = 120_000;
/** A million sessions are some 200 MB. */
const MAX_ANSWER_BYTES = 1024 * 1024 * 1024;

export class DaemonConnection {
  readonly #stream: Deno.UnixConn;
  readonly #path: string;
  readonly #lines = new LineSplitter(MAX_ANSWER_BYTES);
  readonly #chunk = new Uint8Array(256 * 1024);
  #nextId = 1;

  private constructor(stream: Deno.UnixConn, path: string) {
    this.#stream = stream;
    this.#path = path;
  }

  /** Throws a ConfigError that tells what to do when no daemon answers at `path`. */
  static async connect(path: string): Promise<DaemonConnection> {
    try {
      return new DaemonConnection(await Deno.connect({ transport: "unix", path }), path);
    } catch (error) {
      throw connectError(path, error);
    }
  }

  /** Sends one request and waits for its answer. One call at a time. */
  async call<M extends Method>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> {
    const id = this.#nextId++;
    const timer = setTimeout(() => this.close(), ANSWER_TIMEOUT_MS);
    try {
      const bytes = new TextEncoder().encode(JSON.stringify({ jsonrpc: "2.0", id, method, params }) + "\n");
      for (let at = 0; at < bytes.length;) at += await this.#stream.write(bytes.subarray(at));
      return resultOf(JSON.parse(await this.#readLine()), id) as Methods[M]["result"];
    } catch (error) {
      if (error instanceof RpcError) throw error;
      const reason = error instanceof Error && error.message !== "" ? error.message : "connection closed";
      throw new ConfigError("daemon", this.#path, `did not answer (${reason}): look at the log of "ku run"`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the daemon has closed the connection. */
  async gone(): Promise<void> {
    try {
      while (await this.#stream.read(this.#chunk) !== null);
    } catch {
      // Reset: closed as well.
    }
  }

  close(): void {
    try {
      this.#stream.close();
    } catch {
      // Closed already.
    }
  }

  async #readLine(): Promise<string> {
    for (;;) {
      const count = await this.#stream.read(this.#chunk);
      if (count === null) throw new Error("connection closed");
      // One request is under way at a time, so a chunk completes at most one line.
      for (const line of this.#lines.push(this.#chunk.subarray(0, count))) {
        return new TextDecoder().decode(line);
      }
    }
  }
}

/** Connects, asks once, closes. */
export async function callDaemon<M extends Method>(
  path: string,
  method: M,
  params: Methods[M]["params"],
): Promise<Methods[M]["result"]> {
  const connection = await DaemonConnection.connect(path);
  try {
    return await connection.call(method, params);
  } finally {
    connection.close();
  }
}

/** The result of a response to request `id`; throws RpcError for an error response. */
function resultOf(response: unknown, id: number): unknown {
  const { id: answered, result, error } = response as {
    id?: unknown;
    result?: unknown;
    error?: { code: number; message: string };
  };
  if (error) throw new RpcError(error.code, error.message);
  if (answered !== id) throw new Error("answer to another request");
  return result;
}

function connectError(path: string, error: unknown): ConfigError {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) {
    return new NoDaemonError(path);
  }
  const reason = error instanceof Deno.errors.PermissionDenied
    ? "may not be opened: run as root"
    : `cannot be reached (${error instanceof Error ? error.message : String(error)})`;
  return new ConfigError("daemon", path, reason);
}
