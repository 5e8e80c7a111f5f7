/**
 * Whose address the pod sees, and which pod sees it: masquerade (the node's), src_ip_sticky (one pod for one client address), and two
 * VIPs that share a pod and port, told apart when one client port uses both at the same time.
 *
 *     client1 10.1.1.2 ── uplink         pod1 ── 10.2.1.2
 *     client2 10.1.2.2 ── uplink2  node  pod2 ── 10.2.2.2     :5353 (who am I, whom do I see)
 *     (and fd00:1:n::2)   (ku)           pod3 ── 10.2.3.2     (and fd00:2:n::2)
 */

import { assertEquals, assertNotEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import {
  type Agents,
  askOn,
  askTcp,
  askUdp,
  echoes,
  greeted,
  openFlow,
  serveIdentity,
  type Target,
} from "./harness/identity.ts";
import { attachedDual, type Config, WHO_PORT } from "./harness/service.ts";

const FAMILIES = [
  {
    name: "IPv4",
    masquerade: "10.96.1.1",
    sticky: "10.96.1.2",
    twins: ["10.96.1.3", "10.96.1.4"],
    of: (host: Host) => host.address,
    nodeOf: (host: Host) => host.gateway,
  },
  {
    name: "IPv6",
    masquerade: "fd00:96::1",
    sticky: "fd00:96::2",
    twins: ["fd00:96::3", "fd00:96::4"],
    of: (host: Host) => host.address6,
    nodeOf: (host: Host) => host.gateway6,
  },
];
/** Further addresses of the node. */
const OWN = ["10.99.0.1", "fd00:99::1"];
type Family = (typeof FAMILIES)[number];

await requireGround();

for (const mode of MODES) {
  Deno.test(`whom the pod sees, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ clients: 2 });
    const agents = await serveIdentity(ground, WHO_PORT);
    await ground.node.ip(`addr add ${OWN[0]}/32 dev lo`, `addr add ${OWN[1]}/128 dev lo nodad`);
    await using daemon = await Daemon.start(ground, { config: configuration(ground, mode) });
    for (const f of FAMILIES) {
      await t.step(`${f.name}: masquerade shows the node's address`, () => masquerade(ground, agents, f));
      await t.step(`${f.name}: src_ip_sticky keeps a client at one pod`, () => sticky(ground, agents, f));
      await t.step(
        `${f.name}: two VIPs on one pod and port, one client port`,
        () => twins(ground, agents, f),
      );
      await t.step(`${f.name}: beside them the pod itself`, () => besides(daemon, ground, agents, f));
    }
    await t.step("ip4-src-address goes before the interface's", () => configured(daemon, ground, agents));
    await daemon.stop();
  });
}

function configuration(ground: Ground, mode: Mode): Config {
  const config = attachedDual(ground, mode);
  for (const f of FAMILIES) {
    const pods = ground.pods.map(f.of);
    config.vips.push({ prefix: f.masquerade, masquerade: true, port: WHO_PORT, pods });
    config.vips.push({ prefix: f.sticky, srcIpSticky: true, port: WHO_PORT, pods });
    for (const twin of f.twins) {
      config.vips.push({ prefix: twin, port: 80, targetPort: WHO_PORT, pods: pods.slice(0, 1) });
    }
  }
  return config;
}

async function masquerade(ground: Ground, agents: Agents, f: Family): Promise<void> {
  const target: Target = [f.masquerade, WHO_PORT];
  // Two clients with one source port, at the same time; flows held, so that every pod is reached by both.
  const flows = [];
  const seen = new Set<string>();
  for (let port = 20_000; port < 20_015; port++) {
    for (const client of ground.clients) {
      const flow = await openFlow(agents.of(client), f.masquerade, { bind: ["", port] });
      const { pod, address, port: shown } = await askOn(flow, target);
      const host = ground.pods.find((one) => one.name === pod)!;
      assertEquals(address, f.nodeOf(host), "the node's address toward the pod");
      assertEquals(seen.has(`${pod} ${shown}`), false, `port ${shown} was given out twice at ${pod}`);
      seen.add(`${pod} ${shown}`);
      flows.push({ flow, pod, shown });
    }
  }
  assertEquals(new Set(flows.map((one) => one.pod)).size, 3);
  for (const { flow, pod, shown } of flows) {
    const again = await askOn(flow, target, "again");
    assertEquals([again.pod, again.port], [pod, shown], "a flow keeps its pod and port");
    await flow.close();
  }
  const held = [];
  for (const client of ground.clients) {
    held.push(await greeted(agents.of(client), target, { bind: ["", 20_100] }));
  }
  for (const { connection, identity } of held) {
    const host = ground.pods.find((one) => one.name === identity.pod)!;
    assertEquals(identity.address, f.nodeOf(host));
    await echoes(connection, "x".repeat(10_000));
    await connection.close();
  }
}

