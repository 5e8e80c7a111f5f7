/**
 * `ku run --upgrade`: a new process takes over from a living daemon under traffic. Connections that the kernel repeats, and those that only
 * the old process knew (nat46, sticky, offload off), go on; counters go on; a process that fails half-way leaves the old one working.
 *
 *     client 10.1.1.2 ── uplink  node (ku, ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertMatch,
} from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU, type Mode, MODES } from "./harness/daemon.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { Held } from "./harness/held.ts";
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
import { Process } from "./harness/process.ts";
import { attachedDual, type Config, VIP, VIP6, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
const MIXED: Target = ["10.96.0.46", WHO_PORT];
const STICKY: Target = [VIP6, WHO_PORT];
const CONNECTIONS = 40;
/** Upgrades in a row. */
const ROUNDS = Number(Deno.env.get("KU_TEST_ROUNDS") ?? 2);

await requireGround();

function config(ground: Ground, mode: Mode, conf: Record<string, boolean | number> = {}): Config {
  const pods = ground.pods.map((pod) => pod.address);
  const pods6 = ground.pods.map((pod) => pod.address6);
  return {
    ...attachedDual(ground, mode),
    conf: { offload: true, ...conf },
    vips: [
      { prefix: `${VIP}/32`, port: WHO_PORT, pods },
      { prefix: `${MIXED[0]}/32`, port: WHO_PORT, type: "nat46", pods: pods6 },
      { prefix: `${VIP6}/128`, port: WHO_PORT, srcIpSticky: true, pods: pods6 },
    ],
  };
}

/** Connections that live in the rings alone. */
interface Others {
  connections: Socket[];
  flow: Socket;
  pod: string;
}

async function openOthers(ground: Ground, agents: Agents): Promise<Others> {
  const from = agents.of(ground.client);
  const connections: Socket[] = [];
  for (const target of [MIXED, MIXED, STICKY]) connections.push((await greeted(from, target)).connection);
  const flow = await openFlow(from, MIXED[0], { bind: ["", 20_001] });
  return { connections, flow, pod: (await askOn(flow, MIXED)).pod };
}

async function othersSpeak({ connections, flow, pod }: Others): Promise<void> {
  for (const connection of connections) await echoes(connection, "and the others?");
  assertEquals((await askOn(flow, MIXED)).pod, pod);
}

/** Bytes of a connection without a pause, each waiting for its echo. Ends by `end`, which says how many came and the longest wait. */
function chatter(connection: Socket): { end: () => Promise<{ echoed: number; longestMs: number }> } {
  let going = true;
  const running = (async () => {
    let longestMs = 0;
    let echoed = 0;
    while (going) {
      const before = performance.now();
      await echoes(connection, "x".repeat(1000));
      longestMs = Math.max(longestMs, performance.now() - before);
      echoed++;
    }
    return { echoed, longestMs };
  })();
  return { end: () => (going = false, running) };
}

