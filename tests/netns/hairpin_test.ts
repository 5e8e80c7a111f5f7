/**
 * Pods as clients of VIPs. One that reaches itself is the node to itself, or its answer would not pass ku; another pod sees who asked.
 *
 *     client 10.1.1.2 ── uplink  node (ku) 10.2.n.1 ── pod1…pod3 10.2.n.2     :8080 nginx, :5353 (who am I, whom do I see)
 *     (and fd00:…)                                     each asks the VIPs that it serves itself
 */

import { assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { fetchUrl, startWebServers, type WebServer } from "./harness/web.ts";
import {
  type Agents,
  askOn,
  askTcp,
  askUdp,
  echoes,
  greeted,
  openFlow,
  serveIdentity,
} from "./harness/identity.ts";
import { sha256 } from "./harness/random.ts";
import { attachedDual, type Config, POD_WEB_PORT, VIP, VIP6, WEB_PORT, WHO_PORT } from "./harness/service.ts";

/** A VIP for each pod that it alone serves: these, with the pod's number behind. */
const ALONE = "10.96.1.", ALONE6 = "fd00:96:1::";
const BODY_BYTES = 1 << 20;

await requireGround();

for (const mode of MODES) {
  Deno.test(`pods reach VIPs, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const servers = await startWebServers(ground, POD_WEB_PORT);
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { config: configuration(ground, mode) });
    await t.step("a pod reaches itself, by TCP and UDP", () => itself(ground, agents));
    await t.step(
      "and what it holds stays, from one port to itself and to another pod",
      () => held(ground, agents),
    );
    await t.step("bodies to itself", () => bodies(ground, servers));
    await t.step("pods reach each other and sometimes themselves", () => eachOther(ground, agents));
    await t.step("the client beside them is seen as itself", async () => {
      const { address, pod } = await askUdp(agents.of(ground.client), [`${ALONE}2`, WHO_PORT]);
      assertEquals([address, pod], [ground.client.address, "pod2"]);
    });
    await daemon.stop();
  });
}

function configuration(ground: Ground, mode: Mode): Config {
  const config = attachedDual(ground, mode);
  const add = (prefix: string, pods: string[]) => {
    config.vips.push({ prefix, protocol: "tcp", port: WEB_PORT, targetPort: POD_WEB_PORT, pods });
    config.vips.push({ prefix, port: WHO_PORT, pods });
  };
  add(VIP, ground.pods.map((pod) => pod.address));
  add(VIP6, ground.pods.map((pod) => pod.address6));
  for (const [index, pod] of ground.pods.entries()) {
    add(`${ALONE}${index + 1}`, [pod.address]);
    add(`${ALONE6}${index + 1}`, [pod.address6]);
  }
  return config;
}

/** For each pod and family: the VIP it alone serves, and what a pod that reaches itself sees. */
function selves(ground: Ground): { pod: Host; vip: string; node: string; next: string; own: string }[] {
  return ground.pods.flatMap((pod, index) => [
    {
      pod,
      vip: `${ALONE}${index + 1}`,
      node: pod.gateway,
      next: `${ALONE}${index % 3 + 2}`,
      own: pod.address,
    },
    {
      pod,
      vip: `${ALONE6}${index + 1}`,
      node: pod.gateway6,
      next: `${ALONE6}${index % 3 + 2}`,
      own: pod.address6,
    },
  ]).map((self) => ({ ...self, next: self.next.replace(/4$/, "1") }));
}

async function itself(ground: Ground, agents: Agents): Promise<void> {
  for (const { pod, vip, node } of selves(ground)) {
    for (const ask of [askUdp, askTcp]) {
      const identity = await ask(agents.of(pod), [vip, WHO_PORT]);
      assertEquals([identity.pod, identity.address], [pod.name, node], `${pod.name} through ${vip}`);
    }
  }
}

async function held(ground: Ground, agents: Agents): Promise<void> {
  for (const { pod, vip, next, node, own } of selves(ground)) {
    const flow = await openFlow(agents.of(pod), vip, { bind: ["", 20_000] });
    const connection = await greeted(agents.of(pod), [vip, WHO_PORT], { bind: ["", 20_001] });
    const other = await greeted(agents.of(pod), [next, WHO_PORT], { bind: ["", 20_001] });
    const ports = new Set<number>();
    for (let round = 0; round < 3; round++) {
      const to = await askOn(flow, [vip, WHO_PORT], `itself ${round}`);
      assertEquals([to.pod, to.address], [pod.name, node]);
      ports.add(to.port);
      const away = await askOn(flow, [next, WHO_PORT], `another ${round}`);
      assertEquals([away.pod === pod.name, away.address, away.port], [false, own, 20_000]);
      await echoes(connection.connection, "y".repeat(5_000));
      await echoes(other.connection, "z".repeat(5_000));
    }
    assertEquals(ports.size, 1, "one flow, one source port");
    for (const socket of [flow, connection.connection, other.connection]) await socket.close();
  }
}

async function bodies(ground: Ground, servers: WebServer[]): Promise<void> {
  for (const [index, server] of servers.entries()) {
    const digest = await server.addBlob("own", index + 1, BODY_BYTES);
    for (const vip of [`${ALONE}${index + 1}`, `[${ALONE6}${index + 1}]`]) {
      const { body } = await fetchUrl(ground.pods[index].namespace, `http://${vip}/own`);
      assertEquals(await sha256(body), digest);
    }
  }
}

async function eachOther(ground: Ground, agents: Agents): Promise<void> {
  const pairs = new Set<string>();
  for (const pod of ground.pods) {
    for (const [vip, own, node] of [[VIP, pod.address, pod.gateway], [VIP6, pod.address6, pod.gateway6]]) {
      for (let port = 21_000; port < 21_015; port++) {
        for (const ask of [askUdp, askTcp]) {
          const identity = await ask(agents.of(pod), [vip, WHO_PORT], { bind: ["", port] });
          assertEquals(identity.address, identity.pod === pod.name ? node : own);
          pairs.add(`${vip} ${pod.name} ${identity.pod}`);
        }
      }
    }
  }
  assertEquals(pairs.size, 2 * 3 * 3, [...pairs].join("\n"));
}
