/**
 * What nat46_test.ts and nat64_test.ts have in common: clients of one family, pods of the other, everything that has to arrive.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2      :8080 nginx, :5353 (who am I, whom do I see)
 *            fd00:1:1::2                                    fd00:2:n::2
 */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { fetchAtOnce, fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import { type Agents, askOn, askTcp, askUdp, family, openFlow, serveIdentity } from "./harness/identity.ts";
import { SocketError } from "./harness/sockets.ts";
import { seededBytes, sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { attachedDual, POD_WEB_PORT, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 4 << 20;
const CONNECTIONS = 20;
const UDP_FLOWS = 10;
const NARROW_BYTES = 1300;
/** UDP port that nobody serves. */
const NOBODY = 9;

export interface Side {
  type: "nat46" | "nat64";
  /** Services by port, and one of all protocols and ports. */
  vip: string;
  vipAll: string;
  /** The pod's address behind the VIP, and the client's. */
  podAddress: (pod: Host) => string;
  clientAddress: (client: Host) => string;
  /** Whom the pod is to see when this client asks from `port`; null = any port. */
  seenBy: (pod: Host, client: Host) => string;
  keepsPort: boolean;
}

/** The whole list, in every mode, and with narrow links. Two queues: two workers, and answers that find the other one's sessions. */
export function testSide(side: Side): void {
  for (const mode of MODES) {
    Deno.test(`${side.type}, every interface ${mode}`, async (t) => {
      await using ground = await Ground.create({ queues: 2 });
      const servers = await startWebServers(ground, POD_WEB_PORT);
      const agents = await serveIdentity(ground, WHO_PORT);
      await using daemon = await start(ground, side, mode);
      await t.step(
        "20 bodies of 4 MiB at once come down, all pods used",
        () => downloads(ground, side, servers),
      );
      await t.step("bodies of 4 MiB go up", () => uploads(ground, side, servers));
      await t.step(
        "10 UDP and TCP flows: all pods, and whom they see",
        () => flows(ground, daemon, side, agents),
      );
      await t.step("datagrams of all sizes", () => sizes(ground, side, agents));
      await t.step("ping through the VIP to a pod, and to the VIP", () => pings(ground, daemon, side));
      await t.step("a pod's closed port is told to the client", () => refused(ground, side, agents));
      await t.step("the node's own sockets", () => ownSockets(ground, side));
      await t.step("large datagrams that may be fragmented", () => pieces(ground, daemon, side, agents));
      await daemon.stop();
    });

    Deno.test(`${side.type}, links of ${NARROW_BYTES} bytes that nobody expects, every interface ${mode}`, async (t) => {
      await using ground = await Ground.create();
      const servers = await startWebServers(ground, POD_WEB_PORT);
      await using daemon = await start(ground, side, mode);
      await ground.node.ip(`link set ${ground.client.nodeInterface} mtu ${NARROW_BYTES}`);
      await t.step("the uplink: the pods are told", () => downloads(ground, side, servers));
      await ground.node.ip(
        `link set ${ground.client.nodeInterface} mtu 1500`,
        ...ground.pods.map((pod) => `link set ${pod.nodeInterface} mtu ${NARROW_BYTES}`),
      );
      await t.step("the pods' links: the client is told", () => uploads(ground, side, servers));
      await ground.node.ip(...ground.pods.map((pod) => `link set ${pod.nodeInterface} mtu 1500`));
      const told = (await daemon.nodeCounters()).find((one) =>
        one.reason === "fragmentation needed or packet too big sent"
      );
      assertEquals(told!.count >= 2, true, "somebody was told");
      await daemon.stop();
    });
  }
}

async function start(ground: Ground, side: Side, mode: Mode): Promise<Daemon> {
  const daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
  const pods = ground.pods.map(side.podAddress).join(" ");
  const { type, vip, vipAll } = side;
  await daemon.apply(
    `vip ${vip} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT} ${type}`,
    `pod ${vip} protocol tcp port ${WEB_PORT} ${pods}`,
    `vip ${vip} port ${WHO_PORT} ${type}`,
    `pod ${vip} port ${WHO_PORT} ${pods}`,
    `vip ${vipAll} ${type}`,
    `pod ${vipAll} ${pods}`,
  );
  return daemon;
}

function url({ vip }: Side, path: string): string {
  return `http://${vip.includes(":") ? `[${vip}]` : vip}/${path}`;
}

async function downloads(ground: Ground, side: Side, servers: WebServer[]): Promise<void> {
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index + 1, BODY_BYTES)),
  );
  const directory = `${ground.directory}/bodies`;
  await fetchAtOnce(ground.client.namespace, url(side, "blob"), CONNECTIONS, directory);
  const seen = new Set<string>();
  for (let n = 1; n <= CONNECTIONS; n++) {
    const digest = await sha256(await Deno.readFile(`${directory}/${n}`));
    assertEquals(digests.includes(digest), true, `body ${n} is not what a pod sent`);
    seen.add(digest);
  }
  // Which pods twenty flows reach depends on the ports that the client's kernel gave them.
  for (let more = 0; seen.size < 3 && more < 20; more++) {
    seen.add(await sha256((await fetchUrl(ground.client.namespace, url(side, "blob"))).body));
  }
  assertEquals(seen.size, 3, "pods that were used");
}

