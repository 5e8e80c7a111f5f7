/**
 * `ku explain` against what then really happens: the pod it names is the one that answers, from the same port; and asking changes nothing.
 * And `ku top` at a terminal.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU, type Mode, MODES } from "./harness/daemon.ts";
import { askUdp, serveIdentity } from "./harness/identity.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";
import { talk } from "./harness/terminal.ts";

await requireGround();

interface Explanation {
  packet: string;
  interface: string;
  service: { prefix: string } | null;
  session: { state: string; worker: number } | null;
  slot: number | null;
  slots: number | null;
  pod: string | null;
  rewrite: string | null;
  route: { interface: string | null; nextHop: string; mac: string | null } | null;
  verdict: string;
  counted: { reason: string; kind: string }[];
}

async function explain(daemon: Daemon, ...words: string[]): Promise<Explanation> {
  const { code, text, stderr } = await daemon.run("explain", ...words, "--json");
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(text);
}

function config(ground: Ground, mode: Mode) {
  return {
    ...attachedDual(ground, mode),
    vips: [
      { prefix: VIP, protocol: "udp", port: WHO_PORT, pods: ground.pods.map((pod) => pod.address) },
      {
        prefix: VIP6,
        protocol: "udp",
        port: WHO_PORT,
        srcIpSticky: true,
        pods: ground.pods.map((pod) => pod.address6),
      },
      { prefix: VIP, protocol: "tcp", port: 80 },
      { prefix: "10.97.0.0/16", type: "nat46", pods: [ground.pods[0].address6] },
    ],
  };
}

for (const mode of MODES) {
  Deno.test(`explain tells what then happens, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground, { config: config(ground, mode) });
    const { client } = ground;
    const ask = (address: string, port: number) =>
      askUdp(agents.of(client), [address, WHO_PORT], { bind: ["", port] });
    // Neighbors are known afterwards.
    for (let port = 19_000; port < 19_020; port++) await ask(VIP, port);
    for (const pod of ground.pods) await askUdp(agents.of(client), [pod.address6, WHO_PORT]);

    await t.step("the pod that will answer, for both families", async () => {
      for (const [from, vip] of [[client.address, VIP], [`[${client.address6}]`, VIP6]]) {
        for (let port = 20_000; port < 20_006; port++) {
          const target = vip === VIP ? VIP : `[${vip}]`;
          const told = await explain(daemon, `${from}:${port}`, `${target}:${WHO_PORT}`);
          const pod = ground.pods.find((each) => [each.address, each.address6].includes(told.pod ?? ""));
          assert(told.slot! >= 0 && told.slot! < told.slots!);
          assertEquals([told.interface, told.session], ["uplink", null]);
          assertEquals((await ask(vip, port)).pod, pod!.name);
        }
      }
    });
    await t.step("asking changes nothing", async () => {
      const state =
        async () => [await daemon.nodeCounters(), await daemon.vips(), (await daemon.sessions()).length];
      const before = await state();
      for (let port = 1; port < 10; port++) {
        await explain(daemon, `${client.address}:${port}`, `${VIP}:${WHO_PORT}`);
      }
      assertEquals(await state(), before);
    });
    await t.step("a session, the way out", async () => {
      const told = await explain(daemon, `${client.address}:20000`, `${VIP}:${WHO_PORT}`, "udp");
      assertEquals([told.session?.state, told.verdict, told.slot], ["active", "sent", null]);
      const pod = ground.pods.find(({ address }) => address === told.pod)!;
      assertEquals([told.route?.interface, told.route?.nextHop], [pod.nodeInterface, pod.address]);
      assertMatch(told.route?.mac ?? "", /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      assertStringIncludes(
        told.rewrite ?? "",
        `${client.address}:20000 > ${pod.address}:${WHO_PORT} udp ttl 63`,
      );
    });
    await t.step("no pod, no service, another family, a pod as client", async () => {
      const noPod = await explain(daemon, `${client.address}:1000`, `${VIP}:80`);
      assertEquals([noPod.service?.prefix, noPod.pod, noPod.verdict], [`${VIP}/32`, null, "answered"]);
      assert(noPod.counted.some(({ reason }) => reason === "no server"));
      const none = await explain(daemon, `${client.address}:1000`, `${VIP}:81`);
      assertEquals([none.service, none.verdict, none.counted.at(-1)?.kind], [
        null,
        "left to the kernel",
        "punt",
      ]);
      const mixed = await explain(daemon, `${client.address}:1000`, "10.97.1.1:4444", "udp");
      assertEquals(mixed.pod, ground.pods[0].address6);
      assertStringIncludes(mixed.rewrite ?? "", `> [${ground.pods[0].address6}]:4444 udp`);
      const pod = await explain(daemon, `${ground.pods[1].address}:1000`, `${VIP}:${WHO_PORT}`);
      assertEquals(pod.interface, "pod2");
      const host = await explain(daemon, `${client.gateway}:1000`, `${VIP}:${WHO_PORT}`);
      assertEquals(host.interface, "ku0");
    });
    await t.step("as text, and what is refused", async () => {
      const { text } = await daemon.run("explain", `${client.address}:20000`, `${VIP}:${WHO_PORT}`);
      assertMatch(
        text,
        /^packet .* udp .*, in by uplink\nservice .* udp 5353, nat44, 3 pods\nsession {2}active, idle \d+s of 40s, worker 0\npod .*\nout .*\nroute .*\nverdict {2}sent/,
      );
      await daemon.fails(1, "explain", "10.0.0.1", `${VIP}:80`);
      await daemon.fails(1, "explain", "10.0.0.1:1", `[${VIP6}]:80`);
      await daemon.fails(1, "explain", "10.0.0.1:1", `${VIP}:80`, "interface", "nowhere0");
      await daemon.fails(2, "explain", "10.0.0.1:1");
    });
    await t.step("top shows rates, pods and counters, and leaves the terminal as it was", async () => {
      let going = true;
      const traffic = (async () => {
        for (let port = 21_000; going; port++) await ask(VIP, port);
      })();
      const { code, text } = await talk([KU, "top"], [
        [`> ${VIP}/32 `, ""],
        ["█", "\r"],
        [`pods of ${VIP}/32 udp ${WHO_PORT}`, ""],
        ["█", "c"],
        ["session started", "q"],
      ], { env: { KU_SOCKET: daemon.socket, NO_COLOR: "1" } });
      going = false;
      await traffic;
      assertEquals(code, 0, text);
      assert(
        text.startsWith("\x1b[?1049h\x1b[?25l") && text.endsWith("\x1b[?25h\x1b[?1049l"),
        text.slice(-40),
      );
      await daemon.fails(1, "top");
    });
    await daemon.stop();
  });
}
