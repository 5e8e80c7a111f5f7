/**
 * The commands' contract against the running daemon: what is refused is refused in one line with the right exit code and changes nothing;
 * `exec --atomic` does all or nothing; the socket is private; one daemon per socket.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods        no traffic here
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { assertOneLine, Daemon, exists, KU } from "./harness/daemon.ts";
import { run } from "./harness/process.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";
import { POD_WEB_PORT, serving, VIP } from "./harness/service.ts";

await requireGround();

/** Refused although well-formed: exit 1, `ku: <what> : <value>, <what to do>`. The start is `serving`. */
const REFUSED = [
  "vip 10.96.0.300/32",
  "vip 10.96.0.1/33",
  "vip 10.96.0.1/32 protocol tcp port 70000",
  "vip 10.96.0.1/32 protocol tcp port 0",
  "vip 10.96.0.1/32 protocol tcp port 80 target_port 70000",
  "vip 10.96.0.1/32 protocol tcp port 80 node_port 65536",
  "vip 10.96.0.1/32 protocol icmp port 80",
  "vip 10.96.0.1/32 new_len 1000",
  "vip 10.96.0.1/32 new_len 0",
  "vip 10.96.0.1/32 new_len -1024",
  "vip 10.96.0.1/32 nat66",
  "vip fd00:99::1/128 nat44",
  "vip 10.96.0.1/32 protocol tcp", // a protocol without a port
  `vip ${VIP}/32 protocol tcp port 80`, // there already
  "vip 10.96.0.77/32 del",
  `vip ${VIP}/32 protocol tcp port 81 del`,
  `vip ${VIP}/32 del`, // several of that prefix, none without a port
  "pod 10.96.0.77/32 10.2.1.2",
  `pod ${VIP}/32 10.2.1.9`, // several VIPs of that prefix
  `pod ${VIP}/32 protocol tcp port 81 10.2.1.9`,
  `pod ${VIP}/32 protocol tcp port 80 fd00:2:1::2`,
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.256`,
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.2`, // there already
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.9 10.2.1.9`, // twice in one command
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.9 weight 101`,
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.9 weight -1`,
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.9 del`,
  `pod ${VIP}/32 protocol tcp port 80 10.2.1.2 10.2.1.9 del`, // one of two is there: neither goes
  "interface nowhere0",
  "interface uplink2 del",
  "interface pod1 mode sideways",
  "set interface nat4 in nowhere0",
  "set interface nat4 in uplink del",
  "set interface nat6 in pod1 del",
  "flush vip 10.96.0.77/32",
  `flush vip ${VIP}/32 protocol tcp port 81`,
  "conf buckets 1000",
  "conf buckets 0",
  "conf buckets-log2 40",
  "conf timeout 0",
  "conf timeout -5",
  "conf tcp-timeout 0",
  "conf ip4-src-address fd00::1",
  "conf ip6-src-address 10.0.0.1",
  "conf nat46-prefix 10.0.0.0/8",
  "exec /nowhere/commands",
];

/** Not a command of ku: exit 2 and the usage line of what it comes nearest to. */
const MISUSED = [
  "frobnicate",
  "vip",
  "vip 10.96.0.1/32 port",
  "vip 10.96.0.1/32 colour blue",
  "pod",
  `pod ${VIP}/32`,
  "interface",
  "interface pod1 mode",
  "set",
  "set interface",
  "set interface nat5 in pod1",
  "set interface nat4 out pod1",
  "flush",
  "flush vip",
  "conf buckets",
  "conf colour blue",
  "show nonsense",
  "show vip loudly",
  "exec",
  "run --nonsense",
  "--nonsense",
];

Deno.test("refused commands: one line, the right exit code, nothing changed", async (t) => {
  await using ground = await Ground.create();
  await using daemon = await Daemon.start(ground, { config: serving(ground, "tc") });
  const before = await state(daemon);
  for (const line of REFUSED) {
    await t.step(`refused: ${line}`, async () => {
      await daemon.fails(1, ...line.split(" "));
      assertEquals(await state(daemon), before);
    });
  }
  for (const line of MISUSED) {
    await t.step(`misused: ${line}`, async () => {
      await daemon.fails(2, ...line.split(" "));
      assertEquals(await state(daemon), before);
    });
  }
  await t.step("an ambiguous prefix is told its VIPs", async () => {
    const line = await daemon.fails(1, "pod", `${VIP}/32`, "10.2.1.9");
    for (const part of ["tcp", "udp", "80", "5353"]) assertStringIncludes(line, part);
  });
  await daemon.stop();
});