async function uploads(ground: Ground, side: Side, servers: WebServer[]): Promise<void> {
  const body = seededBytes(99, BODY_BYTES);
  const digest = await sha256(body);
  const file = `${ground.directory}/upload`;
  await Deno.writeFile(file, body);
  for (let round = 0; round < 4; round++) {
    const name = `body${round}`;
    const { status } = await fetchUrl(ground.client.namespace, url(side, `upload/${name}`), "-T", file);
    assertEquals(status, 201);
    const copy = await until("the uploaded body", async () => {
      const copies = await Promise.all(servers.map((server) => server.uploaded(name)));
      return copies.find((one) => one !== undefined);
    });
    assertEquals(await sha256(copy), digest);
  }
}

async function flows(ground: Ground, daemon: Daemon, side: Side, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  let asked = 0;
  for (const [ask, first] of [[askUdp, 20_000], [askTcp, 21_000]] as const) {
    const pods = new Set<string>();
    for (let port = first; port < first + UDP_FLOWS || (pods.size < 3 && port < first + 40); port++) {
      const identity = await ask(client, [side.vip, WHO_PORT], { bind: ["", port] });
      const pod = ground.pods.find(({ name }) => name === identity.pod)!;
      assertEquals(identity.address, side.seenBy(pod, ground.client), "whom the pod saw");
      if (side.keepsPort) assertEquals(identity.port, port);
      pods.add(identity.pod);
      asked++;
    }
    assertEquals([...pods].toSorted(), ["pod1", "pod2", "pod3"]);
  }
  const shown = (await daemon.vips()).find((one) => one.port === WHO_PORT)!;
  assertEquals(shown.type, side.type);
  assertEquals([shown.counters.firstPacket, shown.counters.untracked, shown.counters.noServer], [
    asked,
    0,
    0,
  ]);
  const sessions = (await daemon.sessions()).filter((one) => one.protocol === "udp");
  const literal = (address: string) => address.includes(":") ? `[${address}]` : address;
  const from = literal(side.clientAddress(ground.client));
  assertEquals(sessions.some((one) => one.client === `${from}:20000`), true, JSON.stringify(sessions[0]));
  const addresses = ground.pods.map((pod) => `${literal(side.podAddress(pod))}:${WHO_PORT}`);
  assertEquals(sessions.every((one) => addresses.includes(one.pod)), true, JSON.stringify(sessions[0]));
}

