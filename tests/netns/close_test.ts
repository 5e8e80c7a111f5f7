/**
 * Uploads that end with their last bytes: the FIN comes with data. The kernel repeats both, no piece of them a second time, and the session
 * is closed with it.
 *
 * And what is closed does not keep others out.
 *
 *     client ── uplink  node (ku)  pod1 ── 10.2.1.2 :5201 counts what it receives
 */

import { assertEquals, assertGreaterOrEqual, assertLess, assertLessOrEqual } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { echoes, greeted, serveIdentity } from "./harness/identity.ts";
import type { Namespace } from "./harness/namespace.ts";
import { untilListening } from "./harness/process.ts";
import { attached, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const PORT = 5201;
const UPLOADS = 30;
const BYTES = 300_000;
/** Sessions of IPv4 that there is room for, and connections that are held meanwhile: a bucket that has both has two places left. */
const PLACES = 64, HELD = 2;

/** Answers the number of bytes when the client has closed. */
const SERVER = `for await (const connection of Deno.listen({ port: ${PORT} })) (async () => {
  let bytes = 0;
  const buffer = new Uint8Array(65536);
  for (let n; (n = await connection.read(buffer)) !== null;) bytes += n;
  await connection.write(new TextEncoder().encode(String(bytes)));
  connection.close();
})();`;
const CLIENT = `const body = new Uint8Array(${BYTES}), answer = new Uint8Array(20), answers = [];
for (let i = 0; i < ${UPLOADS}; i++) {
  const connection = await Deno.connect({ hostname: "${VIP}", port: ${PORT} });
  for (let at = 0; at < body.length;) at += await connection.write(body.subarray(at));
  await connection.closeWrite();
  answers.push(new TextDecoder().decode(answer.subarray(0, await connection.read(answer))));
  connection.close();
}
console.log(answers.join(" "));`;

await requireGround();

for (const mode of MODES) {
  Deno.test(`uploads that end with their last bytes arrive once, every interface ${mode}`, async () => {
    await using ground = await Ground.create({ pods: 1 });
    const [pod] = ground.pods;
    const server = ground.stack.use(pod.namespace.start("server", [Deno.execPath(), "eval", SERVER]));
    await untilListening(server.pid, "tcp", PORT);
    const config = {
      ...attached(ground, mode),
      conf: { offload: true },
      vips: [{ prefix: `${VIP}/32`, protocol: "tcp", port: PORT, pods: [pod.address] }],
    };
    await using daemon = await Daemon.start(ground, { config });
    const text = await ground.client.namespace.runOk([Deno.execPath(), "eval", CLIENT]);
    assertEquals(text.trim().split(" "), Array(UPLOADS).fill(String(BYTES)));
    const { hits, misses } = await daemon.offload();
    assertGreaterOrEqual(hits, UPLOADS * BYTES / 1460, "the kernel has carried the bodies");
    // What is sent again in vain, and comes when the pod has closed, it answers by an RST.
    const ends = [ground.client, pod];
    const resets = await Promise.all(ends.map((end) => tcpCount(end.namespace, "snmp", "OutRsts")));
    const opening = misses.flags - resets[0] - resets[1];
    assertLess(opening, 3 * UPLOADS, "SYN and SYN-ACK come to the worker, and no FIN but by chance");
    assertGreaterOrEqual(opening, 2 * UPLOADS);
    await until("every session closed", async () => {
      const states = (await daemon.sessions()).map(({ state }) => state);
      assertEquals(states.filter((state) => state !== "closing"), []);
      return (await daemon.offload()).used === 0;
    });
    // TCP itself sends some again, where it takes an acknowledgment that is late for one that does not come. Nobody else does.
    const again = await tcpCount(ground.client.namespace, "snmp", "RetransSegs");
    const twice = await tcpCount(pod.namespace, "netstat", "TCPDSACKOldSent");
    assertLessOrEqual(twice, again, "segments that the pod had already, to those sent again");
    await daemon.stop();
  });
}

for (const mode of MODES) {
  Deno.test(`connections that are over make room for others, and for none that lives, every interface ${mode}`, async () => {
    await using ground = await Ground.create({ pods: 2 });
    const agents = await serveIdentity(ground, WHO_PORT);
    const client = agents.of(ground.client);
    await using daemon = await Daemon.start(ground, {
      config: {
        ...attached(ground, mode),
        conf: { buckets: PLACES / 4 },
        vips: [{ prefix: `${VIP}/32`, port: WHO_PORT, pods: ground.pods.map(({ address }) => address) }],
      },
    });
    const held = await Promise.all(Array.from({ length: HELD }, () => greeted(client, [VIP, WHO_PORT])));
    for (let n = 0; n < 6 * PLACES; n++) await (await greeted(client, [VIP, WHO_PORT])).connection.close();
    for (const { connection } of held) await echoes(connection, "still here");
    const [{ counters }] = await daemon.vips();
    assertEquals(counters.untracked, 0);
    const sessions = await daemon.sessions();
    assertLessOrEqual(sessions.length, PLACES);
    assertEquals(sessions.filter(({ state }) => state === "established").length, HELD);
    await daemon.stop();
  });
}

/**
 * A counter of TCP: segments sent again (RFC 4022 tcpRetransSegs), RSTs sent (tcpOutRsts), or received again, which the receiver tells the sender of (RFC 2883).
 * `table`: the file of /proc/net that has it.
 */
async function tcpCount(namespace: Namespace, table: "snmp" | "netstat", name: string): Promise<number> {
  const lines = (await namespace.runOk(["cat", `/proc/net/${table}`])).split("\n");
  const [names, values] = lines.map((line) => line.split(" ")).filter(([first]) => /^Tcp(Ext)?:/.test(first));
  return Number(values[names.indexOf(name)]);
}
