/**
 * Datagrams in fragments through a VIP, IPv4 and IPv6, there and back; what overlaps, never ends, or comes out of order; a link whose MTU
 * is too small; and bystanders. All with the offloads the interfaces are born with.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2     :9000 UDP, echo
 *            fd00:1:1::2                                    fd00:2:n::2
 */

import { assertEquals, assertLess } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { parseIdentity, type Socket, type SocketOption, Sockets } from "./harness/sockets.ts";
import { seededBytes } from "./harness/random.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";
import { fragments, type IpFields, pattern, type Segment, udp } from "../packets/builder.ts";

/** Any port that the pods do not use, so that ports are rewritten too. */
const POD_PORT = 9000;
const NODE_PORT = 30053;
const FIRST_PORT = 20_000;
const MTU_BYTES = 1500, NARROW_BYTES = 1300;
/** linux/in.h IP_MTU_DISCOVER, IP_PMTUDISC_DONT: no DF. */
const MAY_FRAGMENT: SocketOption = [0, 10, 0];
/** linux/in6.h IPV6_V6ONLY. */
const ONLY_IP6: SocketOption = [41, 26, 1];
const IPPROTO_RAW = 255;
/**
 * The client's second address, for fragments with identifications of the test's own. Between two addresses the kernel numbers its
 * datagrams as it likes, and of IPv4's 65,536 numbers it would sooner or later take one of these.
 */
const CRAFTED_ADDRESS = "10.1.1.77";

await requireGround();

interface Family {
  name: string;
  ip: "inet" | "inet6";
  vip: string;
  address(host: Host): string;
  gateway(host: Host): string;
  /** Whom fragments of the test's making come from. */
  crafted(client: Host): string;
  /** Payload of a fragment that fills the MTU. */
  pieceBytes: number;
}

const FAMILIES: Family[] = [
  {
    name: "nat44",
    ip: "inet",
    vip: VIP,
    address: (host) => host.address,
    gateway: (host) => host.gateway,
    crafted: () => CRAFTED_ADDRESS,
    pieceBytes: 1480,
  },
  {
    name: "nat66",
    ip: "inet6",
    vip: VIP6,
    address: (host) => host.address6,
    gateway: (host) => host.gateway6,
    crafted: (client) => client.address6,
    pieceBytes: 1448,
  },
];

interface Stage {
  ground: Ground;
  daemon: Daemon;
  client: Sockets;
  node: Sockets;
  pods: Sockets[];
}

const VARIANTS = MODES.flatMap((mode) => [{ mode, workers: 1 }, { mode, workers: 2 }]);

for (const { mode, workers } of VARIANTS) {
  Deno.test(`fragments through a VIP, every interface ${mode}, workers: ${workers}`, async (t) => {
    await using ground = await Ground.create({ queues: workers });
    const pods = ground.pods.map((pod) => Sockets.of(ground, pod));
    for (const [index, pod] of pods.entries()) {
      await pod.serve("udp", POD_PORT, ground.pods[index].name);
      await pod.serve("udp", POD_PORT, ground.pods[index].name, { family: "inet6", options: [ONLY_IP6] });
    }
    await ground.client.namespace.ip(`addr add ${CRAFTED_ADDRESS}/24 dev eth0`);
    const client = Sockets.of(ground, ground.client);
    const node = Sockets.of(ground, { ...ground.client, namespace: ground.node });
    const words = ["--workers", `${workers}`];
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode), words });
    for (const f of FAMILIES) {
      await daemon.apply(
        `vip ${f.vip} protocol udp port ${WHO_PORT} target_port ${POD_PORT} node_port ${NODE_PORT}`,
        `pod ${f.vip} ${ground.pods.map(f.address).join(" ")}`,
      );
    }
    const stage = { ground, daemon, client, node, pods };
    for (const f of FAMILIES) {
      await t.step(`${f.name}: 4,000 and 60,000 bytes there and back, counted`, () => sizes(stage, f));
      await t.step(`${f.name}: many flows at once, all pods`, () => flows(stage, f));
      await t.step(`${f.name}: reversed order, both ways`, () => reversed(stage, f));
      await t.step(`${f.name}: duplicates, overlaps, endless trains`, () => abused(stage, f));
      await t.step(`${f.name}: node port, and the node itself`, () => elsewhere(stage, f));
      await t.step(`${f.name}: bystanders wait for nothing`, () => bystanders(stage, f));
      await t.step(`${f.name}: pods' links of ${NARROW_BYTES} bytes`, () => narrow(stage, f));
    }
    await daemon.stop();
  });
}

