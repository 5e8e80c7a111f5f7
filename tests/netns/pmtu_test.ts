/**
 * Path MTU discovery through a VIP. Client and pods believe in 1500 bytes, and one link of the path has 1300: ku's own egress on either
 * side (it tells the sender itself), or a link behind another router on either side (ku translates what the router tells).
 *
 *     client 10.11.0.2 ── edge 10.1.1.2 ── uplink  node (ku)  pod1 ── 10.2.1.2 inner ── pod1, pod2 10.1n.0.2  :8080 nginx
 *            fd00:11::2        fd00:1:1::2                            fd00:2:1::2                  fd00:1n::2
 *                        (1)             (2)                   (3)                  (4)
 */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Namespace } from "./harness/namespace.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { fetchUrl, WebServer } from "./harness/web.ts";
import { SocketError, Sockets } from "./harness/sockets.ts";
import { parseIdentity } from "./harness/sockets.ts";
import { seededBytes, sha256 } from "./harness/random.ts";
import { attachedDual, POD_WEB_PORT, VIP, VIP6, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 4 << 20;
const WHOLE = 1500, NARROW = 1300;

await requireGround();

interface Path {
  client: Host;
  edge: Host;
  inner: Host;
  pods: Host[];
}

for (const mode of MODES) {
  Deno.test(`path MTU through a VIP, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const path = await extend(ground);
    const servers = await Promise.all(path.pods.map((pod) => WebServer.start(ground, pod, POD_WEB_PORT)));
    for (const pod of path.pods) {
      const sockets = Sockets.of(ground, pod);
      await sockets.serve("udp", WHO_PORT, pod.name);
      await sockets.serve("udp", WHO_PORT, pod.name, { family: "inet6", options: [[41, 26, 1]] });
    }
    const client = Sockets.of(ground, path.client);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    for (
      const [vip, pods] of [[VIP, path.pods.map((pod) => pod.address)], [
        VIP6,
        path.pods.map((pod) => pod.address6),
      ]] as const
    ) {
      await daemon.apply(
        `vip ${vip} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT}`,
        `pod ${vip} ${pods.join(" ")}`,
        `vip ${vip} protocol udp port ${WHO_PORT}`,
        `pod ${vip} protocol udp port ${WHO_PORT} ${pods.join(" ")}`,
      );
    }
    for (const [name, links, told, directions] of cases(ground, path)) {
      await t.step(name, async () => {
        await setMtu(links, NARROW);
        const own = links.filter(([namespace]) => namespace === ground.node);
        await daemon.untilMtu(NARROW, ...own.map(([, link]) => link));
        try {
          await talk(ground, daemon, path, servers, client, told, directions);
        } finally {
          await setMtu(links, WHOLE);
          await forgetMtus(path);
        }
      });
    }
    await daemon.stop();
  });
}

/** Bodies in the given directions, datagrams when the client has to be told; somebody must have been told. */
async function talk(
  ground: Ground,
  daemon: Daemon,
  path: Path,
  servers: WebServer[],
  client: Sockets,
  told: string,
  directions: string,
): Promise<void> {
  const before = await count(daemon);
  for (const vip of [VIP, VIP6]) {
    if (directions.includes("down")) await download(path, servers, vip);
    if (directions.includes("up")) await upload(ground, path, servers, vip);
    if (told.startsWith("client")) await datagrams(client, vip);
  }
  const after = await count(daemon);
  const reason = told.endsWith("by ku") ? "fragmentation needed or packet too big sent" : "error translated";
  assertEquals(after[reason] > before[reason], true, `"${reason}" was not counted: nobody was told`);
}

type Link = [namespace: Namespace, name: string];
type Case = [name: string, links: Link[], told: string, directions: string];

function cases(ground: Ground, { edge, inner, pods }: Path): Case[] {
  return [
    [
      "(2) the uplink: ku tells the pod",
      [[ground.node, "uplink"], [edge.namespace, "eth0"]],
      "pod by ku",
      "down up",
    ],
    [
      "(3) toward the pods: ku tells the client",
      [[ground.node, "pod1"], [inner.namespace, "eth0"]],
      "client by ku",
      "down up",
    ],
    // Only the router's end of the last link is narrow, so that client and pods believe in 1500; against it only large sends get by.
    ["(1) behind a router: the pod is told", [[edge.namespace, "client"]], "pod by router", "down"],
    [
      "(4) behind a router: the client is told",
      pods.map((pod): Link => [inner.namespace, pod.nodeInterface]),
      "client by router",
      "up",
    ],
  ];
}

/** Client and pods behind the two routers. */
async function extend(ground: Ground): Promise<Path> {
  const edge = ground.client, [inner] = ground.pods;
  for (const router of [edge, inner]) {
    await router.namespace.sysctl(
      "net.ipv4.ip_forward=1",
      "net.ipv6.conf.all.forwarding=1",
      "net.ipv4.icmp_ratelimit=0",
      "net.ipv6.icmp.ratelimit=0",
    );
  }
  const client = await behind(ground, edge, "client", 11);
  const pods = [await behind(ground, inner, "pod1", 12), await behind(ground, inner, "pod2", 13)];
  return { client, edge, inner, pods };
}

async function behind(ground: Ground, router: Host, name: string, number: number): Promise<Host> {
  const namespace = ground.stack.use(await Namespace.create(`far-${name}`));
  const host: Host = {
    name,
    namespace,
    nodeInterface: name, // the router's end, here
    address: `10.${number}.0.2`,
    address6: `fd00:${number}::2`,
    gateway: `10.${number}.0.1`,
    gateway6: `fd00:${number}::1`,
  };
  await router.namespace.ip(
    `link add name ${name} type veth peer name eth0 netns ${namespace.name}`,
    `link set ${name} up`,
    `addr add ${host.gateway}/24 dev ${name}`,
    `addr add ${host.gateway6}/64 dev ${name} nodad`,
  );
  await namespace.ip(
    "link set eth0 up",
    `addr add ${host.address}/24 dev eth0`,
    `addr add ${host.address6}/64 dev eth0 nodad`,
    `route add default via ${host.gateway}`,
    `route add default via ${host.gateway6}`,
  );
  await ground.node.ip(
    `route add 10.${number}.0.0/24 via ${router.address}`,
    `route add fd00:${number}::/64 via ${router.address6}`,
  );
  return host;
}

async function setMtu(links: Link[], mtuBytes: number): Promise<void> {
  for (const [namespace, name] of links) await namespace.ip(`link set ${name} mtu ${mtuBytes}`);
}

/** What the kernels have learnt about paths. */
async function forgetMtus({ client, edge, inner, pods }: Path): Promise<void> {
  for (const { namespace } of [client, edge, inner, ...pods]) {
    await namespace.runOk(["ip", "route", "flush", "cache"]);
    await namespace.runOk(["ip", "-6", "route", "flush", "cache"]);
  }
}

async function count(daemon: Daemon): Promise<Record<string, number>> {
  return Object.fromEntries((await daemon.nodeCounters()).map(({ reason, count }) => [reason, count]));
}

const inUrl = (address: string) => address.includes(":") ? `[${address}]` : address;

async function download({ client }: Path, servers: WebServer[], vip: string): Promise<void> {
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index + 1, BODY_BYTES)),
  );
  const { body } = await fetchUrl(client.namespace, `http://${inUrl(vip)}/blob`);
  assertEquals(digests.includes(await sha256(body)), true, `${body.length} bytes that no pod has`);
}

let uploads = 0;

async function upload(ground: Ground, { client }: Path, servers: WebServer[], vip: string): Promise<void> {
  const name = `body${++uploads}`;
  const body = seededBytes(uploads, BODY_BYTES);
  await Deno.writeFile(`${ground.directory}/${name}`, body);
  const url = `http://${inUrl(vip)}/upload/${name}`;
  const { status } = await fetchUrl(client.namespace, url, "-T", `${ground.directory}/${name}`);
  assertEquals(status, 201);
  const copies = (await Promise.all(servers.map((server) => server.uploaded(name)))).filter((copy) =>
    copy !== undefined
  );
  assertEquals(copies.length, 1);
  assertEquals(await sha256(copies[0]), await sha256(body));
}

/** UDP that must not be fragmented: the socket is told, and what fits arrives. */
async function datagrams(client: Sockets, vip: string): Promise<void> {
  const is4 = !vip.includes(":");
  // include/uapi/linux/in.h IP_MTU_DISCOVER, in6.h IPV6_MTU_DISCOVER: 3 = PROBE, ignore what the route has learnt.
  const flow = await client.udp({
    family: is4 ? "inet" : "inet6",
    options: is4 ? [[0, 10, 3], [0, 11, 1]] : [[41, 23, 3], [41, 25, 1]],
  });
  await flow.connect(vip, WHO_PORT);
  await flow.send(new Uint8Array(1400));
  assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "EMSGSIZE");
  const fits = "x".repeat(NARROW - 100); // the answer, which says more, fits too
  await flow.send(fits);
  const { pod, payload } = parseIdentity((await flow.receive()).text);
  assertMatch(pod, /^pod[12]$/);
  assertEquals(payload, fits);
  await flow.close();
}
