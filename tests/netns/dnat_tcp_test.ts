/**
 * TCP through a VIP, byte for byte, over all pods, in both directions, with the offloads that veths are born with; the pods see the
 * client's own address and port.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 nginx :8080
 *                    10.96.0.10:80 → 8080
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, offload } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { fetchAtOnce, fetchUrl, requestsSeen, startWebServers, type WebServer } from "./harness/web.ts";
import { seededBytes, sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, serving, VIP, WEB_PORT } from "./harness/service.ts";

const BODY_BYTES = 8 << 20;
const SMALL_BODY_BYTES = 256 << 10;

await requireGround();

for (const mode of MODES) {
  Deno.test(`TCP through a VIP, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const servers = await startWebServers(ground, POD_WEB_PORT);
    await using daemon = await Daemon.start(ground, { config: serving(ground, mode) });
    await t.step(
      "30 downloads of 8 MiB, one after the other, arrive byte for byte from all pods",
      () => downloads(ground, servers),
    );
    await t.step("12 uploads of 8 MiB arrive byte for byte at all pods", () => uploads(ground, servers));
    await t.step("200 connections at once", () => manyAtOnce(ground, servers));
    await t.step("the VIP counted every connection once", () => counts(daemon, ground, 30 + 12 + 200));
    await daemon.stop();
  });
}

async function downloads(ground: Ground, servers: WebServer[]): Promise<void> {
  const podOf = new Map<string, string>();
  for (const [index, server] of servers.entries()) {
    podOf.set(await server.addBlob("blob", index + 1, BODY_BYTES), server.host.name);
  }
  // Half-done checksums, as every veth leaves them: without that the test would say little.
  for (const host of [ground.client, ...ground.pods]) {
    assertEquals(await offload(host, "tx-checksumming"), "on");
  }
  const before = (await requestsSeen(servers, 0)).length;
  const answered = new Map<string, number>();
  const ports = new Set<number>();
  for (let round = 0; round < 30; round++) {
    const { body, localPort } = await fetchUrl(ground.client.namespace, `http://${VIP}:${WEB_PORT}/blob`);
    const pod = podOf.get(await sha256(body));
    if (pod === undefined) throw new Error(`download ${round}: ${body.length} bytes that no pod has`);
    answered.set(pod, (answered.get(pod) ?? 0) + 1);
    ports.add(localPort);
  }
  assertEquals(answered.size, servers.length, `pods that answered: ${JSON.stringify([...answered])}`);
  const seen = (await requestsSeen(servers, before + 30)).filter((request) => request.uri === "/blob");
  assertEquals(new Set(seen.map((request) => request.clientAddress)), new Set([ground.client.address]));
  assertEquals(
    new Set(seen.map((request) => request.clientPort)),
    ports,
    "the pods see the clients' own ports",
  );
}

async function uploads(ground: Ground, servers: WebServer[]): Promise<void> {
  const pods = new Set<string>();
  for (let round = 0; round < 12; round++) {
    const bytes = seededBytes(1000 + round, BODY_BYTES);
    const file = `${ground.directory}/upload`;
    await Deno.writeFile(file, bytes);
    const name = `body${round}`;
    // Which pod gets a connection is a function of its addresses and ports alone, so with these the outcome is always the same.
    const options = ["-T", file, "--local-port", String(20_000 + round)];
    const answer = await fetchUrl(ground.client.namespace, `http://${VIP}/upload/${name}`, ...options);
    assertEquals(answer.status, 201);
    const stored = await until(`${name} at a pod`, async () => {
      for (const server of servers) {
        const content = await server.uploaded(name);
        if (content !== undefined) return { server, content };
      }
    });
    assertEquals(await sha256(stored.content), await sha256(bytes), `${name} at ${stored.server.host.name}`);
    pods.add(stored.server.host.name);
  }
  assertEquals(pods.size, servers.length, `pods that got uploads: ${[...pods].join(" ")}`);
}

async function manyAtOnce(ground: Ground, servers: WebServer[]): Promise<void> {
  const known = new Set<string>();
  for (const [index, server] of servers.entries()) {
    known.add(await server.addBlob("small", 100 + index, SMALL_BODY_BYTES));
  }
  // The servers give 128 KiB a second and connection, so all 200 are open together.
  const directory = `${ground.directory}/many`;
  await fetchAtOnce(ground.client.namespace, `http://${VIP}/slow/small`, 200, directory);
  const found = new Set<string>();
  for (let n = 1; n <= 200; n++) {
    const digest = await sha256(await Deno.readFile(`${directory}/${n}`));
    assertEquals(known.has(digest), true, `body ${n} is not what a pod sent`);
    found.add(digest);
  }
  assertEquals(found.size, servers.length, "every pod answered");
  const seen = await until("200 logged requests", async () => {
    const slow = (await requestsSeen(servers, 200)).filter((request) => request.uri === "/slow/small");
    return slow.length >= 200 && slow;
  });
  assertEquals(new Set(seen.map((request) => request.clientAddress)), new Set([ground.client.address]));
  assertEquals(new Set(seen.map((request) => request.clientPort)).size, 200, "connections of their own");
  const open = servers.map((server) =>
    Math.max(
      ...seen.filter((request) => request.serverAddress === server.host.address).map((request) =>
        request.openConnections
      ),
    )
  );
  assertGreaterOrEqual(open.reduce((sum, count) => sum + count, 0), 150, "connections open at once");
}

async function counts(daemon: Daemon, ground: Ground, connections: number): Promise<void> {
  const vip = await until("the count of the last connection", async () => {
    const now = await daemon.vip(WEB_PORT);
    return now.counters.firstPacket >= connections && now;
  });
  assertEquals(vip.counters.firstPacket, connections);
  assertEquals([vip.counters.untracked, vip.counters.noServer], [0, 0]);
  assertEquals(vip.pods.map((pod) => pod.address).toSorted(), ground.pods.map((pod) => pod.address));
  assertEquals(vip.targetPort, POD_WEB_PORT);
}
