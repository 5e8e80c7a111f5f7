/**
 * The whole datapath, ns a packet: from a received frame to the rewritten one with its verdict.
 *
 * Packets come in bursts of 64, as a worker takes them from a ring, each in a frame of its own. Frames are filled before each burst
 * and not timed with it: as after a NIC or the kernel wrote them, they are in a cache, and not rewritten. The flow of each packet is
 * drawn at random. A sample is the median burst of many; what is printed is the median of samples, the least and the greatest.
 * The hash is of what came out, and must not change between runs. `--quick` runs every case with few packets.
 */

import { allocateShared, lineOffsetOf } from "../ffi/memory.ts";
import { VERDICT_TX } from "../mod/datapath/processor.ts";
import { IF_NAT4_IN, IF_NAT6_IN } from "../mod/table/interface.ts";
import { SESSION_STATE_ESTABLISHED } from "../mod/table/session.ts";
import { buildFrame, pattern, tcp, udp } from "../tests/packets/builder.ts";
import { FRAME_BYTES, HEADROOM, type ServiceSpec, World } from "../tests/packets/world.ts";
import { Random } from "./harness.ts";

const QUICK = Deno.args.includes("--quick");
const BURST = 64;
const BURSTS = QUICK ? 16 : 3000;
const SAMPLES = QUICK ? 1 : 9;
const WARM_BURSTS = QUICK ? 16 : 10_000;

interface Case {
  name: string;
  family?: 6;
  protocol: 6 | 17;
  frameBytes: number;
  flows: number;
  services: number;
  halfDone?: boolean;
  /** From the pod to the client. */
  reply?: boolean;
  /** Every packet starts a session. */
  insert?: boolean;
}

const small = { protocol: 17 as const, frameBytes: 60 };
const CASES: Case[] = [
  { name: "nat44 UDP 64 B, 1 k flows", ...small, flows: 1000, services: 1 },
  { name: "nat44 UDP 64 B, 1 k flows, replies", ...small, flows: 1000, services: 1, reply: true },
  { name: "nat44 TCP 64 B, 1 k flows", protocol: 6, frameBytes: 60, flows: 1000, services: 1 },
  { name: "nat44 UDP 64 B, 64 k flows", ...small, flows: 65536, services: 1 },
  { name: "nat44 UDP 64 B, 1 k flows, 1,000 services", ...small, flows: 1000, services: 1000 },
  { name: "nat44 UDP 64 B, 64 k flows, 1,000 services", ...small, flows: 65536, services: 1000 },
  { name: "nat44 UDP 64 B, 1 M flows, 1,000 services", ...small, flows: 1 << 20, services: 1000 },
  { name: "nat44 TCP 1514 B, checksum done", protocol: 6, frameBytes: 1514, flows: 1000, services: 1 },
  {
    name: "nat44 TCP 1514 B, checksum half done",
    protocol: 6,
    frameBytes: 1514,
    flows: 1000,
    services: 1,
    halfDone: true,
  },
  {
    name: "nat44 UDP 64 B, new sessions, 1,000 services",
    ...small,
    flows: 100_000,
    services: 1000,
    insert: true,
  },
  { name: "nat66 UDP 82 B, 1 k flows", family: 6, protocol: 17, frameBytes: 80, flows: 1000, services: 1 },
  {
    name: "nat66 UDP 82 B, 64 k flows, 1,000 services",
    family: 6,
    protocol: 17,
    frameBytes: 80,
    flows: 65536,
    services: 1000,
  },
  {
    name: "nat66 TCP 1514 B, checksum half done",
    family: 6,
    protocol: 6,
    frameBytes: 1514,
    flows: 1000,
    services: 1,
    halfDone: true,
  },
];

const POD_PORT = 8080;

function vipOf(test: Case, service: number): string {
  return test.family === 6
    ? `2001:db8:96::${service.toString(16)}`
    : `10.96.${service >> 8}.${service & 255}`;
}

function podOf(test: Case, pod: number): string {
  return test.family === 6 ? `2001:db8:244::${pod.toString(16)}` : `10.244.${pod >> 8}.${pod & 255}`;
}

function worldOf(test: Case): World {
  const services: ServiceSpec[] = [];
  for (let i = 0; i < test.services; i++) {
    const pods = [0, 1, 2, 3].map((n) => ({ address: podOf(test, 4 * i + n + 1) }));
    services.push({ vip: vipOf(test, i + 1), protocol: test.protocol, port: 80, targetPort: POD_PORT, pods });
  }
  const six = test.family === 6;
  return new World({
    interfaces: [{ slot: 1 }, { slot: 2, flags: six ? IF_NAT6_IN : IF_NAT4_IN }],
    routes: six
      ? [{ prefix: "2001:db8:244::/48", slot: 2 }, { prefix: "::/0", slot: 1 }]
      : [{ prefix: "10.244.0.0/16", slot: 2 }, { prefix: "0.0.0.0/0", slot: 1 }],
    services,
    buckets: 1 << Math.max(10, Math.ceil(Math.log2(test.flows))),
    frames: BURST,
    memory: { allocate: allocateShared, lineOffsetOf },
  });
}

/** A frame for every flow, one after the other. */
class Flows {
  readonly stored: Uint8Array;
  readonly stride: number;

