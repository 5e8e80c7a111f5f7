/**
 * UDP and TCP sockets of a namespace in the hands of the test: opened, bound, held and read one step at a time, so that a test can keep a
 * connection over a change, or send ten datagrams from one port. A small Python program inside the namespace owns them (sockets.py).
 */

import type { Ground, Host } from "./ground.ts";

const PROGRAM = new URL("./sockets.py", import.meta.url).pathname;
/** Debian's own, rather than the first of the PATH: a wrapper there may take a second to start. */
const PYTHON = "/usr/bin/python3";

/** Numbers for `options`, from the kernel's headers: [level, name, value]. */
export type SocketOption = readonly [level: number, name: number, value: number];
/** include/uapi/asm-generic/socket.h SO_NO_CHECK: UDP over IPv4 without a checksum. */
export const NO_UDP_CHECKSUM: SocketOption = [1, 11, 1];
/** include/uapi/linux/tcp.h TCP_NODELAY: each write leaves at once. */
export const TCP_NODELAY: SocketOption = [6, 1, 1];
/** include/uapi/linux/udp.h UDP_SEGMENT: one write becomes datagrams of that many bytes, segmented as late as possible. */
export function udpSegment(lengthBytes: number): SocketOption {
  return [17, 103, lengthBytes];
}

export interface OpenOptions {
  family?: "inet" | "inet6";
  /** Local address and port; the address may be "" for any. */
  bind?: readonly [address: string, port: number];
  options?: readonly SocketOption[];
  protocol?: number;
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

interface Answer {
  socket?: number;
  address?: [string, number];
  peer?: [string, number];
  data?: string;
  from?: [string, number];
  sent?: number;
  answered?: number;
  missing?: number[];
}

/** A socket call that failed; `code` is the errno name, "ETIMEDOUT" also when nothing arrived in time. */
export class SocketError extends Error {
  constructor(readonly code: string, message: string) {
    super(`${code}: ${message}`);
  }
}

/** The sockets of one host. It belongs to the ground and ends with it. */
export class Sockets implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<
    number,
    { resolve: (answer: Answer) => void; reject: (error: Error) => void }
  >();
  readonly #reading: Promise<void>;
  #next = 0;

  private constructor(host: Host) {
    const command = host.namespace.enter([PYTHON, "-I", PROGRAM]);
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  static of(ground: Ground, host: Host): Sockets {
    return ground.stack.use(new Sockets(host));
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#settle(JSON.parse(line));
    }
    for (const { reject } of this.#waiting.values()) reject(new Error("the sockets' program has ended"));
  }

  #settle(reply: { id: number; result?: Answer | null; error?: string; message?: string }): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.error !== undefined) waiting?.reject(new SocketError(reply.error, reply.message ?? ""));
    else waiting?.resolve(reply.result ?? {});
  }

  /** One request to the program inside. */
  async request(op: string, parameters: Record<string, unknown>): Promise<Answer> {
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.set(id, { resolve, reject });
    // The answer is read elsewhere; who asked is what a failure has to tell.
    const asked = new Error();
    await this.#writer.write(new TextEncoder().encode(JSON.stringify({ id, op, ...parameters }) + "\n"));
    try {
      return await promise;
    } catch (error) {
      (error as Error).stack = asked.stack?.replace(/^Error/, `${error}`);
      throw error;
    }
  }

  async #open(type: "datagram" | "stream" | "raw", options: OpenOptions): Promise<Socket> {
    const answer = await this.request("open", { family: "inet", ...options, type });
    return new Socket(this, answer.socket!, answer.address![1]);
  }

  udp(options: OpenOptions = {}): Promise<Socket> {
    return this.#open("datagram", options);
  }

  tcp(options: OpenOptions = {}): Promise<Socket> {
    return this.#open("stream", options);
  }

  /** A raw socket of an IP protocol: sends and receives what is behind the IP header (IPv4: receives the header too). */
  raw(protocol: number, options: OpenOptions = {}): Promise<Socket> {
    return this.#open("raw", { ...options, protocol });
  }

  /** A TCP connection. */
  async connect(address: string, port: number, options: OpenOptions = {}): Promise<Socket> {
    const socket = await this.tcp({ family: address.includes(":") ? "inet6" : "inet", ...options });
    await socket.connect(address, port);
    return socket;
  }

  /**
   * A server on `port` that tells who it is and whom it sees: a datagram is answered with "name address port " in front of it, a
   * connection is greeted with "name address port \n" and then echoed. Serves IPv4, or IPv6 alone with `family: "inet6"`.
   */
  async serve(
    protocol: "udp" | "tcp",
    port: number,
    name: string,
    options: OpenOptions = {},
  ): Promise<Socket> {
    const socket = await this.#open(protocol === "udp" ? "datagram" : "stream", {
      bind: ["", port],
      ...options,
    });
    await this.request("serve", { socket: socket.number, name });
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close(); // the program ends with its input
    await this.#reading;
    await this.#child.status;
  }
}

