/** A UDP flow whose datagrams are counted, to see whether a change loses one: counted.py inside the namespace. */

import type { Ground, Host } from "./ground.ts";

const PROGRAM = new URL("./counted.py", import.meta.url).pathname;

/** It belongs to the ground; `end` tells how many were sent, and how many answered within two seconds of the last. */
export class CountedFlow implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  /** One datagram every `intervalMs` from `host` to an echoing server. */
  constructor(ground: Ground, host: Host, address: string, port: number, intervalMs: number) {
    const words = ["/usr/bin/python3", "-I", PROGRAM, address, String(port), String(intervalMs)];
    const command = host.namespace.enter(words);
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    ground.stack.use(this);
  }

  async end(): Promise<{ sent: number; answered: number }> {
    await this.#child.stdin.close();
    const { stdout } = await this.#child.output();
    return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
  }

  /** For a test that failed before `end`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close().catch(() => {}); // it has ended
    await this.#child.stdout.cancel().catch(() => {});
    await this.#child.status;
  }
}