  constructor(test: Case, random: Random) {
    // Of long frames only the beginning differs; the rest is told by few.
    const flows = test.frameBytes > 200 ? Math.min(test.flows, 1000) : test.flows;
    this.stride = (test.frameBytes + 63) & ~63;
    this.stored = new Uint8Array(flows * this.stride);
    const overhead = (test.family === 6 ? 40 : 20) + (test.protocol === 6 ? 20 : 8) + 14;
    const payload = pattern(test.frameBytes - overhead);
    for (let i = 0; i < flows; i++) {
      const low = random.int32() >>> 0;
      const src = test.family === 6
        ? `2001:db8:c::${(low >>> 16).toString(16)}:${(i & 0xffff).toString(16)}`
        : `198.${18 + (low >>> 31)}.${(low >>> 8) & 255}.${low & 255}`;
      const fields = {
        srcPort: 1024 + random.below(60000),
        dstPort: 80,
        payload,
        checksum: test.halfDone ? "half" as const : "right" as const,
      };
      const segment = test.protocol === 6 ? tcp(fields) : udp(fields);
      this.stored.set(buildFrame({ src, dst: vipOf(test, i % test.services + 1) }, segment), i * this.stride);
    }
  }

  get count(): number {
    return this.stored.length / this.stride;
  }

  /** Fills the frames of a burst with flows that `next` names. */
  fill(memory: Uint8Array, bytes: number, next: () => number): void {
    for (let i = 0; i < BURST; i++) {
      const from = next() * this.stride;
      memory.set(this.stored.subarray(from, from + bytes), i * FRAME_BYTES + HEADROOM);
    }
  }

  /** Makes every flow known: its first packet; and, for replies, puts the pod's answer in its place. */
  start(world: World, test: Case): void {
    for (let i = 0; i < this.count; i++) {
      const frame = this.stored.slice(i * this.stride, i * this.stride + test.frameBytes);
      if (world.run(frame, 1) !== VERDICT_TX) throw new Error(`${test.name}: flow ${i} was not sent`);
      if (test.reply) this.stored.set(turned(world.result(), test), i * this.stride);
    }
    const sessions = test.family === 6 ? world.sessions6 : world.sessions4;
    if (test.protocol !== 6) return;
    sessions.forEach(world.processor.now, (entry) => sessions.setState(entry, SESSION_STATE_ESTABLISHED));
  }
}

/** An IPv4 UDP frame with addresses and ports turned round, which leaves its checksums right. */
function turned(frame: Uint8Array, test: Case): Uint8Array {
  if (test.family === 6) throw new Error("replies are benched over IPv4");
  const out = frame.slice();
  out.set(frame.subarray(26, 30), 30);
  out.set(frame.subarray(30, 34), 26);
  out.set(frame.subarray(34, 36), 36);
  out.set(frame.subarray(36, 38), 34);
  return out;
}

function runBurst(world: World, frameBytes: number, slot: number): number {
  const { processor } = world;
  const burst = processor.burst;
  for (let i = 0; i < BURST; i++) {
    burst.ats[i] = i * FRAME_BYTES + HEADROOM;
    burst.lengths[i] = frameBytes;
    burst.slots[i] = slot;
  }
  processor.lookAhead(BURST);
  let sent = 0;
  for (let i = 0; i < BURST;) {
    const known = processor.forward(i, BURST);
    sent += known - i;
    i = known;
    if (i === BURST) break;
    const at = burst.ats[i++];
    if (processor.decide(at, frameBytes, slot, at - HEADROOM + FRAME_BYTES) === VERDICT_TX) sent++;
  }
  return sent;
}

function hashOutput(world: World, hash: number): number {
  for (let i = 0; i < BURST; i++) {
    const at = i * FRAME_BYTES + HEADROOM;
    for (let j = 0; j < 60; j += 4) hash = Math.imul(hash ^ world.view.getInt32(at + j), 0x01000193);
  }
  return hash;
}

function clear(world: World): void {
  for (const table of [world.sessions4, world.sessions6]) table.forEach(0, (entry) => table.remove(entry));
}

function runCase(test: Case): void {
  const random = new Random(7);
  const world = worldOf(test);
  const flows = new Flows(QUICK ? { ...test, flows: Math.min(test.flows, 1000) } : test, random);
  if (!test.insert) flows.start(world, test);
  let turn = 0;
  const next = test.insert
    ? () => {
      if (turn === flows.count) {
        clear(world);
        turn = 0;
      }
      return turn++;
    }
    : () => random.below(flows.count);
  const slot = test.reply ? 2 : 1;
  let hash = 0x811c9dc5 | 0;
  const burst = (): number => {
    flows.fill(world.memory, test.frameBytes, next);
    const start = performance.now();
    const sent = runBurst(world, test.frameBytes, slot);
    const ns = (performance.now() - start) * 1e6;
    if (sent !== BURST) throw new Error(`${test.name}: ${sent} of ${BURST} sent`);
    return ns / BURST;
  };
  for (let i = 0; i < WARM_BURSTS; i++) burst();
  const samples: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample++) {
    const bursts = Float64Array.from({ length: BURSTS }, burst).sort();
    samples.push(bursts[BURSTS >> 1]);
    hash = hashOutput(world, hash);
  }
  samples.sort((a, b) => a - b);
  print(test.name, samples, hash);
}

function print(name: string, samples: number[], hash: number): void {
  const text = (value: number) => value.toFixed(1).padStart(6);
  console.log(
    `${name.padEnd(48)}${text(samples[samples.length >> 1])} ns/packet  ` +
      `(${text(samples[0])} …${text(samples[samples.length - 1])})  ${
        (hash >>> 0).toString(16).padStart(8, "0")
      }`,
  );
}

for (const test of CASES) runCase(test);
