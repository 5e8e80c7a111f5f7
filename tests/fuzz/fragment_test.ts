/**
 * Fragments of every kind through the datapath, most of them of a few datagrams, so that they overlap, repeat and contradict each other:
 * there is always a verdict, nothing is written outside the frame, nothing at all of what is held, and everything is counted once.
 * KU_FUZZ_SECONDS and KU_TEST_SEED as in datapath_test.ts.
 */

import { assert, assertEquals } from "@std/assert";
import { HEADROOM_BYTES, VERDICT_DROP, VERDICT_HOLD, VERDICT_TX } from "../../mod/datapath/processor.ts";
import { NODE_COUNTERS } from "../../mod/metrics/counters.ts";
import {
  buildFrame,
  destinationOptions,
  fragmentHeader,
  hopByHop,
  type IpFields,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../packets/builder.ts";
import { hexLines } from "../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../packets/node.ts";
import { Random, TEST_SEED } from "../packets/random.ts";
import { FRAME_BYTES, HEADROOM, World } from "../packets/world.ts";

const SECONDS = Number(Deno.env.get("KU_FUZZ_SECONDS") ?? 0);
const SMOKE_ROUNDS = 40_000;
const CANARY = 0xa5;

function randomFragment(random: Random, f: Family): Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const back = random.below(3) === 0;
  const src = back ? f.pod : pick([f.client, f.client, f.pod]);
  const dst = back
    ? f.client
    : pick([f.vip, f.vip, f.vipAll, f.vipEmpty, f.vipMasquerade, f.vipSmall, f.vipUnattached]);
  const offset = random.below(3) === 0 ? 0 : 8 * random.below(random.below(8) === 0 ? 8192 : 64);
  const more = random.below(3) > 0;
  const id = random.below(6);
  const ports = { srcPort: pick([8080, 40000]), dstPort: pick([53, 80, 40000, 81]) };
  const payload = random.bytes(random.below(4) === 0 ? random.below(1500) : 8 * random.below(12));
  const first: (() => Segment)[] = [
    () => udp({ ...ports, payload }),
    () => tcp({ ...ports, payload }),
    () => sctp({ ...ports, chunks: payload }),
    () => f.icmp({ type: pick([0, 3, 8, 128, 129]), payload }),
    () => raw(pick([17, 6, 132, 1, 58, 99]), payload),
  ];
  const segment = offset === 0 ? pick(first)() : raw(pick([17, 17, 6, 132, 1]), payload);
  const ip: IpFields = { src, dst, id, ttl: random.below(8) === 0 ? random.below(3) : 64 };
  if (f.ip === 4) {
    Object.assign(ip, { fragmentOffset: offset, moreFragments: more, dontFragment: random.below(4) === 0 });
    if (random.below(6) === 0) ip.options = random.bytes(random.below(41));
  } else {
    const before = random.below(4) === 0 ? [pick([hopByHop(), destinationOptions(16)])] : [];
    const behind = random.below(8) === 0
      ? [pick([destinationOptions(), fragmentHeader(offset, more, id + 1)])]
      : [];
    ip.extensions = [...before, fragmentHeader(offset, more, id), ...behind];
  }
  const frame = buildFrame(ip, segment, random.below(8) === 0 ? { vlan: 5 } : {});
  if (random.below(4) > 0) return frame;
  const mutated = frame.slice(0, random.below(3) === 0 ? random.below(frame.length + 1) : frame.length);
  if (mutated.length > 0) mutated[random.below(Math.min(mutated.length, 80))] = random.int32() & 0xff;
  return mutated;
}

function counted(world: World, kind: string): number {
  return NODE_COUNTERS.reduce((sum, one, i) => sum + (one.kind === kind ? world.counters.node[i] : 0), 0);
}

function check(world: World, input: Uint8Array, slot: number, room: number): void {
  const { memory, processor } = world;
  const at = FRAME_BYTES + HEADROOM;
  memory.fill(CANARY, at - HEADROOM, at + FRAME_BYTES - HEADROOM);
  memory.set(input, at);
  const drops = counted(world, "drop");
  const punts = counted(world, "punt");
  processor.holdRoom = room;
  const verdict = processor.process(at, input.length, slot, 2 * FRAME_BYTES);
  const isPunt = verdict > VERDICT_TX && verdict < VERDICT_DROP;
  assert(isPunt || [VERDICT_TX, VERDICT_DROP, VERDICT_HOLD].includes(verdict), `verdict ${verdict}`);
  assertEquals(counted(world, "drop") - drops, verdict === VERDICT_DROP ? 1 : 0, "drops counted");
  assertEquals(counted(world, "punt") - punts, isPunt ? 1 : 0, "punts counted");
  if (verdict === VERDICT_HOLD) {
    assert(room > 0, "held without room");
    assertEquals(memory.slice(at, at + input.length), input, "what is held stays as it is");
  }
  for (let i = 0; i < memory.length; i++) {
    if (i === at - HEADROOM_BYTES) i = at + input.length;
    if (i < memory.length && memory[i] !== CANARY) {
      throw new Error(`wrote at ${i - at} of ${input.length} bytes`);
    }
  }
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: any fragments get a verdict and stay in their frame`, () => {
    const random = new Random(TEST_SEED);
    const until = performance.now() + SECONDS * 1000;
    for (let round = 0; round < SMOKE_ROUNDS || performance.now() < until;) {
      const world = new World({ ...nodeSpec(f), buckets: 1 << random.below(8), frames: 3 });
      world.memory.fill(CANARY);
      for (let i = 0; i < 2000; i++, round++) {
        const input = randomFragment(random, f);
        const slot = [UPLINK, PODS, 0][random.below(3)];
        if (random.below(20) === 0) world.processor.now += random.below(8) === 0 ? random.below(60) : 1;
        if (random.below(500) === 0) world.publish();
        try {
          check(world, input, slot, random.below(2));
        } catch (error) {
          if (!(error instanceof Error)) throw error;
          error.message = `KU_TEST_SEED=${TEST_SEED}, round ${round}, slot ${slot}: ${error.message}\n` +
            hexLines(input).join("\n");
          throw error;
        }
      }
    }
  });
}