async function sizes(ground: Ground, side: Side, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  // SO_NO_CHECK: without a checksum, which IPv4 allows and IPv6 does not.
  const variants = side.type === "nat46" ? [[], [[1, 11, 1] as const]] : [[]];
  for (const options of variants) {
    const flow = await openFlow(client, side.vip, { options });
    // The last ones come in fragments, as do their answers.
    const whole = options.length === 0 ? [1600, 4000, 8000] : [];
    for (const length of [0, 1, 2, 3, 17, 18, 511, 512, 1000, 1400, ...whole]) {
      await askOn(flow, [side.vip, WHO_PORT], "x".repeat(length));
    }
    await flow.close();
  }
}

async function pings(ground: Ground, daemon: Daemon, side: Side): Promise<void> {
  for (const [vip, size] of [[side.vipAll, 0], [side.vipAll, 56], [side.vipAll, 1400], [side.vip, 56]]) {
    const words = ["ping", "-c3", "-i0.02", "-W2", "-s", String(size), String(vip)];
    assertMatch(await ground.client.namespace.runOk(words), / 3 received, 0% packet loss/);
  }
  const all = (await daemon.vips()).find((one) => one.port === null)!;
  assertEquals([all.counters.firstPacket, all.counters.replyPackets], [3, 9]);
}

async function refused(ground: Ground, side: Side, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  const flow = await client.udp({ family: family(side.vipAll) });
  await flow.connect(side.vipAll, NOBODY);
  await flow.send("anybody?");
  assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "ECONNREFUSED", "UDP");
  await flow.close();
  const refused = await assertRejects(() => client.connect(side.vipAll, NOBODY), SocketError);
  assertEquals(refused.code, "ECONNREFUSED", "TCP");
}

/** The node itself is a client like others. */
async function ownSockets(ground: Ground, side: Side): Promise<void> {
  const seen = new Set<string>();
  for (let n = 0; n < 20; n++) seen.add((await fetchUrl(ground.node, url(side, "who"))).text.split(" ")[0]);
  assertEquals([...seen].toSorted(), ["pod1", "pod2", "pod3"]);
  assertEquals(await sha256((await fetchUrl(ground.node, url(side, "blob"))).body) !== "", true);
}

/**
 * IPv4 without DF has to be cut for IPv6, since nobody may do it there; what IPv6 sends at its minimum MTU may be cut in IPv4. The pod
 * puts the datagram together.
 */
async function pieces(ground: Ground, daemon: Daemon, side: Side, agents: Agents): Promise<void> {
  const [pod] = ground.pods;
  const vip = side.type === "nat46" ? "10.96.0.47" : "fd00:96::65";
  await daemon.apply(`vip ${vip} ${side.type}`, `pod ${vip} ${side.podAddress(pod)}`);
  const server = await agents.of(pod).udp({ family: family(side.podAddress(pod)), bind: ["", NOBODY] });
  // IP_MTU_DISCOVER = IP_PMTUDISC_DONT: no DF.
  const options = side.type === "nat46" ? [[0, 10, 0] as const] : [];
  if (side.type === "nat64") {
    // Below 1280 a link loses its IPv6.
    await ground.node.ip(`link set ${pod.nodeInterface} mtu 1000`);
    await daemon.untilMtu(1000, pod.nodeInterface);
  }
  const flow = await openFlow(agents.of(ground.client), vip, { options });
  for (const length of side.type === "nat46" ? [1452, 1453, 1472] : [952, 973, 1232]) {
    const payload = seededBytes(length, length);
    await flow.send(payload, [vip, NOBODY]);
    assertEquals((await server.receive()).bytes, payload, `a datagram of ${length} bytes`);
  }
  if (side.type === "nat64") {
    await ground.node.ip(
      `link set ${pod.nodeInterface} mtu 1500`,
      `addr add ${pod.gateway6}/64 dev ${pod.nodeInterface} nodad`,
    );
  }
  const reason = side.type === "nat46" ? "packet fragmented" : "left to the kernel to fragment";
  assertEquals((await daemon.nodeCounters()).find((one) => one.reason === reason)!.count >= 2, true, reason);
}
