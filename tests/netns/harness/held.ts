/** Many connections and a stream of datagrams through a VIP, held while the daemon comes and goes. */

import { assertEquals } from "@std/assert";
import type { Daemon, ShowSession } from "./daemon.ts";
import { type Agents, askOn, echoes, greeted, openFlow, type Target } from "./identity.ts";
import type { Ground } from "./ground.ts";
import type { Socket } from "./sockets.ts";
import { until } from "./wait.ts";

/** Datagrams a second. */
export const STREAM_RATE = 1000;
/** Below those that the kernel gives to connections. */
const STREAM_PORT = 20_000;
/** Connections that speak at the same time. */
const AT_ONCE = 16;

export class Held {
  /** One more connection, which says nothing after its greeting: its age tells whether ages go on. */
  silent!: Socket;
  readonly connections: Socket[] = [];
  stream!: Socket;

  private constructor(readonly target: Target) {}

  /** All of them established, and in the kernel where it takes them. */
  static async open(
    daemon: Daemon,
    ground: Ground,
    agents: Agents,
    target: Target,
    count: number,
  ): Promise<Held> {
    const from = agents.of(ground.client);
    const held = new Held(target);
    const open = async () => (await greeted(from, target)).connection;
    held.silent = await open();
    while (held.connections.length < count) held.connections.push(await open());
    held.stream = await openFlow(from, target[0], { bind: ["", STREAM_PORT] });
    await askOn(held.stream, target);
    await until("all of them in the kernel", async () => {
      await held.speak();
      await echoes(held.silent, "here");
      await askOn(held.stream, target);
      const sessions = await held.sessions(daemon);
      return sessions.length === count + 2 && sessions.every(({ kernel }) => kernel !== null);
    }, 30_000);
    await held.stream.stream(target, STREAM_RATE);
    return held;
  }

  /** Each connection has an answer, within three seconds. */
  async speak(): Promise<void> {
    for (let at = 0; at < this.connections.length; at += AT_ONCE) {
      const some = this.connections.slice(at, at + AT_ONCE);
      await Promise.all(some.map((connection) => echoes(connection, "still there?")));
    }
  }

  /** Their sessions, by client. */
  async sessions(daemon: Daemon): Promise<ShowSession[]> {
    const ports = new Set([this.silent, this.stream, ...this.connections].map(({ port }) => port));
    const sessions = (await daemon.sessions()).filter(({ client }) => ports.has(portOf(client)));
    return sessions.sort((a, b) => portOf(a.client) - portOf(b.client));
  }

  /** That of one of them. */
  async sessionOf(daemon: Daemon, socket: Socket): Promise<ShowSession> {
    const found = (await this.sessions(daemon)).filter(({ client }) => portOf(client) === socket.port);
    assertEquals(found.length, 1, `a session of port ${socket.port}`);
    return found[0];
  }
}

function portOf(client: string): number {
  return Number(client.slice(client.lastIndexOf(":") + 1));
}
