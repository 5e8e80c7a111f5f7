/**
 * Node ports: a service is reached at every address of the node, of both families, by TCP and UDP; the answer comes from the address and
 * port the client used. A dual-stack service is two VIPs with one node port.
 *
 *     client1 10.1.1.2 ── 10.1.1.1 uplink  node 10.2.n.1 ── pod1…pod3 10.2.n.2     :5353 (who am I, whom do I see)
 *     client2 10.1.2.2 ── 10.1.2.1 uplink2 (ku)                                    :7000 (the same)
 *     (and fd00:…)        lo 10.99.0.1, fd00:99::1
 */

import { assertEquals, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import {
  type Agents,
  askTcp,
  askUdp,
  echoes,
  family,
  greeted,
  openFlow,
  serveIdentity,
} from "./harness/identity.ts";
import { type Socket, SocketError, Sockets } from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";
import { sctp, slowCrc32c } from "../packets/builder.ts";

const NODE_PORT = 30053;
const OTHER_NODE_PORT = 30070;
const OTHER_PORT = 7000;
const OWN = ["10.99.0.1", "fd00:99::1"];

await requireGround();

for (const mode of MODES) {
  Deno.test(`node ports, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ clients: 2 });
    const agents = await serveIdentity(ground, WHO_PORT, OTHER_PORT);
    await ground.node.ip(`addr add ${OWN[0]}/32 dev lo`, `addr add ${OWN[1]}/128 dev lo nodad`);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    const [four, six] = [ground.pods.map((pod) => pod.address), ground.pods.map((pod) => pod.address6)];
    await daemon.apply(
      `vip ${VIP} port ${WHO_PORT} node_port ${NODE_PORT}`,
      `pod ${VIP} ${four.join(" ")}`,
      `vip ${VIP6} port ${WHO_PORT} node_port ${NODE_PORT}`,
      `pod ${VIP6} ${six.slice(1).join(" ")}`,
      // Another VIP of each family shares the number with another protocol, or the address with another number.
      `vip 10.96.0.11 protocol tcp port 80 target_port ${OTHER_PORT} node_port ${OTHER_NODE_PORT}`,
      `pod 10.96.0.11 ${four[0]}`,
      `vip fd00:96::11 protocol udp port 80 target_port ${OTHER_PORT} node_port ${OTHER_NODE_PORT}`,
      `pod fd00:96::11 ${six[0]}`,
    );
    await t.step("every address of the node, TCP and UDP", () => everywhere(ground, agents));
    await t.step("the VIPs beside them", () => vips(ground, agents));
    await t.step("one client port to several addresses of the node", () => oneClientPort(ground, agents));
    await t.step("SCTP", () => speaksSctp(ground, agents));
    await t.step("pods reach node ports, their own service too", () => pods(ground, agents));
    await t.step("families and protocols do not mix", () => apart(ground, agents));
    await t.step("the node's own servers, on other ports, are left alone", () => ownServers(ground, agents));
    await t.step("an address that comes, and one that goes", () => addressesChange(ground, agents));
    await t.step("a deleted VIP's node port is nobody's", () => deleted(daemon, ground, agents));
    await daemon.stop();
  });
}

/** The node's addresses, each to be reached from every client. */
function nodeAddresses(ground: Ground): string[] {
  const links = [...ground.clients, ...ground.pods];
  return [...links.flatMap((host) => [host.gateway, host.gateway6]), ...OWN];
}

const own = (host: Host, address: string) => address.includes(":") ? host.address6 : host.address;

async function everywhere(ground: Ground, agents: Agents): Promise<void> {
  const pods = new Set<string>();
  for (const client of ground.clients) {
    for (const address of nodeAddresses(ground)) {
      for (const ask of [askUdp, askTcp]) {
        const identity = await ask(agents.of(client), [address, NODE_PORT]);
        assertEquals(identity.address, own(client, address), "whom the pod saw");
        pods.add(`${family(address)} ${identity.pod}`);
      }
    }
  }
  assertEquals([...pods].toSorted(), ["inet pod1", "inet pod2", "inet pod3", "inet6 pod2", "inet6 pod3"]);
}

async function vips(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const vip of [VIP, VIP6]) {
    for (const ask of [askUdp, askTcp]) await ask(client, [vip, WHO_PORT]);
  }
}

async function oneClientPort(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const addresses of [nodeAddresses(ground).slice(0, 6), OWN]) {
    for (const [bits, port] of [["inet", 20_000], ["inet6", 20_001]] as const) {
      const held: Socket[] = [];
      for (const address of addresses.filter((each) => family(each) === bits)) {
        const { connection } = await greeted(client, [address, NODE_PORT], { bind: ["", port] });
        held.push(connection);
      }
      for (const [index, connection] of held.entries()) await echoes(connection, `connection ${index}`);
      for (const connection of held) await connection.close();
    }
  }
}

async function speaksSctp(ground: Ground, agents: Agents): Promise<void> {
  for (const address of [ground.client.gateway, ground.client.gateway6]) {
    const options = { family: family(address) };
    const client = await agents.of(ground.client).raw(132, options);
    const servers = await Promise.all(ground.pods.map((pod) => agents.of(pod).raw(132, options)));
    await client.send(sctpPacket(50_000, NODE_PORT), [address, 0]);
    const { pod, from } = await Promise.any(servers.map(async (server, index) => {
      const { bytes, from } = await server.receive(2_000);
      const header = options.family === "inet" ? 20 : 0;
      assertEquals(bytes.slice(header), sctpPacket(50_000, WHO_PORT), "what arrived, checksum and all");
      return { pod: servers[index], from };
    }));
    assertEquals(from[0], own(ground.client, address));
    await pod.send(sctpPacket(WHO_PORT, 50_000), [from[0], 0]);
    const answer = await client.receive(2_000);
    assertEquals(answer.from[0], address);
    assertEquals(
      answer.bytes.slice(options.family === "inet" ? 20 : 0),
      sctpPacket(NODE_PORT, 50_000),
    );
    for (const socket of [client, ...servers]) await socket.close();
  }
}

async function pods(ground: Ground, agents: Agents): Promise<void> {
  const own = new Set<boolean>();
  for (const pod of ground.pods) {
    for (const address of [pod.gateway, pod.gateway6, ...OWN]) {
      for (let port = 23_000; port < 23_006; port++) {
        for (const ask of [askUdp, askTcp]) {
          const identity = await ask(agents.of(pod), [address, NODE_PORT], { bind: ["", port] });
          const six = address.includes(":");
          const itself = six ? pod.gateway6 : pod.gateway; // a pod that reaches itself is the node to itself
          const asker = six ? pod.address6 : pod.address;
          assertEquals(identity.address, identity.pod === pod.name ? itself : asker);
          own.add(identity.pod === pod.name);
        }
      }
    }
  }
  assertEquals(own.size, 2);
}

function sctpPacket(srcPort: number, dstPort: number): Uint8Array {
  const { bytes } = sctp({ srcPort, dstPort, tag: 7 });
  new DataView(bytes.buffer).setUint32(8, slowCrc32c(bytes), true);
  return bytes;
}

/** What the node itself says about a port that nobody serves. */
async function isRefused(from: Sockets, address: string, port: number): Promise<void> {
  const tcp = await assertRejects(() => from.connect(address, port), SocketError);
  assertEquals(tcp.code, "ECONNREFUSED", `TCP to ${address} port ${port}`);
  const udp = await openFlow(from, address);
  await udp.connect(address, port);
  await udp.send("anybody?");
  const error = await assertRejects(() => udp.receive(2_000), SocketError);
  assertEquals(error.code, "ECONNREFUSED", `UDP to ${address} port ${port}`);
  await udp.close();
}

async function apart(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  const { gateway, gateway6 } = ground.client;
  assertEquals((await askTcp(client, [gateway, OTHER_NODE_PORT])).pod, "pod1");
  assertEquals((await askUdp(client, [gateway6, OTHER_NODE_PORT])).pod, "pod1");
  const refused = await assertRejects(() => client.connect(gateway6, OTHER_NODE_PORT), SocketError);
  assertEquals(refused.code, "ECONNREFUSED", "the node port of IPv6 is UDP's");
  const flow = await client.udp();
  await flow.connect(gateway, OTHER_NODE_PORT);
  await flow.send("anybody?");
  const error = await assertRejects(() => flow.receive(2_000), SocketError);
  assertEquals(error.code, "ECONNREFUSED", "the node port of IPv4 is TCP's");
  // The port of the VIP is none of the node's, nor the node port one of the VIP's.
  await isRefused(client, gateway, WHO_PORT);
  await isRefused(client, VIP, NODE_PORT);
}

async function ownServers(ground: Ground, agents: Agents): Promise<void> {
  const { gateway, gateway6, nodeInterface, address, address6 } = ground.client;
  const node: Host = { ...ground.client, name: "node", namespace: ground.node, nodeInterface };
  const sockets = Sockets.of(ground, node);
  await sockets.serve("tcp", 22, "node");
  await sockets.serve("udp", 22, "node", { family: "inet6", options: [[41, 26, 1]] });
  assertEquals((await askTcp(agents.of(ground.client), [gateway, 22])).address, address);
  assertEquals((await askUdp(agents.of(ground.client), [gateway6, 22])).address, address6);
}

async function addressesChange(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const [address, bits] of [["10.99.0.2", 32], ["fd00:99::2", 128]] as const) {
    await ground.node.ip(`addr add ${address}/${bits} dev lo`);
    // ku follows the kernel's notifications: a moment.
    const seen = await until(
      "an answer",
      async () => (await askTcp(client, [address, NODE_PORT])).address,
      3_000,
    );
    assertEquals(seen, own(ground.client, address));
    await ground.node.ip(`addr del ${address}/${bits} dev lo`);
  }
}

async function deleted(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  await daemon.ku(`vip ${VIP6} port ${WHO_PORT} del`);
  const client = agents.of(ground.client);
  await isRefused(client, ground.client.gateway6, NODE_PORT);
  await askUdp(client, [ground.client.gateway, NODE_PORT]);
  await daemon.ku(`vip ${VIP} port ${WHO_PORT} del`);
  await isRefused(client, ground.client.gateway, NODE_PORT);
}
