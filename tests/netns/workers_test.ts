/**
 * Two workers on two queues of every interface. A veth end sends by the queue that the flow's hash names, requests and answers by another
 * one, so that about half of the answers arrive at the worker that does not keep their session.
 *
 *     client 10.1.1.2 ══ uplink  node (ku, 2 workers)  pod1…pod3 ══ 10.2.n.2 :5353 (who am I, whom do I see), :8080 nginx
 *                 2 queues each                             2 queues each
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import {
  type Agents,
  askOn,
  echoes,
  greeted,
  openFlow,
  serveIdentity,
  type Target,
} from "./harness/identity.ts";
import type { Socket } from "./harness/sockets.ts";
import { fetchAtOnce, startWebServers } from "./harness/web.ts";
import { sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, serving, VIP, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const WHO: Target = [VIP, WHO_PORT];

await requireGround();

for (const mode of MODES) {
  Deno.test(`two workers, answers cross over, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ queues: 2 });
    const servers = await startWebServers(ground, POD_WEB_PORT);
    const digests = await Promise.all(servers.map((server, i) => server.addBlob("blob", i + 1, 4 << 20)));
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, {
      config: serving(ground, mode),
      words: ["--workers", "2"],
    });
    await t.step("HTTP bodies of megabytes", () => bodies(ground, digests));
    await t.step("TCP: one session each, its states, its end", () => connections(daemon, ground, agents));
    await t.step("UDP: every datagram answered, one session each", () => flows(daemon, ground, agents));
    await t.step("clients change the queue in the middle", () => moves(daemon, ground, agents));
    await t.step("conf buckets under traffic", () => resizes(daemon, ground, agents, digests));
    const reasons = Object.fromEntries((await daemon.nodeCounters()).map((one) => [one.reason, one.count]));
    assertGreater(reasons["session of another worker"], 100);
    assertEquals(reasons["report to another worker lost, its mailbox full"], 0);
    await daemon.stop();
  });
}

/** 24 downloads at a time, each whole. */
async function bodies(ground: Ground, digests: string[], round = 0): Promise<void> {
  const directory = `${ground.directory}/got-${round}`;
  await fetchAtOnce(ground.client.namespace, `http://${VIP}:${WEB_PORT}/blob`, 24, directory);
  for (let n = 1; n <= 24; n++) {
    const digest = await sha256(await Deno.readFile(`${directory}/${n}`));
    assert(digests.includes(digest), `download ${n} of round ${round}`);
  }
}

/** Sessions of client ports from `first` on, by port; two of one flow fail. */
async function statesFrom(daemon: Daemon, protocol: string, first: number, count: number) {
  const states = new Map<number, string>();
  const workers = new Set<number>();
  for (const session of await daemon.sessions()) {
    const port = Number(session.client.split(":").at(-1));
    if (session.protocol !== protocol || port < first || port >= first + count) continue;
    assert(!states.has(port), `two sessions of client port ${port}`);
    states.set(port, session.state);
    workers.add(session.worker);
  }
  return { states: [...states.values()], workers: workers.size };
}

async function hold(ground: Ground, agents: Agents, first: number, count: number): Promise<Socket[]> {
  const client = agents.of(ground.client);
  const held: Socket[] = [];
  for (let port = first; port < first + count; port++) {
    held.push((await greeted(client, WHO, { bind: ["", port] })).connection);
  }
  return held;
}

async function speak(held: Socket[], text: string): Promise<void> {
  for (const connection of held) await echoes(connection, text);
}

async function connections(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const count = 40;
  const held = await hold(ground, agents, 20_000, count);
  await speak(held, "hello");
  await until("every session established", async () => {
    const { states } = await statesFrom(daemon, "tcp", 20_000, count);
    return states.length === count && states.every((state) => state === "established");
  }, 4_000);
  assertEquals((await statesFrom(daemon, "tcp", 20_000, count)).workers, 2);
  for (const connection of held) await connection.close();
  await until("every session closing", async () => {
    const { states } = await statesFrom(daemon, "tcp", 20_000, count);
    return states.length === count && states.every((state) => state === "closing");
  }, 5_000);
  // The same ports again.
  const again = await hold(ground, agents, 21_000, 10);
  for (const connection of again) await connection.close();
}

async function flows(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const count = 60;
  for (let port = 22_000; port < 22_000 + count; port++) {
    const flow = await openFlow(agents.of(ground.client), VIP, { bind: ["", port] });
    const { pod } = await askOn(flow, WHO);
    for (let n = 0; n < 5; n++) assertEquals((await askOn(flow, WHO, `number ${n}`)).pod, pod);
    await flow.close();
  }
  const { states, workers } = await statesFrom(daemon, "udp", 22_000, count);
  assertEquals([states.length, workers], [count, 2]);
}

/** With one transmit queue the client's packets all go to worker 0; the sessions of worker 1 stay there and are followed. */
async function moves(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const count = 20;
  const client = ground.client.namespace;
  const held = await hold(ground, agents, 23_000, count);
  const udp: { flow: Socket; pod: string }[] = [];
  for (let port = 23_000; port < 23_000 + count; port++) {
    const flow = await openFlow(agents.of(ground.client), VIP, { bind: ["", port] });
    udp.push({ flow, pod: (await askOn(flow, WHO)).pod });
  }
  for (const [words, text] of [["tx 1", "one queue"], ["tx 2", "two again"]]) {
    await client.runOk(["ethtool", "-L", "eth0", ...words.split(" ")]);
    await speak(held, text);
    for (const { flow, pod } of udp) assertEquals((await askOn(flow, WHO, text)).pod, pod);
    const tcp = await statesFrom(daemon, "tcp", 23_000, count);
    assertEquals([tcp.states.length, tcp.workers], [count, 2]);
    assertEquals((await statesFrom(daemon, "udp", 23_000, count)).states.length, count);
  }
  for (const connection of held) await connection.close();
  for (const { flow } of udp) await flow.close();
  await until("every session closing", async () => {
    const { states } = await statesFrom(daemon, "tcp", 23_000, count);
    return states.every((state) => state === "closing");
  }, 5_000);
}

/** More connections than places, while downloads run: all that is held goes on. */
async function resizes(daemon: Daemon, ground: Ground, agents: Agents, digests: string[]): Promise<void> {
  const held = await hold(ground, agents, 24_000, 80);
  let round = 0;
  for (
    const words of ["buckets 1", "buckets 1024", "buckets 1", "buckets 2", "buckets 4096", "buckets 1024"]
  ) {
    await Promise.all([
      speak(held, `during ${words}`),
      daemon.ku(`conf ${words}`),
      bodies(ground, digests, ++round),
    ]);
    await speak(held, `after ${words}`);
  }
  await until("every session tracked again", async () => {
    await speak(held, "tracked");
    return (await statesFrom(daemon, "tcp", 24_000, 80)).states.length === 80;
  }, 10_000);
  for (const connection of held) await connection.close();
}
