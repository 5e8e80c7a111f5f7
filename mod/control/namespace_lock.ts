/**
 * One daemon per network namespace: `ku0`, the steering programs and their maps belong to the namespace, not to a
 * control socket. The claim is a socket in the abstract name space (unix(7)), which each network namespace has of its
 * own and which the kernel frees when the process ends, however it ends. Who connects to it is told who holds it.
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";

const LOCK_NAME = "\0ku-daemon";
/** Where a daemon that takes over (`ku run --upgrade`) listens for the one that leaves. */
export const SUCCESSOR_NAME = "\0ku-successor";

const SUCCEED_TRIES = 500;
const SUCCEED_PAUSE_MS = 2;

export class NamespaceLock {
  readonly #listener: Deno.UnixListener;

  private constructor(listener: Deno.UnixListener) {
    this.#listener = listener;
  }

  /** Claims this network namespace for the daemon at `socketPath`. Throws ConfigError naming the holder. */
  static async claim(socketPath: string): Promise<NamespaceLock> {
    let listener: Deno.UnixListener;
    try {
      listener = Deno.listen({ transport: "unix", path: LOCK_NAME });
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      const holder = await askHolder();
      throw new ConfigError(
        "a ku daemon already runs in this network namespace",
        holder,
        "stop it first, or talk to it by its socket: ku show --socket PATH",
      );
    }
    const lock = new NamespaceLock(listener);
    lock.#answer(`pid ${Deno.pid}, socket ${socketPath}`);
    return lock;
  }

  /** `claim` from a holder that is about to release it: closing a listener takes the runtime a moment. */
  static async succeed(socketPath: string): Promise<NamespaceLock> {
    for (let left = SUCCEED_TRIES;; left--) {
      try {
        return await NamespaceLock.claim(socketPath);
      } catch (error) {
        if (left === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, SUCCEED_PAUSE_MS));
      }
    }
  }

  /** Gives the namespace free. */
  release(): void {
    this.#listener.close();
  }

  async #answer(text: string): Promise<void> {
    for await (const connection of this.#listener) {
      try {
        await connection.write(new TextEncoder().encode(text));
      } catch {
        // The asker has gone; nothing depends on its having heard.
      } finally {
        connection.close();
      }
    }
  }
}

/** What the holder says of itself; "unknown" when it is just ending. */
async function askHolder(): Promise<string> {
  try {
    const connection = await Deno.connect({ transport: "unix", path: LOCK_NAME });
    try {
      const bytes = new Uint8Array(1024);
      const count = await connection.read(bytes);
      return new TextDecoder().decode(bytes.subarray(0, count ?? 0)) || "unknown";
    } finally {
      connection.close();
    }
  } catch {
    return "unknown";
  }
}
