/**
 * What a pod sends and no session awaits, ku does not even see: answers on connections to the pod itself, on the very port that the
 * VIP leads to, and what the pod begins, also under a VIP of all ports. Beside it traffic of the VIPs, to the same pod and port, works.
 *
 *     client 10.1.1.2, fd00:1:1::2 ── uplink  node (ku)  pod1 ── 10.2.1.2, fd00:2:1::2 :8080 (HTTP), :5353 (who am I, whom do I see)
 */

import { assertEquals, assertGreater } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";
import { parseIdentity, readGreeting, type Socket, Sockets, TCP_NODELAY } from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, serving, VIP, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const VIP6 = "fd96::10";
const VIP_OF_ALL = "10.96.0.9";
const VIP6_OF_ALL = "fd96::9";
const BLOB_BYTES = 4 << 20;
const SIX = { family: "inet6", options: [[41, 26, 1]] } as const; // IPV6_V6ONLY, include/uapi/linux/in6.h

await requireGround();

for (const mode of MODES) {
  Deno.test(`what no session awaits stays in the kernel, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const [server] = await startWebServers(ground, POD_WEB_PORT);
    await server.addBlob("blob", 1, BLOB_BYTES);
    const [host] = ground.pods;
    const pod = Sockets.of(ground, host);
    for (const options of [{}, SIX]) {
      await pod.serve("udp", WHO_PORT, host.name, options);
      await pod.serve("tcp", WHO_PORT, host.name, options);
    }
    const client = Sockets.of(ground, ground.client);
    await using daemon = await Daemon.start(ground, { config: configure(ground, mode) });
    const parts = { ground, daemon, client, pod, host };

    await t.step("connections to the pod itself, on the VIPs' target ports", () => unseen(parts, direct));
    await t.step("the same while VIP traffic comes and goes", () => besideVips(parts));
    await daemon.apply(
      `vip ${VIP_OF_ALL}/32`,
      `pod ${VIP_OF_ALL}/32 ${host.address}`,
      `vip ${VIP6_OF_ALL}/128`,
      `pod ${VIP6_OF_ALL}/128 ${host.address6}`,
    );
    await t.step("under a VIP of all ports too", () => unseen(parts, direct));
    await t.step("what the pod begins", () => unseen(parts, outbound));
    await t.step("the VIP of all ports works, echo included", () => throughVipOfAll(parts));
    await t.step("sessions that move to other tables, and flows without a session", () => moved(parts));
    await daemon.stop();
  });
}

Deno.test("answers are taken by either worker, whichever keeps the session", async () => {
  await using ground = await Ground.create({ pods: 1, queues: 2 });
  const [host] = ground.pods;
  await Sockets.of(ground, host).serve("udp", WHO_PORT, host.name);
  const client = Sockets.of(ground, ground.client);
  // Native: each queue of an interface has its worker, and a flow's two directions do not choose alike.
  const config = configure(ground, "native");
  await using daemon = await Daemon.start(ground, { config, words: ["--workers", "2"] });
  for (let n = 0; n < 60; n++) {
    const flow = await client.udp({ bind: ["", 20_000 + n] });
    for (let i = 0; i < 3; i++) assertEquals((await flow.ask("who", [VIP, WHO_PORT])).from, [VIP, WHO_PORT]);
    await flow.close();
  }
  assertEquals(new Set((await daemon.sessions()).map((session) => session.worker)).size, 2);
  const crossed = (await daemon.nodeCounters()).find(({ reason }) => reason === "session of another worker");
  assertGreater(crossed?.count ?? 0, 0);
  await daemon.stop();
});

interface Parts {
  ground: Ground;
  daemon: Daemon;
  client: Sockets;
  pod: Sockets;
  host: Host;
}

function configure(ground: Ground, mode: Mode) {
  const config = serving(ground, mode);
  const pods = ground.pods.map((pod) => pod.address6);
  return {
    interfaces: config.interfaces.map((each) => each.nat4 === "in" ? { ...each, nat6: "in" } : each),
    vips: [
      ...config.vips,
      { prefix: `${VIP6}/128`, protocol: "tcp", port: WEB_PORT, targetPort: POD_WEB_PORT, pods },
      { prefix: `${VIP6}/128`, protocol: "udp", port: WHO_PORT, pods },
    ],
  };
}

/** Packets that ku received, by interface, when no more come. */
async function received(daemon: Daemon): Promise<Record<string, number>> {
  let before = "";
  return await until("quiet", async () => {
    const { text } = await daemon.run("show", "interface", "--json");
    const list: { name: string; rxPackets: number }[] = JSON.parse(text);
    const now = Object.fromEntries(list.map(({ name, rxPackets }) => [name, rxPackets]));
    await new Promise((resolve) => setTimeout(resolve, 60));
    const last = before;
    before = JSON.stringify(now);
    return before === last && now;
  }, 5_000);
}

/** Whatever `traffic` does, no packet of it is counted on any interface. */
async function unseen(parts: Parts, traffic: (parts: Parts) => Promise<void>): Promise<void> {
  const before = await received(parts.daemon);
  await traffic(parts);
  assertEquals(await received(parts.daemon), before);
}

/** Everything a client can do with the pod, past every VIP. */
async function direct({ ground, client, host }: Parts): Promise<void> {
  for (const address of [host.address, host.address6]) {
    const name = address.includes(":") ? `[${address}]` : address;
    const { body } = await fetchUrl(ground.client.namespace, `http://${name}:${POD_WEB_PORT}/blob`);
    assertEquals(body.length, BLOB_BYTES);
    await speak(await client.connect(address, WHO_PORT, { options: [TCP_NODELAY] }));
    const flow = await client.udp({ family: address.includes(":") ? "inet6" : "inet" });
    for (let n = 0; n < 10; n++) await flow.ask(`direct ${n}`, [address, WHO_PORT]);
    await flow.close();
    await ground.client.namespace.runOk(["ping", "-c3", "-i0.05", "-W2", "-q", address]);
  }
}

