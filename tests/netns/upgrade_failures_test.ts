/**
 * `ku run --upgrade` that comes to nothing, by refusal, by a file that is no use, or by kill -9 at any moment: the old daemon goes on with
 * all its sessions, and the next upgrade finds nothing in its way.
 *
 *     client 10.1.1.2 ── uplink  node (ku, ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { handoverPath } from "../../mod/control/handover.ts";
import { DaemonConnection, RpcError } from "../../mod/control/rpc_client.ts";
import { requireGround } from "./harness/requirements.ts";
import { Between, type BetweenOptions, type Moment } from "./harness/between.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, exists, KU, type Mode, MODES } from "./harness/daemon.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { Held } from "./harness/held.ts";
import { type Agents, askOn, askTcp, echoes, greeted, openFlow, serveIdentity } from "./harness/identity.ts";
import type { Target } from "./harness/identity.ts";
import { Process } from "./harness/process.ts";
import { ownPrograms } from "./harness/programs.ts";
import type { Socket } from "./harness/sockets.ts";
import { attachedDual, type Config, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
/** Its sessions are the rings' alone. */
const MIXED: Target = ["10.96.0.46", WHO_PORT];
const CONNECTIONS = 20;
/** An interface that the old daemon leaves alone. */
const EXTRA = "extra0";

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
    ],
  };
}

/** A daemon with sessions in the kernel and in the rings, and what is to hold after every attempt to take over from it. */
class Old {
  #attempts = 0;

  private constructor(
    readonly ground: Ground,
    readonly agents: Agents,
    public daemon: Daemon,
    readonly held: Held,
    readonly mixed: Socket,
    readonly flow: Socket,
    readonly pod: string,
  ) {}

  static async start(ground: Ground, mode: Mode): Promise<Old> {
    const agents = await serveIdentity(ground, WHO_PORT);
    const daemon = await Daemon.start(ground, { config: config(ground, mode), quiet: true });
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    const from = agents.of(ground.client);
    const mixed = (await greeted(from, MIXED)).connection;
    const flow = await openFlow(from, MIXED[0], { bind: ["", 20_001] });
    return new Old(ground, agents, daemon, held, mixed, flow, (await askOn(flow, MIXED)).pod);
  }

  /** `ku run --upgrade`, its questions passed on as `options` says. */
  attempt(options: BetweenOptions, ...words: string[]): { next: Process; between: Between } {
    const path = `${this.ground.directory}/between-${++this.#attempts}.sock`;
    const between = new Between(path, this.daemon.socket, options);
    const next = new Process("ku run --upgrade", [
      ...["ip", "netns", "exec", this.ground.node.name],
      ...[KU, "run", "--upgrade", "--socket", path, ...words],
    ]);
    return { next, between };
  }

  /** The old one serves, with every session that it had, and nothing is left of the other. */
  async goesOn(): Promise<void> {
    const { daemon, held, mixed, flow, agents, ground } = this;
    assertEquals(daemon.process.running, true, daemon.process.stderr);
    await until("the old one", async () => (await daemon.run("show")).code === 0);
    await held.speak();
    await echoes(mixed, "still there?");
    assertEquals((await askOn(flow, MIXED)).pod, this.pod);
    await askTcp(agents.of(ground.client), TARGET);
    await askTcp(agents.of(ground.client), MIXED);
    // A command takes effect: nothing waits for the one that has gone.
    await daemon.ku("conf timeout 41");
    await daemon.ku("conf timeout 40");
    await until("the kernel's help again", async () => {
      await held.speak();
      return (await daemon.offload()).used >= CONNECTIONS;
    });
    assertEquals(await exists(handoverPath(daemon.socket)), false, "the file of the handover");
  }
}

/** The same bytes but for the first line. */
function withLine(change: (line: Record<string, unknown>) => unknown): BetweenOptions["file"] {
  return (bytes) => {
    const end = bytes.indexOf(10);
    const line = JSON.stringify(change(JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)))));
    return new Uint8Array([...new TextEncoder().encode(line), ...bytes.subarray(end)]);
  };
}

const FILES: [what: string, file: BetweenOptions["file"], said: RegExp][] = [
  [
    "of a format to come",
    withLine((line) => ({ ...line, format: 99 })),
    /^ku: handover format : 99, is not \d+: use /m,
  ],
  [
    "of no format",
    withLine(({ format: _, ...line }) => line),
    /^ku: handover format : undefined, is not \d+: use /m,
  ],
  ["that ends too soon", (bytes) => bytes.slice(0, -8), /^ku: handover : .*, is not whole: /m],
  ["cut in the first line", (bytes) => bytes.slice(0, 100), /^ku: handover : .*, is not whole: /m],
];