/** The value of a node counter of ku-fragment (or another node). */
async function counted(stage: Stage, reason: string, node = "ku-fragment"): Promise<number> {
  const all = await stage.daemon.nodeCounters();
  return all.find((one) => one.node === node && one.reason === reason)?.count ?? 0;
}

async function untilCounted(stage: Stage, reason: string, expected: number, node?: string): Promise<void> {
  await until(
    `${expected} × ${reason}`,
    async () => (await counted(stage, reason, node)) === expected,
    3_000,
  );
}

function vipOf(stage: Stage, f: Family) {
  return stage.daemon.vips().then((vips) => vips.find((vip) => vip.prefix.startsWith(`${f.vip}/`))!);
}

/** Sends a datagram and expects it back, from where it was sent to, behind the pod's greeting. Returns the pod's name. */
async function echoes(f: Family, flow: Socket, bytes: Uint8Array, to: string, port: number): Promise<string> {
  const { bytes: echo, text, from } = await flow.ask(bytes, [to, port]);
  assertEquals(from, [to, port]);
  const { pod, address } = parseIdentity(text.slice(0, 80));
  assertEquals(address.includes(":"), f.ip === "inet6");
  assertEquals(echo.length - greetingBytes(text), bytes.length);
  assertEquals(echo.subarray(echo.length - bytes.length), bytes, `${bytes.length} bytes to ${to}`);
  return pod;
}

const greetingBytes = (text: string) => text.split(" ", 3).join(" ").length + 1;

async function sizes(stage: Stage, f: Family): Promise<void> {
  for (const length of [4000, 60_000]) {
    const before = (await vipOf(stage, f)).counters;
    const firsts = await counted(stage, "first fragment remembered");
    const laters = await counted(stage, "later fragment followed its first one");
    const flow = await stage.client.udp({ family: f.ip });
    await echoes(f, flow, seededBytes(length, length), f.vip, WHO_PORT);
    await echoes(f, flow, seededBytes(1, length), f.vip, WHO_PORT);
    await flow.close();
    // The answer is longer by its greeting, and at both lengths it fits into as many fragments.
    const pieces = Math.ceil((length + 8) / f.pieceBytes);
    await untilCounted(stage, "first fragment remembered", firsts + 4);
    await untilCounted(stage, "later fragment followed its first one", laters + 4 * (pieces - 1));
    const { counters } = await vipOf(stage, f);
    assertEquals(
      [
        counters.firstPacket - before.firstPacket,
        counters.nextPacket - before.nextPacket,
        counters.replyPackets - before.replyPackets,
      ],
      [1, 2 * pieces - 1, 2 * pieces],
    );
  }
}

async function flows(stage: Stage, f: Family): Promise<void> {
  const pods = new Set<string>();
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const flow = await stage.client.udp({ family: f.ip, bind: ["", FIRST_PORT + n] });
    for (const length of [1473, 4000, 20_000]) {
      pods.add(await echoes(f, flow, seededBytes(n + length, length), f.vip, WHO_PORT));
    }
    await flow.close();
  }));
  assertEquals([...pods].toSorted(), stage.ground.pods.map((pod) => pod.name));
}

let identification = 0x4321;

