/**
 * Protocols besides TCP and UDP: SCTP (its checksum covers the ports), UDP-Lite (its checksum covers the addresses), and one that ku knows
 * nothing of, through VIPs of every protocol; and that a VIP with a port takes only what it says.
 *
 *     client 10.1.1.2    ── uplink  node (ku)  pod1 ── 10.2.1.2         raw sockets
 *            fd00:1:1::2                               fd00:2:1::2
 *
 * This machine's kernel need not know SCTP: the packets are made here, and their CRC32c is computed here, bit by bit.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { Agents, family } from "./harness/identity.ts";
import { type Socket, SocketError } from "./harness/sockets.ts";
import { seededBytes } from "./harness/random.ts";
import { attachedDual, VIP, VIP6 } from "./harness/service.ts";
import { ipBytes, pseudoHeader, sctp, slowCrc32c, slowSum } from "../packets/builder.ts";

const SCTP = 132, UDP_LITE = 136;
/** RFC 3692: for experimentation. */
const EXPERIMENT = 253;
const PORT_VIPS = ["10.96.0.20", "fd00:96::20"];
const PORT = 3868, POD_PORT = 13868;

await requireGround();

for (const mode of MODES) {
  Deno.test(`protocols by address, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const agents = new Agents(ground);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    const [pod] = ground.pods;
    await daemon.apply(...[[VIP, PORT_VIPS[0], pod.address], [VIP6, PORT_VIPS[1], pod.address6]].flatMap(
      ([all, port, address]) => [
        `vip ${all}`,
        `pod ${all} ${address}`,
        `vip ${port} protocol sctp port ${PORT} target_port ${POD_PORT}`,
        `pod ${port} ${address}`,
      ],
    ));
    for (const vip of [VIP, VIP6]) {
      await t.step(`SCTP, ports kept: ${vip}`, () => speaksSctp(ground, agents, vip, PORT, PORT));
      await t.step(`a protocol that ku does not know: ${vip}`, () => speaksOther(ground, agents, vip));
      await t.step(`UDP-Lite: ${vip}`, () => speaksUdpLite(ground, agents, vip));
    }
    for (const vip of PORT_VIPS) {
      await t.step(`SCTP, another port: ${vip}`, () => speaksSctp(ground, agents, vip, PORT, POD_PORT));
      await t.step(`a VIP with a port takes nothing else: ${vip}`, () => takesOnly(ground, agents, vip));
    }
    await t.step("sessions are shown by protocol", async () => {
      const protocols = (await daemon.sessions()).map((session) => session.protocol);
      assertEquals(protocols.toSorted(), ["136", "136", "253", "253", "sctp", "sctp", "sctp", "sctp"]);
    });
    await daemon.stop();
  });
}

function sctpPacket(srcPort: number, dstPort: number, seed: number): Uint8Array {
  const { bytes } = sctp({ srcPort, dstPort, tag: seed, chunks: seededBytes(seed, 400 + seed) });
  new DataView(bytes.buffer).setUint32(8, slowCrc32c(bytes), true);
  return bytes;
}

/** Throws unless its CRC32c (RFC 9260 §6.8) is right. */
function readSctp(bytes: Uint8Array): { ports: [number, number]; chunks: Uint8Array } {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const checksum = view.getUint32(8, true);
  view.setUint32(8, 0);
  assertEquals(checksum, slowCrc32c(copy), "CRC32c");
  return { ports: [view.getUint16(0), view.getUint16(2)], chunks: copy.subarray(12) };
}

/** What a raw socket received, without the IPv4 header that it shows. */
async function received(socket: Socket, is4: boolean): Promise<{ bytes: Uint8Array; from: string }> {
  const { bytes, from } = await socket.receive(3_000);
  return { bytes: is4 ? bytes.slice((bytes[0] & 15) * 4) : bytes, from: from[0] };
}

const addressOf = (host: Host, is4: boolean) => is4 ? host.address : host.address6;

/** Raw sockets of both ends, for as long as `use` takes. */
async function withRaw(
  ground: Ground,
  agents: Agents,
  vip: string,
  protocol: number,
  use: (client: Socket, pod: Socket, is4: boolean) => Promise<void>,
): Promise<void> {
  const options = { family: family(vip) };
  const client = await agents.of(ground.client).raw(protocol, options);
  const pod = await agents.of(ground.pods[0]).raw(protocol, options);
  await use(client, pod, options.family === "inet");
  await client.close();
  await pod.close();
}

function speaksSctp(
  ground: Ground,
  agents: Agents,
  vip: string,
  port: number,
  podPort: number,
): Promise<void> {
  return withRaw(ground, agents, vip, SCTP, async (client, pod, is4) => {
    for (const seed of [1, 2, 3]) {
      const asked = sctpPacket(50_000, port, seed);
      await client.send(asked, [vip, 0]);
      const arrived = await received(pod, is4);
      assertEquals(arrived.from, addressOf(ground.client, is4));
      const read = readSctp(arrived.bytes);
      assertEquals([read.ports, read.chunks], [[50_000, podPort], asked.slice(12)]);

      const said = sctpPacket(podPort, 50_000, seed + 100);
      await pod.send(said, [arrived.from, 0]);
      const answer = await received(client, is4);
      assertEquals(answer.from, vip);
      const back = readSctp(answer.bytes);
      assertEquals([back.ports, back.chunks], [[port, 50_000], said.slice(12)]);
    }
  });
}

function speaksOther(ground: Ground, agents: Agents, vip: string): Promise<void> {
  return withRaw(ground, agents, vip, EXPERIMENT, async (client, pod, is4) => {
    for (const length of [0, 1, 7, 1400]) {
      const payload = seededBytes(length, length);
      await client.send(payload, [vip, 0]);
      const arrived = await received(pod, is4);
      assertEquals(arrived, { bytes: payload, from: addressOf(ground.client, is4) });
      await pod.send(payload.toReversed(), [arrived.from, 0]);
      assertEquals(await received(client, is4), { bytes: payload.toReversed(), from: vip });
    }
  });
}

/** RFC 3828 by hand: a raw socket of it shows the checksum as it came. */
function speaksUdpLite(ground: Ground, agents: Agents, vip: string): Promise<void> {
  return withRaw(ground, agents, vip, UDP_LITE, async (client, pod, is4) => {
    const [from, to] = [addressOf(ground.client, is4), addressOf(ground.pods[0], is4)];
    await client.send(udpLite(from, vip, [40_001, 9], "asked"), [vip, 0]);
    assertEquals(await received(pod, is4), { bytes: udpLite(from, to, [40_001, 9], "asked"), from });
    await pod.send(udpLite(to, from, [9, 40_001], "said"), [from, 0]);
    assertEquals(await received(client, is4), { bytes: udpLite(vip, from, [9, 40_001], "said"), from: vip });
  });
}

function udpLite(src: string, dst: string, ports: [number, number], text: string): Uint8Array {
  const payload = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ports[0]);
  view.setUint16(2, ports[1]);
  bytes.set(payload, 8); // coverage 0: the whole
  const pseudo = pseudoHeader(ipBytes(src), ipBytes(dst), UDP_LITE, bytes.length);
  view.setUint16(6, ~slowSum(bytes, slowSum(pseudo)) & 0xffff);
  return bytes;
}

async function takesOnly(ground: Ground, agents: Agents, vip: string): Promise<void> {
  for (const protocol of [EXPERIMENT, SCTP]) {
    await withRaw(ground, agents, vip, protocol, async (client, pod) => {
      await client.send(sctpPacket(50_001, PORT + 1, 1), [vip, 0]);
      const error = await assertRejects(() => pod.receive(150), SocketError);
      assertEquals(error.code, "ETIMEDOUT");
    });
  }
}
