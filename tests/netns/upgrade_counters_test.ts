/**
 * `ku run --upgrade`: whatever was counted goes on, to the packet: interfaces, VIPs, pods, what happened to packets, what the kernel repeated
 * and what it did not.
 *
 *     client 10.1.1.2 ── uplink  node (ku, ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assertEquals, assertGreater } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { askOn, askTcp, askUdp, openFlow, serveIdentity, type Target } from "./harness/identity.ts";
import { attachedDual, type Config, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
/** Its sessions are the rings' alone. */
const MIXED: Target = ["10.96.0.46", WHO_PORT];
/** It has no pods. */
const NOBODY = "10.96.0.99";
const ROUNDS = 2;
/** The kernel's multicast reports on ku0, which it repeats when a daemon looks after its settings. */
const OF_THE_KERNEL = "frame on ku1 that no interface sent";

await requireGround();

function config(ground: Ground, mode: Mode): Config {
  return {
    ...attachedDual(ground, mode),
    conf: { offload: true },
    vips: [
      { prefix: `${VIP}/32`, port: WHO_PORT, pods: ground.pods.map((pod) => pod.address) },
      {
        prefix: `${MIXED[0]}/32`,
        port: WHO_PORT,
        type: "nat46",
        pods: ground.pods.map((pod) => pod.address6),
      },
      { prefix: `${NOBODY}/32`, port: WHO_PORT, pods: [] },
    ],
  };
}

/** Everything that is counted, by where it is shown. */
async function counted(daemon: Daemon) {
  const shown = async (...words: string[]) => JSON.parse((await daemon.run("show", ...words, "--json")).text);
  const { installsPerSecond: _, ...offload } = await shown("offload");
  return {
    vips: await shown("vip", "verbose"),
    sessions: await daemon.sessions().then((all) => all.map(({ client, kernel }) => ({ client, kernel }))),
    offload,
    interfaces: await shown("interface"),
    node: (await daemon.nodeCounters()).filter(({ reason }) => reason !== OF_THE_KERNEL),
  };
}

/** The same, when nothing is under way any more. */
async function settled(daemon: Daemon) {
  let before = await counted(daemon);
  await until("the last packets to be counted", async () => {
    const now = await counted(daemon);
    const same = JSON.stringify(now) === JSON.stringify(before);
    before = now;
    return same;
  });
  before.sessions.sort((a, b) => a.client < b.client ? -1 : 1);
  return before;
}

for (const mode of MODES) {
  Deno.test(`counters go on over ku run --upgrade, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const from = agents.of(ground.client);
    let daemon = await Daemon.start(ground, { config: config(ground, mode), quiet: true });
    const flow = await openFlow(from, TARGET[0]);
    const mixed = await openFlow(from, MIXED[0]);
    const deaf = await openFlow(from, NOBODY);
    for (let n = 0; n < 10; n++) {
      await askOn(flow, TARGET);
      await askOn(mixed, MIXED);
      await askTcp(from, TARGET);
      await askUdp(from, TARGET);
    }
    await deaf.send("who", [NOBODY, WHO_PORT]);
    for (let round = 1; round <= ROUNDS; round++) {
      await t.step(`upgrade ${round}: all of them are what they were`, async () => {
        const before = await settled(daemon);
        assertGreater(before.offload.hits, 0);
        assertGreater(before.offload.installs, 0);
        assertGreater(before.offload.misses.unknown, 0);
        for (const { rxPackets, name } of before.interfaces) {
          if (name === "uplink") assertGreater(rxPackets, 0);
        }
        daemon = await Daemon.start(ground, { words: ["--upgrade"], quiet: true, successorOf: daemon });
        assertEquals(await settled(daemon), before);
      });
      await t.step(`after upgrade ${round}: each packet counts once`, async () => {
        const before = await settled(daemon);
        for (let n = 0; n < 10; n++) {
          await askOn(mixed, MIXED);
          await askOn(flow, TARGET);
        }
        const after = await settled(daemon);
        const vip = (of: typeof after, prefix: string) =>
          of.vips.find((one: { prefix: string }) => one.prefix === `${prefix}/32`).counters;
        for (const [prefix] of [MIXED, TARGET]) {
          const [was, is] = [vip(before, prefix), vip(after, prefix)];
          assertEquals([is.nextPacket, is.replyPackets, is.firstPacket], [
            was.nextPacket + 10,
            was.replyPackets + 10,
            was.firstPacket,
          ]);
        }
        const uplink = (of: typeof after) => {
          const { rxPackets, txPackets, kernel } = of.interfaces.find(
            (one: { name: string }) => one.name === "uplink",
          );
          return [rxPackets + kernel.rxPackets, txPackets + kernel.txPackets];
        };
        assertEquals(uplink(after), uplink(before).map((count) => count + 20));
      });
    }
    await daemon.end("SIGTERM");
  });
}
