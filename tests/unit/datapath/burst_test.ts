/**
 * Bursts against single packets: two nodes get the same packets in the same order, one in bursts of random length through `lookAhead`,
 * `forward` and `decide`, the other one after the other through `decide` alone. Frames, verdicts, counters and session tables must be the
 * same to the last word.
 */

import { assert, assertEquals } from "@std/assert";
import { BURST_PACKETS } from "../../../mod/datapath/burst.ts";
import { VERDICT_HOLD, VERDICT_PIECES, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import {
  buildFrame,
  type Checksum,
  type EthernetFields,
  hopByHop,
  type IpFields,
  raw,
  sctp,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { hexLines } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { property, type Random } from "../../packets/random.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

const BURSTS = 1000;

interface Input {
  frame: Uint8Array;
  slot: number;
}

interface Output {
  verdict: number;
  slot: number;
  frame: string[];
}

function checksumOf(random: Random): Checksum {
  return (["right", "half", "half", "wrong", "none", "right", "right"] as const)[random.below(7)];
}

/** A client's packet to a VIP, or a pod's to a client; few of each, so that sessions are met again and within a burst. */
function randomInput(random: Random, f: Family): Input {
  const client = f.ip === 4 ? `203.0.113.${random.below(3)}` : `2001:db8:c::${random.below(3)}`;
  const vips = [f.vip, f.vip, f.vipAll, f.vipMasquerade, f.vipTwin, f.vipMany, f.inPrefix, f.vipSmall];
  const pods = [f.pod, f.podB, f.podC, f.podSmall];
  const fromPod = random.below(3) === 0;
  const vip = [
    ...vips,
    f.vipUnresolved,
    f.vipUnattached,
    f.vipEmpty,
    f.vipLocal,
  ][random.below(3) === 0 ? random.below(12) : random.below(6)];
  const ip: IpFields = {
    src: fromPod ? pods[random.below(4)] : client,
    dst: fromPod ? client : vip,
    ttl: random.below(40) === 0 ? random.below(2) : 64,
  };
  const strange = random.below(40);
  if (f.ip === 4) {
    if (strange === 0) ip.options = Uint8Array.of(1, 1, 1, 1);
    if (strange === 1) ip.moreFragments = true;
    if (strange === 2) ip.fragmentOffset = 64;
    ip.id = random.below(4);
    ip.dontFragment = random.below(2) === 0;
  } else if (strange === 0) ip.extensions = [hopByHop(8)];
  const clientPort = 5000 + random.below(4);
  const podPort = [80, 8080, 8080, 8080][random.below(4)];
  const ports = fromPod
    ? { srcPort: podPort, dstPort: clientPort }
    : { srcPort: clientPort, dstPort: random.below(10) === 0 ? 81 : 80 };
  const payload = random.bytes(random.below(5) === 0 ? random.below(1400) : random.below(30));
  const fields = { ...ports, payload, checksum: checksumOf(random) };
  const flags = random.below(12) === 0 ? random.below(64) : random.below(10) === 0 ? 2 : 16;
  const kind = random.below(12);
  const segment = kind < 5
    ? udp(fields)
    : kind < 10
    ? tcp({ ...fields, flags })
    : kind === 10
    ? sctp({ ...ports, tag: 7 })
    : raw(200, payload);
  const ethernet: EthernetFields = strange === 3 ? { vlan: 5 } : {};
  let frame = buildFrame(ip, segment, ethernet);
  if (strange === 4) frame = frame.slice(0, random.below(frame.length + 1));
  if (strange === 5) frame[random.below(Math.min(frame.length, 80))] ^= 1 << random.below(8);
  if (strange === 6) frame = Uint8Array.from([...frame, 0, 0, 0]); // padding
  return { frame, slot: fromPod || random.below(10) === 0 ? PODS : UPLINK };
}

function resultOf(world: World, index: number, verdict: number): Output {
  const { outAt, outLength, outSlot } = world.processor;
  const frame = hexLines(world.memory.slice(outAt, outAt + outLength));
  assert(outAt >= index * FRAME_BYTES && outAt + outLength <= (index + 1) * FRAME_BYTES);
  return { verdict, slot: outSlot, frame };
}

/** Decides about the frame at place `index`, which lies there already. */
function decide(world: World, { frame, slot }: Input, index: number): Output {
  const at = index * FRAME_BYTES + HEADROOM;
  const verdict = world.processor.decide(at, frame.length, slot, (index + 1) * FRAME_BYTES);
  if (verdict === VERDICT_PIECES) {
    const outputs: string[] = [];
    for (let left = world.processor.piecesLeft; left > 0; left--) {
      const place = left === 1 ? at : BURST_PACKETS * FRAME_BYTES + HEADROOM;
      world.processor.nextPiece(place);
      outputs.push(...resultOf(world, left === 1 ? index : BURST_PACKETS, verdict).frame);
    }
    return { verdict, slot, frame: outputs };
  }
  if (verdict === VERDICT_HOLD) return { verdict, slot: -1, frame: [] };
  return resultOf(world, index, verdict);
}

function runSingly(world: World, inputs: Input[]): Output[] {
  return inputs.map((input, i) => {
    world.place(input.frame, i);
    return decide(world, input, i);
  });
}

/** Also counts the packets that were forwarded without a decision. */
function runBurst(world: World, inputs: Input[]): { outputs: Output[]; forwarded: number } {
  const { processor } = world;
  const { burst } = processor;
  inputs.forEach(({ frame, slot }, i) => {
    burst.ats[i] = world.place(frame, i);
    burst.lengths[i] = frame.length;
    burst.slots[i] = slot;
  });
  const outputs: Output[] = [];
  let forwarded = 0;
  processor.lookAhead(inputs.length);
  for (let i = 0; i < inputs.length;) {
    const known = processor.forward(i, inputs.length);
    assert(known >= i && known <= inputs.length);
    for (; i < known; i++, forwarded++) {
      const at = burst.ats[i];
      const frame = hexLines(world.memory.slice(at, at + burst.lengths[i]));
      outputs.push({ verdict: VERDICT_TX, slot: burst.outSlots[i], frame });
    }
    if (i < inputs.length) outputs.push(decide(world, inputs[i], i++));
  }
  return { outputs, forwarded };
}

/** Lets established sessions be, whatever the flags drawn did to them: they are what bursts are for. */
function establish(worlds: World[]): void {
  for (const { sessions4, sessions6, processor } of worlds) {
    for (const table of [sessions4, sessions6]) {
      table.forEach(processor.now, (entry) => {
        if (table.protocol(entry) === 6) table.setState(entry, 2);
      });
    }
  }
}

function check(random: Random, families: Family[], buckets: number): void {
  const specs = families.map((f) => nodeSpec(f));
  const spec = {
    ...specs[0],
    services: specs.flatMap(({ services }) => services),
    routes: specs.flatMap(({ routes }) => routes),
    interfaces: specs[0].interfaces.map((each, i) => ({
      ...each,
      flags: specs.reduce((flags, { interfaces }) => flags | (interfaces[i].flags ?? 0), 0),
      ip6: each.ip6 ?? specs.at(-1)!.interfaces[i].ip6,
    })),
    buckets,
    frames: BURST_PACKETS + 1,
  };
  const [burstly, singly] = [new World(spec), new World(spec)];
  const worlds = [burstly, singly];
  let forwarded = 0, packets = 0;
  for (let round = 0; round < BURSTS; round++) {
    const inputs = Array.from(
      { length: 1 + random.below(BURST_PACKETS) },
      () => randomInput(random, families[random.below(families.length)]),
    );
    const expected = runSingly(singly, inputs);
    const actual = runBurst(burstly, inputs);
    for (let i = 0; i < inputs.length; i++) {
      assertEquals(
        actual.outputs[i],
        expected[i],
        `round ${round}, packet ${i}: ${hexLines(inputs[i].frame)}`,
      );
    }
    forwarded += actual.forwarded;
    packets += inputs.length;
    assertEquals(burstly.nodeCounts(), singly.nodeCounts());
    const chance = random.below(40);
    if (chance === 0) worlds.forEach((world) => world.processor.now += 30);
    else if (chance === 1) worlds.forEach((world) => world.publish());
    else if (chance < 25) establish(worlds);
    if (round % 100 === 0 || round === BURSTS - 1) {
      for (const counters of ["service", "pod", "interface"] as const) {
        assertEquals(burstly.counters[counters], singly.counters[counters], `round ${round}: ${counters}`);
      }
      assertEquals(burstly.sessions4.words, singly.sessions4.words, `round ${round}: sessions4`);
      assertEquals(burstly.sessions6.words, singly.sessions6.words, `round ${round}: sessions6`);
    }
  }
  assert(
    forwarded > packets / 8,
    `only ${forwarded} of ${packets} packets were forwarded: this tests little`,
  );
  assert(forwarded < packets * 0.9);
}

for (
  const [name, families] of [["IPv4", [FAMILIES[0]]], ["IPv6", [FAMILIES[1]]], ["both", FAMILIES]] as const
) {
  for (const buckets of [16 * families.length, 2048]) {
    Deno.test(`Processor: a burst does what its packets do singly (${name}, ${buckets} buckets)`, () => {
      property((random) => check(random, [...families], buckets));
    });
  }
}
