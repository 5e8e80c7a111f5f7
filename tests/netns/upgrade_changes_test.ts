/**
 * `ku run --upgrade` to other circumstances: another number of workers; a configuration that was changed while the new process prepared
 * itself; a file given with --config. Sessions go on, but for those that the change would have ended anyway.
 *
 *     client 10.1.1.2 ══ uplink  node (ku, ku)  pod1…pod3 ══ 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
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
import { attachedDual, type Config, VIP, WHO_PORT } from "./harness/service.ts";
import { Process } from "./harness/process.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
/** Its sessions are the rings' alone. */
const MIXED: Target = ["10.96.0.46", WHO_PORT];
/** It is deleted while a new process prepares itself. */
const DOOMED: Target = ["10.96.0.47", WHO_PORT];
const CONNECTIONS = 20;

await requireGround();

function config(ground: Ground, mode: Mode): Config {
  const pods = ground.pods.map((pod) => pod.address);
  const pods6 = ground.pods.map((pod) => pod.address6);
  return {
    ...attachedDual(ground, mode),
    conf: { offload: true },
    vips: [
      { prefix: `${VIP}/32`, port: WHO_PORT, pods },
      { prefix: `${MIXED[0]}/32`, port: WHO_PORT, type: "nat46", pods: pods6 },
      { prefix: `${DOOMED[0]}/32`, port: WHO_PORT, pods },
    ],
  };
}

async function openSome(ground: Ground, agents: Agents, target: Target): Promise<Socket[]> {
  const some: Socket[] = [];
  for (let n = 0; n < 8; n++) some.push((await greeted(agents.of(ground.client), target)).connection);
  return some;
}

async function speak(connections: readonly Socket[]): Promise<void> {
  for (const connection of connections) await echoes(connection, "still there?");
}

