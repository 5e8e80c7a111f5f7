/**
 * Nothing lost on kill -9: established sessions go on in the kernel while nobody runs, and the next `ku run` takes them over: what was
 * held, its ages and its counters, with one worker and with two. What the new configuration does not have any more ends.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 *     (and fd00:…)
 */

import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import {
  type Agents,
  askOn,
  askTcp,
  echoes,
  greeted,
  openFlow,
  serveIdentity,
  type Target,
} from "./harness/identity.ts";
import type { Socket } from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { attachedDual, type Config, VIP, VIP6, WHO_PORT } from "./harness/service.ts";

const TARGETS: Target[] = [[VIP, WHO_PORT], [VIP6, WHO_PORT]];
/** Of each family. */
const CONNECTIONS = 20;
const ROUNDS = 3;
const FIRST_PORT = 40_000;

await requireGround();

function config(ground: Ground, mode: Mode, targets = TARGETS): Config {
  return {
    ...attachedDual(ground, mode),
    conf: { offload: true },
    vips: targets.map(([vip, port]) => ({
      prefix: vip.includes(":") ? `${vip}/128` : `${vip}/32`,
      port,
      pods: ground.pods.map((pod) => vip.includes(":") ? pod.address6 : pod.address),
    })),
  };
}

interface Held {
  connections: Socket[];
  flows: { flow: Socket; to: Target; pod: string }[];
}

/** Connections and flows of both families, all of which the kernel has. */
async function hold(daemon: Daemon, ground: Ground, agents: Agents): Promise<Held> {
  const from = agents.of(ground.client);
  // The first packets of all make the neighbors known.
  for (const target of TARGETS) for (let n = 0; n < 9; n++) await askTcp(from, target);
  const held: Held = { connections: [], flows: [] };
  for (const to of TARGETS) {
    for (let n = 0; n < CONNECTIONS; n++) held.connections.push((await greeted(from, to)).connection);
    const flow = await openFlow(from, to[0], { bind: ["", FIRST_PORT + held.flows.length] });
    held.flows.push({ flow, to, pod: (await askOn(flow, to)).pod });
  }
  await until("all of them in the kernel", async () => {
    await speak(held);
    return (await repeated(daemon, held)).length === held.connections.length + held.flows.length;
  }, 30_000);
  return held;
}

/** The sessions of what is held that run in the kernel. */
async function repeated(daemon: Daemon, { connections, flows }: Held) {
  const ports = new Set([...connections.map(({ port }) => port), ...flows.map(({ flow }) => flow.port)]);
  const sessions = await daemon.sessions();
  return sessions.filter(({ client, kernel }) =>
    kernel !== null && ports.has(Number(client.slice(client.lastIndexOf(":") + 1)))
  );
}

async function speak({ connections, flows }: Held): Promise<void> {
  for (const connection of connections) await echoes(connection, "still there?");
  for (const { flow, to, pod } of flows) assertEquals((await askOn(flow, to)).pod, pod);
}

for (const mode of MODES) {
  Deno.test(`kill -9 under connections and flows, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const words = ["--workers", mode === "native" ? "1" : "2"];
    const agents = await serveIdentity(ground, WHO_PORT);
    let daemon = await Daemon.start(ground, { config: config(ground, mode), words, quiet: true });
    const held = await hold(daemon, ground, agents);
    for (let round = 1; round <= ROUNDS; round++) {
      await t.step(`round ${round}: nothing breaks, and the next ku has all of it`, async () => {
        const before = await repeated(daemon, held);
        await daemon.kill();
        await speak(held);
        await speak(held);
        daemon = await Daemon.start(ground, { config: config(ground, mode), words, quiet: true });
        const after = await repeated(daemon, held);
        assertEquals(after.length, before.length);
        for (const session of before) {
          const same = after.find(({ client, protocol }) =>
            client === session.client && protocol === session.protocol
          );
          assert(same !== undefined, session.client);
          assertEquals([same.vip, same.pod, same.state], [session.vip, session.pod, session.state]);
          // Two more exchanges, though a TCP segment may answer two.
          assertGreaterOrEqual(same.kernel!.packets, session.kernel!.packets + 2);
        }
        await speak(held);
        const vips = await daemon.vips();
        const packets = vips.reduce((sum, { counters }) => sum + counters.nextPacket, 0);
        assertGreaterOrEqual(packets, after.reduce((sum, { kernel }) => sum + kernel!.packets, 0));
      });
    }
    await t.step("what moves a connection's state comes to the worker as ever", async () => {
      for (const connection of held.connections.splice(0, 5)) await connection.close();
      await until("five sessions closing", async () => {
        const sessions = await daemon.sessions();
        return sessions.filter(({ state }) => state === "closing").length >= 5;
      });
      await askTcp(agents.of(ground.client), TARGETS[0]);
    });
    await t.step("a VIP that the next configuration lacks ends, the other one goes on", async () => {
      await daemon.kill();
      daemon = await Daemon.start(ground, { config: config(ground, mode, [TARGETS[0]]), words, quiet: true });
      const sessions = await daemon.sessions();
      assertEquals(sessions.filter(({ vip }) => vip.startsWith("[")), []);
      const { used } = await daemon.offload();
      assertEquals(used, sessions.filter(({ kernel }) => kernel !== null).length);
      await echoes(held.connections[0], "IPv4 goes on");
      assertEquals((await askOn(held.flows[0].flow, TARGETS[0])).pod, held.flows[0].pod);
    });
    await t.step("offload off in the next configuration: the sessions are the worker's", async () => {
      await daemon.kill();
      const off = { ...config(ground, mode), conf: { offload: false } };
      daemon = await Daemon.start(ground, { config: off, words, quiet: true });
      assertEquals((await daemon.offload()).used, 0);
      await echoes(held.connections[0], "IPv4 goes on in the worker");
    });
    await daemon.end("SIGTERM");
  });
}
