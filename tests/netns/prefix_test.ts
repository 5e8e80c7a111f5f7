/**
 * VIPs that are prefixes, of every protocol and port: the answer carries exactly the address and port the client used. The longest prefix
 * wins, and within it a protocol with its port; several services on one address.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2      :5353, :7000 (who am I, whom do I see)
 *            fd00:1:1::2                                    fd00:2:n::2
 *     every address of 90.0.0.0/8, 2003::/16 … is somewhere behind the node
 */

import { assertEquals, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { type Agents, askOn, askTcp, askUdp, openFlow, serveIdentity } from "./harness/identity.ts";
import { Sockets } from "./harness/sockets.ts";
import { attachedDual, WHO_PORT } from "./harness/service.ts";

const OTHER_PORT = 7000;

await requireGround();

for (const mode of MODES) {
  Deno.test(`prefixes as VIPs, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT, OTHER_PORT);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    await configure(daemon, ground);
    await t.step("every address of a prefix answers as itself, ports kept", () => addresses(ground, agents));
    await t.step("one socket talks to many addresses of a prefix", () => manyAddresses(ground, agents));
    await t.step("the longest prefix wins, and in it protocol and port", () => longest(ground, agents));
    await t.step("several services on one address", () => several(ground, agents));
    await t.step("echo through a prefix reaches a pod", () => pings(daemon, ground));
    await t.step(
      "a prefix around the node's own addresses leaves these to the node",
      () => aroundTheNode(daemon, ground, agents),
    );
    await t.step("beside the prefixes nothing is taken", () => beside(daemon, ground, agents));
    await daemon.stop();
  });
}

/** VIPs with the number (from 0) of their pods. */
const SERVICES: [words: string, pods: number[]][] = [
  ["90.0.0.0/8 nat44 new_len 2048", [0]],
  ["90.1.0.0/16", [1]],
  [`90.1.2.0/24 protocol tcp port ${WHO_PORT}`, [2]],
  [`90.1.2.3 protocol udp port ${WHO_PORT}`, [2]],
  ["90.1.2.3", [0]],
  ["2003::/16 nat66 new_len 2048", [0]],
  ["2003:1::/32", [1]],
  [`2003:1:2::/48 protocol tcp port ${WHO_PORT}`, [2]],
  [`2003:1:2::3 protocol udp port ${WHO_PORT}`, [2]],
  ["2003:1:2::3", [0]],
  // Several on one address: ports that lead elsewhere, protocols apart, one for all protocols behind them.
  [`10.96.1.1 protocol tcp port 80 target_port ${OTHER_PORT}`, [0]],
  [`10.96.1.1 protocol tcp port 81 target_port ${WHO_PORT}`, [1]],
  [`10.96.1.1 protocol udp port 80 target_port ${WHO_PORT}`, [2]],
  [`10.96.1.1 port 82 target_port ${OTHER_PORT}`, [1]],
  [`10.96.1.1 protocol udp port 82 target_port ${OTHER_PORT}`, [2]],
];

async function configure(daemon: Daemon, ground: Ground): Promise<void> {
  const lines: string[] = [];
  for (const [words, pods] of SERVICES) {
    const [prefix] = words.split(" ");
    const port = words.match(/(?:protocol \w+ )?(?<!target_)port \d+/)?.[0] ?? "port any";
    const address = (pod: Host) => prefix.includes(":") ? pod.address6 : pod.address;
    lines.push(`vip ${words}`);
    lines.push(`pod ${prefix} ${port} ${pods.map((index) => address(ground.pods[index])).join(" ")}`);
  }
  await daemon.apply(...lines);
}

async function addresses(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (
    const vip of ["90.0.0.1", "90.2.3.4", "90.255.255.254", "2003::1", "2003:ffff::", "2003:0:1:2:3:4:5:6"]
  ) {
    for (const port of [WHO_PORT, OTHER_PORT]) {
      const own = vip.includes(":") ? ground.client.address6 : ground.client.address;
      for (const ask of [askUdp, askTcp]) {
        const identity = await ask(client, [vip, port]);
        assertEquals([identity.pod, identity.address], ["pod1", own], `${vip} port ${port}`);
      }
    }
  }
}

async function manyAddresses(ground: Ground, agents: Agents): Promise<void> {
  for (const [stem, first] of [["90.3.3.", 20_000], ["2003:3::", 20_001]] as const) {
    const flow = await openFlow(agents.of(ground.client), stem, { bind: ["", first] });
    // The second round finds the sessions of the first.
    for (let round = 0; round < 2; round++) {
      for (let n = 1; n <= 10; n++) {
        // One pod and one client port: only the source ports that the pod sees tell the flows apart.
        assertEquals((await askOn(flow, [`${stem}${n}`, WHO_PORT], `${round} ${n}`)).pod, "pod1");
      }
    }
    await flow.close();
  }
}

async function longest(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  const udp = async (vip: string, port = WHO_PORT) => (await askUdp(client, [vip, port])).pod;
  const tcp = async (vip: string, port = WHO_PORT) => (await askTcp(client, [vip, port])).pod;
  for (
    const [inner, host, near] of [["90.1.9.9", "90.1.2.3", "90.1.2.4"], [
      "2003:1:9::9",
      "2003:1:2::3",
      "2003:1:2::4",
    ]]
  ) {
    assertEquals([await udp(inner), await tcp(inner), await udp(inner, OTHER_PORT)], [
      "pod2",
      "pod2",
      "pod2",
    ]);
    // In the middle prefix only this protocol and port; the rest falls through to the shorter one.
    assertEquals([await tcp(near), await udp(near), await tcp(near, OTHER_PORT)], ["pod3", "pod2", "pod2"]);
    // On the host both a port and everything: the port first. Everything goes before a shorter prefix's port.
    assertEquals([await udp(host), await tcp(host), await udp(host, OTHER_PORT)], ["pod3", "pod1", "pod1"]);
  }
}

async function several(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  const vip = "10.96.1.1";
  assertEquals((await askTcp(client, [vip, 80])).pod, "pod1");
  assertEquals((await askTcp(client, [vip, 81])).pod, "pod2");
  assertEquals((await askUdp(client, [vip, 80])).pod, "pod3");
  assertEquals((await askTcp(client, [vip, 82])).pod, "pod2");
  assertEquals((await askUdp(client, [vip, 82])).pod, "pod3", "a VIP that names its protocol goes first");
}

async function pings(daemon: Daemon, ground: Ground): Promise<void> {
  const answered = async () =>
    (await daemon.nodeCounters()).find((one) => one.reason === "echo to a VIP answered")!.count;
  const before = await answered();
  for (const vip of ["90.7.7.7", "90.1.2.3", "2003:7::7", "2003:1:2::3"]) {
    const text = await ground.client.namespace.runOk(["ping", "-c3", "-i0.02", "-W2", vip]);
    assertMatch(text, / 3 received, 0% packet loss/);
    assertMatch(text, /ttl=63 /, "a pod's answer has come one hop");
  }
  assertEquals(await answered(), before, "not ku answered, but the pod");
  const echoes = (await daemon.sessions()).filter((session) => session.protocol.startsWith("icmp"));
  assertEquals(echoes.length, 4, JSON.stringify(echoes));
}

async function aroundTheNode(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const node = Sockets.of(ground, { ...ground.client, name: "node", namespace: ground.node });
  await node.serve("tcp", 22, "node");
  await node.serve("udp", 22, "node", { family: "inet6", options: [[41, 26, 1]] });
  const client = agents.of(ground.client), [pod, other] = ground.pods;
  const around = [["0.0.0.0/0", pod.address], ["fd00::/16", pod.address6]];
  await daemon.apply(...around.flatMap(([prefix, address]) => [`vip ${prefix}`, `pod ${prefix} ${address}`]));
  assertEquals((await askTcp(client, [ground.client.gateway, 22])).pod, "node");
  assertEquals((await askUdp(client, [ground.client.gateway6, 22])).pod, "node");
  await ground.client.namespace.runOk(["ping", "-c1", "-W2", ground.client.gateway]);
  // What the node itself begins: the answers come to an address inside the prefix.
  assertEquals((await askTcp(node, [other.address, WHO_PORT])).address, other.gateway);
  assertEquals((await askUdp(node, [other.address6, WHO_PORT])).address, other.gateway6);
  for (const vip of ["192.0.2.1", "fd00:77::1"]) {
    assertEquals((await askTcp(client, [vip, WHO_PORT])).pod, "pod1");
  }
  await daemon.apply(...around.map(([prefix]) => `vip ${prefix} del`));
}

async function beside(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const before = (await daemon.sessions()).length;
  const client = agents.of(ground.client);
  for (const address of ["89.255.255.255", "91.0.0.0", "2002:ffff::", "2004::"]) {
    const flow = await openFlow(client, address);
    await flow.send("beside", [address, WHO_PORT]);
    await flow.close();
  }
  // A pod spoken to by its own address keeps it.
  const [pod] = ground.pods;
  assertEquals((await askUdp(client, [pod.address, WHO_PORT])).pod, pod.name);
  assertEquals((await askTcp(client, [pod.address6, WHO_PORT])).pod, pod.name);
  assertEquals((await daemon.sessions()).length, before);
}
