/**
 * The daemon's end of the socket: JSON-RPC 2.0 over a Unix stream socket, one request or one batch array per
 * line, answered in order on each connection.
 *
 * Rule: whatever a client sends, the daemon goes on. A malformed line is answered and the connection lives; a line
 * over the bound is answered and the connection closes; a client that does not read its answers is closed after
 * a while; a client that leaves is forgotten. The socket is 0600 from its first moment (umask, not chmod), a
 * dead daemon's socket is replaced, a living one's never.
 *
 * References: https://www.jsonrpc.org/specification, unix(7), flock(2).
 */

import { ConfigError } from "../config/model.ts";
import { LineSplitter, LineTooLongError } from "./lines.ts";
import { answerLine, type AnswerOptions, failure, type Handler } from "./rpc_answer.ts";
import { MAX_LINE_BYTES, RPC_INVALID_REQUEST } from "./protocol.ts";

export type { Handler };

export interface RpcServerOptions extends AnswerOptions {
  path: string;
  /** Takes the place of a daemon that listens there and is about to leave, at one stroke. */
  replaces?: boolean;
  /** Ends the server: no new clients, connections closed, socket removed. */
  signal?: AbortSignal;
  /** Bounds, for tests. */
  maxLineBytes?: number;
  maxClients?: number;
  writeTimeoutMs?: number;
}

/** A running server. `close` is what `signal` does; it may be called twice. */
export interface RpcServer {
  readonly path: string;
  close(): void;
  /** Closes the connections as well that were to stay. */
  release(): void;
  /** Whether `path` still leads here. */
  isThere(): boolean;
  /** Settles when the last connection is gone. */
  readonly finished: Promise<void>;
}

const DEFAULT_MAX_CLIENTS = 256;
const DEFAULT_WRITE_TIMEOUT_MS = 10_000;

/** Starts listening; resolves once clients can connect. Throws ConfigError when a daemon lives at `path`. */
export async function serveRpc(options: RpcServerOptions): Promise<RpcServer> {
  const listener = await listen(options.path, options.replaces ?? false);
  const socket = Deno.lstatSync(options.path);
  const connections = new Set<Connection>();
  const close = (): void => {
    if (closed) return;
    closed = true;
    listener.close();
    for (const connection of connections) if (!connection.stays) connection.close();
    removeOwn(options.path, socket);
  };
  const release = (): void => {
    close();
    for (const connection of connections) connection.close();
  };
  let closed = false;
  const finished = accept(listener, connections, options).finally(close);
  if (options.signal?.aborted) close();
  options.signal?.addEventListener("abort", close, { once: true });
  const isThere = () => isOwn(options.path, socket);
  return { path: options.path, close, release, isThere, finished };
}

/** Binds the socket. A lock on its directory keeps two daemons that start at once from replacing each other. */
async function listen(path: string, replaces: boolean): Promise<Deno.UnixListener> {
  const directory = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".";
  const lock = openDirectory(directory);
  try {
    await lock.lock(true);
    const own = replaces ? `${path}.next` : path;
    await removeStale(own);
    // No permission bits for group and others at bind(2): there is no moment between bind and chmod.
    const before = Deno.umask(0o177);
    try {
      const listener = Deno.listen({ transport: "unix", path: own });
      if (replaces) await Deno.rename(own, path);
      return listener;
    } finally {
      Deno.umask(before);
    }
  } catch (error) {
    throw error instanceof ConfigError ? error : cannot("socket", path, error);
  } finally {
    lock.close();
  }
}

/** The socket's directory, made 0755 if need be. */
function openDirectory(directory: string): Deno.FsFile {
  try {
    const before = Deno.umask(0o022);
    try {
      Deno.mkdirSync(directory, { recursive: true, mode: 0o755 });
    } finally {
      Deno.umask(before);
    }
    return Deno.openSync(directory, { read: true });
  } catch (error) {
    throw cannot("socket directory", directory, error);
  }
}

