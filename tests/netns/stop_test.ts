/**
 * `ku stop`: everything is gone when it returns, also what a killed daemon left; `ku stop --keep`: established sessions go on until the
 * next `ku run` takes them over.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, exists, KU, MODES } from "./harness/daemon.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { Held } from "./harness/held.ts";
import { askTcp, serveIdentity, type Target } from "./harness/identity.ts";
import { repeated, VIP, WHO_PORT } from "./harness/service.ts";

const TARGET: Target = [VIP, WHO_PORT];
const CONNECTIONS = 20;

await requireGround();

for (const mode of MODES) {
  Deno.test(`ku stop and ku stop --keep, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    const clean = await footprint(ground.node);
    const options = { config: repeated(ground, mode), quiet: true };
    let daemon = await Daemon.start(ground, options);
    const held = await Held.open(daemon, ground, agents, TARGET, CONNECTIONS);
    const stop = (...words: string[]) =>
      ground.node.run([KU, "stop", "--socket", daemon.socket, ...words], { timeoutMs: 20_000 });
    const gone = async (what: string) => {
      assertEquals(differences(clean, await footprint(ground.node)), [], what);
      assertEquals(await exists(daemon.socket), false, `${what}: the socket`);
    };
    await t.step("--keep: the daemon is gone, its sessions go on, and the next one has them", async () => {
      const before = await held.sessions(daemon);
      const { code, stderr, text } = await stop("--keep");
      assertEquals({ code, stderr, text }, { code: 0, stderr: "", text: "" });
      assertEquals((await daemon.process.ended(1_000)).code, 0);
      assertEquals(await exists(daemon.socket), false);
      await held.speak();
      const left = await footprint(ground.node);
      assert(left.some((line) => line.includes("ku_tc")), "the programs are there");
      await held.speak();
      daemon = await Daemon.start(ground, options);
      const after = await held.sessions(daemon);
      assertEquals(
        after.map(({ client, pod }) => [client, pod]),
        before.map(({ client, pod }) => [client, pod]),
      );
      assert(after.every(({ kernel }, i) => kernel!.packets >= before[i].kernel!.packets));
      await askTcp(agents.of(ground.client), TARGET);
      const { sent, missing } = await held.stream.endStream();
      assertEquals(missing, [], `of ${sent} datagrams`);
    });
    await t.step("--keep, and then without a daemon: all of it goes", async () => {
      assertEquals((await stop("--keep")).code, 0);
      await held.speak();
      const again = await stop("--keep");
      assertEquals(again.code, 1);
      assertMatch(again.stderr, /^ku: daemon : .*is not running: .*\n$/);
      assertEquals((await stop()).code, 0);
      await gone("after ku stop without a daemon");
      const none = await stop();
      assertEquals(none.code, 1);
      assertMatch(none.stderr, /^ku: daemon : .*is not running: .*\n$/);
    });
    await t.step("after kill -9: all of it goes, the socket's file too", async () => {
      daemon = await Daemon.start(ground, options);
      await daemon.kill();
      const { code, stderr } = await stop();
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      await gone("after kill -9 and ku stop");
    });
    await t.step("it does not touch what belongs to a daemon with another socket", async () => {
      daemon = await Daemon.start(ground, options);
      const before = await footprint(ground.node);
      const other = await ground.node.run([KU, "stop", "--socket", `${ground.directory}/nobody.sock`]);
      assertEquals(other.code, 1);
      assertMatch(other.stderr, /^ku: a ku daemon already runs in this network namespace : pid \d+, .*\n$/);
      assertEquals(differences(before, await footprint(ground.node)), []);
    });
    await t.step("ku stop returns when everything is gone", async () => {
      const { code, stderr, text } = await stop();
      await gone("after ku stop");
      assertEquals({ code, stderr, text }, { code: 0, stderr: "", text: "" });
      assertEquals((await daemon.process.ended(1_000)).code, 0);
    });
  });
}
