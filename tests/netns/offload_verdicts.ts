/*
 * What the kernel repeats, byte for byte: sessions are begun by the TypeScript datapath in the memory of loaded steering programs, and
 * packets of every kind go through ku_xdp and ku_tc (BPF_PROG_TEST_RUN) and through the datapath. A program gives the datapath's frame,
 * or leaves the packet as it was; never something third. What is plain, it repeats.
 *
 * The node is that of tests/packets/node.ts. Runs inside of a namespace, see steering_fixture.ts.
 */

import { assert, assertEquals } from "@std/assert";
import * as counters from "../../mod/metrics/counters.ts";
import { IF_XDP_OUT } from "../../mod/table/interface.ts";
import {
  mapParts,
  type OffloadMemory,
  prepareOffload,
  setOffloadEpoch,
} from "../../mod/table/offload_memory.ts";
import { nowSeconds } from "../../mod/worker/clock.ts";
import { type SteeredLink, Steering } from "../../mod/xdp/steering.ts";
import { buildFrame, DEFAULT_DST_MAC } from "../packets/builder.ts";
import { hexLines } from "../packets/fixture.ts";
import { FAMILIES, PODS, UPLINK } from "../packets/node.ts";
import { property, type Random } from "../packets/random.ts";
import type { World } from "../packets/world.ts";
import {
  runTc,
  runXdp,
  SHORTEST_SKB,
  TC_ACT_REDIRECT,
  TC_ACT_UNSPEC,
  XDP_PASS,
  XDP_REDIRECT,
} from "./bpf_run.ts";
import { type Packet, randomPacket, RepeatingNode, segmentOf, spoilt } from "./offload_packets.ts";
import { ip, linkOf } from "./steering_rings.ts";

const UDP = 17;
const ROUNDS = 15_000;
const EPOCH = 7;
const SEED = Uint32Array.of(1, 2, 3, 4);

/** Runs both programs, and compares them with the datapath. Returns which of them repeated it. */
function compare(
  steering: Steering,
  node: RepeatingNode,
  packet: Packet,
  link: SteeredLink,
): { xdp: boolean; tc: boolean } {
  const { frame, slot } = packet;
  const xdp = runXdp(steering.programFd("ku_xdp"), frame, link.index);
  assert(xdp.verdict === XDP_PASS || xdp.verdict === XDP_REDIRECT, `XDP verdict ${xdp.verdict}`);
  const tc = frame.length < SHORTEST_SKB ? null : runTc(steering.programFd("ku_tc"), frame, link.index);
  assert(
    tc === null || tc.verdict === TC_ACT_UNSPEC || tc.verdict === TC_ACT_REDIRECT,
    `tc verdict ${tc?.verdict}`,
  );
  const repeated = { xdp: xdp.verdict === XDP_REDIRECT, tc: tc?.verdict === TC_ACT_REDIRECT };
  const expected = node.run(frame, slot);
  for (const [name, run] of [["ku_xdp", xdp], ["ku_tc", tc]] as const) {
    if (run === null) continue;
    const isRepeated = repeated[name === "ku_xdp" ? "xdp" : "tc"];
    const wanted = isRepeated ? expected : frame;
    const same = wanted !== null && run.out.length === wanted.length &&
      run.out.every((byte, i) => byte === wanted[i]);
    if (same) continue;
    const texts = [["packet", frame], [name, run.out], ["datapath", wanted ?? new Uint8Array(0)]] as const;
    throw new Error(texts.map(([what, bytes]) => `${what}\n${hexLines(bytes).join("\n")}`).join("\n"));
  }
  return repeated;
}

export async function repeatsAlike(): Promise<void> {
  await ip("link", "add", "p0", "type", "veth", "peer", "name", "p1");
  for (const name of ["p0", "p1"]) await ip("link", "set", name, "up");
  // Packets are for us by the interface's address, and all are built for the same one.
  const mac = [...DEFAULT_DST_MAC].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  for (const name of ["n0", "p0"]) await ip("link", "set", name, "address", mac);
  const steering = Steering.load(8192);
  const memory = mapParts(steering.offload.mappings, ({ buffer }) => new Int32Array(buffer));
  prepareOffload(memory, SEED);
  const links = new Map([
    [UPLINK, linkOf("n0", { slot: UPLINK })],
    [PODS, linkOf("p0", { slot: PODS, nat4: true, nat6: true })],
  ]);
  for (const link of links.values()) {
    steering.attach(link, "tc");
    steering.update(link);
  }
  setOffloadEpoch(memory, EPOCH);
  let first = 0;
  for (const family of FAMILIES) {
    for (const xdpSlots of [[UPLINK, PODS], []]) {
      const node = new RepeatingNode(family, memory, first, xdpSlots);
      property((random) => check(steering, node, links, memory, random));
      first += 1024;
    }
  }
  await checkGoneInterface(steering, memory, links, first);
  steering.detachAll();
  steering.close();
}

/** Flows do not outlive the interface they leave by, whoever gets its index. */
async function checkGoneInterface(
  steering: Steering,
  memory: OffloadMemory,
  links: ReadonlyMap<number, SteeredLink>,
  first: number,
): Promise<void> {
  const node = new RepeatingNode(FAMILIES[0], memory, first, []);
  property((random) => node.begin(random));
  const { client } = node.flows.find((flow) => flow.protocol === UDP && flow.client.slot === UPLINK)!;
  const frame = buildFrame(client, segmentOf(UDP, client, { payload: new Uint8Array(50) }));
  const verdict = () => runTc(steering.programFd("ku_tc"), frame, links.get(UPLINK)!.index).verdict;
  assertEquals(verdict(), TC_ACT_REDIRECT);
  await ip("link", "del", "p0");
  assertEquals(verdict(), TC_ACT_UNSPEC);
  await ip(
    "link",
    "add",
    "p0",
    "index",
    String(links.get(PODS)!.index),
    "type",
    "veth",
    "peer",
    "name",
    "p1",
  );
  assertEquals(verdict(), TC_ACT_UNSPEC, "another interface of the same index is another");
}