/** All that commands can change, as the shows tell it. */
async function state(daemon: Daemon): Promise<unknown> {
  const summary = await daemon.summary();
  const interfaces = await daemon.run("show", "interface", "--json");
  return {
    workers: summary.workers,
    memoryBytes: summary.memoryBytes,
    vips: await daemon.vips(),
    interfaces: (JSON.parse(interfaces.text) as { name: string; mode: string }[]).map(({ name, mode }) => ({
      name,
      mode,
    })),
  };
}

Deno.test("commands do what they say and show it", async (t) => {
  await using ground = await Ground.create();
  await using daemon = await Daemon.start(ground);
  await t.step("an empty daemon", async () => {
    const { vips, pods, workers, memoryBytes } = await daemon.summary();
    assertEquals([vips, pods, workers[0].timeoutSeconds, workers[0].sessions.used], [0, 0, 40, 0]);
    assertEquals(workers[0].sessions.capacity % 4096, 0, "1024 buckets of 4 in every table");
    assertEquals(memoryBytes > 0, true);
    assertEquals([await daemon.vips(), await daemon.sessions()], [[], []]);
  });
  await t.step("defaults of a VIP, words of VPP's document, and its end", () => vipLife(daemon, ground));
  await t.step(
    "interfaces are attached by `interface`, by `set interface`, and let go",
    () => interfaceLife(daemon),
  );
  await t.step("settings", async () => {
    const { capacity } = (await daemon.summary()).workers[0].sessions;
    await daemon.command("conf buckets 2048 timeout 60 tcp-timeout 3600");
    const { workers } = await daemon.summary();
    assertEquals([workers[0].timeoutSeconds, workers[0].sessions.capacity], [60, 2 * capacity]);
    await daemon.command("conf buckets-log2 10");
    assertEquals((await daemon.summary()).workers[0].sessions.capacity, capacity);
  });
  await t.step("exec applies line by line, exec --atomic all or nothing", () => exec(daemon));
  await t.step("every show has text and JSON, with `ku` after show or without", async () => {
    for (
      const words of [
        [],
        ["vip"],
        ["vip", "verbose"],
        ["node", "counters"],
        ["sessions"],
        ["interface"],
        ["offload"],
      ]
    ) {
      for (const middle of [[], ["ku"]]) {
        assertEquals((await daemon.run("show", ...middle, ...words)).code, 0);
        JSON.parse((await daemon.run("show", ...middle, ...words, "--json")).text);
      }
    }
  });
  await t.step("version and help need no daemon", async () => {
    for (const word of ["version", "help", "--version", "--help"]) {
      const result = await run([KU, word], { env: { KU_SOCKET: "/nowhere/ku.sock" } });
      assertEquals([word, result.code, result.stderr], [word, 0, ""]);
      assertMatch(result.text, word.endsWith("version") ? /\d+\.\d+\.\d+/ : /ku vip/);
    }
  });
  await daemon.stop();
});

async function vipLife(daemon: Daemon, ground: Ground): Promise<void> {
  await daemon.command(`vip ${VIP}/32 protocol tcp port 80`);
  const [vip] = await daemon.vips();
  assertEquals(
    [vip.prefix, vip.protocol, vip.port, vip.targetPort, vip.nodePort, vip.type, vip.newLen, vip.pods],
    [`${VIP}/32`, "tcp", 80, 80, null, "nat44", 1024, []],
  );
  await daemon.command(`pod ${VIP}/32 ${ground.pods.map((pod) => pod.address).join(" ")}`);
  await daemon.command(`pod ${VIP}/32 10.2.9.9 weight 50`);
  const pods = (await daemon.vips())[0].pods;
  assertEquals(pods.find((pod) => pod.address === "10.2.9.9")?.weight, 50);
  assertEquals(pods.length, 4);
  assertEquals(await daemon.summary().then((summary) => [summary.vips, summary.pods]), [1, 4]);
  await daemon.command(`pod ${VIP}/32 10.2.9.9 del`);
  assertEquals((await daemon.vips())[0].pods.length, 3);
  await daemon.command(`flush vip ${VIP}/32`);
  await daemon.command(`vip ${VIP}/32 protocol tcp port 80 del`);
  assertEquals(await daemon.vips(), []);
}