for (const mode of MODES) {
  Deno.test(`ku run --upgrade under traffic, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const clean = await footprint(ground.node);
    let daemon = await Daemon.start(ground, { config: config(ground, mode), quiet: true });
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    const others = await openOthers(ground, agents);
    for (let round = 1; round <= ROUNDS; round++) {
      await t.step(`upgrade ${round}: nothing breaks, everything goes on`, async () => {
        const before = await daemon.sessions();
        const counted = await daemon.vips();
        const talk = chatter((await greeted(agents.of(ground.client), TARGET)).connection);
        const old = daemon;
        daemon = await Daemon.start(ground, { words: ["--upgrade"], quiet: true, successorOf: old });
        assertEquals((await old.process.ended(5_000)).code, 0);
        await held.speak();
        await othersSpeak(others);
        const { echoed, longestMs } = await talk.end();
        assertGreater(echoed, 10);
        const after = await daemon.sessions();
        const missing = before.filter(({ client, protocol, pod, vip, state }) =>
          !after.some((one) =>
            one.client === client && one.protocol === protocol && one.pod === pod && one.vip === vip &&
            one.state === state
          )
        );
        assertEquals(missing, []);
        for (const { prefix, counters } of await daemon.vips()) {
          const was = counted.find((vip) => vip.prefix === prefix)!.counters;
          for (const name of ["nextPacket", "firstPacket", "replyPackets"] as const) {
            assertGreaterOrEqual(counters[name], was[name], `${prefix} ${name}`);
          }
        }
        const gap = /packets are taken again after (\d+) ms/.exec(daemon.process.stderr);
        assert(gap !== null, daemon.process.stderr);
        // A connection that the kernel repeats does not wait for it.
        assertLess(longestMs, 3000);
        await askTcp(agents.of(ground.client), TARGET);
      });
    }
    await t.step("counters count each packet once", async () => {
      const of = async () =>
        (await daemon.vips()).find(({ prefix }) => prefix === `${MIXED[0]}/32`)!.counters;
      const before = await of();
      for (let n = 0; n < 10; n++) await askOn(others.flow, MIXED);
      assertEquals((await of()).nextPacket, before.nextPacket + 10);
      const stream = await held.stream.streamed();
      const sessions = await held.sessions(daemon);
      const carried = sessions.reduce((sum, { kernel }) => sum + (kernel?.packets ?? 0), 0);
      assertGreater(stream.sent, 0);
      const { counters } = (await daemon.vips()).find(({ prefix }) => prefix === `${VIP}/32`)!;
      assertGreaterOrEqual(counters.nextPacket, carried);
      // Each upgrade would add all of it once more: the stream goes on meanwhile, and acknowledgements count too.
      const later = await held.stream.streamed();
      assert(
        counters.nextPacket < carried + 20_000 + (later.sent - stream.sent) * 2,
        String(counters.nextPacket),
      );
    });
    await t.step("the stream lost nothing", async () => {
      const { sent, missing } = await held.stream.endStream();
      assertEquals(missing, [], `of ${sent}`);
    });
    await t.step("a new process that cannot start leaves the old one working", async () => {
      const { code, stderr } = await ground.node.run(
        [KU, "run", "--upgrade", "--socket", daemon.socket, "--metrics", "192.0.2.1:1"],
        { timeoutMs: 20_000 },
      );
      assertEquals(code, 1);
      assertMatch(stderr, /ku: metrics : 192\.0\.2\.1:1, .*\n$/);
      assertEquals(daemon.process.running, true, daemon.process.stderr);
      await until("the old one", async () => (await daemon.run("show")).code === 0);
      await held.speak();
      await othersSpeak(others);
      await askTcp(agents.of(ground.client), TARGET);
      const many = await ground.node.run([
        KU,
        "run",
        "--upgrade",
        "--socket",
        daemon.socket,
        "--workers",
        "8",
      ]);
      assertEquals(many.code, 1);
      assertMatch(many.stderr, /^ku: workers : 8, .*\n$/);
      await held.speak();
    });
    await t.step("a new process that is killed half-way leaves the old one working", async () => {
      const next = new Process("ku run --upgrade", [
        ...["ip", "netns", "exec", ground.node.name],
        ...[KU, "run", "--upgrade", "--socket", daemon.socket],
      ]);
      await until("its takeover", () => /upgrade : took over/.test(next.stderr), 20_000, 1);
      next.signal("SIGKILL");
      await next.ended();
      assertEquals(/^.*ready : /m.test(next.stderr), false, "it was killed before it was ready");
      await until("the old one", async () => {
        return /going on/.test(daemon.process.stderr) && (await daemon.run("show")).code === 0;
      });
      await held.speak();
      await othersSpeak(others);
      await askTcp(agents.of(ground.client), TARGET);
      await until("the kernel's help again", async () => {
        await held.speak();
        return (await daemon.offload()).used >= CONNECTIONS;
      });
      const { used } = await daemon.offload();
      const inKernel = (await daemon.sessions()).filter(({ kernel }) => kernel !== null);
      assertEquals(used, inKernel.length);
    });
    await t.step("without a daemon there is nothing to take over", async () => {
      const nobody = ["--socket", `${ground.directory}/nobody.sock`];
      const { code, stderr } = await ground.node.run([KU, "run", "--upgrade", ...nobody]);
      assertEquals(code, 1);
      assertMatch(stderr, /^ku: daemon : .*is not running.*\n$/);
    });
    await t.step("SIGTERM leaves nothing", async () => {
      await daemon.end("SIGTERM");
      assertEquals(differences(clean, await footprint(ground.node)), []);
    });
  });
}
