/** Fragments through the datapath, one case at a time: who follows whom, who waits, who is dropped. Whole datagrams: fragment_property_test.ts. */

import { assertEquals } from "@std/assert";
import { VERDICT_HOLD, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import {
  SERVICE_BYTES,
  SERVICE_FIRST_PACKET,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_BYTES,
  SERVICE_REPLY_PACKETS,
} from "../../../mod/metrics/counters.ts";
import { FRAGMENT_SECONDS } from "../../../mod/table/fragment.ts";
import { fragments, type IpFields, pattern, sctp, type Segment, udp } from "../../packets/builder.ts";
import { checkStep, hexLines, type VerdictWord, verdictWord } from "../../packets/fixture.ts";
import {
  FAMILIES,
  type Family,
  nodeWorld,
  PODS,
  sentMacs,
  SERVICE_VIP80,
  UPLINK,
} from "../../packets/node.ts";
import type { World } from "../../packets/world.ts";

const PAYLOAD = pattern(3000);
const request = udp({ srcPort: 40000, dstPort: 80, payload: PAYLOAD });
/** As the pod gets it. */
const requested = udp({ srcPort: 40000, dstPort: 8080, payload: PAYLOAD });
const answer = udp({ srcPort: 8080, dstPort: 40000, payload: PAYLOAD });
const answered = udp({ srcPort: 80, dstPort: 40000, payload: PAYLOAD });
/** 3,008 bytes in three pieces. */
const PIECE_BYTES = 1240;

const toVip = (f: Family, ip: Partial<IpFields> = {}, segment: Segment = request) =>
  fragments({ src: f.client, dst: f.vip, ...ip }, segment, PIECE_BYTES);
const toPod = (f: Family) =>
  fragments({ src: f.client, dst: f.pod, ttl: 63 }, requested, PIECE_BYTES, sentMacs(PODS));
const fromPod = (f: Family) => fragments({ src: f.pod, dst: f.client }, answer, PIECE_BYTES);
const fromVip = (f: Family) =>
  fragments({ src: f.vip, dst: f.client, ttl: 63 }, answered, PIECE_BYTES, sentMacs(UPLINK));

/** Runs frames in order; their verdicts. */
function run(world: World, frames: Uint8Array[], slot = UPLINK): VerdictWord[] {
  return frames.map((frame) => verdictWord(world.run(frame, slot)) as VerdictWord);
}

/** Of the IP packets. */
function bytesOf(frames: Uint8Array[]): number {
  return frames.reduce((sum, frame) => sum + frame.length - 14, 0);
}

function counts(world: World): Record<string, number> {
  return Object.fromEntries(
    Object.entries(world.nodeCounts()).filter(([name]) => name.startsWith("ku-fragment"))
      .map(([name, count]) => [name.slice("ku-fragment: ".length), count]),
  );
}

for (const f of FAMILIES) {
  const test = (name: string, body: (world: World) => void) =>
    Deno.test(`Processor: ${f.name} fragments: ${name}`, () => body(nodeWorld(f)));

  test("later ones follow the first, to the pod and back, and are counted", (world) => {
    const counted = (column: number) => world.serviceCount(SERVICE_VIP80, column);
    toVip(f).forEach((input, i) =>
      checkStep(world, { input, slot: UPLINK, verdict: "tx", outSlot: PODS, output: toPod(f)[i] })
    );
    assertEquals([counted(SERVICE_FIRST_PACKET), counted(SERVICE_NEXT_PACKET)], [1, 2]);
    assertEquals(counted(SERVICE_BYTES), bytesOf(toVip(f)));
    fromPod(f).forEach((input, i) =>
      checkStep(world, { input, slot: PODS, verdict: "tx", outSlot: UPLINK, output: fromVip(f)[i] })
    );
    assertEquals(counted(SERVICE_REPLY_PACKETS), 3);
    assertEquals(counted(SERVICE_REPLY_BYTES), bytesOf(fromPod(f)));
    assertEquals(counts(world), {
      "first fragment remembered": 2,
      "later fragment followed its first one": 4,
    });
  });

  test("a tagged one too", (world) => {
    const tagged = fragments({ src: f.client, dst: f.vip }, request, PIECE_BYTES, { vlan: 7 });
    tagged.forEach((input, i) =>
      checkStep(world, { input, slot: UPLINK, verdict: "tx", output: toPod(f)[i] })
    );
  });

  test("a first one that is nobody's is the kernel's, and so are the later ones, untouched", (world) => {
    const frames = toVip(f, {}, udp({ dstPort: 81, payload: PAYLOAD }));
    for (const input of [...frames, ...frames, frames[1]]) {
      checkStep(world, { input, slot: UPLINK, verdict: "puntIn", output: input });
    }
    assertEquals(counts(world), {});
    assertEquals(world.nodeCounts()["ku-match: no service and no session"], 7);
  });

  test("no pod: the first one is answered, the later ones are dropped", (world) => {
    assertEquals(run(world, toVip(f, { dst: f.vipEmpty })), ["tx", "drop", "drop"]);
    assertEquals(counts(world), { "first fragment went no further": 2 });
  });

  test("without a first one, and without room, the kernel gets them", (world) => {
    assertEquals(run(world, toVip(f).slice(1)), ["puntIn", "puntIn"]);
    assertEquals(counts(world), { "fragment of no known packet": 2 });
  });

  test("an early one is held as it is, and not counted as received until it comes again", (world) => {
    const { processor } = world;
    const [first, second] = toVip(f);
    processor.holdRoom = 1;
    checkStep(world, { input: second, slot: UPLINK, verdict: "hold" });
    const { memory } = world;
    assertEquals(hexLines(memory.slice(256, 256 + second.length)), hexLines(second));
    const tag = processor.fragmentTag;
    const firsts = processor.firstFragments;
    assertEquals(world.counters.interface.some((count) => count !== 0), false);
    checkStep(world, { input: first, slot: UPLINK, verdict: "tx" });
    assertEquals([processor.firstFragments !== firsts, processor.fragmentTag], [true, tag]);
    checkStep(world, { input: second, slot: UPLINK, verdict: "tx", output: toPod(f)[1] });
    processor.holdRoom = 0;
    checkStep(world, { input: toVip(f, { id: 99 })[1], slot: UPLINK, verdict: "puntIn" });
  });

  test("duplicates are dropped, and do no harm", (world) => {
    const [first, second, third] = toVip(f);
    assertEquals(run(world, [first, first, second, second, first, third]), [
      "tx",
      "drop",
      "tx",
      "drop",
      "drop",
      "tx",
    ]);
    assertEquals(counts(world)["overlapping fragment"], 3);
    assertEquals(run(world, toVip(f)), ["tx", "tx", "tx"], "complete: the name is free again");
  });

  test("an overlap ends the datagram", (world) => {
    const [first, second, third] = toVip(f);
    const other = fragments({ src: f.client, dst: f.vip }, request, 1000);
    assertEquals(run(world, [first, other[1], second, third, first]), ["tx", "drop", "drop", "drop", "drop"]);
    assertEquals(counts(world)["overlapping fragment"], 4);
    world.processor.now += 2;
    assertEquals(run(world, toVip(f)), ["tx", "tx", "tx"]);
  });

  test("two ends, or something behind the end, end it too", (world) => {
    const [first, , third] = toVip(f);
    const shorter = toVip(f, {}, udp({ dstPort: 80, payload: pattern(2000) }));
    assertEquals(run(world, [first, third, shorter[1]]), ["tx", "tx", "drop"]);
    const longer = toVip(f, { id: 77 }, udp({ dstPort: 80, payload: pattern(4000) }));
    const short = toVip(f, { id: 77 }, udp({ dstPort: 80, payload: pattern(2000) }));
    assertEquals(run(world, [longer[0], short[1], longer[2]]), ["tx", "tx", "drop"]);
    assertEquals(counts(world)["overlapping fragment"], 2);
  });

  test("a train that never ends is cut off at 65,535 bytes", (world) => {
    const [first, second] = toVip(f);
    const at = f.ip === 4 ? 20 : 56;
    const far = second.slice();
    far.set(f.ip === 4 ? [0x3f, 0xff] : [0xff, 0xf9], at);
    assertEquals(run(world, [first, far, far, second]), ["tx", "drop", "drop", "tx"]);
    assertEquals(counts(world)["too many fragments"], 2);
  });

  test(`after ${FRAGMENT_SECONDS} s a datagram is forgotten`, (world) => {
    const [first, second, third] = toVip(f);
    run(world, [first]);
    world.processor.now += FRAGMENT_SECONDS;
    assertEquals(run(world, [second]), ["tx"]);
    world.processor.now += 1;
    assertEquals(run(world, [third]), ["puntIn"]);
  });

  test("SCTP: whoever needs another port is dropped, who keeps it passes", (world) => {
    const chunks = pattern(3000);
    const port = (dstPort: number) => toVip(f, {}, sctp({ srcPort: 40000, dstPort, chunks }));
    assertEquals(run(world, port(80)), ["drop", "drop", "drop"]);
    assertEquals(counts(world), {
      "SCTP port of a fragment to be changed": 1,
      "first fragment went no further": 2,
    });
    assertEquals(run(world, port(53)), ["tx", "tx", "tx"]);
  });

  test("a later one whose hop limit ends is dropped in silence", (world) => {
    const [first] = toVip(f);
    const [, second] = toVip(f, { ttl: 1 });
    assertEquals(run(world, [first, second]), ["tx", "drop"]);
    assertEquals(world.nodeCounts()["ku-icmp: error not allowed about this packet"], 1);
  });

  test("a link that is too small", (world) => {
    const segment = udp({ dstPort: 80, payload: PAYLOAD });
    const frames = fragments({ src: f.client, dst: f.vipSmall }, segment, 1400);
    if (f.ip === 4) {
      assertEquals(run(world, frames), ["puntIn", "puntIn", "tx"]);
      assertEquals(world.nodeCounts()["ku-route: left to the kernel to fragment"], 2);
    } else {
      assertEquals(run(world, frames), ["tx", "drop", "tx"]);
      assertEquals(world.nodeCounts()["ku-icmp: fragmentation needed or packet too big sent"], 1);
    }
  });

  test("masqueraded and by way of an interface that is not attached", (world) => {
    const frames = toVip(f, { dst: f.vipMasquerade });
    for (const input of frames) assertEquals(verdictWord(world.run(input, UPLINK)), "tx");
    const address = world.result().slice(...(f.ip === 4 ? [26, 30] : [22, 38]));
    const own = fragments({ src: f.podsAddress, dst: f.pod }, requested, PIECE_BYTES)[2];
    assertEquals(address, own.slice(...(f.ip === 4 ? [26, 30] : [22, 38])));
    assertEquals(run(world, toVip(f, { dst: f.vipUnattached })), ["puntIn", "puntIn", "puntIn"]);
  });

  test("names of datagrams: who differs in an address or the identification is another", (world) => {
    run(world, [toVip(f)[0]]);
    const others = [{ id: 99 }, { dst: f.vipTwin }, { src: f.router }].map((ip) => toVip(f, ip)[1]);
    assertEquals(run(world, others), ["puntIn", "puntIn", "puntIn"]);
    assertEquals(run(world, [toVip(f)[1]]), ["tx"]);
  });
}

Deno.test("Processor: IPv4 fragments: the protocol is part of the name, in IPv6 the header behind is not", () => {
  for (const f of FAMILIES) {
    const world = nodeWorld(f);
    const [first, second] = toVip(f);
    assertEquals(world.run(first, UPLINK), VERDICT_TX);
    const other = second.slice();
    other[f.ip === 4 ? 23 : 54] = 6;
    world.processor.holdRoom = 1;
    assertEquals(world.run(other, UPLINK), f.ip === 4 ? VERDICT_HOLD : VERDICT_TX);
  }
});
