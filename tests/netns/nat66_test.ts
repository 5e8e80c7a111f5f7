/**
 * IPv6 all the way (nat66), with an IPv4 VIP on the same ports beside it: bodies of a MiB, UDP flows, echo. All by commands.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2      :8080 nginx, :5353 (who am I, whom do I see)
 *            fd00:1:1::2                                    fd00:2:n::2
 */

import { assertEquals, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { fetchAtOnce, fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import { type Agents, askTcp, askUdp, serveIdentity } from "./harness/identity.ts";
import { seededBytes, sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, VIP, VIP6, WEB_PORT, WHO_PORT } from "./harness/service.ts";

const BODY_BYTES = 1 << 20;
const DOWNLOADS = 12;

await requireGround();

/** A second worker, on a second queue, meets answers of flows that the first one began. */
const VARIANTS = [...MODES.map((mode) => ({ mode, queues: 1 })), { mode: "native", queues: 2 }] as const;

for (const { mode, queues } of VARIANTS) {
  Deno.test(`nat66 and nat44 side by side, every interface ${mode}, workers: ${queues}`, async (t) => {
    await using ground = await Ground.create({ queues });
    const servers = await startWebServers(ground, POD_WEB_PORT);
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { words: ["--workers", String(queues)] });
    await configure(daemon, ground, mode);
    await t.step("TCP: bodies down, all pods used", () => downloads(ground, servers));
    await t.step("TCP: bodies up", () => uploads(ground, servers));
    await t.step(
      "UDP and TCP flows: the client's own address, all pods",
      () => flows(daemon, ground, agents),
    );
    await t.step("the VIP answers echo, of all sizes", () => pings(daemon, ground));
    await t.step("sessions of both families are shown", () => shown(daemon, ground));
    await daemon.stop();
  });
}

const VIPS = [{ vip: VIP, of: (pod: Host) => pod.address }, { vip: VIP6, of: (pod: Host) => pod.address6 }];
const inUrl = (address: string) => address.includes(":") ? `[${address}]` : address;

async function configure(daemon: Daemon, ground: Ground, mode: Mode): Promise<void> {
  const lines = [`interface ${ground.client.nodeInterface} mode ${mode}`];
  for (const pod of ground.pods) {
    lines.push(`interface ${pod.nodeInterface} mode ${mode}`);
    lines.push(`set interface nat4 in ${pod.nodeInterface}`, `set interface nat6 in ${pod.nodeInterface}`);
  }
  for (const { vip, of } of VIPS) {
    const pods = ground.pods.map(of).join(" ");
    lines.push(`vip ${vip} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT}`);
    lines.push(`pod ${vip} protocol tcp port ${WEB_PORT} ${pods}`);
    lines.push(`vip ${vip} port ${WHO_PORT}`, `pod ${vip} port ${WHO_PORT} ${pods}`);
  }
  await daemon.apply(...lines);
}

async function downloads(ground: Ground, servers: WebServer[]): Promise<void> {
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index + 1, BODY_BYTES)),
  );
  await Promise.all(VIPS.map(async ({ vip }, index) => {
    const directory = `${ground.directory}/bodies-${index}`;
    await fetchAtOnce(ground.client.namespace, `http://${inUrl(vip)}/blob`, DOWNLOADS, directory);
    const seen = new Set<string>();
    for (let n = 1; n <= DOWNLOADS; n++) {
      const digest = await sha256(await Deno.readFile(`${directory}/${n}`));
      assertEquals(digests.includes(digest), true, `body ${n} of ${vip}`);
      seen.add(digest);
    }
    for (let more = 0; seen.size < 3 && more < 20; more++) {
      seen.add(await sha256((await fetchUrl(ground.client.namespace, `http://${inUrl(vip)}/blob`)).body));
    }
    assertEquals(seen.size, 3, `pods behind ${vip} that were used`);
  }));
}

async function uploads(ground: Ground, servers: WebServer[]): Promise<void> {
  const body = seededBytes(99, BODY_BYTES);
  await Deno.writeFile(`${ground.directory}/upload`, body);
  for (const { vip } of VIPS) {
    const name = `upload/${vip.replaceAll(":", "-")}`;
    const { status } = await fetchUrl(
      ground.client.namespace,
      `http://${inUrl(vip)}/${name}`,
      "-T",
      `${ground.directory}/upload`,
    );
    assertEquals(status, 201);
    const copies = await Promise.all(servers.map((server) => server.uploaded(name.slice("upload/".length))));
    assertEquals(copies.filter((copy) => copy !== undefined).map((copy) => copy.length), [BODY_BYTES]);
    assertEquals(await sha256(copies.find((copy) => copy !== undefined)!), await sha256(body));
  }
}

async function flows(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const { vip, of } of VIPS) {
    for (const [ask, first] of [[askUdp, 20_000], [askTcp, 21_000]] as const) {
      const pods = new Set<string>();
      for (let port = first; port < first + 15; port++) {
        const identity = await ask(client, [vip, WHO_PORT], { bind: ["", port] });
        assertEquals([identity.address, identity.port], [of(ground.client), port], "whom the pod saw");
        pods.add(identity.pod);
      }
      assertEquals([...pods].toSorted(), ["pod1", "pod2", "pod3"]);
    }
    const { counters } = (await daemon.vips()).find((one) =>
      one.prefix.startsWith(`${vip}/`) && one.port === WHO_PORT
    )!;
    assertEquals([counters.firstPacket, counters.untracked, counters.noServer], [30, 0, 0]);
  }
}

async function pings(daemon: Daemon, ground: Ground): Promise<void> {
  for (const { vip } of VIPS) {
    for (const size of ["0", "56", "1400"]) {
      const text = await ground.client.namespace.runOk(["ping", "-c3", "-i0.02", "-W2", "-s", size, vip]);
      assertMatch(text, / 3 received, 0% packet loss/);
    }
  }
  await until("the counter", async () => {
    const answered = (await daemon.nodeCounters()).find((one) => one.reason === "echo to a VIP answered");
    return answered!.count >= 18;
  });
}

async function shown(daemon: Daemon, ground: Ground): Promise<void> {
  const sessions = await daemon.sessions();
  const udp = sessions.filter((session) => session.protocol === "udp");
  const clients = (address: string) => Array.from({ length: 15 }, (_, n) => `${address}:${20_000 + n}`);
  assertEquals(
    udp.map((session) => session.client).toSorted(),
    [...clients(ground.client.address), ...clients(`[${ground.client.address6}]`)].toSorted(),
  );
  const vips = new Set(sessions.map((session) => session.vip));
  assertEquals([...vips].toSorted(), [
    `${VIP}:${WHO_PORT}`,
    `${VIP}:${WEB_PORT}`,
    `[${VIP6}]:${WHO_PORT}`,
    `[${VIP6}]:${WEB_PORT}`,
  ]);
  const text = (await daemon.run("show", "ku", "sessions")).text;
  assertMatch(text, new RegExp(`udp +\\[${ground.client.address6}\\]:20000 +\\[${VIP6}\\]:${WHO_PORT} `));
}
