/**
 * Configuration as a whole: `get | apply` changes nothing, `apply` changes only what differs (a held connection of an untouched VIP and its
 * counters stay), a broken file is refused with line and column, `diff` tells what would move, and `--state-dir` brings it back.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { assertOneLine, Daemon, KU, type ShowVip } from "./harness/daemon.ts";
import type { RunResult } from "./harness/process.ts";
import { parseIdentity, readGreeting, type Socket, Sockets } from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { attached, type Config, serving, VIP, WEB_PORT, WHO_PORT } from "./harness/service.ts";

await requireGround();

const apply = (daemon: Daemon, document: unknown, ...words: string[]): Promise<RunResult> =>
  daemon.runWith(
    { stdin: typeof document === "string" ? document : JSON.stringify(document) },
    "apply",
    "-f",
    "-",
    ...words,
  );

async function get(daemon: Daemon, ...words: string[]): Promise<string> {
  const { code, text, stderr } = await daemon.run("get", ...words);
  assertEquals([code, stderr], [0, ""]);
  return text;
}

/** What it says on success. */
async function applied(daemon: Daemon, document: unknown, ...words: string[]): Promise<string> {
  const { code, text, stderr } = await apply(daemon, document, ...words);
  assertEquals([code, stderr], [0, ""]);
  return text;
}

Deno.test("a configuration is applied as a whole, and only what differs changes", async (t) => {
  await using ground = await Ground.create();
  for (const pod of ground.pods) {
    for (const protocol of ["udp", "tcp"] as const) {
      await Sockets.of(ground, pod).serve(protocol, WHO_PORT, pod.name);
    }
  }
  const config = serving(ground, "tc");
  await using daemon = await Daemon.start(ground, { config });
  await t.step("get | apply changes nothing, as YAML and as JSON", async () => {
    for (const format of ["yaml", "json"]) {
      const generation = await generationOf(daemon);
      const text = await get(daemon, "-o", format);
      assertEquals(await applied(daemon, text), "no change\n");
      assertEquals(await get(daemon, "-o", format), text);
      assertEquals(await generationOf(daemon), generation);
      assertEquals((await diff(daemon, text)).code, 0);
    }
  });
  await t.step("a VIP changes under a held connection to another", () => changeOne(daemon, ground, config));
  await t.step("diff says what would move, and moves nothing", () => whatMoves(daemon, ground, config));
  await t.step(
    "options change in place: counters stay, sessions where they lead to the same",
    () => inPlace(daemon, ground, config),
  );
  await t.step("a broken file: line and column, and nothing moves", () => broken(daemon, config));
  await t.step("--prune=false adds, and without it what is not named goes", () => pruning(daemon, config));
  await t.step("sections that are left out stay", async () => {
    await applied(daemon, config);
    const before = await get(daemon);
    for (const part of ["", "{}", "conf:\nvips:\n", "interfaces:"]) {
      assertEquals(await applied(daemon, part), "no change\n");
    }
    assertEquals(await get(daemon), before);
    assertStringIncludes(await applied(daemon, "vips: []"), "3 removed");
    assertEquals((await daemon.vips()).length, 0);
    const { length } = JSON.parse(await get(daemon, "-o", "json")).interfaces;
    assertEquals(length, config.interfaces.length);
  });
  await daemon.stop();
});

async function echoes(connection: Socket, text: string): Promise<void> {
  await connection.send(text);
  assertEquals((await connection.receive(3_000, text.length)).text, text);
}

async function generationOf(daemon: Daemon): Promise<number> {
  return JSON.parse((await daemon.run("show", "--json")).text).generation;
}

const diff = (daemon: Daemon, text: string, ...words: string[]): Promise<RunResult> =>
  daemon.runWith({ stdin: text }, "diff", "-f", "-", ...words);

/** The UDP service gets other pods while a TCP connection is held; its generation is one more, the connection and its counters go on. */
async function changeOne(daemon: Daemon, ground: Ground, config: Config): Promise<void> {
  const client = Sockets.of(ground, ground.client);
  const held = await client.connect(VIP, WHO_PORT);
  await readGreeting(held);
  const before = await daemon.vip(WHO_PORT);
  const generation = await generationOf(daemon);
  const changed = withVip(config, "udp", WHO_PORT, {
    pods: [{ address: ground.pods[0].address, weight: 7 }, ground.pods[1].address],
  });
  const said = await applied(daemon, changed);
  assertMatch(
    said,
    /^vip 10\.96\.0\.10\/32 udp 5353 changed: -10\.2\.3\.2, 10\.2\.1\.2 weight 1 → 7\n0 added, 1 changed, 0 removed, 6 unchanged\n$/,
  );
  assertEquals(await generationOf(daemon), generation + 1);
  await echoes(held, "still there?");
  const after = await daemon.vip(WHO_PORT);
  assertEquals(after.counters.firstPacket, before.counters.firstPacket);
  assert(after.counters.nextPacket > before.counters.nextPacket);
  await held.close();
  assertEquals(await applied(daemon, changed, "--dry-run"), "no change (dry run)\n");
}

