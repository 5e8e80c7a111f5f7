/**
 * Mutated packets through a node with nat46 and nat64: there is always a verdict, nothing throws, nothing is written outside the frame
 * and its headroom, and every drop and punt is counted once.
 *
 * Clients' packets, what came of them turned round as a pod would answer it, and errors that quote either; all of it with bytes changed,
 * cut, or lengthened. A smoke run by default; KU_FUZZ_SECONDS=n goes on for n seconds, KU_TEST_SEED=s repeats.
 */

import { assert, assertEquals } from "@std/assert";
import { HEADROOM_BYTES, VERDICT_DROP, VERDICT_PIECES, VERDICT_TX } from "../../mod/datapath/processor.ts";
import { NODE_COUNTERS } from "../../mod/metrics/counters.ts";
import {
  authentication,
  buildFrame,
  concat,
  destinationOptions,
  ethernet,
  fragmentHeader,
  hopByHop,
  icmp,
  icmpv6,
  type IpFields,
  raw,
  routing,
  sctp,
  tcp,
  udp,
} from "../packets/builder.ts";
import { hexLines } from "../packets/fixture.ts";
import { CLIENT46, mixedSpec, VIPS46, VIPS64 } from "../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, UPLINK } from "../packets/node.ts";
import { Random, TEST_SEED } from "../packets/random.ts";
import { FRAME_BYTES, HEADROOM, World } from "../packets/world.ts";

const SECONDS = Number(Deno.env.get("KU_FUZZ_SECONDS") ?? 0);
const SMOKE_ROUNDS = 60_000;
const CANARY = 0xa5;

/** A packet of a client for one of the VIPs. */
function ask(random: Random): Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const is4 = random.below(2) === 0;
  const dst = pick(Object.values(is4 ? VIPS46 : VIPS64) as string[]);
  const ip: IpFields = {
    src: is4 ? FAMILY4.client : FAMILY6.client,
    dst,
    ttl: random.below(6) === 0 ? random.below(3) : 64,
    dontFragment: random.below(2) === 0,
    moreFragments: random.below(12) === 0,
  };
  if (is4 && random.below(5) === 0) ip.options = random.bytes(random.below(41));
  if (!is4 && random.below(4) === 0) {
    const kinds = [
      hopByHop(),
      destinationOptions(16),
      routing(),
      authentication(),
      fragmentHeader(0, true, 9),
    ];
    ip.extensions = Array.from({ length: random.below(5) }, () => pick(kinds));
  }
  const ports = { srcPort: random.below(64), dstPort: pick([80, 80, random.below(65536)]) };
  const payload = random.bytes(random.below(3) === 0 ? 8 * random.below(185) : random.below(64));
  const checksum = pick(["right", "right", "half", "wrong", "none"] as const);
  const echo = { type: is4 ? 8 : 128, rest: random.int32() >>> 0, payload };
  return buildFrame(
    ip,
    pick([
      () => tcp({ ...ports, payload, flags: random.below(256), checksum }),
      () => udp({ ...ports, payload, checksum }),
      () => sctp({ ...ports, checksum: checksum === "none" ? "right" : checksum }),
      () => raw(random.below(256), payload),
      () => is4 ? icmp(echo) : icmpv6(echo),
    ])(),
  );
}

/** A frame's addresses and ports turned round: what its receiver would answer. Checksums need no care: sums do not mind the order. */
function answerTo(frame: Uint8Array): Uint8Array {
  const out = frame.slice();
  const is4 = frame[12] === 8;
  const [src, dst, size] = is4 ? [26, 30, 4] : [22, 38, 16];
  out.set(frame.subarray(dst, dst + size), src);
  out.set(frame.subarray(src, src + size), dst);
  const l4 = is4 ? 14 + (frame[14] & 15) * 4 : 54;
  const protocol = frame[is4 ? 23 : 20];
  if (frame.length < l4 + 4) return out;
  if (protocol === 1 || protocol === 58) out[l4] = is4 ? 0 : 129;
  else {
    out.set(frame.subarray(l4, l4 + 2), l4 + 2);
    out.set(frame.subarray(l4 + 2, l4 + 4), l4);
  }
  return out;
}

/** An error about a frame that went to a pod or a client. */
function errorAbout(random: Random, frame: Uint8Array): Uint8Array {
  const is4 = frame[12] === 8;
  const type = is4 ? [3, 3, 11, 12, 4, 5][random.below(6)] : [1, 2, 3, 4, 100][random.below(5)];
  const code = random.below(is4 ? 16 : 6);
  let rest = random.below(2) === 0 ? random.below(2000) : random.int32() >>> 0;
  let payload: Uint8Array = frame.slice(14, 14 + random.below(Math.min(frame.length, 700)));
  if (random.below(4) === 0) {
    // With extensions: a quote of units as the family counts them.
    const units = 16 + random.below(is4 ? 40 : 20);
    const quote = new Uint8Array(units * (is4 ? 4 : 8));
    quote.set(frame.subarray(14, 14 + Math.min(quote.length, frame.length - 14)));
    rest = is4 ? units * 65536 : units * 2 ** 24;
    payload = concat(quote, random.bytes(random.below(900)));
  }
  const from4 = random.below(2) === 0 ? FAMILY4.router : FAMILY4.pod;
  const from6 = random.below(2) === 0 ? FAMILY6.router : FAMILY6.pod;
  return is4
    ? buildFrame({ src: from4, dst: FAMILY4.podsAddress }, icmp({ type, code, rest, payload }))
    : buildFrame({ src: from6, dst: CLIENT46 }, icmpv6({ type, code, rest, payload }));
}

