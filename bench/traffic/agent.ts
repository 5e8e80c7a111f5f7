/**
 * Processes of the bench that live in a namespace and answer every line on their stdin by a line of JSON: interfaces and descriptors
 * belong to the namespace of the process that names them.
 */

import { TextLineStream } from "../lines.ts";
import type { Namespace } from "../../tests/netns/harness/namespace.ts";

/** How many packets, and when (performance.now of the answering process). */
export interface Count {
  packets: number;
  atMs: number;
}

/** In the process: answers until stdin ends. */
export async function answerLines(look: () => { packets: number }): Promise<void> {
  const answer = () => console.log(JSON.stringify({ ...look(), atMs: performance.now() }));
  answer();
  for await (const _line of Deno.stdin.readable.pipeThrough(new TextLineStream())) answer();
}

/** Outside: such a process. */
export class Agent implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#lines = child.stdout.pipeThrough(new TextLineStream()).getReader();
    this.#writer = child.stdin.getWriter();
  }

  /** Starts bench/traffic/<script> and waits for its first answer. `before`: words in front of it. */
  static async start(
    namespace: Namespace,
    script: string,
    args: string[],
    before: string[] = [],
  ): Promise<Agent> {
    const command = namespace.enter([
      ...before,
      Deno.execPath(),
      "run",
      "-A",
      "--no-check",
      `${import.meta.dirname}/${script}`,
      ...args,
    ]);
    const agent = new Agent(
      new Deno.Command(command[0], { args: command.slice(1), stdin: "piped", stdout: "piped" }).spawn(),
    );
    await agent.#read();
    return agent;
  }

  async #read(): Promise<Count> {
    const { value, done } = await this.#lines.read();
    if (done) throw new Error(`a traffic agent ended: ${JSON.stringify(await this.#child.status)}`);
    return JSON.parse(value);
  }

  async count(): Promise<Count> {
    await this.#writer.write(new TextEncoder().encode("\n"));
    return await this.#read();
  }

  /** Its stdin ends, and so does it, having put back what it changed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {}); // it may have ended already
    await this.#child.status;
    await this.#lines.cancel();
  }
}
