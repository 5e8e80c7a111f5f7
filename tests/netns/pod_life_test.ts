/**
 * Pods come and go under traffic: new ones get flows, weight 0 gets no new ones, a deleted pod's UDP flows move at once and its TCP
 * connections live until they end or are flushed; without pods the client is told at once.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import {
  parseIdentity,
  readGreeting,
  type Socket,
  SocketError,
  Sockets,
  TCP_NODELAY,
} from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { tryFetch } from "./harness/web.ts";
import { attached, VIP, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const TARGET = [VIP, WHO_PORT] as const;

await requireGround();

for (const mode of MODES) {
  Deno.test(`pods come and go, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    for (const pod of ground.pods) {
      for (const protocol of ["udp", "tcp"] as const) {
        await Sockets.of(ground, pod).serve(protocol, WHO_PORT, pod.name);
      }
    }
    const client = Sockets.of(ground, ground.client);
    await using daemon = await Daemon.start(ground, { config: attached(ground, mode) });
    await t.step("no pod: refused at once, counted, nothing remembered", () => noPod(daemon, ground, client));
    await t.step("a pod that is added gets flows", () => added(daemon, ground, client));
    await t.step("weight 0: old flows stay, new ones go elsewhere", () => drained(daemon, ground, client));
    await t.step(
      "a deleted pod's UDP flow moves at once, its TCP connection lives until flushed",
      () => deleted(daemon, ground, client),
    );
    await t.step("a deleted VIP frees its sessions", () => vipDeleted(daemon, ground, client));
    await daemon.stop();
  });
}

async function noPod(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  await daemon.apply(
    `vip ${VIP}/32 protocol tcp port ${WEB_PORT}`,
    `vip ${VIP}/32 protocol udp port ${WHO_PORT}`,
    `vip ${VIP}/32 protocol tcp port ${WHO_PORT}`,
  );
  const refused = await tryFetch(ground.client.namespace, `http://${VIP}/who`);
  assertEquals(refused.code, 7, refused.stderr); // curl: could not connect
  assertLess(refused.elapsedMs, 1_000);
  const flow = await client.udp();
  await flow.connect(VIP, WHO_PORT);
  await flow.send("anybody?");
  const error = await assertRejects(() => flow.receive(2_000), SocketError);
  assertEquals(error.code, "ECONNREFUSED"); // ICMP port unreachable
  await until(
    "the counts",
    async () => (await daemon.vips()).filter((vip) => vip.counters.noServer > 0).length === 2,
    3_000,
  );
  assertEquals(await daemon.sessions(), []);
}

/** New flows from `count` ports, and how many each pod got. */
async function spread(client: Sockets, firstPort: number, count: number): Promise<Map<string, number>> {
  const pods = new Map<string, number>();
  for (let n = 0; n < count; n++) {
    const flow = await client.udp({ bind: ["", firstPort + n] });
    const { pod } = parseIdentity((await flow.ask("who", TARGET)).text);
    pods.set(pod, (pods.get(pod) ?? 0) + 1);
    await flow.close();
  }
  return pods;
}

const names = (pods: Map<string, number>) => [...pods.keys()].toSorted();

async function added(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  const [one, two, three] = ground.pods;
  for (const protocol of ["udp", "tcp"]) {
    await daemon.ku(`pod ${VIP}/32 protocol ${protocol} port ${WHO_PORT} ${one.address}`);
  }
  assertEquals(names(await spread(client, 20_000, 5)), [one.name]);
  for (const protocol of ["udp", "tcp"]) {
    await daemon.ku(`pod ${VIP}/32 protocol ${protocol} port ${WHO_PORT} ${two.address} ${three.address}`);
  }
  assertEquals(names(await spread(client, 20_100, 30)), [one.name, two.name, three.name]);
  assertEquals(names(await spread(client, 20_000, 5)), [one.name], "flows that have a session stay");
}

