/**
 * What is not ku's stays as it is without ku, on every attached interface: ping, ARP, IPv6, an interactive connection, a pod spoken to
 * directly (on the very port that the VIP leads to), what pods begin themselves, other ports of the VIP's address.
 *
 *     client 10.1.1.2 ── uplink  node (ku; ssh-like service on the node's own 10.96.0.10:22)  pod1…pod3 ── 10.2.n.2
 */

import { assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host, offload } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import { parseIdentity, readGreeting, Sockets, TCP_NODELAY } from "./harness/sockets.ts";
import { sha256 } from "./harness/random.ts";
import { POD_WEB_PORT, serving, VIP, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 4 << 20;
const SEGMENTATION = "tcp-segmentation-offload";

await requireGround();

for (const mode of MODES) {
  Deno.test(`bystanders, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ clients: 2 });
    const servers = await startWebServers(ground, POD_WEB_PORT);
    const agents = new Map<Host, Sockets>();
    for (const host of [...ground.clients, ...ground.pods]) agents.set(host, Sockets.of(ground, host));
    const of = (host: Host) => agents.get(host)!;
    for (const pod of ground.pods) {
      for (const family of ["inet", "inet6"] as const) {
        await of(pod).serve("udp", WHO_PORT, pod.name, family === "inet6" ? SIX : {});
        await of(pod).serve("tcp", WHO_PORT, pod.name, family === "inet6" ? SIX : {});
      }
    }
    const node = nodeHost(ground);
    await Sockets.of(ground, node).serve("tcp", 22, "node");
    // The VIP is also an address of the node, as with an external load balancer's; only port 80 and 5353 of it are ku's.
    await ground.node.ip(`addr add ${VIP}/32 dev lo`);

    await using daemon = await Daemon.start(ground, { config: serving(ground, mode) });
    await t.step("ping by IPv4 and IPv6 in all directions", () => pings(ground));
    await t.step("ARP and neighbor discovery", () => neighbors(ground));
    await t.step(
      "an interactive connection to the node, at its own and at the VIP's address",
      () => interactive(ground, of),
    );
    await t.step("pods spoken to directly, on the port behind the VIP", () => direct(ground, of, servers));
    await t.step("what pods begin themselves, from the port behind the VIP too", () => outbound(ground, of));
    await t.step("the VIP still works beside it", async () => {
      const { text, localPort } = await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
      assertEquals(text.slice(5), `${ground.client.address} ${localPort}\n`);
    });
    const sessions = await daemon.sessions();
    assertEquals(
      sessions.map((session) => session.vip),
      [`${VIP}:80`],
      "a session for the VIP's connection and nothing else",
    );
    await daemon.stop();
    assertEquals(await offload(ground.pods[0], SEGMENTATION), "on");
  });
}

const SIX = { family: "inet6", options: [[41, 26, 1]] } as const; // IPV6_V6ONLY, include/uapi/linux/in6.h

/** The node seen as a host, for sockets of its own. */
function nodeHost(ground: Ground): Host {
  const { gateway, gateway6, nodeInterface } = ground.client;
  return {
    name: "node",
    namespace: ground.node,
    nodeInterface,
    address: gateway,
    address6: gateway6,
    gateway,
    gateway6,
  };
}

async function pings(ground: Ground): Promise<void> {
  const hosts = [...ground.clients, ...ground.pods];
  for (const from of hosts) {
    const others = hosts.filter((to) => to !== from).flatMap((to) => [to.address, to.address6]);
    const targets = [...others, from.gateway, from.gateway6];
    await Promise.all(
      targets.map((target) => from.namespace.runOk(["ping", "-c3", "-i0.05", "-W2", "-q", target])),
    );
  }
  // Longer than one frame: fragments of a bystander.
  await ground.client.namespace.runOk(["ping", "-c2", "-i0.05", "-W2", "-s", "4000", ground.pods[0].address]);
  await ground.client.namespace.runOk([
    "ping",
    "-c2",
    "-i0.05",
    "-W2",
    "-s",
    "4000",
    ground.pods[0].address6,
  ]);
}

async function neighbors(ground: Ground): Promise<void> {
  for (const host of [...ground.clients, ...ground.pods]) {
    await host.namespace.ip("neigh flush dev eth0");
    await ground.node.ip(`neigh flush dev ${host.nodeInterface}`);
    await ground.node.runOk(["ping", "-c1", "-W2", "-q", host.address]);
    await host.namespace.runOk(["ping", "-c1", "-W2", "-q", host.gateway6]);
  }
}

async function interactive(ground: Ground, of: (host: Host) => Sockets): Promise<void> {
  for (const address of [ground.client.gateway, VIP]) {
    const connection = await of(ground.client).connect(address, 22, { options: [TCP_NODELAY] });
    const greeting = await readGreeting(connection);
    assertEquals([greeting.pod, greeting.address, greeting.port], [
      "node",
      ground.client.address,
      connection.port,
    ]);
    for (let n = 0; n < 100; n++) {
      const keys = `key ${n}\n`;
      await connection.send(keys);
      assertEquals((await connection.receive(1_000, keys.length)).text, keys);
    }
    await connection.close();
  }
}

async function direct(ground: Ground, of: (host: Host) => Sockets, servers: WebServer[]): Promise<void> {
  for (const [index, server] of servers.entries()) {
    const pod = server.host;
    const digest = await server.addBlob("direct", index + 50, BODY_BYTES);
    for (const address of [pod.address, `[${pod.address6}]`]) {
      const { body } = await fetchUrl(ground.client.namespace, `http://${address}:${POD_WEB_PORT}/direct`);
      assertEquals(await sha256(body), digest, `${pod.name} at ${address}`);
    }
    for (const [client, bind] of [[ground.client, 21_000], [ground.clients[1], 21_000]] as const) {
      const flow = await of(client).udp({ bind: ["", bind + index] });
      const { text, from } = await flow.ask("direct", [pod.address, WHO_PORT]);
      const expected = { pod: pod.name, address: client.address, port: bind + index, payload: "direct" };
      assertEquals([from, parseIdentity(text)], [[pod.address, WHO_PORT], expected]);
      await flow.close();
    }
    const six = await of(ground.client).udp({ family: "inet6" });
    assertEquals(parseIdentity((await six.ask("six", [pod.address6, WHO_PORT])).text).pod, pod.name);
    const connection = await of(ground.client).connect(pod.address6, WHO_PORT);
    assertEquals((await readGreeting(connection)).address, ground.client.address6);
    await connection.close();
  }
}

