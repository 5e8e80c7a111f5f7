/**
 * `ku trace` and `ku capture` while real traffic passes: both sides of the translation, the reasons, live into tcpdump, and nothing left on
 * afterwards.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods: HTTP, and who am I, whom do I see
 */

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU, MODES } from "./harness/daemon.ts";
import { type Agents, askUdp, serveIdentity } from "./harness/identity.ts";
import { Process, run, runOk } from "./harness/process.ts";
import { POD_WEB_PORT, serving, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";

await requireGround();

interface Traced {
  interface: string;
  before: string;
  nodes: { reason: string }[];
  after: string | null;
  outInterface: string | null;
  verdict: string;
}

for (const mode of MODES) {
  Deno.test(`trace and capture, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const agents = await serveIdentity(ground, WHO_PORT);
    await startWebServers(ground, POD_WEB_PORT);
    await using daemon = await Daemon.start(ground, { config: serving(ground, mode) });
    const url = `http://${VIP}/who`;
    // Neighbors are known afterwards.
    for (let count = 0; count < 12; count++) await fetchUrl(ground.client.namespace, url);
    await t.step("trace keeps the next packets, and no more", () => trace(daemon, ground, agents));
    await t.step("capture: both sides, reasons, checksums", () => capture(daemon, ground, url));
    await t.step("live into tcpdump, of one VIP", () => live(daemon, ground, agents, url));
    await t.step("a client that is killed leaves no capture behind", () => killed(daemon, ground));
    await t.step("what is refused", async () => {
      await daemon.fails(1, "trace", "add", "0");
      await daemon.fails(1, "trace", "add", "10001");
      await daemon.fails(2, "trace", "add");
      await daemon.fails(2, "capture");
      await daemon.fails(1, "capture", "-w", "-", "--vip", "x");
      await daemon.fails(1, "capture", "-w", "/nowhere/x");
    });
    await daemon.stop();
  });
}

async function traced(daemon: Daemon): Promise<Traced[]> {
  return JSON.parse((await daemon.run("show", "trace", "--json")).text);
}

async function trace(daemon: Daemon, ground: Ground, agents: Agents): Promise<void> {
  const client = agents.of(ground.client);
  assertEquals((await daemon.run("show", "trace")).text, "");
  await daemon.command("trace add 3");
  const { pod } = await askUdp(client, [VIP, WHO_PORT], { bind: ["", 30_000] });
  await askUdp(client, [VIP, WHO_PORT], { bind: ["", 30_001] });
  const packets = await until("three packets", async () => {
    const all = await traced(daemon);
    return all.length === 3 && all;
  });
  const host = ground.pods.find(({ name }) => name === pod)!;
  const [question, answer] = packets;
  const { address } = ground.client;
  assertMatch(question.before, new RegExp(`^${address}:30000 > ${VIP}:${WHO_PORT} udp ttl 64`));
  assertMatch(question.after ?? "", new RegExp(`^${address}:30000 > ${host.address}:${WHO_PORT} udp ttl 63`));
  assertEquals([question.interface, question.outInterface, question.verdict], [
    "uplink",
    host.nodeInterface,
    "sent",
  ]);
  assert(question.nodes.some(({ reason }) => reason === "session started"));
  assertMatch(answer.before, new RegExp(`^${host.address}:${WHO_PORT} > ${address}:30000`));
  assertMatch(answer.after ?? "", new RegExp(`^${VIP}:${WHO_PORT} > ${address}:30000`));
  const { text } = await daemon.run("show", "trace");
  assertMatch(
    text,
    /^Packet 1\n\n\d{4}-.*Z: uplink, worker 0\n {2}in {3}.*\n {2}ku-session: session started\n(?: {2}ku-nat: .*\n)? {2}out {2}.*\nsent by pod\d\n\nPacket 2\n/,
  );
  await daemon.command("clear trace");
  assertEquals(await traced(daemon), []);
}

async function fields(file: string, ...names: string[]): Promise<string[][]> {
  const text = await runOk([
    "tshark",
    "-r",
    file,
    "-o",
    "tcp.check_checksum:FALSE",
    "-T",
    "fields",
    ...names.flatMap((name) => ["-e", name]),
  ]);
  return text.trimEnd().split("\n").map((line) => line.split("\t"));
}

async function capture(daemon: Daemon, ground: Ground, url: string): Promise<void> {
  const file = `${ground.directory}/capture.pcapng`;
  await using capturing = new Process("ku capture", [KU, "capture", "-w", file], {
    env: { KU_SOCKET: daemon.socket },
  });
  await until("the capture's file", async () => (await Deno.stat(file)).size > 0);
  await fetchUrl(ground.client.namespace, url);
  await until("packets in it", async () => (await Deno.stat(file)).size > 2000);
  capturing.signal("SIGINT");
  assertEquals((await capturing.ended()).code, 0);
  assertEquals(capturing.stderr, "");
  const packets = await fields(
    file,
    "frame.interface_name",
    "ip.src",
    "ip.dst",
    "tcp.flags.str",
    "frame.comment",
  );
  assertMatch(await runOk(["capinfos", "-c", file]), new RegExp(`Number of packets: +${packets.length}\n`));
  assertEquals(packets.length % 2, 0);
  const { address } = ground.client;
  const [came, left] = packets;
  assertEquals(came.slice(0, 3), ["uplink", address, VIP]);
  assertEquals([left[1], /^10\.2\.\d\.2$/.test(left[2])], [address, true]);
  assertMatch(came[4], /^sent \(ku-session: session started/);
  const answers = packets.filter(([name, source]) => name === "uplink" && source === VIP);
  assertGreater(answers.length, 2, "the VIP's answers as they leave");
  assert(
    packets.some(([, , , , comment]) =>
      /^sent \((session followed|ku-nat: half-done checksum completed)\)$/.test(comment)
    ),
  );
}

async function live(daemon: Daemon, ground: Ground, agents: Agents, url: string): Promise<void> {
  // tcpdump leaves after four packets; so does the capture then, quietly, with its next one.
  const script =
    `"$0" capture -w - --vip ${VIP}:${WHO_PORT} | tcpdump -n -l -r - -c 4; echo "\${PIPESTATUS[0]}"`;
  await using shown = new Process("tcpdump", ["timeout", "60", "bash", "-c", script, KU], {
    env: { KU_SOCKET: daemon.socket },
  });
  await until("tcpdump to read", () => /reading from file/.test(shown.stderr));
  await fetchUrl(ground.client.namespace, url);
  const client = agents.of(ground.client);
  await until("the end of both", async () => {
    await askUdp(client, [VIP, WHO_PORT]);
    return !shown.running;
  });
  const lines = shown.stdout.trimEnd().split("\n");
  assertEquals([lines.length, lines.pop()], [5, "0"]);
  for (const line of lines) assertMatch(line, new RegExp(`\\.${WHO_PORT}[ :]`));
}

async function killed(daemon: Daemon, ground: Ground): Promise<void> {
  const file = `${ground.directory}/killed.pcapng`;
  for (let count = 0; count < 3; count++) {
    await using one = new Process("ku capture", [KU, "capture", "-w", file], {
      env: { KU_SOCKET: daemon.socket },
    });
    await until("it to run", async () => (await Deno.stat(file)).size > 0);
    one.signal("SIGKILL");
    await one.ended();
  }
  const { code, stderr } = await run([KU, "capture", "-w", file, "--seconds", "1"], {
    env: { KU_SOCKET: daemon.socket },
  });
  assertEquals([code, stderr], [0, ""]);
}
