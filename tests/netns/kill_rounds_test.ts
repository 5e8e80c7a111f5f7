/**
 * kill -9 under two hundred held TCP connections and a stream of datagrams, restart five seconds later: no connection breaks, of the
 * stream at most one in ten thousand is lost, ages and counters go on. KU_TEST_ROUNDS says how often in a row.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { Held } from "./harness/held.ts";
import { serveIdentity, type Target } from "./harness/identity.ts";
import { repeated, VIP, WHO_PORT } from "./harness/service.ts";

const TARGET: Target = [VIP, WHO_PORT];
const CONNECTIONS = 200;
const GAP_MS = 5000;
const ROUNDS = Number(Deno.env.get("KU_TEST_ROUNDS") ?? 1);
const LOST_SHARE = 0.0001;

await requireGround();

for (const mode of MODES) {
  Deno.test(`kill -9 under ${CONNECTIONS} connections and a stream, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const clean = await footprint(ground.node);
    const start = () => Daemon.start(ground, { config: repeated(ground, mode), quiet: true });
    let daemon = await start();
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    for (let round = 1; round <= ROUNDS; round++) {
      await t.step(`round ${round}`, async () => {
        const before = await held.sessions(daemon);
        const silent = await held.sessionOf(daemon, held.silent);
        const streamed = await held.stream.streamed();
        const asked = performance.now();
        await daemon.kill();
        await held.speak();
        // The time itself is what is asked for: five seconds without a daemon.
        await new Promise((resolve) => setTimeout(resolve, asked + GAP_MS - performance.now()));
        daemon = await start();
        const after = await held.sessions(daemon);
        await held.speak();
        assertEquals(after.map(identityOf), before.map(identityOf));
        after.forEach(({ client, kernel }, index) => {
          assert(kernel !== null, client);
          // All but the silent one have spoken.
          const more = client === silent.client ? 0 : 1;
          assertGreaterOrEqual(kernel.packets, before[index].kernel!.packets + more, client);
        });
        const { idleSeconds } = await held.sessionOf(daemon, held.silent);
        const elapsed = (performance.now() - asked) / 1000;
        assertGreaterOrEqual(idleSeconds, silent.idleSeconds + GAP_MS / 1000);
        assertLessOrEqual(idleSeconds, silent.idleSeconds + Math.ceil(elapsed) + 1);
        const carried = after.reduce((sum, { kernel }) => sum + kernel!.packets, 0);
        const { counters } = (await daemon.vips())[0];
        assertGreaterOrEqual(counters.nextPacket, carried);
        const now = await held.stream.streamed();
        assertGreaterOrEqual(now.answered - streamed.answered, GAP_MS / 2, "the stream flowed all the while");
      });
    }
    await t.step("of the stream hardly any is lost", async () => {
      const { sent, answered, missing } = await held.stream.endStream();
      assertLessOrEqual(sent - answered, sent * LOST_SHARE, `of ${sent}, lost: ${missing}`);
    });
    await daemon.end("SIGTERM");
    assertEquals(differences(clean, await footprint(ground.node)), []);
  });
}

function identityOf({ client, vip, pod, state, protocol }: Awaited<ReturnType<Held["sessions"]>>[number]) {
  return { client, vip, pod, state, protocol };
}
