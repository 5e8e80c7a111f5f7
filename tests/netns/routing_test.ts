/**
 * Routes and neighbors change under traffic: a pod's MAC address, a forgotten neighbor, another way to a pod, and ways that ku is not
 * attached to, which the kernel takes care of. Every pod and the client have a second link to the node, at first without a route.
 *
 *                 eth0 ── uplink                pod<n>  ── eth0  10.2.n.2
 *     client                        node (ku)                            pod n
 *     10.1.1.2    eth1 ── uplinkb               pod<n>b ── eth1  10.12.n.2
 *                 10.11.1.2  10.11.1.1          10.12.n.1
 */

import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { addLink, Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { run } from "./harness/process.ts";
import { fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import { parseIdentity, type Socket, SocketError, Sockets } from "./harness/sockets.ts";
import { sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { attached, type Config, POD_WEB_PORT, serving, VIP, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 4 << 20;
const TARGET = [VIP, WHO_PORT] as const;

await requireGround();

for (const mode of MODES) {
  Deno.test(`routes and neighbors change, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    await addSecondLinks(ground);
    const servers = await startWebServers(ground, POD_WEB_PORT);
    for (const pod of ground.pods) await Sockets.of(ground, pod).serve("udp", WHO_PORT, pod.name);
    const client = Sockets.of(ground, ground.client);
    const config = serving(ground, mode);
    config.interfaces.push({ name: "pod1b", mode, nat4: "in" });
    await using daemon = await Daemon.start(ground, { config });
    await t.step("a pod gets another MAC address", () => macChanges(ground, client));
    await t.step(
      "neighbors are forgotten before every datagram: none is lost",
      () => forgotten(ground, client),
    );
    await t.step("neighbors are forgotten during downloads", () => forgottenDuringDownload(ground, servers));
    await t.step("a route to a pod moves to another attached interface", () => routeMoves(ground, client));
    await t.step(
      "the way to the client is by an interface that is not attached",
      () => otherWayBack(ground, client, servers),
    );
    await t.step(
      "the way to the pods is by interfaces that are not attached",
      () => otherWayThere(ground, client, servers),
    );
    await daemon.stop();
  });
}

async function addSecondLinks(ground: Ground): Promise<void> {
  await addLink(ground, ground.client, "eth1", "uplinkb");
  await ground.client.namespace.ip("addr add 10.11.1.2/24 dev eth1");
  await ground.node.ip("addr add 10.11.1.1/24 dev uplinkb");
  for (const [index, pod] of ground.pods.entries()) {
    await addLink(ground, pod, "eth1", `${pod.nodeInterface}b`);
    await pod.namespace.ip(`addr add 10.12.${index + 1}.2/24 dev eth1`);
    await ground.node.ip(`addr add 10.12.${index + 1}.1/24 dev ${pod.nodeInterface}b`);
  }
}

/** A flow to each pod, by the pod's name. */
async function flowsToAll(ground: Ground, client: Sockets, firstPort: number): Promise<Map<string, Socket>> {
  const flows = new Map<string, Socket>();
  for (let port = firstPort; flows.size < ground.pods.length && port < firstPort + 100; port++) {
    const flow = await client.udp({ bind: ["", port] });
    const { pod } = parseIdentity((await flow.ask("who", TARGET)).text);
    if (flows.has(pod)) await flow.close();
    else flows.set(pod, flow);
  }
  assertEquals(flows.size, ground.pods.length, "a flow to every pod");
  return flows;
}

/** Asks, and asks again when nothing comes. How often nothing came. */
async function askUntilAnswered(flow: Socket, expected: string): Promise<number> {
  let lost = 0;
  await until(
    `an answer of ${expected}`,
    async () => {
      try {
        const { text } = await flow.ask(`attempt ${lost}`, TARGET, 100);
        return parseIdentity(text).pod === expected;
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        lost++;
        return false;
      }
    },
    5_000,
    0,
  );
  return lost;
}

async function macChanges(ground: Ground, client: Sockets): Promise<void> {
  const flows = await flowsToAll(ground, client, 20_000);
  for (const [index, pod] of ground.pods.entries()) {
    // As a pod that comes back with its address: it announces itself (arp_notify, Documentation/networking/ip-sysctl.rst).
    await pod.namespace.sysctl("net.ipv4.conf.eth0.arp_notify=1");
    await pod.namespace.ip(`link set eth0 address 02:00:00:00:aa:0${index}`);
    assertLess(await askUntilAnswered(flows.get(pod.name)!, pod.name), 10, `datagrams lost to ${pod.name}`);
  }
}

/** Forgets the neighbors on the node's interfaces of these names. `ip` gives up when an entry changes under its hands; the next call goes on. */
async function forget(ground: Ground, ...interfaces: string[]): Promise<void> {
  for (const name of interfaces) await run(["ip", "-n", ground.node.name, "neigh", "flush", "dev", name]);
}

async function forgotten(ground: Ground, client: Sockets): Promise<void> {
  const flows = await flowsToAll(ground, client, 20_200);
  for (let round = 0; round < 10; round++) {
    for (const pod of ground.pods) {
      await forget(ground, pod.nodeInterface, "uplink");
      const { text } = await flows.get(pod.name)!.ask(`round ${round}`, TARGET, 3_000);
      assertEquals(parseIdentity(text).payload, `round ${round}`);
    }
  }
}

async function forgottenDuringDownload(ground: Ground, servers: WebServer[]): Promise<void> {
  const digests = await addBlobs(servers);
  let done = false;
  const downloads = (async () => {
    for (let n = 0; n < 6; n++) await download(ground.client, digests);
  })().finally(() => done = true);
  const interfaces = ground.nodeInterfaces;
  let flushes = 0;
  while (!done) await forget(ground, interfaces[flushes++ % interfaces.length]);
  await downloads;
  assertGreater(flushes, 5);
}

function addBlobs(servers: WebServer[]): Promise<string[]> {
  return Promise.all(servers.map((server, index) => server.addBlob("blob", index + 1, BODY_BYTES)));
}

async function download(from: Host, digests: string[]): Promise<void> {
  const { body } = await fetchUrl(from.namespace, `http://${VIP}/blob`);
  assertEquals(digests.includes(await sha256(body)), true, `${body.length} bytes that no pod has`);
}

/** How many packets have arrived at an interface of a host. */
async function received(host: Host, name: string): Promise<number> {
  const [link] = await host.namespace.ipJson<{ stats64: { rx: { packets: number } } }[]>(
    "-s",
    "link",
    "show",
    name,
  );
  return link.stats64.rx.packets;
}

async function routeMoves(ground: Ground, client: Sockets): Promise<void> {
  const pod = ground.pods[0];
  const flow = (await flowsToAll(ground, client, 20_400)).get(pod.name)!;
  for (let round = 0; round < 5; round++) {
    const before = await received(pod, "eth1");
    await ground.node.ip(`route add ${pod.address}/32 via 10.12.1.2 dev pod1b`);
    await until("packets on the other link", async () => {
      assertEquals(await askUntilAnswered(flow, pod.name), 0, "datagrams lost");
      return await received(pod, "eth1") > before + 2;
    });
    await ground.node.ip(`route del ${pod.address}/32`);
    assertEquals(await askUntilAnswered(flow, pod.name), 0, "datagrams lost on the way back");
  }
}

async function otherWayBack(ground: Ground, client: Sockets, servers: WebServer[]): Promise<void> {
  const digests = await addBlobs(servers);
  await ground.node.ip(`route add ${ground.client.address}/32 via 10.11.1.2 dev uplinkb`);
  const before = await received(ground.client, "eth1");
  for (const [pod, flow] of await flowsToAll(ground, client, 20_600)) {
    assertEquals(await askUntilAnswered(flow, pod), 0);
  }
  for (let n = 0; n < 3; n++) await download(ground.client, digests);
  assertGreater(await received(ground.client, "eth1"), before + 100, "packets that came the other way");
  await ground.node.ip(`route del ${ground.client.address}/32`);
}

async function otherWayThere(ground: Ground, client: Sockets, servers: WebServer[]): Promise<void> {
  const digests = await addBlobs(servers);
  const others = ground.pods.slice(1); // pod1b is attached
  const before = await Promise.all(others.map((pod) => received(pod, "eth1")));
  for (const [index, pod] of others.entries()) {
    await ground.node.ip(`route add ${pod.address}/32 via 10.12.${index + 2}.2 dev ${pod.nodeInterface}b`);
  }
  const flows = await flowsToAll(ground, client, 20_800);
  for (const [pod, flow] of flows) assertEquals(await askUntilAnswered(flow, pod), 0);
  for (let n = 0; n < 8; n++) await download(ground.client, digests);
  for (const [index, pod] of others.entries()) {
    // No download may have come to this pod, and its flow has asked twice only.
    await until(`packets to ${pod.name} the other way`, async () => {
      assertEquals(await askUntilAnswered(flows.get(pod.name)!, pod.name), 0);
      return await received(pod, "eth1") > before[index] + 2;
    });
    await ground.node.ip(`route del ${pod.address}/32`);
  }
}

/** Pods behind what is no plain veth: an interface of the node's own making, attached with `nat4 in`. */
function behind(ground: Ground, mode: (typeof MODES)[number], name: string, pods: string[]): Config {
  const config = attached(ground, mode);
  config.interfaces = config.interfaces.filter((one) => one.name.startsWith("uplink"));
  config.interfaces.push({ name, mode: "auto", nat4: "in" });
  config.vips.push(
    { prefix: `${VIP}/32`, protocol: "tcp", port: 80, targetPort: POD_WEB_PORT, pods },
    { prefix: `${VIP}/32`, protocol: "udp", port: WHO_PORT, pods },
  );
  return config;
}

async function servesAll(ground: Ground, config: Config): Promise<void> {
  const servers = await startWebServers(ground, POD_WEB_PORT);
  for (const pod of ground.pods) await Sockets.of(ground, pod).serve("udp", WHO_PORT, pod.name);
  const digests = await addBlobs(servers);
  await using daemon = await Daemon.start(ground, { config });
  const flows = await flowsToAll(ground, Sockets.of(ground, ground.client), 20_000);
  for (const [pod, flow] of flows) assertEquals(await askUntilAnswered(flow, pod), 0);
  for (let n = 0; n < 6; n++) await download(ground.client, digests);
  const { text } = await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
  assertEquals(text.split(" ")[1], ground.client.address);
  await daemon.stop();
}

for (const mode of MODES) {
  Deno.test(`pods behind a bridge, uplink ${mode}`, async () => {
    await using ground = await Ground.create();
    await ground.node.ip("link add cni0 type bridge", "link set cni0 up", "addr add 10.3.0.1/24 dev cni0");
    for (const [index, pod] of ground.pods.entries()) {
      await addLink(ground, pod, "eth1", `br${index}`);
      await ground.node.ip(`link set br${index} master cni0`);
      await pod.namespace.ip(
        `addr add 10.3.0.${index + 10}/24 dev eth1`,
        "route replace default via 10.3.0.1",
      );
    }
    await servesAll(ground, behind(ground, mode, "cni0", ["10.3.0.10", "10.3.0.11", "10.3.0.12"]));
  });

  Deno.test(`pods on other nodes, by vxlan, uplink ${mode}`, async () => {
    await using ground = await Ground.create();
    // The links of the pods are the underlay here, and each "pod" is another node with an address on the overlay.
    const vxlan = "type vxlan id 42 dstport 4789";
    await ground.node.ip(`link add vx0 ${vxlan}`, "link set vx0 mtu 1450 up", "addr add 10.6.0.1/24 dev vx0");
    const runBridge = (host: string) => `fdb append 00:00:00:00:00:00 dev vx0 dst ${host}\n`;
    await ground.node.runOk(["bridge", "-batch", "-"], {
      stdin: ground.pods.map((pod) => runBridge(pod.address)).join(""),
    });
    for (const [index, pod] of ground.pods.entries()) {
      await pod.namespace.ip(
        `link add vx0 ${vxlan}`,
        "link set vx0 mtu 1450 up",
        `addr add 10.6.0.${index + 10}/24 dev vx0`,
        `route add ${ground.client.address}/32 via 10.6.0.1`,
      );
      await pod.namespace.runOk(["bridge", "-batch", "-"], { stdin: runBridge(pod.gateway) });
    }
    await servesAll(ground, behind(ground, mode, "vx0", ["10.6.0.10", "10.6.0.11", "10.6.0.12"]));
  });
}