const MOMENTS: Moment[] = [
  "before the offer",
  "after the offer",
  "before the handover",
  "after the handover",
];

for (const mode of MODES) {
  Deno.test(`ku run --upgrade that comes to nothing, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    await ground.node.ip(`link add ${EXTRA} type veth peer name ${EXTRA}1`, `link set ${EXTRA} up`);
    const clean = await footprint(ground.node);
    const old = await Old.start(ground, mode);
    await t.step("the old one refuses a format that it does not know", async () => {
      for (const commit of [false, true]) {
        const connection = await DaemonConnection.connect(old.daemon.socket);
        try {
          await connection.call("handOver", { format: 99, commit });
          throw new Error("it was not refused");
        } catch (error) {
          assert(error instanceof RpcError, String(error));
          assertMatch(
            error.message,
            /^handover format : 99, is not \d+: use "ku stop --keep" and then "ku run"$/,
          );
        } finally {
          connection.close();
        }
      }
      await old.goesOn();
    });
    const refusals = [
      { code: -32601, message: "no such method" },
      { code: -32000, message: 'handover format : 2, is not 1: use "ku stop --keep" and then "ku run"' },
    ];
    for (const refusal of refusals) {
      await t.step(`the new one is refused: ${refusal.message}`, async () => {
        const { next, between } = old.attempt({ refusal });
        await using _ = between;
        assertEquals((await next.ended(20_000)).code, 1);
        assertEquals(next.stderr.trimEnd().split("\n").length, 1, next.stderr);
        assertMatch(next.stderr, /handover format : .*use "ku stop --keep" and then "ku run"\n$/);
        await old.goesOn();
      });
    }
    for (const [what, file, said] of FILES) {
      await t.step(`a file ${what}`, async () => {
        const { next, between } = old.attempt({ file });
        await using _ = between;
        assertEquals((await next.ended(20_000)).code, 1, next.stderr);
        assertMatch(next.stderr, said);
        assertEquals(/\s+at .*:\d+:\d+/.test(next.stderr), false, next.stderr);
        await old.goesOn();
      });
    }
    for (const moment of MOMENTS) {
      await t.step(`kill -9 ${moment}`, async () => {
        const killed = Promise.withResolvers<void>();
        const { next, between } = old.attempt({
          at: async (now) => {
            if (now !== moment) return;
            next.signal("SIGKILL");
            await next.ended();
            killed.resolve();
          },
        });
        await using _ = between;
        await killed.promise;
        await old.goesOn();
      });
    }
    await t.step("a new one that stands still is ended", async () => {
      const { next, between } = old.attempt({
        at: (now) => void (now === "after the handover" && next.signal("SIGSTOP")),
      });
      await using _ = between;
      await until("its end", () => !next.running, 60_000);
      assertMatch(old.daemon.process.stderr, /upgrade : the new process stood still for 20 s, ended/);
      await old.goesOn();
    });
    const programs = () => ownPrograms(ground.node).filter(({ link }) => link === EXTRA);
    const signs: [string, (stderr: string) => boolean][] = [
      ["it says that it took over", (stderr) => /upgrade : took over/.test(stderr)],
      ["it has attached another interface", () => programs().length > 0],
      ["it says that it takes packets", (stderr) => /packets are taken again/.test(stderr)],
    ];
    for (const [sign, isSeen] of signs) {
      await t.step(`kill -9 when ${sign}`, async () => {
        const saidBefore = old.daemon.process.stderr.length;
        const { next, between } = old.attempt({}, "--interface", EXTRA);
        await using _ = between;
        await until(sign, () => isSeen(next.stderr), 20_000, 1);
        next.signal("SIGKILL");
        await next.ended();
        // Said too late, it may have been told that the new one has everything: then the kernel's sessions go on without either.
        if (await left(old.daemon, saidBefore)) {
          await old.held.speak();
          old.daemon = await Daemon.start(ground, { config: config(ground, mode), quiet: true });
          await old.held.speak();
          return;
        }
        await old.goesOn();
        assertEquals(programs(), [], "what it had begun to steer");
      });
    }
    await t.step("and then one that comes to something", async () => {
      old.daemon = await Daemon.start(ground, { words: ["--upgrade"], quiet: true, successorOf: old.daemon });
      await old.held.speak();
      await askTcp(old.agents.of(ground.client), TARGET);
    });
    await old.daemon.end("SIGTERM");
    assertEquals(differences(clean, await footprint(ground.node)), []);
  });
}

/** Whether the old one has left, after all: it says so, or goes on. */
async function left({ process }: Daemon, saidBefore: number): Promise<boolean> {
  const said = () => process.stderr.slice(saidBefore);
  await until("its decision", () => /another process has taken over|, going on/.test(said()));
  return /another process has taken over/.test(said());
}
