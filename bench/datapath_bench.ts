/**
 * The whole datapath, ns a packet: from a received frame to the rewritten one with its verdict.
 *
 * Frames are restored from templates before each measured pass and are not timed with it: as after a NIC or the kernel wrote
 * them, they are in a cache, but not rewritten. `--smoke` runs every case once with few packets. Prints a hash of the verdicts
 * and of the bytes that came out, which must not change between runs.
 */

import { IF_NAT4_IN } from "../mod/table/interface.ts";
import { VERDICT_TX } from "../mod/datapath/processor.ts";
import { FRAME_BYTES, HEADROOM, type ServiceSpec, World, type WorldSpec } from "../tests/packets/world.ts";
import { Random } from "./harness.ts";

const smoke = Deno.args.includes("--smoke");
const PASS = 256;
const PASSES = smoke ? 2 : 1024;
const SAMPLES = smoke ? 1 : 11;

interface Case {
  name: string;
  flows: number;
  services: number;
  frameBytes: number;
  protocol: 6 | 17;
  halfDone: boolean;
  /** New flows only: every packet starts a session. */
  insert?: boolean;
}

const CASES: Case[] = [
  {
    name: "udp 64 B, 1 service, 1 k flows",
    flows: 1000,
    services: 1,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "tcp 64 B, 1 service, 1 k flows",
    flows: 1000,
    services: 1,
    frameBytes: 60,
    protocol: 6,
    halfDone: false,
  },
  {
    name: "udp 64 B, 1 service, 64 k flows",
    flows: 65536,
    services: 1,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "udp 64 B, 1000 services, 1 k flows",
    flows: 1000,
    services: 1000,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "udp 64 B, 1000 services, 64 k flows",
    flows: 65536,
    services: 1000,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "udp 64 B, 10,000 services, 64 k flows",
    flows: 65536,
    services: 10000,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "udp 64 B, 1000 services, 1 M flows",
    flows: 1 << 20,
    services: 1000,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
  },
  {
    name: "tcp 1514 B, checksum done, 1 k flows",
    flows: 1000,
    services: 1,
    frameBytes: 1514,
    protocol: 6,
    halfDone: false,
  },
  {
    name: "tcp 1514 B, checksum half done, 1 k flows",
    flows: 1000,
    services: 1,
    frameBytes: 1514,
    protocol: 6,
    halfDone: true,
  },
  {
    name: "udp 64 B, new sessions, 1000 services",
    flows: 1 << 20,
    services: 1000,
    frameBytes: 60,
    protocol: 17,
    halfDone: false,
    insert: true,
  },
];

function worldOf(test: Case): World {
  const services: ServiceSpec[] = [];
  for (let i = 0; i < test.services; i++) {
    const low = `${(i >> 6) & 255}.${(i & 63) * 4}`;
    services.push({
      vip: `10.96.${(i >> 8) & 255}.${i & 255}`,
      protocol: test.protocol,
      port: 80,
      targetPort: 8080,
      newLen: 64,
      pods: [0, 1, 2, 3].map((n) => ({
        address: `10.244.${low.split(".")[0]}.${Number(low.split(".")[1]) + n}`,
      })),
    });
  }
  const spec: WorldSpec = {
    interfaces: [{ slot: 1, ip4: "192.0.2.1" }, { slot: 2, flags: IF_NAT4_IN, ip4: "10.244.255.254" }],
    routes: [{ prefix: "10.244.0.0/16", slot: 2 }, { prefix: "0.0.0.0/0", slot: 1 }],
    services,
    buckets: test.flows <= 1000 ? 1024 : test.flows <= 65536 ? 65536 : 1 << 20,
    frames: PASS,
  };
  return new World(spec);
}

/** The frame of flow number `flow`, in a template that is copied. */
function writeFlow(
  template: Uint8Array,
  view: DataView,
  test: Case,
  source: number,
  ports: number,
  service: number,
) {
  const l3 = 14;
  template.fill(0x61);
  view.setUint16(12, 0x0800);
  const total = test.frameBytes - 14;
  view.setUint32(l3, 0x45000000 | total);
  view.setUint32(l3 + 4, 0x00004000);
  view.setUint32(l3 + 8, (64 << 24) | (test.protocol << 16));
  view.setInt32(l3 + 12, source);
  view.setInt32(l3 + 16, 0x0a600000 | service);
  view.setUint16(l3 + 10, checksum(view, l3, 20, 0));
  const l4 = l3 + 20;
  const length = total - 20;
  view.setInt32(l4, ports);
  const at = l4 + (test.protocol === 6 ? 16 : 6);
  if (test.protocol === 6) view.setUint16(l4 + 12, 0x5010);
  else view.setUint16(l4 + 4, length);
  view.setUint16(at, 0);
  const pseudo = sum(view, l3 + 12, 8, 0) + test.protocol + length;
  view.setUint16(at, test.halfDone ? sum(view, 0, 0, pseudo) : checksum(view, l4, length, pseudo));
}