function check(
  steering: Steering,
  node: RepeatingNode,
  links: ReadonlyMap<number, SteeredLink>,
  memory: OffloadMemory,
  random: Random,
): void {
  node.begin(random);
  const { world, offload, family } = node;
  assert(offload.used > 30, `${offload.used} of 60 sessions are repeated, all but SCTP with another port`);
  const byXdp = (world.tables.interfaces.flags(UPLINK) & IF_XDP_OUT) !== 0;
  let plain = 0, repeats = 0, bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    world.processor.now = nowSeconds();
    const packet = randomPacket(random, node);
    const isSpoilt = random.below(4) === 0;
    if (isSpoilt) packet.frame = spoilt(random, packet.frame);
    const { frame } = packet;
    const known = !isSpoilt && packet.plain && node.isRepeated(packet.flow);
    const { xdp, tc } = compare(steering, node, packet, links.get(packet.slot)!);
    if (known) {
      assertEquals([xdp, tc], [byXdp, frame.length >= SHORTEST_SKB], hexLines(frame).join("\n"));
      plain++;
    }
    assert(!xdp || byXdp, "XDP sends only to who takes it");
    const times = Number(xdp) + Number(tc);
    repeats += times;
    const lengthAt = family.ip === 4 ? 16 : 18;
    if (times > 0) {
      bytes += times * (frame[lengthAt] * 256 + frame[lengthAt + 1] + (family.ip === 4 ? 0 : 40));
    }
  }
  assert(plain > ROUNDS / 5, `${plain} plain packets`);
  repeats += 12; // four packets of three segments
  bytes += checkMassEnd(steering, node, links, memory);
  world.processor.withdrawOffload();
  assertEquals(offload.used, 0);
  assertEquals(node.told.packets, repeats, "every packet is counted once");
  assertEquals(node.told.bytes, bytes, "and so are the bytes");
  assertEquals(totals(world, "service"), totals(world, "pod"));
}

/** A flow that no longer counts is not repeated: another epoch, silence, and all that is not told again. */
function checkMassEnd(
  steering: Steering,
  node: RepeatingNode,
  links: ReadonlyMap<number, SteeredLink>,
  memory: OffloadMemory,
): number {
  const flow = node.flows.find((each) => each.protocol === UDP && node.isRepeated(each))!;
  const { client } = flow;
  const frame = buildFrame(client, segmentOf(UDP, client, { payload: new Uint8Array(3000) }));
  const link = links.get(client.slot)!;
  const repeats = (gsoBytes: number) =>
    runTc(steering.programFd("ku_tc"), frame, link.index, 1, gsoBytes).verdict === TC_ACT_REDIRECT;
  assert(!repeats(0), "above the MTU");
  assert(repeats(1000), "to be cut into pieces below it");
  assert(!repeats(1473), "to be cut into pieces above it");
  const whole = runTc(steering.programFd("ku_tc"), frame, link.index, 1, 1000);
  assertEquals(whole.out, node.runUncut(frame, client.slot), "uncut, it is rewritten like any packet");
  const words = node.hopWords(flow);
  const [kind, other] = words.map((at) => memory.flows[at]);
  memory.flows[words[0]] &= 0xffff; // hop 0
  assert(!repeats(1000), "the worker has this direction");
  memory.flows[words[0]] = kind;
  memory.flows[words[1]] &= 0xffff;
  assert(repeats(1000), "and here the other one");
  memory.flows[words[1]] = other;
  setOffloadEpoch(memory, 8);
  assert(!repeats(1000), "one store ends all");
  setOffloadEpoch(memory, 0);
  assert(!repeats(1000), "or none is repeated any more");
  setOffloadEpoch(memory, EPOCH);
  const { offload } = node;
  const now = nowSeconds();
  for (let each = 0; each < offload.capacity; each++) offload.setLastSeen(each, now - 41);
  assert(!repeats(1000), "expired");
  assert(!repeats(1000), "and not revived");
  for (let each = 0; each < offload.capacity; each++) offload.setLastSeen(each, now);
  assert(repeats(1000));
  return 4 * (3000 + 3 * (node.family.ip === 4 ? 28 : 48));
}

/** Packets and bytes of both directions, of all services or of all pods. */
function totals({ counters: of }: World, what: "service" | "pod"): number[] {
  const [columns, stride] = what === "service"
    ? [
      [
        counters.SERVICE_NEXT_PACKET,
        counters.SERVICE_FIRST_PACKET,
        counters.SERVICE_UNTRACKED,
        counters.SERVICE_REPLY_PACKETS,
      ],
      counters.SERVICE_COUNTERS,
    ]
    : [[counters.POD_PACKETS, counters.POD_REPLY_PACKETS], counters.POD_COUNTERS];
  const [bytes, replyBytes] = what === "service"
    ? [counters.SERVICE_BYTES, counters.SERVICE_REPLY_BYTES]
    : [counters.POD_BYTES, counters.POD_REPLY_BYTES];
  const sum = (wanted: readonly number[]) =>
    of[what].reduce((total, value, i) => total + (wanted.includes(i % stride) ? value : 0), 0);
  return [sum(columns), sum([bytes, replyBytes])];
}