/** What the pod begins itself, from the ports that VIPs lead to among others. */
async function outbound({ ground, client, pod, host }: Parts): Promise<void> {
  for (const address of [ground.client.address, ground.client.address6]) {
    const family = address.includes(":") ? "inet6" : "inet";
    const listener = await client.tcp({ family, bind: ["", 7001] });
    await listener.listen();
    const connecting = pod.connect(address, 7001);
    const { socket } = await listener.accept();
    const connection = await connecting;
    for (let n = 0; n < 10; n++) {
      await connection.send("from the pod");
      assertEquals((await socket.receive(1_000, 12)).text, "from the pod");
      await socket.send("to the pod");
      assertEquals((await connection.receive(1_000, 10)).text, "to the pod");
    }
    for (const each of [connection, socket, listener]) await each.close();

    const target = await client.udp({ family, bind: ["", 7000] });
    const datagrams = await pod.udp({ family, bind: ["", POD_WEB_PORT] });
    for (let n = 0; n < 10; n++) {
      await datagrams.send(`from the pod ${n}`, [address, 7000]);
      await target.send("answer", (await target.receive()).from);
      assertEquals((await datagrams.receive()).text, "answer");
    }
    for (const each of [target, datagrams]) await each.close();
    await host.namespace.runOk(["ping", "-c3", "-i0.05", "-W2", "-q", address]);
  }
}

async function speak(connection: Socket): Promise<void> {
  await readGreeting(connection);
  await say(connection, "words");
  await connection.close();
}

async function say(connection: Socket, text: string): Promise<void> {
  await connection.send(text);
  assertEquals((await connection.receive(2_000, text.length)).text, text);
}

/** A connection by the VIP is open all the while; datagrams by VIPs go at the same time, and they alone are counted. */
async function besideVips({ ground, daemon, client, host, pod }: Parts): Promise<void> {
  const connection = await client.connect(VIP, WHO_PORT, { options: [TCP_NODELAY] });
  await readGreeting(connection);
  await say(connection, "before");
  const flow = await client.udp();
  const six = await client.udp({ family: "inet6" });
  // What reaches the rings is counted: so the kernel must not take datagrams off their way.
  await daemon.ku("conf offload off");
  const before = await received(daemon);
  const around = direct({ ground, daemon, client, host, pod });
  for (let n = 0; n < 50; n++) {
    assertEquals((await flow.ask(`by the VIP ${n}`, [VIP, WHO_PORT])).from, [VIP, WHO_PORT]);
    assertEquals((await six.ask(`by the VIP ${n}`, [VIP6, WHO_PORT])).from.slice(0, 2), [VIP6, WHO_PORT]);
  }
  await around;
  const both = { uplink: before.uplink + 100, pod1: before.pod1 + 100 };
  assertEquals(await received(daemon), both, "the datagrams by the VIPs, no more and no less");
  await daemon.ku("conf offload on");
  await say(connection, "after");
  const { localPort, text } = await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
  assertEquals(text, `${host.name} ${ground.client.address} ${localPort}\n`);
  assertGreater((await received(daemon)).pod1, both.pod1);
  for (const each of [connection, flow, six]) await each.close();
}

async function throughVipOfAll({ ground, daemon, client }: Parts): Promise<void> {
  const before = await received(daemon);
  for (const address of [VIP_OF_ALL, VIP6_OF_ALL]) {
    await ground.client.namespace.runOk(["ping", "-c10", "-i0.02", "-W2", "-q", address]);
  }
  const both = { uplink: before.uplink + 20, pod1: before.pod1 + 20 };
  assertEquals(await received(daemon), both, "every echo and its reply");
  for (const address of [VIP_OF_ALL, VIP6_OF_ALL]) {
    await speak(await client.connect(address, WHO_PORT));
    const flow = await client.udp({ family: address.includes(":") ? "inet6" : "inet" });
    const { text, from } = await flow.ask("who", [address, WHO_PORT]);
    assertEquals([from[0], parseIdentity(text).pod], [address, "pod1"]);
    await flow.close();
  }
}

/** Answers are awaited as before when `conf buckets` moves the sessions, and when there is room for four only. */
async function moved({ daemon, client }: Parts): Promise<void> {
  const connection = await client.connect(VIP, WHO_PORT, { options: [TCP_NODELAY] });
  await readGreeting(connection);
  const flow = await client.udp();
  for (const buckets of [4096, 16, 1024]) {
    await daemon.ku(`conf buckets ${buckets}`);
    await say(connection, `${buckets} buckets`);
    await flow.ask("who", [VIP, WHO_PORT]);
  }
  await connection.close();
  await daemon.ku("conf buckets 1");
  for (let n = 0; n < 20; n++) {
    const other = await client.udp();
    for (let i = 0; i < 3; i++) assertEquals((await other.ask("who", [VIP, WHO_PORT])).from, [VIP, WHO_PORT]);
    await other.close();
  }
  const untracked = (await daemon.vips()).map((vip) => vip.counters.untracked);
  assertGreater(Math.max(...untracked), 20, "packets of flows that found no room");
}