function withVip(
  config: Config,
  protocol: string,
  port: number,
  options: Partial<Config["vips"][number]>,
): Config {
  return {
    ...config,
    vips: config.vips.map((vip) =>
      vip.protocol === protocol && vip.port === port ? { ...vip, ...options } : vip
    ),
  };
}

async function whatMoves(daemon: Daemon, ground: Ground, config: Config): Promise<void> {
  await applied(daemon, config);
  const client = Sockets.of(ground, ground.client);
  const flows = [];
  for (let n = 0; n < 12; n++) {
    const flow = await client.udp();
    flows.push({ flow, pod: parseIdentity((await flow.ask("who", [VIP, WHO_PORT])).text).pod });
  }
  const [gone] = ground.pods;
  const lost = flows.filter(({ pod }) => pod === gone.name).length;
  const pods = ground.pods.slice(1).map(({ address }) => address);
  const before = await daemon.vips();
  const { code, text } = await diff(daemon, JSON.stringify(withVip(config, "udp", WHO_PORT, { pods })));
  assertEquals(code, 1);
  assertStringIncludes(text, `vip ${VIP}/32 udp ${WHO_PORT} changed: -${gone.address}\n`);
  if (lost > 0) assertStringIncludes(text, `${lost} sessions get another pod`);
  const json = await diff(daemon, JSON.stringify(withVip(config, "udp", WHO_PORT, { pods })), "--json");
  const [report] = JSON.parse(json.text).vips;
  assertEquals([json.code, report.sessions], [1, { ended: 0, moved: lost, draining: 0 }]);
  // A third of the slots were the pod's; Maglev moves few beside them.
  assert(
    report.slots.moved >= 341 && report.slots.moved < 480 && report.slots.total === 1024,
    JSON.stringify(report),
  );
  assertEquals(await daemon.vips(), before);
  const removal = await diff(daemon, JSON.stringify({ vips: [] }));
  assertStringIncludes(removal.text, "12 sessions end");
  for (const { flow } of flows) await flow.close();
}

async function inPlace(daemon: Daemon, ground: Ground, config: Config): Promise<void> {
  const client = Sockets.of(ground, ground.client);
  const held = await client.connect(VIP, WHO_PORT);
  await readGreeting(held);
  const { firstPacket } = (await daemon.vip(WHO_PORT)).counters;
  const soft = withVip(config, "tcp", WHO_PORT, { newLen: 4096, srcIpSticky: true, nodePort: 30053 });
  assertStringIncludes(
    await applied(daemon, soft),
    `vip ${VIP}/32 tcp ${WHO_PORT} changed: nodePort none → 30053, newLen 1024 → 4096, srcIpSticky false → true\n`,
  );
  await echoes(held, "still the same");
  const vip = await daemon.vip(WHO_PORT);
  assertEquals([vip.newLen, vip.nodePort, vip.counters.firstPacket], [4096, 30053, firstPacket]);
  assertEquals(vip.pods.reduce((sum, pod) => sum + pod.buckets, 0), 4096);
  const byNodePort = await client.connect(ground.client.gateway, 30053);
  await readGreeting(byNodePort);
  await byNodePort.close();
  // The pods' port changes: what was connected has lost its way, and who comes now finds the new one.
  const served = WHO_PORT + 1;
  for (const pod of ground.pods) await Sockets.of(ground, pod).serve("tcp", served, pod.name);
  await applied(
    daemon,
    withVip(soft, "tcp", WHO_PORT, { targetPort: served, newLen: 4096, srcIpSticky: true, nodePort: 30053 }),
  );
  const moved = await daemon.vip(WHO_PORT);
  assertEquals([moved.targetPort, moved.pods.reduce((sum, pod) => sum + pod.sessions, 0)], [served, 0]);
  assert(moved.counters.firstPacket >= firstPacket);
  const again = await client.connect(VIP, WHO_PORT);
  await readGreeting(again);
  await again.close();
  await held.close();
  await applied(daemon, config);
}

