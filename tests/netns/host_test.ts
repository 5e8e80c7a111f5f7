/**
 * Sockets of the node itself reach VIPs, by ku's routes to ku0. What no service takes is refused at once and does not go round.
 *
 *     node (ku; curl and sockets of its own)  pod1…pod3 ── 10.2.n.2 / fd00:2:n::2     :8080 nginx, :5353 (who am I, whom do I see)
 */

import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import { askOn, askTcp, askUdp, echoes, greeted, openFlow, serveIdentity } from "./harness/identity.ts";
import { SocketError, Sockets } from "./harness/sockets.ts";
import { seededBytes, sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { attachedDual, POD_WEB_PORT, VIP, VIP6, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 1 << 20;
/** Prefixes with a service on one port. */
const PREFIX = "91.0.0.0/8", PREFIX6 = "2004::/16";
const PREFIXED = ["91.1.2.3", "2004::3"];
const VIPS = [VIP, VIP6];

await requireGround();

for (const mode of MODES) {
  Deno.test(`the node's own sockets, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const servers = await startWebServers(ground, POD_WEB_PORT);
    await serveIdentity(ground, WHO_PORT);
    const node = Sockets.of(ground, nodeHost(ground));
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    await configure(daemon, ground);
    await t.step("TCP and UDP to VIPs and prefixes, all pods", () => reaches(ground, node));
    await t.step("held connections and flows", () => held(node));
    await t.step("bodies up and down", () => bodies(ground, servers));
    await t.step("echo", async () => {
      for (const vip of VIPS) await ground.node.runOk(["ping", "-c2", "-i0.02", "-W1", vip]);
    });
    await t.step(
      "a port that nobody serves is refused at once, on one round",
      () => refused(ground, daemon, node),
    );
    await t.step("no pod: refused at once", () => noPod(daemon, ground, node));
    await t.step("without the VIP its route is gone", async () => {
      await daemon.ku(`vip ${PREFIX} port ${WHO_PORT} del`);
      const routes = await ground.node.runOk(["ip", "route", "show", "dev", "ku0"]);
      assertEquals(routes.includes("91."), false, routes);
    });
    await daemon.stop();
  });
}

function nodeHost(ground: Ground): Host {
  const { gateway, gateway6, nodeInterface } = ground.client;
  const own = { address: gateway, address6: gateway6, gateway, gateway6 };
  return { name: "node", namespace: ground.node, nodeInterface, ...own };
}

async function configure(daemon: Daemon, ground: Ground): Promise<void> {
  const four = ground.pods.map((pod) => pod.address).join(" ");
  const six = ground.pods.map((pod) => pod.address6).join(" ");
  await daemon.apply(...[[VIP, PREFIX, four], [VIP6, PREFIX6, six]].flatMap(([vip, prefix, pods]) => [
    `vip ${vip} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT}`,
    `pod ${vip} ${pods}`,
    `vip ${vip} port ${WHO_PORT}`,
    `pod ${vip} port ${WHO_PORT} ${pods}`,
    `vip ${prefix} port ${WHO_PORT}`,
    `pod ${prefix} ${pods}`,
  ]));
}

async function reaches(ground: Ground, node: Sockets): Promise<void> {
  for (const [index, vip] of [...VIPS, ...PREFIXED].entries()) {
    const addresses = await ownAddresses(ground, vip);
    const first = 20_000 + 100 * index; // ports of their own: the VIPs share pods and ports
    for (const ask of [askUdp, askTcp]) {
      const pods = new Set<string>();
      for (let port = first; port < first + 15; port++) {
        const identity = await ask(node, [vip, WHO_PORT], { bind: ["", port] });
        assertEquals([addresses.includes(identity.address), identity.port], [true, port], identity.address);
        pods.add(identity.pod);
      }
      assertEquals(pods.size, 3, `pods behind ${vip}`);
    }
  }
}

/** The node's addresses of a VIP's family. */
async function ownAddresses(ground: Ground, vip: string): Promise<string[]> {
  const family = vip.includes(":") ? "-6" : "-4";
  const links = await ground.node.ipJson<{ addr_info: { local: string }[] }[]>(family, "addr", "show");
  return links.flatMap((link) => link.addr_info.map((each) => each.local));
}

async function held(node: Sockets): Promise<void> {
  for (const vip of [...VIPS, ...PREFIXED]) {
    const { connection } = await greeted(node, [vip, WHO_PORT]);
    const flow = await openFlow(node, vip);
    const { pod } = await askOn(flow, [vip, WHO_PORT]);
    for (let round = 0; round < 5; round++) {
      await echoes(connection, "h".repeat(20_000));
      assertEquals((await askOn(flow, [vip, WHO_PORT], `round ${round}`)).pod, pod);
    }
    await connection.close();
    await flow.close();
  }
}

async function bodies(ground: Ground, servers: WebServer[]): Promise<void> {
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index + 1, BODY_BYTES)),
  );
  const body = seededBytes(77, BODY_BYTES);
  await Deno.writeFile(`${ground.directory}/body`, body);
  for (const [index, vip] of [VIP, `[${VIP6}]`].entries()) {
    const down = await fetchUrl(ground.node, `http://${vip}/blob`);
    assertEquals(digests.includes(await sha256(down.body)), true);
    await fetchUrl(ground.node, `http://${vip}/upload/host${index}`, "-T", `${ground.directory}/body`);
    const copies = await Promise.all(servers.map((server) => server.uploaded(`host${index}`)));
    assertEquals(await sha256(copies.find((copy) => copy !== undefined)!), await sha256(body));
  }
}

/** Packets that the kernel has sent by ku0. */
async function sentByKu0(ground: Ground): Promise<number> {
  const [link] = await ground.node.ipJson<{ stats64: { tx: { packets: number } } }[]>(
    "-s",
    "link",
    "show",
    "ku0",
  );
  return link.stats64.tx.packets;
}

async function refused(ground: Ground, daemon: Daemon, node: Sockets): Promise<void> {
  const sessions = (await daemon.sessions()).length;
  const before = await sentByKu0(ground);
  for (const vip of [...VIPS, ...PREFIXED]) {
    const start = performance.now();
    const tcp = await assertRejects(() => node.connect(vip, 81), SocketError);
    assertEquals(tcp.code, "ECONNREFUSED");
    const flow = await openFlow(node, vip);
    await flow.connect(vip, 81);
    await flow.send("anybody?");
    assertEquals((await assertRejects(() => flow.receive(2_000), SocketError)).code, "ECONNREFUSED");
    await flow.close();
    assertLess(performance.now() - start, 500);
    // What nobody can answer ends here, too.
    const raw = await node.raw(253, { family: vip.includes(":") ? "inet6" : "inet" });
    await raw.send("anybody?", [vip, 0]);
    await raw.close();
  }
  // Twelve packets; whatever goes round would be here up to 64 times.
  await until("the packets", async () => await sentByKu0(ground) >= before + 12, 2_000);
  assertLess(await sentByKu0(ground) - before, 24);
  assertEquals((await daemon.sessions()).length, sessions);
}

async function noPod(daemon: Daemon, ground: Ground, node: Sockets): Promise<void> {
  await daemon.apply("vip 10.96.0.30 port 80", "vip fd00:96::30 port 80");
  for (const vip of ["10.96.0.30", "fd00:96::30"]) {
    // The route may be there a moment after the answer to the command.
    assertEquals((await assertRejects(() => node.connect(vip, 80), SocketError)).code, "ECONNREFUSED");
    await ground.node.runOk(["ping", "-c1", "-W1", vip]);
  }
}
