/**
 * Sessions over changes: `conf buckets` moves them, other VIPs, weight 0 and deletion of their pod leave a connection alone, full buckets
 * keep forwarding, a deleted VIP frees its own, and each state has its time.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see), :8080 nginx
 *     (and fd00:…)
 */

import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES, type ShowSession } from "./harness/daemon.ts";
import {
  type Agents,
  askOn,
  askTcp,
  echoes,
  greeted,
  openFlow,
  serveIdentity,
  type Target,
} from "./harness/identity.ts";
import { type Socket, SocketError } from "./harness/sockets.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";
import { sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { attachedDual, POD_WEB_PORT, VIP, VIP6, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const TARGETS: Target[] = [[VIP, WHO_PORT], [VIP6, WHO_PORT]];

await requireGround();

for (const mode of MODES) {
  Deno.test(`sessions over changes, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    await daemon.apply(...services(ground));
    await t.step("conf buckets moves connections and flows", () => migrates(daemon, ground, agents));
    await t.step(
      "a held connection outlives all that goes on beside it",
      () => outlives(daemon, ground, agents),
    );
    await t.step("full buckets: everything works, untracked", () => full(daemon, ground, agents));
    await t.step("del flush ends a pod's connections", () => flushed(daemon, ground, agents));
    await t.step("a deleted VIP frees its sessions", () => vipDeleted(daemon, ground, agents));
    await t.step("TCP states, and a port used again", () => states(daemon, ground, agents));
    await t.step("timeouts", () => ages(daemon, ground, agents));
    await daemon.stop();
  });
}

function podsOf(ground: Ground, vip: string): string[] {
  return ground.pods.map((pod) => vip.includes(":") ? pod.address6 : pod.address);
}

function services(ground: Ground): string[] {
  return TARGETS.flatMap(([vip, port]) => [
    `vip ${vip} port ${port}`,
    `pod ${vip} port ${port} ${podsOf(ground, vip).join(" ")}`,
  ]);
}

interface Held {
  target: Target;
  socket: Socket;
  tcp: boolean;
  pod: string;
}

/** `count` connections and as many flows to each VIP. */
async function hold(ground: Ground, agents: Agents, first: number, count: number): Promise<Held[]> {
  const client = agents.of(ground.client);
  const held: Held[] = [];
  for (const target of TARGETS) {
    for (let port = first; port < first + count; port++) {
      const { connection, identity } = await greeted(client, target, { bind: ["", port] });
      held.push({ target, socket: connection, tcp: true, pod: identity.pod });
      const flow = await openFlow(client, target[0], { bind: ["", port] });
      held.push({ target, socket: flow, tcp: false, pod: (await askOn(flow, target)).pod });
    }
  }
  return held;
}

/** Each still speaks to its pod. */
async function speak(held: Held[], text: string): Promise<void> {
  for (const { socket, tcp, pod, target } of held) {
    if (tcp) await echoes(socket, text);
    else assertEquals((await askOn(socket, target, text)).pod, pod, text);
  }
}

async function close(held: Held[]): Promise<void> {
  for (const { socket } of held) await socket.close();
}

async function counters(daemon: Daemon): Promise<{ first: number; untracked: number }> {
  const vips = await daemon.vips();
  const sum = (key: "firstPacket" | "untracked") => vips.reduce((all, vip) => all + vip.counters[key], 0);
  return { first: sum("firstPacket"), untracked: sum("untracked") };
}

async function usage(daemon: Daemon): Promise<{ used: number; capacity: number }> {
  const { workers } = await daemon.summary();
  const sum = (key: "used" | "capacity") => workers.reduce((all, worker) => all + worker.sessions[key], 0);
  return { used: sum("used"), capacity: sum("capacity") };
}

async function migrates(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const held = await hold(ground, agents, 20_000, 8);
  const before = [await counters(daemon), (await usage(daemon)).used];
  const { capacity } = await usage(daemon);
  for (
    const [words, factor] of [["buckets 4096", 4], ["buckets-log2 8", 1 / 4], ["buckets 1024", 1]] as const
  ) {
    // While they speak, and after.
    await Promise.all([daemon.ku(`conf ${words}`), speak(held, `during ${words}`)]);
    await speak(held, `after ${words}`);
    assertEquals((await usage(daemon)).capacity, capacity * factor);
  }
  assertEquals([await counters(daemon), (await usage(daemon)).used], before, "no session began anew");
  await close(held);
}

async function outlives(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const held = (await hold(ground, agents, 20_100, 3)).filter(({ tcp }) => tcp);
  const pods = TARGETS.map(([vip]) => [vip, podsOf(ground, vip)] as const);
  const changes = [
    ["conf buckets 2048"],
    [
      "vip 10.96.7.0/24",
      `pod 10.96.7.0/24 ${podsOf(ground, VIP)[0]}`,
      "vip fd00:97::/64 protocol tcp port 1",
    ],
    ["vip 10.96.7.0/24 del", "vip fd00:97::/64 protocol tcp port 1 del"],
    pods.map(([vip, addresses]) => `pod ${vip} port ${WHO_PORT} ${addresses.join(" ")} weight 0`),
    pods.map(([vip, addresses]) => `pod ${vip} port ${WHO_PORT} ${addresses.join(" ")} del`),
    ["conf buckets 1024"],
    ["conf timeout 41"],
    pods.map(([vip, addresses]) => `pod ${vip} port ${WHO_PORT} ${addresses.join(" ")}`),
  ];
  for (const lines of changes) {
    await Promise.all([daemon.apply(...lines), speak(held, "meanwhile")]);
    await speak(held, `after ${lines[0]}`);
  }
  await daemon.ku("conf timeout 40");
  await close(held);
}

async function full(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const servers = await startWebServers(ground, POD_WEB_PORT);
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index + 1, 1 << 20)),
  );
  await daemon.apply(...[VIP, VIP6].flatMap((vip) => [
    `vip ${vip} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT}`,
    `pod ${vip} port ${WEB_PORT} ${podsOf(ground, vip).join(" ")}`,
  ]));
  const early = await hold(ground, agents, 20_200, 5);
  await daemon.ku("conf buckets 1");
  await speak(early, "more of us than there are places");
  const before = await counters(daemon);
  const late = await hold(ground, agents, 20_300, 10);
  for (let round = 0; round < 3; round++) await speak([...early, ...late], `round ${round}`);
  for (const url of [`http://${VIP}/blob`, `http://[${VIP6}]/blob`]) {
    for (let n = 0; n < 3; n++) {
      const { body } = await fetchUrl(ground.client.namespace, url);
      assertEquals(digests.includes(await sha256(body)), true, `${body.length} bytes from ${url}`);
    }
  }
  await masked(daemon, ground, agents);
  const { used, capacity } = await usage(daemon);
  assertEquals(used <= capacity, true);
  assertGreater((await counters(daemon)).untracked, before.untracked + 30);
  const reasons = Object.fromEntries((await daemon.nodeCounters()).map((one) => [one.reason, one.count]));
  assertGreater(reasons["bucket full, forwarded untracked"], 30);
  assertGreater(reasons["reply of an untracked flow"], 30);
  await daemon.ku("conf buckets 1024");
  await speak([...early, ...late], "room again");
  const now = await counters(daemon);
  await speak([...early, ...late], "tracked again");
  assertEquals((await counters(daemon)).untracked, now.untracked);
  await close([...early, ...late]);
  for (const vip of [VIP, VIP6]) await daemon.ku(`vip ${vip} protocol tcp port ${WEB_PORT} del`);
}

/** Without a session a flow is given the same source port again with each packet. */
async function masked(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const [vip, client] = ["10.96.0.2", agents.of(ground.client)];
  await daemon.apply(`vip ${vip} masquerade`, `pod ${vip} ${podsOf(ground, vip).join(" ")}`);
  for (let port = 20_350; port < 20_360; port++) {
    const flow = await openFlow(client, vip, { bind: ["", port] });
    const { connection } = await greeted(client, [vip, WHO_PORT], { bind: ["", port] });
    const first = await askOn(flow, [vip, WHO_PORT]);
    for (let round = 0; round < 3; round++) {
      const { pod, port: seen } = await askOn(flow, [vip, WHO_PORT]);
      assertEquals([pod, seen], [first.pod, first.port]);
      await echoes(connection, `round ${round}`);
    }
    await connection.close();
    await flow.close();
  }
  await daemon.ku(`vip ${vip} del`);
}

async function flushed(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const held = await hold(ground, agents, 20_400, 10);
  for (const [vip] of TARGETS) {
    await daemon.ku(`pod ${vip} port ${WHO_PORT} ${podsOf(ground, vip)[1]} del flush`);
  }
  const sessions = await daemon.sessions();
  const flushedPods = TARGETS.map(([vip]) => podsOf(ground, vip)[1]);
  assertEquals(sessions.filter(({ pod }) => flushedPods.some((address) => pod.includes(`${address}`))), []);
  const [theirs, others] = [
    held.filter(({ pod }) => pod === "pod2"),
    held.filter(({ pod }) => pod !== "pod2"),
  ];
  assertGreater(theirs.length, 2);
  for (const { socket, tcp, target } of theirs) {
    if (tcp) {
      // Another pod gets it, which knows of no such connection.
      const error = await assertRejects(() => echoes(socket, "gone?"), SocketError);
      assertEquals(["ECONNRESET", "EPIPE"].includes(error.code), true, error.code);
    } else {
      assertEquals((await askOn(socket, target, "who now")).pod === "pod2", false);
    }
  }
  await speak(others, "unharmed");
  await close(held);
  for (const [vip] of TARGETS) await daemon.ku(`pod ${vip} port ${WHO_PORT} ${podsOf(ground, vip)[1]}`);
}

async function vipDeleted(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const held = await hold(ground, agents, 20_500, 5);
  // What a connection goes on sending would begin sessions of the VIP that is made anew.
  await close(held);
  assertGreater((await usage(daemon)).used, 19);
  await daemon.apply(...TARGETS.map(([vip]) => `vip ${vip} port ${WHO_PORT} del`));
  assertEquals([(await usage(daemon)).used, await daemon.sessions(), await daemon.vips()], [0, [], []]);
  await daemon.apply(...services(ground));
  assertEquals(await counters(daemon), { first: 0, untracked: 0 }, "a new VIP counts from 0");
  for (const { pods } of await daemon.vips()) {
    assertEquals(pods.map((pod) => pod.sessions), [0, 0, 0]);
  }
  const again = await hold(ground, agents, 20_500, 5);
  assertEquals([(await usage(daemon)).used, (await counters(daemon)).first], [20, 20]);
  await close(again);
}

const ofPort = async (daemon: Daemon, port: number): Promise<ShowSession[]> =>
  (await daemon.sessions()).filter((session) => session.client.endsWith(`:${port}`));

async function states(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const target of TARGETS) {
    const state = async () => (await ofPort(daemon, 20_600)).map((session) => session.state);
    const { connection } = await greeted(client, target, { bind: ["", 20_600] });
    await echoes(connection, "hello");
    assertEquals(await state(), ["established"]);
    // More has come than is read: closing makes the kernel send a reset, and the port is free at once.
    await connection.send("unread");
    await until("the echo on its way", async () => (await ofPort(daemon, 20_600)).length === 1);
    await connection.receive(2_000, 1);
    await connection.close();
    await until("the reset", async () => (await state()).join() === "closing", 3_000);
    const again = await greeted(client, target, { bind: ["", 20_600] });
    await echoes(again.connection, "hello again");
    assertEquals(await state(), ["established"]);
    await again.connection.close();
    await until("both FINs", async () => (await state()).join() === "closing", 3_000);
    await daemon.ku(`flush vip ${target[0]} port ${WHO_PORT}`);
    assertEquals(await ofPort(daemon, 20_600), []);
  }
}