for (const mode of MODES) {
  Deno.test(`ku run --upgrade with other workers, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ queues: 2 });
    const agents = await serveIdentity(ground, WHO_PORT);
    const clean = await footprint(ground.node);
    let daemon = await Daemon.start(ground, {
      config: config(ground, mode),
      words: ["--workers", "2"],
      quiet: true,
    });
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    const mixed = await openSome(ground, agents, MIXED);
    const upgradeTo = async (workers: number) => {
      const before = await held.sessions(daemon);
      daemon = await Daemon.start(ground, {
        words: ["--upgrade", "--workers", String(workers)],
        quiet: true,
        successorOf: daemon,
      });
      assertEquals((await daemon.summary()).workers.length, workers);
      await held.speak();
      await speak(mixed);
      const after = await held.sessions(daemon);
      const what = (of: typeof after) => of.map(({ client, pod, state }) => [client, pod, state]);
      assertEquals(what(after), what(before));
      assert(after.every(({ kernel }, i) => kernel!.packets >= before[i].kernel!.packets));
    };
    /** By every queue. */
    const takesNewOnes = async () => {
      for (let n = 0; n < 16; n++) {
        await askTcp(agents.of(ground.client), TARGET);
        await askTcp(agents.of(ground.client), MIXED);
      }
    };
    const killHalfWay = async (workers: number) => {
      const next = await begin(ground, daemon, "--workers", String(workers));
      next.signal("SIGCONT");
      await until("its takeover", () => /upgrade : took over/.test(next.stderr), 20_000, 1);
      next.signal("SIGKILL");
      await next.ended();
      await until("the old one", async () => (await daemon.run("show")).code === 0);
      await held.speak();
      await speak(mixed);
      await takesNewOnes();
    };
    for (const workers of [1, 2]) {
      await t.step(`to ${workers}`, async () => {
        await upgradeTo(workers);
        await takesNewOnes();
      });
    }
    await t.step("the stream lost nothing", async () => {
      const { sent, missing } = await held.stream.endStream();
      assertEquals(missing, [], `of ${sent}`);
    });
    await t.step("a new one with a worker less is killed half-way", () => killHalfWay(1));
    await t.step("a new one with a worker more is killed half-way", async () => {
      daemon = await Daemon.start(ground, {
        words: ["--upgrade", "--workers", "1"],
        quiet: true,
        successorOf: daemon,
      });
      await killHalfWay(2);
    });
    await daemon.end("SIGTERM");
    assertEquals(differences(clean, await footprint(ground.node)), []);
  });

  Deno.test(`ku run --upgrade and a change meanwhile, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const from = agents.of(ground.client);
    let daemon = await Daemon.start(ground, { config: config(ground, mode), quiet: true });
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    const mixed = await openSome(ground, agents, MIXED);
    const doomed = await openSome(ground, agents, DOOMED);
    const flows = await Promise.all(
      Array.from({ length: 8 }, (_, n) => openFlow(from, MIXED[0], { bind: ["", 20_001 + n] })),
    );
    const podsOf = async () =>
      (await Promise.all(flows.map((flow) => askOn(flow, MIXED)))).map(({ pod }) => pod);
    const [gone, ...others] = ground.pods;

    await t.step("a pod, a VIP, the configuration", async () => {
      const before = await podsOf();
      assert(before.includes(gone.name));
      const next = await begin(ground, daemon);
      await daemon.ku(`pod ${VIP}/32 ${gone.address} del`);
      await daemon.ku(`pod ${MIXED[0]}/32 ${gone.address6} del`);
      await daemon.ku(`vip ${DOOMED[0]}/32 port ${WHO_PORT} del`);
      await daemon.ku("conf timeout 77 buckets 4096");
      daemon = await Daemon.succeed(daemon, next);
      // Connections to a deleted pod go on, its datagrams go to others.
      await held.speak();
      await speak(mixed);
      const after = await podsOf();
      after.forEach((pod, i) => {
        if (before[i] === gone.name) assert(others.some(({ name }) => name === pod), pod);
        else assertEquals(pod, before[i]);
      });
      const sessions = await daemon.sessions();
      assertEquals(sessions.filter(({ vip }) => vip.startsWith(`${DOOMED[0]}:`)), []);
      for (const { pod, protocol } of sessions) {
        assert(
          protocol !== "udp" || !pod.includes(gone.address6) && !pod.startsWith(`${gone.address}:`),
          pod,
        );
      }
      for (let n = 0; n < 8; n++) {
        const { pod } = await askTcp(from, TARGET);
        assert(pod !== gone.name);
      }
      const { workers } = await daemon.summary();
      assertEquals(workers[0].timeoutSeconds, 77);
      assertEquals(workers[0].sessions.capacity, 2 * 4 * 4096);
    });
    await t.step("connections of the deleted VIP are its no more", async () => {
      assertEquals((await daemon.vips()).some(({ prefix }) => prefix === `${DOOMED[0]}/32`), false);
      await Promise.all(doomed.map((connection) => connection.close()));
    });
    await t.step("the timeout is that of the workers", async () => {
      const flow = await openFlow(from, MIXED[0], { bind: ["", 20_100] });
      await daemon.ku("conf timeout 2");
      const last = daemon;
      const next = await begin(ground, last);
      await last.ku("conf timeout 1");
      daemon = await Daemon.succeed(last, next);
      await askOn(flow, MIXED);
      await until("its end", async () => {
        return !(await daemon.sessions()).some(({ client }) => client.endsWith(":20100"));
      }, 15_000);
      await daemon.ku("conf timeout 40");
    });
    await t.step("--config is not read, and that is said", async () => {
      const file = `${ground.directory}/other.json`;
      await Deno.writeTextFile(file, JSON.stringify({ ...config(ground, mode), vips: [] }));
      const words = ["--upgrade", "--config", file];
      daemon = await Daemon.start(ground, { words, quiet: true, successorOf: daemon });
      assertMatch(
        daemon.process.stderr,
        /config .*other\.json : not read, "ku apply -f .*" brings the node to it/,
      );
      await held.speak();
      await daemon.run("apply", "-f", file);
      assertEquals(await daemon.vips(), []);
      assertEquals(await daemon.sessions(), []);
    });
    await daemon.end("SIGTERM");
  });
}

/** A new process that has asked for the configuration, and stands still. */
async function begin(ground: Ground, daemon: Daemon, ...words: string[]): Promise<Process> {
  const next = new Process("ku run --upgrade", [
    ...["ip", "netns", "exec", ground.node.name],
    ...[KU, "run", "--upgrade", "--socket", daemon.socket, ...words],
  ]);
  await until("its beginning", () => !next.running || /upgrade : from/.test(next.stderr), 20_000, 1);
  next.signal("SIGSTOP");
  return next;
}
