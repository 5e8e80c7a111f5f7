/**
 * Traffic that goes on by itself while a test changes things: pods that record every arrival, clients that send datagrams and keep
 * connections (traffic.py, a process in each namespace). Times are nanoseconds of CLOCK_MONOTONIC, the same in all of them and here.
 */

import { libc } from "../../../ffi/libc.ts";
import { LineSplitter } from "../../../mod/control/lines.ts";
import type { Ground, Host } from "./ground.ts";

const PROGRAM = new URL("./traffic.py", import.meta.url).pathname;
/** Debian's own, see sockets.ts. */
const PYTHON = "/usr/bin/python3";
const CLOCK_MONOTONIC = 1;
/** A report of some hundred thousand arrivals. */
const MAX_LINE_BYTES = 256 * 1024 * 1024;

export type Kind = "datagram" | "connection" | "segment";
/** `born`: when the flow first sent. "connection": `sent` is when the client began to connect, `arrived` when the pod accepted. */
export type Arrival = [
  kind: Kind,
  port: number,
  client: string,
  clientPort: number,
  born: number,
  sent: number,
  arrived: number,
];

/** What a client has sent and got back. */
export interface Counts {
  sent: number;
  answered: number;
  connected: number;
  echoed: number;
  broken: number;
}

const time = new Uint8Array(16); // struct timespec

/** CLOCK_MONOTONIC, ns; exact enough in a double for machines that run for a hundred days. */
export function nowNs(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  const view = new DataView(time.buffer);
  return Number(view.getBigInt64(0, true) * 1_000_000_000n + view.getBigInt64(8, true));
}

/** One process; it belongs to the ground and ends with it. */
class Actor implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #lines = new LineSplitter(MAX_LINE_BYTES);

  constructor(ground: Ground, readonly host: Host, role: unknown) {
    const [program, ...args] = host.namespace.enter([PYTHON, "-I", PROGRAM, JSON.stringify(role)]);
    this.#child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "inherit" })
      .spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.getReader();
    ground.stack.use(this);
  }

  /** One request at a time. */
  async request<T>(op: string, ...args: unknown[]): Promise<T> {
    await this.#writer.write(new TextEncoder().encode(JSON.stringify({ op, arguments: args }) + "\n"));
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`traffic.py of ${this.host.name} has ended`);
      for (const line of this.#lines.push(value)) return JSON.parse(new TextDecoder().decode(line));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close().catch(() => {});
    await this.#reader.cancel();
    await this.#child.status;
  }
}

/** A pod that serves these ports by TCP and UDP over both families. */
export class TrafficPod extends Actor {
  constructor(ground: Ground, host: Host, ports: readonly number[]) {
    super(ground, host, { ports });
  }

  /** What has arrived since the last report, in order. */
  arrivals(): Promise<Arrival[]> {
    return this.request("report");
  }
}

/** A client of these services, paused at first. */
export class TrafficClient extends Actor {
  constructor(
    ground: Ground,
    host: Host,
    targets: readonly (readonly [address: string, port: number])[],
    seed: number,
    perSecond: number,
  ) {
    super(ground, host, { targets, seed, interval: 1 / perSecond });
  }

  pause(): Promise<null> {
    return this.request("pause");
  }

  resume(): Promise<null> {
    return this.request("resume");
  }

  /** Closes all sockets, by RST where they are connections. */
  close(): Promise<null> {
    return this.request("close");
  }

  counts(): Promise<Counts> {
    return this.request("report");
  }

  /** Whether a flow of its own is answered. */
  probe(address: string, port: number): Promise<boolean> {
    return this.request("probe", address, port);
  }
}
