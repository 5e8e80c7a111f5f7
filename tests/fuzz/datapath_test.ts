/**
 * Any bytes through the datapath: there is always a verdict, nothing throws, nothing is written outside the frame and its headroom,
 * and every drop and punt is counted once.
 *
 * Inputs are random bytes, valid packets of every kind, and valid ones with bytes changed, cut, or lengthened; in every case also with
 * a length that ends anywhere. A smoke run by default; KU_FUZZ_SECONDS=n goes on for n seconds, KU_TEST_SEED=s repeats.
 */

import { assert, assertEquals } from "@std/assert";
import {
  HEADROOM_BYTES,
  VERDICT_DROP,
  VERDICT_PUNT_IN,
  VERDICT_PUNT_KU,
  VERDICT_TX,
} from "../../mod/datapath/processor.ts";
import { NODE_COUNTERS } from "../../mod/metrics/counters.ts";
import {
  authentication,
  buildFrame,
  buildPacket,
  destinationOptions,
  fragmentHeader,
  fragments,
  hopByHop,
  type IpFields,
  raw,
  routing,
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
/** What memory outside the frame is filled with. */
const CANARY = 0xa5;
const FRAME = 1;

const CHECKSUMS = ["right", "half", "wrong", "none"] as const;

/** A packet that something in the datapath cares about. */
function randomPacket(random: Random, f: Family): Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const clients = [f.client, f.client, f.client, f.pod, f.podB, f.uplinkAddress, f.vip];
  const vips = [
    f.vip,
    f.vipAll,
    f.vipEmpty,
    f.vipMasquerade,
    f.vipTwin,
    f.vipMany,
    f.inPrefix,
    f.inPortPrefix,
  ];
  const others = [f.vipUnattached, f.vipUnresolved, f.vipSmall, f.vipNoRoute, f.vipLocal, f.uplinkAddress];
  const back = random.below(3) === 0;
  const src = back ? pick([f.pod, f.podB, f.podC]) : pick(clients);
  const dst = back ? pick([f.client, f.podsAddress, f.vip]) : pick(random.below(4) === 0 ? others : vips);
  const port = () => pick([80, 8080, 53, 30080, 40000 + random.below(8), random.below(65536)]);
  const payload = random.bytes(random.below(3) === 0 ? random.below(1500) : random.below(64));
  const checksum = pick(CHECKSUMS);
  const ip: IpFields = {
    src,
    dst,
    ttl: random.below(4) === 0 ? random.below(3) : 64,
    dontFragment: random.below(2) > 0,
  };
  if (f.ip === 4 && random.below(6) === 0) ip.options = random.bytes(random.below(41));
  if (f.ip === 6 && random.below(4) === 0) {
    const kinds = [
      hopByHop(),
      destinationOptions(16),
      routing(),
      authentication(),
      fragmentHeader(8 * random.below(9), true, 7),
    ];
    ip.extensions = Array.from({ length: random.below(10) }, () => pick(kinds));
  }
  const segments: (() => Segment)[] = [
    () => udp({ srcPort: port(), dstPort: port(), payload, checksum }),
    () => tcp({ srcPort: port(), dstPort: port(), payload, checksum, flags: random.below(256) }),
    () => sctp({ srcPort: port(), dstPort: port(), checksum: checksum === "none" ? "half" : checksum }),
    () => raw(random.below(256), payload),
    () => f.icmp({ type: random.below(256), code: random.below(16), rest: random.int32(), payload }),
    () => f.icmp({ type: pick([f.echoRequest, f.echoReply]), rest: random.below(4) << 16, payload }),
    () =>
      f.icmp({
        type: pick([1, 2, 3, 4, 11, 12]),
        code: random.below(5),
        rest: 1300,
        payload: quoteOf(random, f, port),
      }),
  ];
  const segment = pick(segments)();
  const vlan = random.below(8) === 0 ? { vlan: random.below(65536) } : {};
  const whole = buildFrame(ip, segment, vlan);
  if (random.below(10) !== 0 || segment.bytes.length === 0) return whole;
  return pick(fragments(ip, segment, 8 * (1 + random.below(40)), vlan));
}

