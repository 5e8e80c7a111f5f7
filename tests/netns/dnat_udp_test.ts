/**
 * UDP through a VIP: a flow stays with its pod, flows spread, and `show vip verbose` counts exactly what was sent. All of it set up by
 * commands instead of a file.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see), dnsmasq :53
 */

import { assertEquals, assertLess } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, type Mode, MODES, type ShowVip } from "./harness/daemon.ts";
import { NO_UDP_CHECKSUM, parseIdentity, Sockets, udpSegment } from "./harness/sockets.ts";
import { seededBytes } from "./harness/random.ts";
import { startDns, whoAnswers } from "./harness/dns.ts";
import { until } from "./harness/wait.ts";
import { VIP, WHO_PORT } from "./harness/service.ts";

/** Any port that the pods do not use, to see the port rewritten too. */
const POD_PORT = 9000;
const FIRST_PORT = 20_000;

await requireGround();

for (const mode of MODES) {
  Deno.test(`UDP through a VIP, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    for (const pod of ground.pods) {
      await Sockets.of(ground, pod).serve("udp", POD_PORT, pod.name);
      await startDns(ground, pod);
    }
    const client = Sockets.of(ground, ground.client);
    await using daemon = await Daemon.start(ground);
    await configure(daemon, ground, mode);
    await t.step(
      "10 packets of one flow reach one pod, 30 flows all three, counted exactly",
      () => flows(daemon, ground, client),
    );
    await t.step("datagrams of all sizes, without checksum, and segmented late", () => sizes(client));
    await t.step(
      "dig asks dnsmasq, by UDP and by TCP on the same address and port",
      () => dns(daemon, ground),
    );
    await daemon.stop();
  });
}

async function configure(daemon: Daemon, ground: Ground, mode: Mode): Promise<void> {
  const pods = ground.pods.map((pod) => pod.address).join(" ");
  await daemon.ku(`interface ${ground.client.nodeInterface} mode ${mode}`);
  for (const pod of ground.pods) {
    await daemon.ku(`interface ${pod.nodeInterface} mode ${mode}`);
    await daemon.ku(`set interface nat4 in ${pod.nodeInterface}`);
  }
  await daemon.ku(`vip ${VIP}/32 protocol udp port ${WHO_PORT} target_port ${POD_PORT}`);
  await daemon.ku(`pod ${VIP}/32 ${pods}`); // the one VIP of that prefix
  for (const protocol of ["udp", "tcp"]) {
    await daemon.ku(`vip ${VIP}/32 protocol ${protocol} port 53`);
    await daemon.ku(`pod ${VIP}/32 protocol ${protocol} port 53 ${pods}`);
  }
}

async function flows(daemon: Daemon, ground: Ground, client: Sockets): Promise<void> {
  const reached = new Map<string, number>();
  const count = (pod: string) => reached.set(pod, (reached.get(pod) ?? 0) + 1);

  const one = await client.udp({ bind: ["", FIRST_PORT] });
  const pods = new Set<string>();
  for (let n = 0; n < 10; n++) pods.add(await askOnce(one, `packet ${n}`, FIRST_PORT));
  assertEquals(pods.size, 1, "pods that one flow reached");
  count([...pods][0]);
  await untilCounted(daemon, { firstPacket: 1, nextPacket: 9, replyPackets: 10 });

  for (let n = 1; n <= 30; n++) {
    const port = FIRST_PORT + n;
    const flow = await client.udp({ bind: ["", port] });
    const first = await askOnce(flow, "first", port);
    assertEquals(await askOnce(flow, "second", port), first);
    assertEquals(await askOnce(flow, "third", port), first);
    count(first);
    await flow.close();
  }
  assertEquals(reached.size, 3, "pods that 30 flows reached");

  const vip = await untilCounted(daemon, { firstPacket: 31, nextPacket: 69, replyPackets: 100 });
  assertEquals([vip.counters.untracked, vip.counters.noServer], [0, 0]);
  const buckets = vip.pods.map((pod) => pod.buckets);
  assertEquals(buckets.reduce((sum, n) => sum + n, 0), vip.newLen);
  assertLess(Math.max(...buckets) - Math.min(...buckets), 3, `buckets ${buckets.join(" ")}`);
  for (const pod of ground.pods) {
    const shown = vip.pods.find((one) => one.address === pod.address);
    assertEquals(shown?.sessions, reached.get(pod.name), `sessions of ${pod.name}`);
  }
  const sessions = (await daemon.sessions()).filter((session) => session.vip === `${VIP}:${WHO_PORT}`);
  assertEquals(
    sessions.map((session) => session.client).toSorted(),
    Array.from({ length: 31 }, (_, n) => `${ground.client.address}:${FIRST_PORT + n}`).toSorted(),
  );
  assertEquals(new Set(sessions.map((session) => session.protocol)), new Set(["udp"]));
  const addresses = new Set(ground.pods.map((pod) => `${pod.address}:${POD_PORT}`));
  assertEquals(new Set(sessions.map((session) => session.pod)), addresses);
  assertEquals((await daemon.summary()).workers.reduce((sum, worker) => sum + worker.sessions.used, 0), 31);
}

/** Sends one datagram; its answer must come from the VIP and tell the client's own address. Returns the pod's name. */
async function askOnce(
  flow: Awaited<ReturnType<Sockets["udp"]>>,
  payload: string,
  port: number,
): Promise<string> {
  const { text, from } = await flow.ask(payload, [VIP, WHO_PORT]);
  const identity = parseIdentity(text);
  assertEquals([from, identity.address, identity.port, identity.payload], [
    [VIP, WHO_PORT],
    "10.1.1.2",
    port,
    payload,
  ]);
  return identity.pod;
}

/** The VIP of the identity service once its counters say so. They must never say more. */
async function untilCounted(daemon: Daemon, expected: Partial<ShowVip["counters"]>): Promise<ShowVip> {
  const pick = (vip: ShowVip) =>
    Object.keys(expected).map((key) => vip.counters[key as keyof ShowVip["counters"]]);
  const wanted = Object.values(expected);
  let vip = await daemon.vip(WHO_PORT, "udp");
  try {
    return await until("the counters", async () => {
      vip = await daemon.vip(WHO_PORT, "udp");
      return pick(vip).every((count, index) => count >= wanted[index]!) && vip;
    }, 3_000);
  } finally {
    assertEquals(pick(vip), wanted, Object.keys(expected).join(", "));
  }
}

async function sizes(client: Sockets): Promise<void> {
  for (const options of [[], [NO_UDP_CHECKSUM]]) {
    const flow = await client.udp({ options });
    for (const length of [0, 1, 2, 3, 17, 18, 511, 512, 1000, 1400]) {
      const payload = seededBytes(length, length);
      const { bytes } = await flow.ask(payload, [VIP, WHO_PORT]);
      assertEquals(bytes.subarray(bytes.length - length), payload, `a datagram of ${length} bytes`);
    }
  }
  const flow = await client.udp({ options: [udpSegment(1400)] });
  const whole = seededBytes(7, 14_000);
  await flow.send(whole, [VIP, WHO_PORT]);
  const pieces = new Set<string>();
  for (let n = 0; n < 10; n++) pieces.add((await flow.receive()).bytes.subarray(-1400).join());
  const expected = Array.from({ length: 10 }, (_, n) => whole.subarray(n * 1400, (n + 1) * 1400).join());
  assertEquals(pieces.symmetricDifference(new Set(expected)).size, 0, "ten datagrams of one write");
}

async function dns(daemon: Daemon, ground: Ground): Promise<void> {
  for (const [option, protocol] of [["+notcp", "udp"], ["+tcp", "tcp"]]) {
    const answers = new Set<string>();
    for (let n = 0; n < 12; n++) {
      // Ports of our own choice: which pod gets a flow is a function of its addresses and ports alone.
      const source = `${ground.client.address}#${FIRST_PORT + 100 + n}`;
      answers.add(await whoAnswers(ground.client.namespace, VIP, option, "-b", source));
    }
    assertEquals([...answers].toSorted(), ground.pods.map((pod) => pod.name), `${protocol} answers`);
    assertEquals((await daemon.vip(53, protocol)).counters.firstPacket, 12);
  }
}