/** The IP packets of a datagram's fragments, as a raw socket takes them. */
function piecesOf(
  ip: IpFields,
  segment: Segment,
  payloadBytes: number,
  id = ++identification,
): Uint8Array[] {
  return fragments({ ...ip, id }, segment, payloadBytes).map((frame) => frame.subarray(14));
}

async function sendPieces(raw: Socket, pieces: Uint8Array[], to: string): Promise<void> {
  for (const piece of pieces) await raw.send(piece, [to, 0]);
}

async function reversed(stage: Stage, f: Family): Promise<void> {
  const { client, ground } = stage;
  const own = f.crafted(ground.client);
  const flow = await client.udp({ family: f.ip, bind: [own, FIRST_PORT] });
  const raw = await client.raw(IPPROTO_RAW, { family: f.ip });
  const held = await counted(stage, "early fragment held");
  const payload = seededBytes(3, 4000);
  const there = udp({ srcPort: FIRST_PORT, dstPort: WHO_PORT, payload });
  await sendPieces(raw, piecesOf({ src: own, dst: f.vip }, there, f.pieceBytes).reverse(), f.vip);
  const { bytes, text, from } = await flow.receive();
  assertEquals(from, [f.vip, WHO_PORT]);
  assertEquals(bytes.subarray(greetingBytes(text)), payload);
  await untilCounted(stage, "early fragment held", held + 2);

  const pod = ground.pods.findIndex(({ name }) => name === parseIdentity(text.slice(0, 80)).pod);
  const rawPod = await stage.pods[pod].raw(IPPROTO_RAW, { family: f.ip });
  const back = udp({ srcPort: POD_PORT, dstPort: FIRST_PORT, payload });
  const pieces = piecesOf({ src: f.address(ground.pods[pod]), dst: own }, back, 560);
  await sendPieces(rawPod, pieces.reverse(), own);
  const answer = await flow.receive();
  assertEquals(answer.from, [f.vip, WHO_PORT]);
  assertEquals(answer.bytes, payload);
  await untilCounted(stage, "early fragment held", held + 2 + 7);
  await flow.close();

  // Nothing waits for ever: without a first one the kernel gets them.
  const notMine = await counted(stage, "fragment of no known packet");
  await sendPieces(raw, piecesOf({ src: own, dst: f.vip }, there, f.pieceBytes).slice(1), f.vip);
  await untilCounted(stage, "fragment of no known packet", notMine + 2);
  await raw.close();
}

async function abused(stage: Stage, f: Family): Promise<void> {
  const own = f.crafted(stage.ground.client);
  const flow = await stage.client.udp({ family: f.ip, bind: [own, FIRST_PORT] });
  const raw = await stage.client.raw(IPPROTO_RAW, { family: f.ip });
  const payload = pattern(4000);
  const segment = udp({ srcPort: FIRST_PORT, dstPort: WHO_PORT, payload });
  const ip = { src: own, dst: f.vip };
  const overlaps = await counted(stage, "overlapping fragment");

  const [first, second, third] = piecesOf(ip, segment, f.pieceBytes);
  await sendPieces(raw, [first, first, second, second, third], f.vip);
  const { bytes, text } = await flow.receive();
  assertEquals(bytes.subarray(greetingBytes(text)), payload, "duplicates do no harm");
  await untilCounted(stage, "overlapping fragment", overlaps + 2);

  // 0…1440 and 960…1920: nothing more of the datagram passes, whatever it is.
  const id = ++identification;
  const [head, , tail] = piecesOf(ip, segment, 1440, id);
  const [, middle, after] = piecesOf(ip, segment, 960, id);
  await sendPieces(raw, [head, middle, after, tail, head], f.vip);
  await untilCounted(stage, "overlapping fragment", overlaps + 2 + 4);

  // A train without an end: it is cut off where no datagram is so long.
  const limits = await counted(stage, "too many fragments");
  const endless = piecesOf(
    ip,
    udp({ payload: pattern(64_000), srcPort: FIRST_PORT, dstPort: WHO_PORT }),
    f.pieceBytes,
  ).slice(0, 2);
  const last = endless[1].slice();
  const offsetAt = f.ip === "inet" ? 6 : 42;
  const farthest = f.ip === "inet" ? 0x2000 | 0x1fff : 0xfff9;
  last[offsetAt] = farthest >> 8;
  last[offsetAt + 1] = farthest & 0xff;
  await sendPieces(raw, [endless[0], last, last, last], f.vip);
  await untilCounted(stage, "too many fragments", limits + 3);
  await flow.close();
  await raw.close();
  const whole = await stage.client.udp({ family: f.ip });
  await echoes(f, whole, seededBytes(9, 4000), f.vip, WHO_PORT);
  await whole.close();
}