export interface Received {
  text: string;
  bytes: Uint8Array;
  /** The sender of a datagram. */
  from: [string, number];
}

export class Socket {
  constructor(readonly owner: Sockets, readonly number: number, public port: number) {}

  async connect(address: string, port: number, timeoutMs = 5_000): Promise<void> {
    const parameters = { socket: this.number, to: [address, port], timeout: timeoutMs / 1000 };
    this.port = (await this.owner.request("connect", parameters)).address![1];
  }

  async listen(): Promise<void> {
    await this.owner.request("listen", { socket: this.number });
  }

  async accept(timeoutMs = 5_000): Promise<{ socket: Socket; peer: [string, number] }> {
    const answer = await this.owner.request("accept", { socket: this.number, timeout: timeoutMs / 1000 });
    return { socket: new Socket(this.owner, answer.socket!, answer.address![1]), peer: answer.peer! };
  }

  async option(option: SocketOption): Promise<void> {
    await this.owner.request("option", { socket: this.number, option });
  }

  async send(data: string | Uint8Array, to?: readonly [address: string, port: number]): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.owner.request("send", { socket: this.number, data: toBase64(bytes), ...(to && { to }) });
  }

  /** One datagram, or `sizeBytes` of a stream (fewer at its end). Throws SocketError ETIMEDOUT when nothing comes. */
  async receive(timeoutMs = 5_000, sizeBytes = 65536): Promise<Received> {
    const answer = await this.owner.request("receive", {
      socket: this.number,
      size: sizeBytes,
      timeout: timeoutMs / 1000,
    });
    const bytes = fromBase64(answer.data!);
    return { bytes, text: new TextDecoder().decode(bytes), from: answer.from ?? ["", 0] };
  }

  /** Sends one datagram and returns the answer. */
  async ask(
    data: string | Uint8Array,
    to: readonly [address: string, port: number],
    timeoutMs = 5_000,
  ): Promise<Received> {
    await this.send(data, to);
    return await this.receive(timeoutMs);
  }

  /** From now on sends `perSecond` numbered datagrams to a server of `Sockets.serve`, and counts the answers. */
  async stream(to: readonly [address: string, port: number], perSecond: number): Promise<void> {
    await this.owner.request("stream", { socket: this.number, to, rate: perSecond });
  }

  /** What of the stream has been sent and answered so far. */
  async streamed(): Promise<{ sent: number; answered: number }> {
    const { sent, answered } = await this.owner.request("stream_look", { socket: this.number });
    return { sent: sent!, answered: answered! };
  }

  /** Ends the stream. `missing`: numbers (the first thousand) of datagrams that nobody answered within half a second. */
  async endStream(): Promise<{ sent: number; answered: number; missing: number[] }> {
    const { sent, answered, missing } = await this.owner.request("stream_end", { socket: this.number });
    return { sent: sent!, answered: answered!, missing: missing! };
  }

  async close(): Promise<void> {
    await this.owner.request("close", { socket: this.number });
  }
}

/** The greeting of `Sockets.serve`, taken apart. */
export interface Identity {
  pod: string;
  address: string;
  port: number;
  payload: string;
}

export function parseIdentity(text: string): Identity {
  const [pod, address, port] = text.split(" ", 3);
  return {
    pod,
    address,
    port: Number(port),
    payload: text.slice(pod.length + address.length + port.length + 3),
  };
}

/** Reads the greeting of a connection to `Sockets.serve`: byte by byte, since a stream does not say how long it is. */
export async function readGreeting(socket: Socket): Promise<Identity> {
  let text = "";
  while (!text.endsWith("\n")) {
    const { text: next } = await socket.receive(5_000, 1);
    if (next === "") throw new Error(`the connection ended after "${text}"`);
    text += next;
  }
  return parseIdentity(text.trimEnd());
}