async function sticky(ground: Ground, agents: Agents, f: Family): Promise<void> {
  for (const client of ground.clients) {
    const pods = new Set<string>();
    for (let port = 21_000; port < 21_010; port++) {
      pods.add((await askUdp(agents.of(client), [f.sticky, WHO_PORT], { bind: ["", port] })).pod);
    }
    for (let n = 0; n < 5; n++) pods.add((await askTcp(agents.of(client), [f.sticky, WHO_PORT])).pod);
    assertEquals(pods.size, 1, `pods of ${client.name}: ${[...pods].join(" ")}`);
  }
  // Other addresses of one client's link spread.
  const [client] = ground.clients;
  const pods = new Set<string>();
  for (let n = 10; n < 30; n++) {
    const address = f.of(client).replace(/2$/, String(n));
    // Deprecated: not to be chosen by sockets that do not ask for it.
    await client.namespace.ip(
      `addr add ${address}/${f === FAMILIES[0] ? 24 : 64} dev eth0 preferred_lft 0 nodad`,
    );
    pods.add((await askUdp(agents.of(client), [f.sticky, WHO_PORT], { bind: [address, 0] })).pod);
  }
  assertNotEquals(pods.size, 1, "20 addresses, one pod");
}

async function twins(ground: Ground, agents: Agents, f: Family): Promise<void> {
  const client = agents.of(ground.client);
  const flow = await openFlow(client, f.twins[0], { bind: ["", 22_000] });
  const ports = new Set<number>();
  for (let round = 0; round < 3; round++) {
    for (const vip of f.twins) {
      const { pod, address, port } = await askOn(flow, [vip, 80], `${vip} ${round}`);
      assertEquals([pod, address], ["pod1", f.of(ground.client)]);
      ports.add(port);
    }
  }
  assertEquals(
    [ports.size, ports.has(22_000)],
    [2, true],
    "the first keeps its port, the second gets another",
  );
  await flow.close();

  // Two connections from one port: SO_REUSEADDR, which the harness sets, allows it when the other ends differ.
  const [first, second] = [
    await greeted(client, [f.twins[0], 80], { bind: ["", 22_001] }),
    await greeted(client, [f.twins[1], 80], { bind: ["", 22_001] }),
  ];
  for (let round = 0; round < 3; round++) {
    await echoes(first.connection, `first ${round}`);
    await echoes(second.connection, `second ${round}`);
  }
  assertNotEquals(first.identity.port, second.identity.port);
  await first.connection.close();
  await echoes(second.connection, "the other one has ended");
  await second.connection.close();
}

/** The same client port to the VIP and to the pod itself, on the very port behind the VIP. */
async function besides(daemon: Daemon, ground: Ground, agents: Agents, f: Family): Promise<void> {
  const client = agents.of(ground.client);
  const [pod] = ground.pods;
  const direct: Target = [f.of(pod), WHO_PORT];
  const flow = await openFlow(client, f.twins[0], { bind: ["", 23_000] });
  assertEquals((await askOn(flow, direct)).port, 23_000);
  const connection = await greeted(client, direct, { bind: ["", 23_001] });
  const before = (await daemon.sessions()).length;
  await echoes(connection.connection, "directly");
  assertEquals((await daemon.sessions()).length, before, "nothing remembered of what goes directly");

  const other = await openFlow(client, f.twins[0], { bind: ["", 23_002] });
  assertEquals((await askOn(other, [f.twins[0], 80])).port, 23_002);
  const through = await greeted(client, [f.twins[0], 80], { bind: ["", 23_003] });
  for (let round = 0; round < 3; round++) {
    await askOn(flow, direct, `direct ${round}`);
    await echoes(connection.connection, `direct ${round}`);
    await askOn(other, [f.twins[0], 80], `VIP ${round}`);
    await echoes(through.connection, `VIP ${round}`);
  }
  for (const socket of [flow, other, connection.connection, through.connection]) await socket.close();
}

async function configured(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  await daemon.ku(`conf ip4-src-address ${OWN[0]} ip6-src-address ${OWN[1]}`);
  const client = agents.of(ground.client);
  for (const [index, f] of FAMILIES.entries()) {
    const address = OWN[index];
    assertEquals((await askUdp(client, [f.masquerade, WHO_PORT])).address, address);
    assertEquals((await askTcp(client, [f.masquerade, WHO_PORT])).address, address);
  }
}