function quoteOf(random: Random, f: Family, port: () => number): Uint8Array {
  const toPod = random.below(2) === 0;
  const ip: IpFields = toPod ? { src: f.client, dst: f.pod } : { src: f.vip, dst: f.client };
  const make = random.below(2) === 0 ? udp : tcp;
  const packet = buildPacket(ip, make({ srcPort: port(), dstPort: port() }));
  return packet.subarray(0, random.below(packet.length + 1));
}

/** Bytes changed, cut off, or put behind. */
function mutate(random: Random, frame: Uint8Array): Uint8Array {
  const out = frame.slice(0, random.below(4) === 0 ? random.below(frame.length + 1) : frame.length);
  for (let changes = random.below(5); changes > 0 && out.length > 0; changes--) {
    const at = random.below(3) === 0 ? random.below(out.length) : Math.min(random.below(80), out.length - 1);
    out[at] = random.below(2) === 0 ? random.int32() & 0xff : out[at] ^ (1 << random.below(8));
  }
  if (random.below(8) !== 0) return out;
  const longer = new Uint8Array(out.length + random.below(64));
  longer.set(out);
  return longer;
}

function randomInput(random: Random, f: Family): Uint8Array {
  const kind = random.below(10);
  if (kind === 0) return random.bytes(random.below(200));
  const frame = randomPacket(random, f);
  return kind < 5 ? frame : mutate(random, frame);
}

/** Sum of the counters of one kind. */
function counted(world: World, kind: string): number {
  return NODE_COUNTERS.reduce(
    (sum, counter, i) => sum + (counter.kind === kind ? world.counters.node[i] : 0),
    0,
  );
}

/** Runs one input in the middle frame of three, and looks at everything around it. */
function check(world: World, input: Uint8Array, slot: number): void {
  const { memory, processor } = world;
  const start = FRAME * FRAME_BYTES;
  const at = start + HEADROOM;
  memory.fill(CANARY);
  memory.set(input, at);
  const drops = counted(world, "drop");
  const punts = counted(world, "punt");
  const verdict = processor.process(at, input.length, slot, start + FRAME_BYTES);
  assert(
    [VERDICT_TX, VERDICT_PUNT_IN, VERDICT_PUNT_KU, VERDICT_DROP].includes(verdict),
    `verdict ${verdict}`,
  );
  assertEquals(counted(world, "drop") - drops, verdict === VERDICT_DROP ? 1 : 0, "drops counted");
  const punted = verdict === VERDICT_PUNT_IN || verdict === VERDICT_PUNT_KU;
  assertEquals(counted(world, "punt") - punts, punted ? 1 : 0, "punts counted");
  for (let i = 0; i < memory.length; i++) {
    if (i === at - HEADROOM_BYTES) i = at + input.length;
    if (i < memory.length && memory[i] !== CANARY) {
      throw new Error(`wrote at ${i - at} of ${input.length} bytes`);
    }
  }
  const { outAt, outLength } = processor;
  assert(
    outAt >= at - HEADROOM_BYTES && outAt + outLength <= start + FRAME_BYTES,
    `out ${outAt - at}, ${outLength}`,
  );
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: any bytes get a verdict and stay in their frame`, () => {
    const random = new Random(TEST_SEED);
    const until = performance.now() + SECONDS * 1000;
    for (let round = 0; round < SMOKE_ROUNDS || performance.now() < until;) {
      // A new world now and then, of few buckets, so that tables are empty, full and in between.
      const world = new World({ ...nodeSpec(f), buckets: 1 << random.below(8), frames: 3 });
      for (let i = 0; i < 2000; i++, round++) {
        const input = randomInput(random, f);
        const slot = [UPLINK, PODS, 0][random.below(3)];
        if (random.below(20) === 0) world.processor.now += random.below(300);
        if (random.below(500) === 0) world.publish();
        try {
          check(world, input, slot);
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