function sum(view: DataView, at: number, length: number, initial: number): number {
  let total = initial;
  for (let i = 0; i + 1 < length; i += 2) total += view.getUint16(at + i);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 65536);
  return total;
}

function checksum(view: DataView, at: number, length: number, initial: number): number {
  return ~sum(view, at, length, initial) & 0xffff;
}

/** Sets up the frames of one pass; copied in before it. */
class Frames {
  readonly stored: Uint8Array;
  readonly bytes: number;

  constructor(test: Case) {
    this.bytes = (test.frameBytes + 63) & ~63;
    this.stored = new Uint8Array(PASS * this.bytes);
  }

  restore(world: World, frameBytes: number): void {
    const { memory } = world;
    for (let i = 0; i < PASS; i++) {
      const from = i * this.bytes;
      memory.set(this.stored.subarray(from, from + frameBytes), i * FRAME_BYTES + HEADROOM);
    }
  }
}

function runPass(world: World, frameBytes: number, slot: number): number {
  const { processor } = world;
  let sent = 0;
  for (let i = 0; i < PASS; i++) {
    const at = i * FRAME_BYTES;
    if (processor.process(at + HEADROOM, frameBytes, slot, at + FRAME_BYTES) === VERDICT_TX) sent++;
  }
  return sent;
}

function hashOutput(world: World, frameBytes: number, hash: number): number {
  for (let i = 0; i < PASS; i += 61) {
    const at = i * FRAME_BYTES + HEADROOM;
    for (let j = 0; j < Math.min(frameBytes, 60); j += 4) {
      hash = Math.imul(hash ^ world.view.getInt32(at + j), 0x01000193);
    }
  }
  return hash;
}

function runCase(test: Case): void {
  const random = new Random(7);
  const world = worldOf(test);
  const flows = smoke ? Math.min(test.flows, 2 * PASS) : test.flows;
  const sources = new Int32Array(flows);
  const ports = new Int32Array(flows);
  for (let i = 0; i < flows; i++) {
    sources[i] = 0xc0000000 | (random.int32() & 0x00ffffff);
    ports[i] = (1024 + random.below(60000)) << 16 | 80;
  }
  const template = new Uint8Array(test.frameBytes);
  const view = new DataView(template.buffer);
  const frames = new Frames(test);
  let next = 0;
  const fill = () => {
    for (let i = 0; i < PASS; i++) {
      const flow = test.insert ? next++ % flows : random.below(flows);
      if (test.insert && flow === 0) clear(world);
      writeFlow(template, view, test, sources[flow], ports[flow], flow % test.services);
      frames.stored.set(template, i * frames.bytes);
    }
    frames.restore(world, test.frameBytes);
  };
  if (!test.insert) startAll(world, test, template, view, sources, ports);
  const ns: number[] = [];
  let hash = 0x811c9dc5 | 0;
  for (let sample = -2; sample < SAMPLES; sample++) {
    let elapsed = 0;
    for (let pass = 0; pass < PASSES; pass++) {
      fill();
      const start = performance.now();
      const sent = runPass(world, test.frameBytes, 1);
      elapsed += performance.now() - start;
      if (sent !== PASS) throw new Error(`${test.name}: ${sent} of ${PASS} sent`);
    }
    if (sample >= 0) ns.push(elapsed * 1e6 / PASS / PASSES);
    hash = hashOutput(world, test.frameBytes, hash);
  }
  ns.sort((a, b) => a - b);
  const text = (value: number) => value.toFixed(1).padStart(7);
  console.log(
    `${test.name.padEnd(44)}${text(ns[ns.length >> 1])} ns/packet  (${text(ns[0])} …${
      text(ns[ns.length - 1])
    })  ` +
      `${world.sessions4.used()} sessions  ${(hash >>> 0).toString(16).padStart(8, "0")}`,
  );
}

function clear(world: World): void {
  world.sessions4.forEach(0, (entry) => world.sessions4.remove(entry));
}

/** Every flow's first packet, so that the measured ones find a session. */
function startAll(
  world: World,
  test: Case,
  template: Uint8Array,
  view: DataView,
  sources: Int32Array,
  ports: Int32Array,
): void {
  for (let flow = 0; flow < sources.length; flow++) {
    // Twice, with the answer left out: TCP sessions stay transitory, which is the slower way.
    writeFlow(template, view, test, sources[flow], ports[flow], flow % test.services);
    world.run(template, 1);
  }
}

for (const test of CASES) runCase(test);