async function broken(daemon: Daemon, config: Config): Promise<void> {
  const before: [ShowVip[], string] = [await daemon.vips(), await get(daemon)];
  const lines = ["vips:", `  - prefix: ${VIP}`, "    protocol: tcp", "    port: 80", "    nodePort: 70000"];
  const cases: [string, RegExp][] = [
    [lines.join("\n"), /^ku: stdin:5:15: vips\[0\]\.nodePort : 70000, give a number from 1 to 65535$/],
    ["vips:\n  - prefix: 10.0.0.1\n   port: 80\n", /^ku: stdin:3:4: syntax : .+, write YAML or JSON$/],
    [
      "interfaces:\n  - name: nowhere0\n",
      /^ku: stdin:2:5: interfaces\[0\] : nowhere0, is unknown on this node: .+$/,
    ],
    ["interfaces:\n  - name: lo\n", /^ku: stdin:2:5: interfaces\[0\] : lo, has no Ethernet addresses: .+$/],
    ["vips: []\n---\nvips: []\n", /^ku: stdin: documents : 2, .+$/],
    ["vips: [{prefix: 10.0.0.1, colour: blue}]", /^ku: stdin:1:27: vips\[0\]\.colour : unknown key, .+$/],
  ];
  for (const [text, message] of cases) {
    const result = await apply(daemon, text);
    assertOneLine(text, result, 1);
    assertMatch(result.stderr.trimEnd(), message);
    const different = await diff(daemon, text);
    // lo is only refused when it is attached.
    if (!text.includes("lo")) {
      assertEquals([different.code, different.text, different.stderr], [2, "", result.stderr]);
    }
    assertEquals([await daemon.vips(), await get(daemon)], before);
  }
  await applied(daemon, withVip(config, "tcp", WEB_PORT, { nodePort: 30080 }));
  const taken = await apply(
    daemon,
    "vips:\n  - prefix: 10.9.9.9\n    port: 81\n    nodePort: 30080\n",
    "--prune=false",
  );
  assertOneLine("a node port of a VIP that stays", taken, 1);
  assertMatch(
    taken.stderr,
    /^ku: stdin:4:15: vips\[0\]\.nodePort : 30080, is taken by VIP 10\.96\.0\.10\/32 tcp 80: /,
  );
  const missing = await daemon.run("apply", "-f", "/nowhere/ku.yaml");
  assertOneLine("no file", missing, 1);
  await daemon.fails(2, "apply");
  await daemon.fails(2, "apply", "-f", "-", "--prune=perhaps");
  await daemon.fails(2, "get", "-o", "xml");
}

async function pruning(daemon: Daemon, config: Config): Promise<void> {
  await applied(daemon, config);
  const more = { vips: [{ prefix: "10.96.0.99/32", protocol: "tcp", port: 99, pods: ["10.2.1.2"] }] };
  assertEquals(
    await applied(daemon, more, "--prune=false"),
    "vip 10.96.0.99/32 tcp 99 added with 1 pod\n1 added, 0 changed, 0 removed, 7 unchanged\n",
  );
  assertEquals((await daemon.vips()).length, 4);
  const said = await applied(daemon, more);
  assertMatch(said, /0 added, 0 changed, 3 removed, 5 unchanged\n$/);
  assertEquals((await daemon.vips()).map(({ prefix }) => prefix), ["10.96.0.99/32"]);
  assertEquals(await applied(daemon, config, "--quiet"), "");
}

Deno.test("--state-dir keeps the running configuration over kill -9 and an orderly stop", async (t) => {
  await using ground = await Ground.create();
  const folder = `${ground.directory}/state/ku`;
  const config = attached(ground, "tc");
  const words = ["--state-dir", folder];
  let kept = "";
  await t.step("the first start takes --config, and changes are saved", async () => {
    await using daemon = await Daemon.start(ground, { config, words });
    await daemon.ku(`vip ${VIP}/32 protocol tcp port 80 target_port 8080`);
    await daemon.ku(`pod ${VIP}/32 10.2.1.2 weight 3`);
    await daemon.ku("conf timeout 77");
    kept = await get(daemon, "-o", "json");
    await until("the file", () => equalJson(Deno.readTextFileSync(`${folder}/ku.json`), kept));
    await daemon.kill();
  });
  await t.step("after kill -9 it is all there, whatever --config says", async () => {
    await using daemon = await Daemon.start(ground, {
      config: { ...config, vips: [{ prefix: "10.0.0.9" }] },
      words,
    });
    assertEquals(await get(daemon, "-o", "json"), kept);
    assertStringIncludes(daemon.process.stderr, "restored : 1 VIPs");
    for (let n = 0; n < 40; n++) await daemon.ku(`vip 10.97.0.${n}/32`);
    kept = await get(daemon, "-o", "json");
    await daemon.end("SIGTERM");
  });
  await t.step(
    "what changed just before SIGTERM is there, and an interface that has gone meanwhile is waited for",
    async () => {
      await ground.node.runOk(["ip", "link", "set", ground.pods[2].nodeInterface, "name", "elsewhere0"]);
      await using daemon = await Daemon.start(ground, { words });
      assertEquals(await get(daemon, "-o", "json"), kept);
      await ground.node.runOk(["ip", "link", "set", "elsewhere0", "name", ground.pods[2].nodeInterface]);
      await until("the interface", async () => {
        const shown = JSON.parse((await daemon.run("show", "interface", "--json")).text) as {
          name: string;
          activeMode: string | null;
        }[];
        return shown.find(({ name }) => name === ground.pods[2].nodeInterface)?.activeMode === "tc";
      });
      assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["ku.json"]);
      await daemon.end("SIGTERM");
    },
  );
  await t.step("a saved file that somebody has broken is named, and not overwritten", async () => {
    Deno.writeTextFileSync(`${folder}/ku.json`, `{"vips": [{"prefix": "10.0.0.1/33"}]}`);
    const { code, stderr } = await ground.node.run([
      "env",
      `KU_SOCKET=${ground.directory}/ku.sock`,
      KU,
      "run",
      ...words,
    ]);
    assertEquals(code, 1);
    assertMatch(stderr, /ku\.json:1:22: vips\[0\]\.prefix : 10\.0\.0\.1\/33, /);
  });
});

function equalJson(a: string, b: string): boolean {
  return JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b));
}
