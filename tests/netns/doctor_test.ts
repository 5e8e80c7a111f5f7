/**
 * `ku doctor` on a node with faults made on purpose, and `ku replay` of a real capture: both without a daemon, the second without root.
 *
 *     client ── uplink  node  pod1…pod3 ── pods
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU } from "./harness/daemon.ts";
import { run, runOk } from "./harness/process.ts";
import { serving, VIP } from "./harness/service.ts";
import { PcapngWriter } from "../../mod/control/pcap.ts";
import { TCP_SYN } from "../../mod/wire/tcp.ts";
import { buildFrame, concat, tcp } from "../packets/builder.ts";

await requireGround();

interface Check {
  verdict: string;
  name: string;
  detail: string;
  remedy: string | null;
}

async function doctor(ground: Ground, ...words: string[]): Promise<{ code: number; checks: Check[] }> {
  const env = { KU_SOCKET: `${ground.directory}/ku.sock` };
  const command = ["ip", "netns", "exec", ground.node.name, KU, "doctor", ...words];
  const { code, text, stderr } = await run([...command, "--json"], { env });
  assertEquals(stderr, "");
  const plain = await run(command, { env });
  assertEquals(plain.code, code);
  const checks: Check[] = JSON.parse(text);
  for (const { name } of checks) assertStringIncludes(plain.text, name);
  return { code, checks };
}

const verdicts = (checks: readonly Check[]) => new Map(checks.map(({ name, verdict }) => [name, verdict]));

Deno.test("doctor: a good node, faults one by one, a running daemon", async (t) => {
  await using ground = await Ground.create({ pods: 2 });
  const { node } = ground;
  await t.step("a good node passes", async () => {
    const { code, checks } = await doctor(ground);
    assertEquals([code, checks.filter(({ verdict }) => verdict !== "ok")], [0, []]);
    assertEquals(verdicts(checks).get("interface uplink: mode"), "ok");
    for (const name of ground.nodeInterfaces) assert(verdicts(checks).has(`interface ${name}`), name);
  });
  await t.step("faults are warned of, with remedies that help", async () => {
    await node.sysctl("net.ipv4.ip_forward=0", "net.ipv4.conf.pod1.rp_filter=1");
    await node.ip("link set pod2 mtu 9000", "link add br0 type bridge", "link set pod2 master br0");
    const { code, checks } = await doctor(ground);
    assertEquals(code, 0, "warnings are no failures");
    const wrong = checks.filter(({ verdict }) => verdict === "warn");
    assertEquals(wrong.map(({ name }) => name), [
      "IPv4 forwarding",
      "interface pod1: rp_filter",
      "interface pod2: MTU",
      "interface pod2: bridge",
    ]);
    for (const { remedy } of wrong.slice(0, 2)) await node.runOk((remedy ?? "").split(" "));
    await node.ip("link set pod2 nomaster", "link del br0", "link set pod2 mtu 1500");
    assertEquals((await doctor(ground)).checks.filter(({ verdict }) => verdict !== "ok"), []);
  });
  await t.step("what is not there, and a pair that is not ku's, fail", async () => {
    const { code, checks } = await doctor(ground, "uplink", "nowhere0");
    assertEquals([code, verdicts(checks).get("interface nowhere0")], [1, "fail"]);
    await node.ip("link add ku0 type bridge");
    const { code: second, checks: pair } = await doctor(ground, "uplink");
    assertEquals([second, verdicts(pair).get("ku0 and ku1")], [1, "fail"]);
    await node.ip("link del ku0");
  });
  await t.step("without capabilities it says which", async () => {
    const drop = [
      "setpriv",
      "--bounding-set=-net_admin",
      "--inh-caps=-all",
      "--ambient-caps=-all",
      "--reuid=0",
    ];
    const { text } = await run(["ip", "netns", "exec", node.name, ...drop, KU, "doctor", "uplink"]);
    assertMatch(text, /^fail {2}capabilities +missing: CAP_NET_ADMIN$/m);
  });
  await t.step("of a running daemon, its interfaces", async () => {
    const config = { ...serving(ground, "native"), interfaces: [{ name: "uplink", mode: "native" }] };
    await using daemon = await Daemon.start(ground, { config });
    const { code, checks } = await doctor(ground);
    assertEquals([code, checks.filter(({ verdict }) => verdict !== "ok")], [0, []]);
    assertEquals(checks.filter(({ name }) => /^interface \w+$/.test(name)).map(({ name }) => name), [
      "interface uplink",
    ]);
    assertMatch(checks.find(({ name }) => name === "daemon")!.detail, /^ku \d/);
    await daemon.stop();
  });
});

Deno.test("replay: packets in, packets out, which tshark and capinfos read; no root, the same twice", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const folder = ground.directory;
  await Deno.chmod(folder, 0o777);
  const writer = new PcapngWriter();
  const packets = Array.from({ length: 20 }, (_, index) => ({
    timeUs: 1.7e15 + index * 1000,
    bytes: buildFrame(
      { src: "10.1.1.2", dst: VIP },
      tcp({ srcPort: 1000 + index, dstPort: 80, flags: TCP_SYN }),
    ),
  }));
  const blocks = packets.map(({ timeUs, bytes }) =>
    writer.packet("eth0", { timeUs, bytes, originalBytes: bytes.length }, "in", "sent by a test")
  );
  await Deno.writeFile(`${folder}/in.pcap`, concat(writer.header("a test"), ...blocks));
  await Deno.writeTextFile(
    `${folder}/ku.yaml`,
    `vips: [{prefix: ${VIP}, protocol: tcp, port: 80, targetPort: 8080, pods: [10.2.1.2, 10.2.2.2]}]\n`,
  );
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
  const replay = (out: string) =>
    runOk([
      ...nobody,
      KU,
      "replay",
      `${folder}/in.pcap`,
      "--config",
      `${folder}/ku.yaml`,
      "-w",
      out,
      "--json",
    ]);
  const summary = JSON.parse(await replay(`${folder}/out.pcap`));
  assertEquals([summary.packets, summary.sent, summary.kernel, summary.dropped], [20, 20, 0, 0]);
  await replay(`${folder}/again.pcap`);
  assertEquals(await Deno.readFile(`${folder}/out.pcap`), await Deno.readFile(`${folder}/again.pcap`));
  assertMatch(await runOk(["capinfos", "-c", `${folder}/out.pcap`]), /Number of packets: +20/);
  const fields = ["ip.dst", "tcp.dstport", "tcp.checksum.status", "frame.comment"].flatMap((
    name,
  ) => ["-e", name]);
  const options = ["-o", "tcp.check_checksum:TRUE", "-T", "fields", ...fields];
  const lines = (await runOk(["tshark", "-r", `${folder}/out.pcap`, ...options])).trimEnd().split("\n");
  assertEquals(lines.length, 20);
  for (const line of lines) {
    assertMatch(line, /^10\.2\.[12]\.2\t8080\t(1|Good)\tku-session: session started$/);
  }
  const text = await runOk([KU, "replay", `${folder}/in.pcap`]);
  assertMatch(text, /^20 packets in: 0 sent, 20 to the kernel, 0 dropped\n +Count/);
  const { code, stderr } = await run([KU, "replay", `${folder}/ku.yaml`]);
  assertEquals([code, stderr], [1, `ku: capture : ${folder}/ku.yaml, is neither pcap nor pcapng\n`]);
});
