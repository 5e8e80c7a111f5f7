/**
 * `ku __selftest`: the servers and clients of `ku selftest`, one process each, in a network namespace.
 *
 *   serve PORT                      by TCP and UDP: tells whom it sees, and gives back what it gets
 *   ask tcp|udp ADDRESS PORT BYTES  prints whom the server saw, when all came back unchanged; else fails
 */

import { ConfigError } from "../mod/config/model.ts";
import { print } from "./output.ts";

/** What is used of Node's dgram: Deno's own UDP sockets want a flag. https://nodejs.org/api/dgram.html */
interface Datagram {
  bind(port: number, done: () => void): void;
  send(data: Uint8Array, port: number, address: string): void;
  on(event: "message", listener: (data: Uint8Array, from: { address: string; port: number }) => void): void;
  close(): void;
}

const DATAGRAM_TRY_MS = 500;
const TRIES = 6;

export async function run(args: string[]): Promise<void> {
  const [what, ...rest] = args;
  if (what === "serve") return await serve(Number(rest[0]));
  const [protocol, address, port, bytes] = rest;
  const payload = Uint8Array.from({ length: Number(bytes) }, (_, index) => (31 * index) & 0xff);
  const saw = await (protocol === "tcp" ? askTcp : askUdp)(address, Number(port), payload);
  print(`${saw}\n`);
}

function socket(type: "udp4" | "udp6"): Datagram {
  const { process } = globalThis as unknown as { process: { getBuiltinModule(name: string): unknown } };
  const dgram = process.getBuiltinModule("node:dgram") as { createSocket(type: string): Datagram };
  return dgram.createSocket(type);
}

async function serve(port: number): Promise<void> {
  const udp = socket("udp6");
  udp.on("message", (data, from) => {
    const head = new TextEncoder().encode(`${from.address}\n`);
    const answer = new Uint8Array(head.length + data.length);
    answer.set(head);
    answer.set(data, head.length);
    udp.send(answer, from.port, from.address);
  });
  const bound = new Promise<void>((resolve) => udp.bind(port, resolve));
  await bound;
  for await (const connection of Deno.listen({ hostname: "::", port })) {
    echo(connection).catch(() => {});
  }
}

async function echo(connection: Deno.TcpConn): Promise<void> {
  await connection.write(new TextEncoder().encode(`${connection.remoteAddr.hostname}\n`));
  await connection.readable.pipeTo(connection.writable);
}

async function askTcp(hostname: string, port: number, payload: Uint8Array): Promise<string> {
  const connection = await Deno.connect({ hostname, port });
  const sending = (async () => {
    for (let at = 0; at < payload.length;) at += await connection.write(payload.subarray(at));
    await connection.closeWrite();
  })();
  const [answer] = await Promise.all([new Response(connection.readable).bytes(), sending]);
  return check(answer, payload);
}

async function askUdp(address: string, port: number, payload: Uint8Array): Promise<string> {
  const udp = socket(address.includes(":") ? "udp6" : "udp4");
  const answer = Promise.withResolvers<Uint8Array>();
  udp.on("message", (data) => answer.resolve(data));
  // A first packet may be lost to the search for a neighbor.
  const timer = setInterval(() => udp.send(payload, port, address), DATAGRAM_TRY_MS);
  const limit = setTimeout(
    () => answer.reject(new ConfigError("udp", address, "did not answer")),
    TRIES * DATAGRAM_TRY_MS,
  );
  udp.send(payload, port, address);
  try {
    return check(await answer.promise, payload);
  } finally {
    clearInterval(timer);
    clearTimeout(limit);
    udp.close();
  }
}

/** Whom the server saw: the line before the payload. */
function check(answer: Uint8Array, payload: Uint8Array): string {
  const end = answer.indexOf(10);
  const back = answer.subarray(end + 1);
  const same = back.length === payload.length && back.every((byte, index) => byte === payload[index]);
  if (end < 0 || !same) {
    throw new ConfigError("answer", `${back.length} bytes`, `is not the ${payload.length} that were sent`);
  }
  return new TextDecoder().decode(answer.subarray(0, end));
}
