/**
 * The examples of the plugin's document, word for word, with traffic; and what `show` and `clear` say afterwards, as text and as JSON.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1 ── 10.0.0.1, 2001::2   :5353 (who am I, whom do I see)
 *            fd00:1:1::2                       pod2 ── 2001::3
 *                                              pod3 ── 2001::4
 */

import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { type Agents, askTcp, askUdp, serveIdentity } from "./harness/identity.ts";
import { WHO_PORT } from "./harness/service.ts";

/** The document's `ku vip <prefix> port <n> target_port <n> node_port <n> [nat4|nat6] [new_len <n>] [del]`, filled in. */
const WHOLE = "vip 10.96.0.1/32 port 80 target_port 5353 node_port 30080 nat4 new_len 1024";
const WHOLE6 = "vip fd00:96::1/128 port 80 target_port 5353 node_port 30080 nat6 new_len 1024";

await requireGround();

for (const mode of MODES) {
  Deno.test(`the document's words, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    await addAddresses(ground);
    const agents = await serveIdentity(ground, WHO_PORT);
    await using daemon = await Daemon.start(ground);
    await t.step("an empty node", () => empty(daemon));
    await t.step("its examples, word for word", () => examples(daemon, ground, mode));
    await t.step("what they set up works", () => traffic(ground, agents));
    await t.step("show ku", () => showKu(daemon));
    await t.step("show ku vip verbose", () => showVips(daemon));
    await t.step("show node counters, clear node counters", () => showCounters(daemon, ground, agents));
    await t.step("show interface and sessions", () => showRest(daemon, mode));
    await t.step("all of it taken back by its own words", () => takenBack(daemon, ground));
    await daemon.stop();
  });
}

const PODS6 = ["2001::2", "2001::3", "2001::4"];

/** The document's pods: further addresses of the ground's, which they speak from. */
async function addAddresses(ground: Ground): Promise<void> {
  const add = async (index: number, address: string, bits: number, gateway: string, via: string) => {
    await ground.pods[index].namespace.ip(
      `addr add ${address}/${bits} dev lo${bits === 128 ? " nodad" : ""}`,
      `route replace default via ${gateway} src ${address}`,
    );
    await ground.node.ip(`route add ${address}/${bits} via ${via}`);
  };
  await add(0, "10.0.0.1", 32, ground.pods[0].gateway, ground.pods[0].address);
  for (const [index, { gateway6, address6 }] of ground.pods.entries()) {
    await add(index, PODS6[index], 128, gateway6, address6);
  }
}

async function empty(daemon: Daemon): Promise<void> {
  assertEquals((await daemon.run("show", "ku", "vip", "verbose")).text, "");
  assertMatch(
    (await daemon.run("show", "ku")).text,
    / #vips: 0\n #pods: 0\nworker 0\n {2}timeout: 40s\n {2}usage: 0 \/ /,
  );
  const { vips, pods, memoryBytes } = await daemon.summary();
  assertEquals([vips, pods], [0, 0]);
  assertGreater(memoryBytes, 1 << 20);
}

async function examples(daemon: Daemon, ground: Ground, mode: Mode): Promise<void> {
  for (const name of ground.nodeInterfaces) await daemon.command(`interface ${name} mode ${mode}`);
  await daemon.command("conf buckets 1024 timeout 40");
  await daemon.command("vip 90.0.0.0/8 nat44 new_len 2048");
  await daemon.command("vip 2003::/16 nat66 new_len 2048");
  await daemon.command("pod 90.0.0.0/8 10.0.0.1");
  await daemon.command("vip 2002::/16");
  await daemon.command("pod 2002::/16 2001::2 2001::3 2001::4");
  for (const pod of ground.pods) {
    await daemon.command(`set interface nat4 in ${pod.nodeInterface}`);
    await daemon.command(`set interface nat6 in ${pod.nodeInterface}`);
  }
  await daemon.command(WHOLE);
  await daemon.command(WHOLE6);
  await daemon.command("pod 10.96.0.1/32 10.0.0.1");
  await daemon.command("pod fd00:96::1/128 2001::2");
}

async function traffic(ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  for (const ask of [askUdp, askTcp]) {
    assertEquals((await ask(client, ["90.1.2.3", WHO_PORT])).pod, "pod1");
    const pods = new Set<string>();
    for (let port = 20_000; port < 20_020; port++) {
      pods.add((await ask(client, ["2002:1::9", WHO_PORT], { bind: ["", port] })).pod);
    }
    assertEquals(pods.size, 3);
    for (const [address, port] of [["10.96.0.1", 80], ["fd00:96::1", 80]] as const) {
      assertEquals((await ask(client, [address, port])).pod, "pod1");
    }
    for (const address of [ground.client.gateway, ground.client.gateway6]) {
      assertEquals((await ask(client, [address, 30080])).pod, "pod1");
    }
  }
}

async function showKu(daemon: Daemon): Promise<void> {
  const { text, stderr, code } = await daemon.run("show", "ku");
  assertEquals([code, stderr], [0, ""]);
  assertMatch(text, /^ku \S+ pid \d+ up \S+ generation \d+\n/);
  for (
    const line of [
      " buckets: 1024",
      " timeout: 40s",
      " tcp-timeout: 7440s",
      " #interfaces: 4",
      " #vips: 5",
      " #pods: 6",
    ]
  ) {
    assertEquals(text.split("\n").includes(line), true, `${line} in\n${text}`);
  }
  assertMatch(text, /\nworker 0\n {2}timeout: 40s\n {2}usage: \d+ \/ 8192\n$/);
  const summary = await daemon.summary();
  assertEquals([summary.vips, summary.pods], [5, 6]);
  // A session for each of the fifty questions.
  assertEquals(summary.workers.map(({ sessions }) => sessions.used), [50]);
}

async function showVips(daemon: Daemon): Promise<void> {
  const { text } = await daemon.run("show", "ku", "vip", "verbose");
  const paragraphs = text.split("\n\n");
  assertEquals(paragraphs.length, 5, text);
  assertMatch(
    paragraphs[0],
    /^ ip4-nat44 \[0\] 90\.0\.0\.0\/8\n {2}new_size:2048\n {2}counters:\n {4}packet from existing sessions: \d+\n {4}first session packet: 2\n {4}untracked packet: 0\n {4}no server configured: 0\n {4}reply packet: \d+\n {2}#pod:1\n {4}10\.0\.0\.1 2048 buckets 2 sessions {2}weight:1 active$/,
  );
  assertMatch(paragraphs[1], /^ ip6-nat66 \[1\] 2003::\/16\n {2}new_size:2048\n[^]* {2}#pod:0$/);
  assertMatch(
    paragraphs[2],
    /#pod:3\n {4}2001::2 +\d+ buckets +\d+ sessions {2}weight:1 active\n {4}2001::3 [^\n]+\n {4}2001::4 /,
  );
  assertMatch(
    paragraphs[3],
    /^ ip4-nat44 \[3\] 10\.96\.0\.1\/32 protocol:any port:80 target_port:5353 node_port:30080\n/,
  );
  assertMatch(
    paragraphs[4],
    /^ ip6-nat66 \[4\] fd00:96::1\/128 protocol:any port:80 target_port:5353 node_port:30080\n/,
  );

  const [nat44, none, three, whole] = await daemon.vips();
  const { counters, pods, ...rest } = nat44;
  assertEquals([
    rest.prefix,
    rest.protocol,
    rest.port,
    rest.targetPort,
    rest.nodePort,
    rest.type,
    rest.newLen,
  ], [
    "90.0.0.0/8",
    null,
    null,
    null,
    null,
    "nat44",
    2048,
  ]);
  assertEquals([counters.firstPacket, counters.untracked, counters.noServer], [2, 0, 0]);
  assertEquals(
    pods.map(({ address, weight, buckets, sessions, state }) => [address, weight, buckets, sessions, state]),
    [
      ["10.0.0.1", 1, 2048, 2, "active"],
    ],
  );
  assertEquals([none.prefix, none.pods], ["2003::/16", []]);
  assertEquals(three.newLen, 1024);
  assertEquals(three.pods.map((pod) => pod.address), PODS6);
  assertEquals(three.pods.reduce((sum, pod) => sum + pod.sessions, 0), 40);
  assertEquals([whole.protocol, whole.port, whole.targetPort, whole.nodePort], [null, 80, 5353, 30080]);
  assertEquals(whole.counters.firstPacket, 4, "at its address and at its node port");

  const plain = (await daemon.run("show", "vip")).text.trimEnd().split("\n");
  assertEquals(plain.length, 5);
  assertEquals(plain[0], " ip4-nat44 [0] 90.0.0.0/8 new_size:2048 #pod:1");
}

const counterOf = async (daemon: Daemon, node: string, reason: string): Promise<number> =>
  (await daemon.nodeCounters()).find((one) => one.node === node && one.reason === reason)!.count;

async function showCounters(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  assertEquals(await counterOf(daemon, "ku-session", "session started"), 50);
  const { text } = await daemon.run("show", "node", "counters");
  const lines = text.trimEnd().split("\n");
  assertMatch(lines[0], /^ +Count +Node +Reason$/);
  assertEquals(lines.some((line) => /^ +50 +ku-session +session started$/.test(line)), true, text);
  assertEquals(lines.some((line) => /^ +0 /.test(line)), false, "what never happened is not shown");
  const all = (await daemon.run("show", "node", "counters", "verbose")).text.trimEnd().split("\n");
  assertEquals(all.length, 1 + (await daemon.nodeCounters()).length);

  await daemon.command("clear node counters");
  assertEquals((await daemon.nodeCounters()).filter((one) => one.count !== 0), []);
  assertEquals((await daemon.vips())[0].counters.firstPacket, 2, "VIPs keep theirs");
  await askUdp(agents.of(ground.client), ["90.9.9.9", WHO_PORT]);
  assertEquals(await counterOf(daemon, "ku-session", "session started"), 1);
}

async function showRest(daemon: Daemon, mode: Mode): Promise<void> {
  const interfaces = (await daemon.run("show", "interface")).text.split("\n");
  for (const [name, nat] of [["uplink", "-"], ["pod1", "nat4 in, nat6 in"]]) {
    const line = interfaces.find((each) => each.trimStart().startsWith(`${name} `)) ?? "";
    assertMatch(line, new RegExp(`^ *${name} +up +${mode} \\(${mode}\\) +${nat} +1500 `));
  }
  const sessions = await daemon.sessions();
  assertEquals(sessions.length, 51);
  const tcp = sessions.find((one) => one.protocol === "tcp" && one.vip === "[2002:1::9]:5353")!;
  assertMatch(tcp.client, /^\[fd00:1:1::2\]:200\d\d$/);
  assertMatch(tcp.pod, /^\[2001::[234]\]:5353$/);
  assertEquals([tcp.worker, tcp.state], [0, "closing"]);
  const text = (await daemon.run("show", "sessions")).text;
  assertMatch(text, /\bWorker +Protocol +Client +VIP +Pod +State +Idle +Runs in\n/);
  assertEquals(text.trimEnd().split("\n").length, 52);
}

async function takenBack(daemon: Daemon, ground: Ground): Promise<void> {
  await daemon.command("pod 2002::/16 2001::2 2001::3 2001::4 del");
  await daemon.command("pod 90.0.0.0/8 10.0.0.1 del");
  await daemon.command(`${WHOLE} del`);
  await daemon.command("vip fd00:96::1/128 port 80 del");
  for (const prefix of ["90.0.0.0/8", "2003::/16", "2002::/16"]) await daemon.command(`vip ${prefix} del`);
  for (const pod of ground.pods) {
    await daemon.command(`set interface nat4 in ${pod.nodeInterface} del`);
    await daemon.command(`set interface nat6 in ${pod.nodeInterface} del`);
  }
  for (const name of ground.nodeInterfaces) await daemon.command(`interface ${name} del`);
  await empty(daemon);
  assertEquals(await daemon.sessions(), []);
}