async function ages(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const held = await hold(ground, agents, 20_700, 2);
  const [connections, flows] = [held.filter(({ tcp }) => tcp), held.filter(({ tcp }) => !tcp)];
  const shown = async (protocol: string) =>
    (await daemon.sessions()).filter((session) => session.protocol === protocol).length;
  assertEquals([await shown("tcp"), await shown("udp")], [4, 4]);
  await daemon.ku("conf timeout 1");
  await until("the end of UDP sessions", async () => await shown("udp") === 0, 4_000);
  assertEquals(await shown("tcp"), 4);
  await daemon.ku("conf tcp-timeout 1");
  await until("the end of TCP sessions", async () => await shown("tcp") === 0, 4_000);
  assertEquals((await usage(daemon)).used, 0);
  await daemon.ku("conf timeout 40 tcp-timeout 7440");
  // Who speaks after his time finds the same pod by the same hash.
  await speak(connections, "late");
  await speak(connections, "and later");
  await speak(flows, "late");
  assertEquals((await daemon.sessions()).map((session) => session.state).toSorted(), [
    ...new Array(4).fill("active"),
    ...new Array(4).fill("established"),
  ]);
  assertEquals((await askTcp(agents.of(ground.client), TARGETS[0])).address, ground.client.address);
  await close(held);
}
