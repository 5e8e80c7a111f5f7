/**
 * ICMP through VIPs: a pod's port unreachable reaches the client and the client's reaches the pod; echo; TTL 1 is answered by the node, 2
 * gets to the pod.
 *
 *     client 10.1.1.2    ── 10.1.1.1    uplink  node (ku)  pod1 ── 10.2.1.2
 *            fd00:1:1::2    fd00:1:1::1                            fd00:2:1::2
 */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { Agents, askTcp, family, openFlow, serveIdentity } from "./harness/identity.ts";
import { SocketError, type SocketOption, Sockets } from "./harness/sockets.ts";
import { run } from "./harness/process.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";

/** VIPs of every protocol and port; VIP and VIP6 have one port. */
const ALL = "10.96.0.20", ALL6 = "fd00:96::20";
/** The same with masquerade. */
const MASKED = "10.96.0.21", MASKED6 = "fd00:96::21";
const NOBODY = 9999;

/** include/uapi/linux/in.h, in6.h: the TTL, and ICMP errors told to the socket. */
function ttlOptions(address: string, ttl: number): SocketOption[] {
  return family(address) === "inet" ? [[0, 2, ttl], [0, 11, 1]] : [[41, 16, ttl], [41, 25, 1]];
}

await requireGround();

for (const mode of MODES) {
  Deno.test(`ICMP through a VIP, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    const { address, address6 } = ground.pods[0];
    await daemon.apply(
      ...[[ALL, address], [ALL6, address6]].flatMap(([vip, pod]) => [`vip ${vip}`, `pod ${vip} ${pod}`]),
      ...[[MASKED, address], [MASKED6, address6]].flatMap(([vip, pod]) => [
        `vip ${vip} masquerade`,
        `pod ${vip} ${pod}`,
      ]),
      ...[[VIP, address], [VIP6, address6]].flatMap(([vip, pod]) => [
        `vip ${vip} port ${NOBODY}`,
        `pod ${vip} ${pod}`,
      ]),
    );
    const client = agents.of(ground.client), pod = agents.of(ground.pods[0]);
    const node = Sockets.of(ground, { ...ground.client, name: "node", namespace: ground.node });
    for (const vip of [ALL, ALL6, VIP, VIP6, MASKED, MASKED6]) {
      await t.step(`${vip}: a closed port of the pod`, () => closedPort(client, vip));
      await t.step(`${vip}: the same, asked by the pod itself`, () => closedPort(pod, vip));
      await t.step(`${vip}: the same, asked by the node`, () => closedPort(node, vip));
    }
    for (const vip of [ALL, ALL6]) {
      await t.step(`${vip}: the client's closed port`, () => closedClient(ground, agents, vip));
      await t.step(`${vip}: TTL 1 ends at the node, 2 at the pod`, () => hops(ground, agents, vip));
    }
    await t.step("echo to a VIP with a port is answered by ku, at any TTL", () => echo(daemon, ground));
    await t.step("errors were translated, none was left over", async () => {
      const counters = await daemon.nodeCounters();
      const of = (reason: string) => counters.find((one) => one.reason === reason)!.count;
      // Port unreachable: of the pod to three of six VIPs' clients, of the client to two.
      assertEquals([of("error translated"), of("error about no session")], [3 * 6 + 2, 0]);
    });
    await daemon.stop();
  });
}

async function closedPort(client: Sockets, vip: string): Promise<void> {
  const flow = await openFlow(client, vip);
  await flow.connect(vip, NOBODY);
  await flow.send("anybody?");
  assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "ECONNREFUSED", "UDP");
  await flow.close();
  const refused = await assertRejects(() => client.connect(vip, NOBODY), SocketError);
  assertEquals(refused.code, "ECONNREFUSED", "TCP");
}

/** The pod answers when the client's socket is gone, and is told so. */
async function closedClient(ground: Ground, agents: Agents, vip: string): Promise<void> {
  const client = agents.of(ground.client);
  const server = await openFlow(agents.of(ground.pods[0]), vip, { bind: ["", NOBODY] });
  const flow = await openFlow(client, vip, { bind: ["", 20_000] });
  await flow.send("question", [vip, NOBODY]);
  const { from } = await server.receive();
  await flow.close();
  await server.connect(from[0], from[1]);
  await server.send("late answer");
  assertEquals((await assertRejects(() => server.receive(2_000), SocketError)).code, "ECONNREFUSED");
  await server.close();
}

async function hops(ground: Ground, agents: Agents, vip: string): Promise<void> {
  const is4 = family(vip) === "inet";
  const client = agents.of(ground.client);
  const flow = await openFlow(client, vip, { options: ttlOptions(vip, 1) });
  await flow.connect(vip, WHO_PORT);
  await flow.send("who");
  assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "EHOSTUNREACH");
  for (const option of ttlOptions(vip, 2)) await flow.option(option);
  await flow.send("who");
  assertMatch((await flow.receive()).text, /^pod1 /);
  await flow.close();

  const namespace = ground.client.namespace;
  const near = await run(namespace.enter(["ping", "-c1", "-W2", "-t", "1", vip]));
  const gateway = is4 ? ground.client.gateway : ground.client.gateway6;
  assertMatch(near.text, new RegExp(`From ${gateway} icmp_seq=1 Time (to live )?exceeded`));
  await namespace.runOk(["ping", "-c1", "-W2", "-t", "2", vip]);
  await askTcp(client, [vip, WHO_PORT]); // and the sessions are none the worse for it
}

async function echo(daemon: Daemon, ground: Ground): Promise<void> {
  const namespace = ground.client.namespace;
  for (const vip of [VIP, VIP6]) {
    for (const ttl of ["1", "64"]) {
      const text = await namespace.runOk(["ping", "-c2", "-i0.02", "-W2", "-t", ttl, "-p", "6b75", vip]);
      assertMatch(text, / 2 received, 0% packet loss/);
      assertMatch(text, /ttl=64 /, "ku's own answer");
    }
  }
  await daemon.apply("vip 10.96.0.30 port 80", "vip fd00:96::30 port 80");
  for (const vip of ["10.96.0.30", "fd00:96::30"]) {
    await namespace.runOk(["ping", "-c1", "-W2", "-q", vip]); // without pods too
  }
}
