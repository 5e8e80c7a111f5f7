/**
 * Established sessions, repeated by the kernel: that they are, and that nothing else changes by it. Counters stay exact, sessions age by
 * the kernel's packets, and what a command takes away the kernel does not go on with.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see), :8080 nginx
 *     (and fd00:…)
 */

import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertNotEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import {
  type Agents,
  askOn,
  askUdp,
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
/** Local ports of the flows, which differ so that each has a session of its own. */
let lastPort = 30_000;
const BODY_BYTES = 4 * 1024 * 1024;

await requireGround();

for (const mode of MODES) {
  Deno.test(`sessions repeated by the kernel, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const config = { ...attachedDual(ground, mode), conf: { offload: true } };
    await using daemon = await Daemon.start(ground, { config });
    await daemon.apply(...services(ground));
    for (const target of TARGETS) await known(daemon, ground, agents, target);
    await t.step(
      "a connection and a flow are the kernel's, and counted exactly",
      () => counted(daemon, ground, agents),
    );
    await t.step("bodies of megabytes pass the rings by", () => bodies(daemon, ground));
    await t.step("off and on again under a connection", () => offAndOn(daemon, ground, agents));
    await t.step("no more than the number configured", () => limited(daemon, ground, agents));
    await t.step("more room under traffic", () => grown(daemon, ground, agents));
    await t.step(
      "a flow leaves a removed pod at once, a connection stays",
      () => podRemoved(daemon, ground, agents),
    );
    await t.step("flush and deletion end it at once", () => ended(daemon, ground, agents));
    await t.step(
      "another neighbor, an interface down and up again",
      () => wayChanged(daemon, ground, agents),
    );
    await t.step("a session lives as long as the kernel sees packets", () => ages(daemon, ground, agents));
    await daemon.stop();
  });
}

function podsOf(ground: Ground, vip: string): string[] {
  return ground.pods.map((pod) => vip.includes(":") ? pod.address6 : pod.address);
}

function services(ground: Ground): string[] {
  return [...TARGETS, ...TARGETS.map(([vip]): Target => [vip, WEB_PORT])].flatMap(([vip, port]) => [
    `vip ${vip} port ${port}${port === WEB_PORT ? ` target_port ${POD_WEB_PORT}` : ""}`,
    `pod ${vip} port ${port} ${podsOf(ground, vip).join(" ")}`,
  ]);
}

/** Who of the node's sessions with this client port runs where; null if there is none. */
async function runsIn(daemon: Daemon, port: number): Promise<"kernel" | "worker" | null> {
  const session = (await daemon.sessions()).find(({ client }) => client.endsWith(`:${port}`));
  return session === undefined ? null : session.kernel === null ? "worker" : "kernel";
}

/** A UDP flow of a port of its own. */
function flowTo(ground: Ground, agents: Agents, address: string): Promise<Socket> {
  return openFlow(agents.of(ground.client), address, { bind: ["", ++lastPort] });
}

/** A connection that the kernel has. */
async function repeated(daemon: Daemon, ground: Ground, agents: Agents, to: Target): Promise<Socket> {
  const { connection } = await greeted(agents.of(ground.client), to);
  await echoes(connection, "a first word");
  assertEquals(await runsIn(daemon, connection.port), "kernel");
  return connection;
}

/** Flows to every pod, until the neighbors on all ways are known and the kernel has one of each pod's. */
async function known(daemon: Daemon, ground: Ground, agents: Agents, target: Target): Promise<void> {
  const pods = new Set<string>();
  await until("a flow in the kernel to every pod", async () => {
    const flow = await flowTo(ground, agents, target[0]);
    const { pod } = await askOn(flow, target);
    await askOn(flow, target);
    if (await runsIn(daemon, flow.port) === "kernel") pods.add(pod);
    await flow.close();
    return pods.size === ground.pods.length;
  }, 20_000);
}

async function counted(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  for (const target of TARGETS) {
    const before = await countersOf(daemon, target);
    const linkBefore = await passed(daemon, ground.client.nodeInterface);
    const flow = await flowTo(ground, agents, target[0]);
    const pods = new Set<string>();
    for (let n = 0; n < 50; n++) pods.add((await askOn(flow, target, `datagram ${n}`)).pod);
    assertEquals(pods.size, 1);
    assertEquals(await runsIn(daemon, flow.port), "kernel");
    const after = await countersOf(daemon, target);
    assertEquals(after.packets - before.packets, 50);
    assertEquals(after.replyPackets - before.replyPackets, 50);
    assertEquals(after.podPackets - before.podPackets, 50);
    const link = await passed(daemon, ground.client.nodeInterface);
    assertEquals([link.rx - linkBefore.rx, link.tx - linkBefore.tx], [50, 50], "nothing else came or went");
    assertGreater(link.kernelRx - linkBefore.kernelRx, 45);
    const session = (await daemon.sessions()).find(({ client }) => client.endsWith(`:${flow.port}`))!;
    assertGreater(session.kernel!.packets, 45, "all but the first few");
    await flow.close();
  }
  // Apart from the others, since what follows a connection's end comes when it likes.
  for (const target of TARGETS) await (await repeated(daemon, ground, agents, target)).close();
  const { used, hits, misses, enabled } = await daemon.offload();
  assert(enabled && used >= 2 && hits > 150, `${used} used, ${hits} hits`);
  assertGreater(misses.unknown, 0);
  assertGreater(misses.flags, 0);
}

/** Of the VIP and of its pods. */
async function countersOf(
  daemon: Daemon,
  [vip, port]: Target,
): Promise<{ packets: number; replyPackets: number; podPackets: number }> {
  const shown = (await daemon.vips()).find((each) =>
    each.prefix.startsWith(`${vip}/`) && each.port === port
  )!;
  const { firstPacket, nextPacket, replyPackets } = shown.counters;
  const podPackets = shown.pods.reduce((sum, pod) => sum + pod.packets, 0);
  return { packets: firstPacket + nextPacket, replyPackets, podPackets };
}

async function bodies(daemon: Daemon, ground: Ground): Promise<void> {
  const servers = await startWebServers(ground, POD_WEB_PORT);
  const digests = await Promise.all(servers.map((server) => server.addBlob("blob", 7, BODY_BYTES)));
  for (const url of [`http://${VIP}/blob`, `http://[${VIP6}]/blob`]) {
    const before = await daemon.offload();
    const { body } = await fetchUrl(ground.client.namespace, url);
    assertEquals(await sha256(body), digests[0]);
    const after = await daemon.offload();
    assertGreater(after.hitBytes - before.hitBytes, BODY_BYTES);
  }
}

async function offAndOn(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  for (const target of TARGETS) {
    const connection = await repeated(daemon, ground, agents, target);
    await daemon.ku("conf offload off");
    assertEquals(await runsIn(daemon, connection.port), "worker");
    assertEquals((await daemon.offload()).used, 0);
    await echoes(connection, "by the worker");
    const { hits } = await daemon.offload();
    await echoes(connection, "by the worker again");
    assertEquals((await daemon.offload()).hits, hits);
    await daemon.ku("conf offload on");
    await echoes(connection, "by whomever");
    const next = await repeated(daemon, ground, agents, target);
    for (const each of [connection, next]) await each.close();
  }
  await countedThrough(daemon, ground, agents, async () => {
    for (const word of ["off", "on", "off", "on", "off", "on"]) await daemon.ku(`conf offload ${word}`);
  });
}

async function limited(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  await daemon.ku("conf offload off");
  await daemon.ku("conf offload on offload-sessions 2");
  const connections: Socket[] = [];
  for (let n = 0; n < 5; n++) {
    const { connection } = await greeted(agents.of(ground.client), TARGETS[n % 2]);
    await echoes(connection, "one of five");
    connections.push(connection);
  }
  const { used, capacity, refused } = await daemon.offload();
  assertEquals([used, capacity], [2, 2]);
  assertGreater(refused, 0);
  for (const connection of connections) {
    await echoes(connection, "still there");
    await connection.close();
  }
  await daemon.fails(1, "conf", "offload-sessions", "0");
  await daemon.fails(1, "conf", "offload-sessions", "1048576");
  await daemon.fails(1, "conf", "offload", "maybe");
  await daemon.ku("conf offload-sessions 262144");
}

/** What the session tables can hold is what the kernel has memory for: three times other maps and programs. */
async function grown(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const connection = await repeated(daemon, ground, agents, TARGETS[1]);
  const changes = [["buckets 16384", 131_072], ["buckets 65536", 262_144], [
    "offload-sessions 300000",
    300_000,
  ]];
  await countedThrough(daemon, ground, agents, async () => {
    for (const [change, capacity] of changes) {
      await daemon.ku(`conf ${change}`);
      assertEquals((await daemon.offload()).capacity, capacity);
      for (let n = 0; n < 2; n++) await echoes(connection, "the worker looks at it anew");
      assertEquals(await runsIn(daemon, connection.port), "kernel");
    }
  });
  await connection.close();
}

/** Questions and answers of a flow, the only one of its VIP, while `change` runs and some after it: none is lost, and all are counted once. */
async function countedThrough(
  daemon: Daemon,
  ground: Ground,
  agents: Agents,
  change: () => Promise<void>,
): Promise<void> {
  const target = TARGETS[0];
  const flow = await flowTo(ground, agents, target[0]);
  const { pod } = await askOn(flow, target);
  const before = await countersOf(daemon, target);
  const links = await Promise.all([ground.client.nodeInterface, pod].map((name) => passed(daemon, name)));
  const { hits } = await daemon.offload();
  let asked = 0, done = false;
  const asking = (async () => {
    while (!done) assertEquals((await askOn(flow, target, `datagram ${asked++}`)).pod, pod);
  })();
  await change();
  const sofar = asked;
  await until("some more answers", () => asked >= sofar + 20);
  done = true;
  await asking;
  assertEquals(await runsIn(daemon, flow.port), "kernel");
  assertEquals(await countersOf(daemon, target), {
    packets: before.packets + asked,
    replyPackets: before.replyPackets + asked,
    podPackets: before.podPackets + asked,
  });
  assertGreater((await daemon.offload()).hits, hits + 20);
  // The client's interface has other connections' packets too; the other way round they are another family's.
  const [ofClient, ofPod] = await Promise.all(
    [ground.client.nodeInterface, pod].map((name) => passed(daemon, name)),
  );
  assertGreaterOrEqual(ofClient.rx - links[0].rx, asked);
  assertGreaterOrEqual(ofPod.tx - links[1].tx, asked);
  await flow.close();
}

/** Packets that came in by the interface and left by it, the kernel's share with the rings'. */
async function passed(daemon: Daemon, name: string): Promise<{ rx: number; tx: number; kernelRx: number }> {
  const link = (await daemon.interfaces()).find((each) => each.name === name)!;
  const { kernel } = link;
  return {
    rx: link.rxPackets + kernel.rxPackets,
    tx: link.txPackets + kernel.txPackets,
    kernelRx: kernel.rxPackets,
  };
}

async function podRemoved(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  for (const target of TARGETS) {
    const [vip, port] = target;
    const flow = await flowTo(ground, agents, vip);
    const { pod } = await askOn(flow, target);
    await askOn(flow, target);
    assertEquals(await runsIn(daemon, flow.port), "kernel");
    const { connection } = await greeted(agents.of(ground.client), target);
    const address = podsOf(ground, vip)[ground.pods.findIndex(({ name }) => name === pod)];
    await daemon.ku(`pod ${vip} port ${port} ${address} del`);
    assertNotEquals((await askOn(flow, target)).pod, pod, "the very next datagram");
    await echoes(connection, "wherever it is, it stays");
    await daemon.ku(`pod ${vip} port ${port} ${address}`);
    await connection.close();
    await flow.close();
  }
}

async function ended(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  for (const target of TARGETS) {
    const [vip, port] = target;
    const first = await repeated(daemon, ground, agents, target);
    await daemon.ku(`flush vip ${vip} port ${port}`);
    assertEquals(await runsIn(daemon, first.port), null);
    await first.close();
    const second = await repeated(daemon, ground, agents, target);
    await daemon.ku(`vip ${vip} port ${port} del`);
    assertEquals((await daemon.sessions()).filter(({ client }) => client.endsWith(`:${second.port}`)), []);
    const { hits } = await daemon.offload();
    // An acknowledgement of the client's that came after the deletion may have been answered by RST: then sending fails.
    const asking = second.send("to nobody").then(() => second.receive(300));
    const silence = await asking.catch((error: SocketError) => error.code);
    assert(silence === "ETIMEDOUT" || silence === "ECONNRESET", String(silence));
    assertEquals((await daemon.offload()).hits, hits);
    await second.close();
    await daemon.apply(...services(ground).filter((line) => line.includes(`${vip} port ${port}`)));
  }
}

async function wayChanged(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const { node, client } = ground;
  for (const target of TARGETS) {
    const connection = await repeated(daemon, ground, agents, target);
    const mac = "02:00:00:00:77:01";
    await client.namespace.ip(`link set eth0 address ${mac}`);
    const peer = target[0].includes(":") ? client.address6 : client.address;
    await node.ip(`neigh replace ${peer} dev ${client.nodeInterface} lladdr ${mac}`);
    await until("the kernel's way to the client's new address", async () => {
      await echoes(connection, "?");
      return await runsIn(daemon, connection.port) === "kernel";
    });
    await connection.close();
    await node.ip(
      `link set ${client.nodeInterface} down`,
      `link set ${client.nodeInterface} up`,
      `addr replace ${client.gateway6}/64 dev ${client.nodeInterface} nodad`, // went with the link
    );
    await until("answers after the link came back", async () => {
      await askUdp(agents.of(client), target);
      return true;
    }, 20_000);
    await until("the kernel's way after the link came back", async () => {
      await (await repeated(daemon, ground, agents, target)).close();
      return true;
    });
  }
}

async function ages(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  await daemon.ku("conf timeout 3");
  const flow = await flowTo(ground, agents, VIP);
  const { pod } = await askOn(flow, TARGETS[0]);
  const began = performance.now();
  let rounds = 0;
  // The kernel alone sees these; the session outlives its time twice.
  await until(
    "twice the timeout",
    async () => {
      assertEquals((await askOn(flow, TARGETS[0])).pod, pod);
      assert(++rounds < 3 || await runsIn(daemon, flow.port) === "kernel");
      return performance.now() - began > 7000;
    },
    10_000,
    500,
  );
  const vip = (await daemon.vips()).find((each) => each.prefix === `${VIP}/32` && each.port === WHO_PORT)!;
  assertGreater(vip.counters.nextPacket, rounds - 2);
  await until("the end of its session", async () => await runsIn(daemon, flow.port) === null);
  assertEquals((await daemon.offload()).used, 0);
  await daemon.ku("conf timeout 40");
  await flow.close();
}
