/**
 * Between two daemons: a new one asks here instead of the old one, and the test decides what becomes of every question and answer.
 *
 *     ku run --upgrade ── between.sock ── ku.sock (the old one)
 */

import { handoverPath } from "../../../mod/control/handover.ts";

/** When the test may do something: around the first question, and around the second, which has everything handed over. */
export type Moment = "before the offer" | "after the offer" | "before the handover" | "after the handover";

export interface BetweenOptions {
  /** Called at each moment; what it returns for an answer takes its place. */
  at?: (moment: Moment) => Promise<void> | void;
  /** Instead of the answer to the first question. */
  refusal?: { code: number; message: string };
  /** Changes the file that the new one will read. */
  file?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array;
}

export class Between implements AsyncDisposable {
  readonly #listener: Deno.UnixListener;
  readonly #serving: Promise<void>;

  constructor(readonly path: string, private readonly old: string, private readonly options: BetweenOptions) {
    this.#listener = Deno.listen({ transport: "unix", path });
    this.#serving = this.#serve();
  }

  async #serve(): Promise<void> {
    for await (const asker of this.#listener) {
      await this.#pass(asker).catch(() => {}); // the new one has gone
      close(asker);
    }
  }

  async #pass(asker: Deno.UnixConn): Promise<void> {
    const { at, refusal, file } = this.options;
    const old = await Deno.connect({ transport: "unix", path: this.old });
    try {
      for (;;) {
        const question = await readLine(asker);
        if (question === null) return;
        const { id, params } = JSON.parse(question);
        const what = params.commit ? "handover" : "offer";
        await at?.(`before the ${what}`);
        if (refusal !== undefined) {
          await writeAll(asker, JSON.stringify({ jsonrpc: "2.0", id, error: refusal }) + "\n");
          continue;
        }
        await writeAll(old, question + "\n");
        const answer = await readLine(old);
        if (answer === null) return;
        if (params.commit) await this.#passFile(file);
        await at?.(`after the ${what}`);
        await writeAll(asker, answer + "\n");
      }
    } finally {
      close(old);
    }
  }

  /** Each has the file beside the socket that it knows. */
  async #passFile(change: BetweenOptions["file"] = (bytes) => bytes): Promise<void> {
    const bytes = await Deno.readFile(handoverPath(this.old));
    await Deno.writeFile(handoverPath(this.path), change(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    close(this.#listener);
    await this.#serving;
    await Deno.remove(handoverPath(this.path)).catch(() => {});
  }
}

function close(what: { close(): void }): void {
  try {
    what.close();
  } catch {
    // Closed already.
  }
}

async function readLine(from: Deno.UnixConn): Promise<string | null> {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(64 * 1024);
  for (let text = ""; !text.endsWith("\n");) {
    const count = await from.read(chunk);
    if (count === null) return null;
    text += decoder.decode(chunk.subarray(0, count), { stream: true });
    if (text.endsWith("\n")) return text.trimEnd();
  }
  return null;
}

async function writeAll(to: Deno.UnixConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}