async function drained(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  const held = await flowAt(client, "pod2", 21_000);
  const { address } = ground.pods[1];
  const show = async () => (await daemon.vip(WHO_PORT, "udp")).pods.find((pod) => pod.address === address)!;
  const { weight } = await show();
  await daemon.ku(`pod ${VIP}/32 protocol udp port ${WHO_PORT} ${address} weight 0`);
  assertEquals(names(await spread(client, 21_500, 30)), ["pod1", "pod3"]);
  assertEquals(parseIdentity((await held.ask("still there", TARGET)).text).pod, "pod2");
  const shown = await show();
  assertEquals([shown.weight, shown.buckets, shown.state], [0, 0, "draining"]);
  await daemon.ku(`pod ${VIP}/32 protocol udp port ${WHO_PORT} ${address} weight ${weight}`);
  assertEquals(names(await spread(client, 21_600, 30)), ["pod1", "pod2", "pod3"]);
}

/** A UDP flow that the pod of this name answers. */
async function flowAt(client: Sockets, name: string, firstPort: number): Promise<Socket> {
  for (let port = firstPort; port < firstPort + 100; port++) {
    const flow = await client.udp({ bind: ["", port] });
    if (parseIdentity((await flow.ask("who", TARGET)).text).pod === name) return flow;
    await flow.close();
  }
  throw new Error(`100 flows and none at ${name}`);
}

async function deleted(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  const flow = await flowAt(client, "pod3", 22_000);
  const connection = await connectionTo(client, "pod3");
  const address = ground.pods[2].address;
  await daemon.ku(`pod ${VIP}/32 protocol udp port ${WHO_PORT} ${address} del`);
  await daemon.ku(`pod ${VIP}/32 protocol tcp port ${WHO_PORT} ${address} del`);
  assertNotEquals(parseIdentity((await flow.ask("who now", TARGET)).text).pod, "pod3");
  await echoes(connection, "still connected");
  assertEquals(names(await spread(client, 22_500, 30)), ["pod1", "pod2"]);

  const count = async () =>
    (await daemon.sessions()).filter((session) => session.vip === `${VIP}:${WHO_PORT}`).length;
  assertNotEquals(await count(), 0);
  await daemon.ku(`flush vip ${VIP}/32 protocol tcp port ${WHO_PORT}`);
  await daemon.ku(`flush vip ${VIP}/32 protocol udp port ${WHO_PORT}`);
  await until("the end of all sessions", async () => await count() === 0, 3_000);
  await daemon.apply(
    `pod ${VIP}/32 protocol udp port ${WHO_PORT} ${address}`,
    `pod ${VIP}/32 protocol tcp port ${WHO_PORT} ${address}`,
  );
  assertEquals(names(await spread(client, 22_600, 30)), ["pod1", "pod2", "pod3"]);
}

async function connectionTo(client: Sockets, name: string): Promise<Socket> {
  for (let port = 23_000; port < 23_100; port++) {
    const connection = await client.connect(VIP, WHO_PORT, { bind: ["", port], options: [TCP_NODELAY] });
    if ((await readGreeting(connection)).pod === name) return connection;
    await connection.close();
  }
  throw new Error(`100 connections and none to ${name}`);
}

async function echoes(connection: Socket, text: string): Promise<void> {
  await connection.send(text);
  assertEquals((await connection.receive(3_000, text.length)).text, text);
}

async function vipDeleted(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  await spread(client, 24_000, 10);
  await daemon.ku(`vip ${VIP}/32 protocol udp port ${WHO_PORT} del`);
  await until(
    "no UDP session",
    async () => (await daemon.sessions()).every((session) => session.protocol !== "udp"),
    3_000,
  );
  const flow = await client.udp();
  await flow.send("gone", TARGET);
  const error = await assertRejects(() => flow.receive(300), SocketError);
  assertEquals(error.code, "ETIMEDOUT");
  await daemon.apply(
    `vip ${VIP}/32 protocol udp port ${WHO_PORT}`,
    `pod ${VIP}/32 protocol udp port ${WHO_PORT} ${ground.pods[0].address}`,
  );
  assertEquals(names(await spread(client, 24_100, 3)), ["pod1"]);
}
