/**
 * A VIP that no pod serves: the client is told at once, whatever the family, protocol and way it came; nothing is remembered, and the
 * first packet after a pod is there goes through.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1 ── 10.2.1.2 :5353 (who am I, whom do I see)
 *            fd00:1:1::2                               fd00:2:1::2
 */

import { assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES, type ShowVip } from "./harness/daemon.ts";
import { type Agents, askOn, askTcp, family, openFlow, serveIdentity } from "./harness/identity.ts";
import { SocketError, type Sockets } from "./harness/sockets.ts";
import { run } from "./harness/process.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";

/** What each VIP is reached by. `NODE` stands for the node's own address. */
const NODE_PORT = 30053;
const ALL = "90.0.0.0/8", ALL6 = "2003::/16";
const AT_ONCE_MS = 500;

await requireGround();

for (const mode of MODES) {
  Deno.test(`no pod, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    await daemon.apply(
      `vip ${VIP} port ${WHO_PORT} node_port ${NODE_PORT}`,
      `vip ${VIP6} port ${WHO_PORT} node_port ${NODE_PORT}`,
      `vip ${ALL}`,
      `vip ${ALL6} src_ip_sticky masquerade`,
    );
    const { gateway, gateway6 } = ground.client;
    const targets: [address: string, port: number][] = [
      [VIP, WHO_PORT],
      [VIP6, WHO_PORT],
      [gateway, NODE_PORT],
      [gateway6, NODE_PORT],
      ["90.1.2.3", 1],
      ["2003::1", 65_535],
    ];
    const client = agents.of(ground.client);
    for (const [address, port] of targets) {
      await t.step(`refused: ${address} port ${port}`, () => refused(client, address, port));
    }
    await t.step("echo, a closed port and other protocols", () => others(ground, agents));
    await t.step("counted, not remembered", () => counted(daemon));
    await t.step("a pod of weight 0 serves nobody either", () => weightZero(daemon, ground, client, targets));
    await t.step(
      "a socket that was refused goes on when a pod comes",
      () => pods(daemon, ground, client, targets),
    );
    await t.step("and is refused again when the pod has gone", () => gone(daemon, ground, client, targets));
    await daemon.stop();
  });
}

/** TCP by a reset, UDP by port unreachable, each within half a second and each time. */
async function refused(client: Sockets, address: string, port: number): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(() => client.connect(address, port), SocketError);
  assertEquals(error.code, "ECONNREFUSED");
  const flow = await openFlow(client, address);
  await flow.connect(address, port);
  for (const text of ["anybody?", "", "still nobody?"]) {
    await flow.send(text);
    assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "ECONNREFUSED");
  }
  await flow.close();
  assertLess(performance.now() - start, AT_ONCE_MS);
}

async function others(ground: Ground, agents: Agents): Promise<void> {
  // Every protocol of these is a pod's, so there is nobody for echo and others either.
  for (const address of ["90.1.2.3", "2003::1"]) {
    const ping = await run(ground.client.namespace.enter(["ping", "-c2", "-i0.02", "-W1", address]));
    assertMatch(ping.text, /Port Unreachable|Port unreachable/);
    const raw = await agents.of(ground.client).raw(253, { family: family(address) });
    await raw.connect(address, 0);
    await raw.send("anybody?");
    // A raw socket hears of hard errors only.
    await raw.close();
  }
  for (const address of [VIP, VIP6]) await ground.client.namespace.runOk(["ping", "-c1", "-W1", address]);
}

const by = (vips: ShowVip[], prefix: string) => vips.find((vip) => vip.prefix === prefix)!.counters;

async function counted(daemon: Daemon): Promise<void> {
  assertEquals(await daemon.sessions(), []);
  const vips = await daemon.vips();
  // TCP once, UDP three times, at the VIP and at its node port; echo twice and a raw one besides for the prefixes.
  for (const [prefix, noServer] of [[`${VIP}/32`, 8], [`${VIP6}/128`, 8], [ALL, 7], [ALL6, 7]] as const) {
    const counters = by(vips, prefix);
    assertEquals([prefix, counters.noServer, counters.firstPacket, counters.nextPacket], [
      prefix,
      noServer,
      0,
      0,
    ]);
  }
  const node = Object.fromEntries((await daemon.nodeCounters()).map(({ reason, count }) => [reason, count]));
  assertEquals([node["no server"], node["TCP reset sent"], node["port unreachable sent"]], [30, 6, 24]);
  assertEquals((await daemon.summary()).workers.every((worker) => worker.sessions.used === 0), true);
}

/** VIPs with the words that name the pod of their family. */
function withPods(ground: Ground): [vip: string, address: string][] {
  const { address, address6 } = ground.pods[0];
  return [[VIP, address], [VIP6, address6], [ALL, address], [ALL6, address6]];
}

async function weightZero(
  daemon: Daemon,
  ground: Ground,
  client: Sockets,
  targets: [string, number][],
): Promise<void> {
  await daemon.apply(...withPods(ground).map(([vip, address]) => `pod ${vip} ${address} weight 0`));
  for (const [address, port] of targets) await refused(client, address, port);
  assertEquals(await daemon.sessions(), []);
}

async function pods(
  daemon: Daemon,
  ground: Ground,
  client: Sockets,
  targets: [string, number][],
): Promise<void> {
  const ported = targets.map(([address, port]) =>
    [address, address.match(/^90|^2003/) ? WHO_PORT : port] as const
  );
  const flows = await Promise.all(
    ported.map(([address], n) => openFlow(client, address, { bind: ["", 20_000 + n] })),
  );
  for (const [n, [address, port]] of ported.entries()) await flows[n].send("too early", [address, port]);
  await daemon.apply(...withPods(ground).map(([vip, address]) => `pod ${vip} ${address} weight 1`));
  for (const [n, [address, port]] of ported.entries()) {
    assertEquals((await askOn(flows[n], [address, port])).pod, "pod1");
    assertEquals((await askTcp(client, [address, port])).pod, "pod1");
    await flows[n].close();
  }
}

async function gone(
  daemon: Daemon,
  ground: Ground,
  client: Sockets,
  targets: [string, number][],
): Promise<void> {
  await daemon.apply(...withPods(ground).map(([vip, address]) => `pod ${vip} ${address} del flush`));
  for (const [address, port] of targets) await refused(client, address, port);
  assertEquals(await daemon.sessions(), []);
}