/** Removes the socket of a dead daemon. Throws when one answers, or when `path` is something else. */
async function removeStale(path: string): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (!info.isSocket) throw new ConfigError("socket", path, "is a file but no socket: give another path");
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    await Deno.remove(path);
    return;
  }
  throw new ConfigError("socket", path, "a daemon is running there: stop it first or give another path");
}

function cannot(what: string, path: string, error: unknown): ConfigError {
  const reason = error instanceof Error ? error.message : String(error);
  return new ConfigError(what, path, `cannot be used (${reason}): run as root or give another path`);
}

/** Removes the socket unless somebody has put another one in its place. */
function removeOwn(path: string, own: Deno.FileInfo): void {
  try {
    if (isOwn(path, own)) Deno.removeSync(path);
  } catch {
    // Gone already: nothing to remove.
  }
}

function isOwn(path: string, own: Deno.FileInfo): boolean {
  try {
    const now = Deno.lstatSync(path);
    return now.ino === own.ino && now.dev === own.dev;
  } catch {
    return false;
  }
}

async function accept(
  listener: Deno.UnixListener,
  connections: Set<Connection>,
  options: RpcServerOptions,
): Promise<void> {
  const served: Set<Promise<void>> = new Set();
  for (;;) {
    let stream: Deno.UnixConn;
    try {
      stream = await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) break;
      // Out of descriptors, for one: wait instead of spinning, connections end and give some back.
      await new Promise((resolve) => setTimeout(resolve, 100));
      continue;
    }
    if (connections.size >= (options.maxClients ?? DEFAULT_MAX_CLIENTS)) {
      stream.close();
      continue;
    }
    const connection = new Connection(stream, options);
    connections.add(connection);
    const done = connection.serve().finally(() => served.delete(done));
    connection.released.then(() => connections.delete(connection));
    served.add(done);
  }
  await Promise.all(served);
}

/** One client. */
class Connection {
  /** See Asker.stay. */
  stays = false;
  #closing = Promise.withResolvers<void>();
  #released = Promise.withResolvers<void>();
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(private readonly stream: Deno.UnixConn, private readonly options: RpcServerOptions) {}

  /**
   * Settles when the descriptor is really gone. NB: closing a connection does not end a write that waits for the
   * client to read; it lasts until the client reads or leaves, and counts as a client till then.
   */
  get released(): Promise<void> {
    return this.#released.promise;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.stream.close();
    this.#closing.resolve();
  }

  /** Reads and answers until the client leaves or `close`. Never rejects. */
  async serve(): Promise<void> {
    const lines = new LineSplitter(this.options.maxLineBytes ?? MAX_LINE_BYTES);
    const chunk = new Uint8Array(64 * 1024);
    try {
      while (!this.#closed) {
        const count = await this.stream.read(chunk);
        if (count === null) break;
        for (const line of lines.push(chunk.subarray(0, count))) await this.#answer(line);
      }
      const rest = lines.rest();
      if (rest.length > 0) await this.#answer(rest);
    } catch (error) {
      if (error instanceof LineTooLongError) {
        await this.#write(failure(null, RPC_INVALID_REQUEST, error.message));
      }
      // Anything else is the client's connection failing, or our own close.
    } finally {
      this.close();
      this.#writing.finally(() => this.#released.resolve());
    }
  }

  async #answer(line: Uint8Array): Promise<void> {
    if (this.#closed) return;
    const response = await answerLine(line, this.options, { stay: () => this.stays = true });
    if (response !== null) await this.#write(response);
  }

  /** Writes one line. A client that does not take it within the time is closed. */
  async #write(response: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(response) + "\n");
    const timer = setTimeout(() => this.close(), this.options.writeTimeoutMs ?? DEFAULT_WRITE_TIMEOUT_MS);
    // A failed write means the client has left.
    this.#writing = this.#writeAll(bytes).catch(() => this.close());
    await Promise.race([this.#writing, this.#closing.promise]);
    clearTimeout(timer);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.stream.write(bytes.subarray(at));
  }
}