async function elsewhere(stage: Stage, f: Family): Promise<void> {
  const { client, ground, node } = stage;
  const flow = await client.udp({ family: f.ip });
  await echoes(f, flow, seededBytes(5, 4000), f.gateway(ground.client), NODE_PORT);
  await echoes(f, flow, seededBytes(6, 30_000), f.gateway(ground.pods[0]), NODE_PORT);
  await flow.close();
  const own = await node.udp({ family: f.ip });
  await echoes(f, own, seededBytes(7, 4000), f.vip, WHO_PORT);
  await own.close();
}

async function bystanders(stage: Stage, f: Family): Promise<void> {
  const { client, ground, node, pods } = stage;
  const held = await counted(stage, "early fragment held");
  const started = performance.now();
  for (const pod of ground.pods) {
    const flow = await client.udp({ family: f.ip });
    await echoes(f, flow, seededBytes(8, 20_000), f.address(pod), POD_PORT);
    await flow.close();
  }
  // To a server of the node itself, from a pod and from the client.
  await node.serve("udp", 7000, "node", { family: f.ip, options: f.ip === "inet6" ? [ONLY_IP6] : [] });
  for (const [sockets, host] of [[client, ground.client], [pods[0], ground.pods[0]]] as const) {
    const flow = await sockets.udp({ family: f.ip });
    assertEquals(await echoes(f, flow, seededBytes(9, 4000), f.gateway(host), 7000), "node");
    await flow.close();
  }
  assertLess(performance.now() - started, 1_000);
  assertEquals(await counted(stage, "early fragment held"), held);
}

async function narrow(stage: Stage, f: Family): Promise<void> {
  const setMtu = async (bytes: number) => {
    for (const pod of stage.ground.pods) {
      await stage.ground.node.ip(`link set ${pod.nodeInterface} mtu ${bytes}`);
      await pod.namespace.ip(`link set eth0 mtu ${bytes}`);
    }
    await stage.daemon.untilMtu(bytes, ...stage.ground.pods.map((pod) => pod.nodeInterface));
  };
  await setMtu(NARROW_BYTES);
  const punted = await counted(stage, "left to the kernel to fragment", "ku-route");
  const tooBig = await counted(stage, "fragmentation needed or packet too big sent", "ku-icmp");
  const options = f.ip === "inet" ? [MAY_FRAGMENT] : [];
  const flow = await stage.client.udp({ family: f.ip, options });
  for (const length of [1400, 4000, 30_000]) {
    if (f.ip === "inet6" && length === 1400) {
      // The sender is told the MTU, and this datagram is lost.
      await flow.send(seededBytes(length, length), [f.vip, WHO_PORT]);
      await untilCounted(stage, "fragmentation needed or packet too big sent", tooBig + 1, "ku-icmp");
    }
    await echoes(f, flow, seededBytes(length, length), f.vip, WHO_PORT);
  }
  await flow.close();
  const more = await counted(stage, "left to the kernel to fragment", "ku-route") - punted;
  assertEquals(more > 0, f.ip === "inet", `${more} packets left to the kernel`);
  await setMtu(MTU_BYTES);
}