async function outbound(ground: Ground, of: (host: Host) => Sockets): Promise<void> {
  const [first, second] = ground.pods;
  const target = await of(ground.client).udp({ bind: ["", 7000] });
  // From a port that the VIP leads to, but begun by the pod: nobody asked through the VIP, so nothing may be translated.
  const service = await of(first).udp({ bind: ["", POD_WEB_PORT] });
  await service.send("begun by the pod", [ground.client.address, 7000]);
  const arrived = await target.receive();
  assertEquals([arrived.from, arrived.text], [[first.address, POD_WEB_PORT], "begun by the pod"]);
  await target.send("answer", arrived.from);
  assertEquals((await service.receive()).from, [ground.client.address, 7000]);

  const listener = await of(ground.client).tcp({ bind: ["", 7001] });
  await listener.listen();
  for (const [pod, port] of [[first, 0], [second, POD_WEB_PORT + 1]] as const) {
    const connecting = of(pod).connect(ground.client.address, 7001, { bind: ["", port] });
    const { socket, peer } = await listener.accept();
    const connection = await connecting;
    assertEquals(peer, [pod.address, connection.port]);
    await socket.send("to the pod");
    assertEquals((await connection.receive(1_000, 10)).text, "to the pod");
    await socket.close();
    await connection.close();
  }
  const neighbor = await of(first).connect(second.address, WHO_PORT);
  assertEquals((await readGreeting(neighbor)).address, first.address, "pod to pod");
}