/** Bytes changed, cut off, or put behind; most of the time none. */
function mutate(random: Random, frame: Uint8Array): Uint8Array {
  if (random.below(3) !== 0) return frame;
  const out = frame.slice(0, random.below(4) === 0 ? random.below(frame.length + 1) : frame.length);
  for (let changes = random.below(4); changes > 0 && out.length > 0; changes--) {
    out[Math.min(random.below(110), out.length - 1)] = random.int32();
  }
  return random.below(6) === 0 ? concat(out, random.bytes(random.below(50))) : out;
}

function counted(world: World, kind: string): number {
  return NODE_COUNTERS.reduce((sum, one, i) => sum + (one.kind === kind ? world.counters.node[i] : 0), 0);
}

/** Makes all pieces, each but the last in the memory of the third frame, and returns the last one's verdict. */
function drain(world: World, at: number): number {
  const { processor, memory } = world;
  for (;;) {
    const punts = counted(world, "punt");
    const isLast = processor.piecesLeft === 1;
    const verdict = processor.nextPiece(2 * FRAME_BYTES + HEADROOM);
    if (isLast) return verdict;
    assert(processor.outAt >= 2 * FRAME_BYTES && processor.outAt + processor.outLength <= 3 * FRAME_BYTES);
    memory.fill(CANARY, 2 * FRAME_BYTES);
    assertEquals(memory[at - HEADROOM_BYTES - 1], CANARY);
    // Counted for each: only the last one's is left for the caller to see.
    if (counted(world, "punt") !== punts) subtractPunt(world);
  }
}

/** Takes back one punt that was counted. */
function subtractPunt(world: World): void {
  const index = NODE_COUNTERS.findIndex(({ kind }, i) => kind === "punt" && world.counters.node[i] > 0);
  world.counters.node[index]--;
}

/** Runs one input and looks at everything around it; returns what left, or null. */
function check(world: World, input: Uint8Array, slot: number): Uint8Array | null {
  const { memory, processor } = world;
  const at = FRAME_BYTES + HEADROOM;
  memory.fill(CANARY);
  memory.set(input, at);
  const drops = counted(world, "drop");
  const punts = counted(world, "punt");
  let verdict = processor.process(at, input.length, slot, 2 * FRAME_BYTES);
  if (verdict === VERDICT_PIECES) verdict = drain(world, at);
  assert(verdict >= VERDICT_TX && verdict <= VERDICT_DROP, `verdict ${verdict}`);
  assertEquals(counted(world, "drop") - drops, verdict === VERDICT_DROP ? 1 : 0, "drops counted");
  const punted = verdict !== VERDICT_DROP && verdict !== VERDICT_TX;
  assertEquals(counted(world, "punt") - punts, punted ? 1 : 0, "punts counted");
  for (let i = 0; i < memory.length; i++) {
    if (i === at - HEADROOM_BYTES) i = at + input.length;
    if (i < memory.length && memory[i] !== CANARY) {
      throw new Error(`wrote at ${i - at} of ${input.length} bytes`);
    }
  }
  const { outAt, outLength } = processor;
  assert(
    outAt >= at - HEADROOM_BYTES && outAt + outLength <= at + input.length,
    `out ${outAt - at}, ${outLength}`,
  );
  return verdict === VERDICT_TX ? world.result() : null;
}

Deno.test("Processor: nat46 and nat64: any packet gets a verdict and stays in its frame", () => {
  const random = new Random(TEST_SEED);
  const until = performance.now() + SECONDS * 1000;
  for (let round = 0; round < SMOKE_ROUNDS || performance.now() < until;) {
    const world = new World({ ...mixedSpec(), buckets: 1 << random.below(8), frames: 3 });
    let last = ethernet(0x0800, new Uint8Array(40));
    for (let i = 0; i < 2000; i++, round++) {
      const kind = random.below(4);
      const frame = kind < 2 ? ask(random) : kind === 2 ? answerTo(last) : errorAbout(random, last);
      const input = mutate(random, frame);
      const slot = kind < 2 ? UPLINK : [PODS, PODS, UPLINK, 0][random.below(4)];
      if (random.below(20) === 0) world.processor.now += random.below(300);
      if (random.below(500) === 0) world.publish();
      try {
        last = check(world, input, slot) ?? last;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        error.message = `KU_TEST_SEED=${TEST_SEED}, round ${round}, slot ${slot}: ${error.message}\n` +
          hexLines(input).join("\n");
        throw error;
      }
    }
    const counts = world.nodeCounts();
    assert(counts["ku-icmp: error translated"] > 0, "errors reach the translation");
  }
});
