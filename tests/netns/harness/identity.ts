/** Pods that tell who they are and whom they see, by TCP and UDP over both families, and the questions a client puts to them. */

import { assertEquals } from "@std/assert";
import type { Ground, Host } from "./ground.ts";
import {
  type Identity,
  type OpenOptions,
  parseIdentity,
  readGreeting,
  type Socket,
  Sockets,
  TCP_NODELAY,
} from "./sockets.ts";

/** include/uapi/linux/in6.h IPV6_V6ONLY: lets IPv4 have a socket of its own on the port. */
const SIX_ONLY = { family: "inet6", options: [[41, 26, 1]] } as const;

export type Target = readonly [address: string, port: number];

/** The sockets of every client and pod. */
export class Agents {
  readonly #byHost = new Map<Host, Sockets>();

  constructor(ground: Ground) {
    for (const host of [...ground.clients, ...ground.pods]) this.#byHost.set(host, Sockets.of(ground, host));
  }

  of(host: Host): Sockets {
    return this.#byHost.get(host)!;
  }
}

/** Sockets for every host, and servers on these ports in every pod. */
export async function serveIdentity(ground: Ground, ...ports: number[]): Promise<Agents> {
  const agents = new Agents(ground);
  await Promise.all(
    ground.pods.flatMap((pod) =>
      ports.flatMap((port) =>
        (["udp", "tcp"] as const).flatMap((protocol) => [
          agents.of(pod).serve(protocol, port, pod.name),
          agents.of(pod).serve(protocol, port, pod.name, SIX_ONLY),
        ])
      )
    ),
  );
  return agents;
}

export function family(address: string): "inet" | "inet6" {
  return address.includes(":") ? "inet6" : "inet";
}

/** A UDP flow to nobody yet, of the target's family. */
export function openFlow(from: Sockets, address: string, options: OpenOptions = {}): Promise<Socket> {
  return from.udp({ family: family(address), ...options });
}

/** Asks by UDP on a socket that is there. The answer must come from exactly whom was asked. */
export async function askOn(flow: Socket, to: Target, payload = "who"): Promise<Identity> {
  const { text, from } = await flow.ask(payload, to);
  const identity = parseIdentity(text);
  assertEquals([from, identity.payload], [[...to], payload], "address, port and payload of the answer");
  return identity;
}

/** Asks by UDP, on a socket of its own. */
export async function askUdp(from: Sockets, to: Target, options: OpenOptions = {}): Promise<Identity> {
  const flow = await openFlow(from, to[0], options);
  const identity = await askOn(flow, to);
  await flow.close();
  return identity;
}

/** A TCP connection that has been greeted and is left open. */
export async function greeted(
  from: Sockets,
  to: Target,
  options: OpenOptions = {},
): Promise<{ connection: Socket; identity: Identity }> {
  const connection = await from.connect(to[0], to[1], { options: [TCP_NODELAY], ...options });
  return { connection, identity: await readGreeting(connection) };
}

/** Asks by TCP, on a connection of its own. */
export async function askTcp(from: Sockets, to: Target, options: OpenOptions = {}): Promise<Identity> {
  const { connection, identity } = await greeted(from, to, options);
  await echoes(connection, `to ${identity.pod}`);
  await connection.close();
  return identity;
}

/** What is sent comes back. */
export async function echoes(connection: Socket, text: string): Promise<void> {
  await connection.send(text);
  assertEquals((await connection.receive(3_000, new TextEncoder().encode(text).length)).text, text);
}