async function interfaceLife(daemon: Daemon): Promise<void> {
  const names = async () => {
    const list: { name: string }[] = JSON.parse((await daemon.run("show", "interface", "--json")).text);
    return list.map((one) => one.name).toSorted();
  };
  const before = await names();
  await daemon.command("interface pod1 mode native");
  await daemon.command("set interface nat4 in pod2");
  assertEquals(await names(), [...before, "pod1", "pod2"].toSorted());
  await daemon.command("set interface nat4 in pod2 del");
  await daemon.command("interface pod2 del");
  await daemon.command("interface pod1 del");
  assertEquals(await names(), before);
}

async function exec(daemon: Daemon): Promise<void> {
  const lines = [
    "ku vip 10.96.1.1/32 protocol tcp port 80",
    "vip 10.96.1.2/32",
    "",
    "vip 10.96.1.3/32 new_len 1000",
    "vip 10.96.1.4/32",
  ];
  const prefixes = async () => (await daemon.vips()).map((vip) => vip.prefix).toSorted();
  const atomic = await daemon.runWith({ stdin: lines.join("\n") }, "exec", "--atomic", "-");
  assertOneLine("exec --atomic", atomic, 1);
  assertEquals(await prefixes(), []);
  const file = `${daemon.socket}.commands`;
  await Deno.writeTextFile(file, [...lines.slice(0, 2), "show vip"].join("\n") + "\n");
  const shown = await daemon.run("exec", file);
  assertEquals([shown.code, shown.stderr], [0, ""]);
  assertStringIncludes(shown.text, "10.96.1.1/32");
  assertEquals(await prefixes(), ["10.96.1.1/32", "10.96.1.2/32"]);
  const deletions = "ku vip 10.96.1.1/32 protocol tcp port 80 del\nvip 10.96.1.2/32 del\n";
  const deleted = await daemon.runWith({ stdin: deletions }, "exec", "--atomic", "-");
  assertEquals([deleted.code, deleted.stderr + deleted.text], [0, ""]);
  assertEquals(await prefixes(), []);
  const singly = await daemon.runWith({ stdin: lines.slice(1).join("\n") }, "exec", "-");
  assertEquals(singly.code, 1);
  assertStringIncludes((await prefixes()).join(" "), "10.96.1.2/32");
  await daemon.apply(...(await prefixes()).map((prefix) => `vip ${prefix} del`));
}

Deno.test("the socket: private, one daemon each, a dead daemon's replaced", async (t) => {
  await using ground = await Ground.create();
  await startWebServers(ground, POD_WEB_PORT);
  const config = serving(ground, "tc");
  await t.step("without a daemon a command says so", async () => {
    const result = await run([KU, "show"], { env: { KU_SOCKET: `${ground.directory}/ku.sock` } });
    assertOneLine("show", result, 1);
    assertStringIncludes(result.stderr, `${ground.directory}/ku.sock`);
  });
  await using first = await Daemon.start(ground, { config });
  await t.step("mode 0600", async () => {
    const { mode, isSocket } = await Deno.lstat(first.socket);
    assertEquals([isSocket, (mode ?? 0) & 0o777], [true, 0o600]);
  });
  await t.step("a second daemon is refused and the first goes on", async () => {
    const words = ["run", "--socket", first.socket];
    const second = await run(["ip", "netns", "exec", ground.node.name, KU, ...words], { timeoutMs: 20_000 });
    assertOneLine(words.join(" "), second, 1);
    assertEquals((await first.summary()).vips, 3);
    await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
  });
  await first.kill();
  assertEquals(await exists(first.socket), true, "kill -9 leaves the socket");
  await t.step("a dead daemon's socket is not mistaken for a living one", async () => {
    assertOneLine("show", await first.run("show"), 1);
  });
  await using third = await Daemon.start(ground, { config });
  await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
  await third.end("SIGTERM");
  assertEquals(await exists(third.socket), false);
  await t.step("bad configuration files end `ku run` with one line", async () => {
    for (
      const text of [
        "vips: [{prefix: 10.0.0.300}]",
        "vips: [[",
        "colour: blue",
        "interfaces: [{name: nowhere0}]",
      ]
    ) {
      const file = `${ground.directory}/bad.yaml`;
      await Deno.writeTextFile(file, text + "\n");
      const words = ["run", "--socket", first.socket, "--config", file];
      const result = await run(["ip", "netns", "exec", ground.node.name, KU, ...words], {
        timeoutMs: 20_000,
      });
      assertOneLine(text, result, 1);
    }
  });
});
