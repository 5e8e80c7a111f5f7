/**
 * Whole datagrams cut anywhere, sent in any order, several at once, some twice: behind the datapath they fit together to the very packet
 * that would have left uncut, and its checksums recomputed from nothing agree. There and back is the identity: the answer's tuple is the
 * question's, turned round.
 */

import { assertEquals } from "@std/assert";
import { VERDICT_DROP, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import {
  buildFrame,
  concat,
  destinationOptions,
  fragmentHeader,
  fragments,
  hopByHop,
  type IpFields,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { hexLines } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, PODS, sentMacs, UPLINK } from "../../packets/node.ts";
import { property, type Random } from "../../packets/random.ts";
import { HoldingWorker, type Outcome, reassemble } from "../../packets/reassembly.ts";
import { faults } from "../../packets/verify.ts";
import { World } from "../../packets/world.ts";

const ROUNDS = 150;

/** A datagram on its way in, and as it must leave. */
interface Datagram {
  pieces: Uint8Array[];
  slot: number;
  expected: Uint8Array;
}

/** What a segment looks like with other ports: source, destination. */
type Make = (srcPort: number, dstPort: number) => Segment;

/** Cuts a datagram at random multiples of eight; the first piece holds the transport header. */
function cut(random: Random, ip: IpFields, segment: Segment, headerBytes: number): Uint8Array[] {
  const whole = fragments(ip, segment, 65_528)[0];
  const bodyAt = whole.length - segment.bytes.length;
  const body = whole.subarray(bodyAt);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < body.length;) {
    const least = offset === 0 ? Math.ceil(headerBytes / 8) : 1;
    const most = random.below(3) === 0 ? 8 : 178;
    const bytes = 8 * (least + random.below(most - least + 1));
    const part = raw(segment.protocol, body.slice(offset, offset + bytes));
    const moreFragments = offset + bytes < body.length;
    const extensions = [...ip.extensions ?? [], fragmentHeader(offset, moreFragments, ip.id!)];
    pieces.push(
      buildFrame(
        ip.src.includes(":") ? { ...ip, extensions } : { ...ip, fragmentOffset: offset, moreFragments },
        part,
      ),
    );
    offset += bytes;
  }
  return pieces;
}

function randomMake(random: Random, f: Family): { make: Make; headerBytes: number } {
  const payload = random.bytes(200 + random.below(random.below(8) === 0 ? 20_000 : 3000));
  const checksum = f.ip === 4 && random.below(4) === 0 ? "none" : "right";
  const kinds: { make: Make; headerBytes: number }[] = [
    { make: (srcPort, dstPort) => udp({ srcPort, dstPort, payload, checksum }), headerBytes: 8 },
    { make: (srcPort, dstPort) => tcp({ srcPort, dstPort, payload }), headerBytes: 20 },
    { make: (srcPort, dstPort) => sctp({ srcPort, dstPort, chunks: payload }), headerBytes: 12 },
  ];
  return kinds[random.below(kinds.length)];
}

function randomDatagram(random: Random, f: Family, id: number): Datagram {
  const { make, headerBytes } = randomMake(random, f);
  const isSctp = make(1, 1).protocol === 132;
  const client = 20_000 + random.below(4);
  // SCTP's port must stay: 53 does.
  const [vip, vipPort, podPort] = isSctp ? [f.vip, 53, 53] : [f.vipTwin, 80, 8080];
  const ttl = 2 + random.below(200);
  const ip: Omit<IpFields, "src" | "dst"> = { id, ttl, tos: random.below(256) };
  if (f.ip === 4 && random.below(3) === 0) ip.options = random.bytes(4 * random.below(11)).fill(1);
  if (f.ip === 6 && random.below(3) === 0) {
    ip.extensions = [hopByHop(8), destinationOptions(16)].slice(random.below(2));
  }
  const back = random.below(2) === 0;
  const from = back ? { src: f.pod, dst: f.client } : { src: f.client, dst: vip };
  const to = back ? { src: vip, dst: f.client } : { src: f.client, dst: f.pod };
  const segment = back ? make(podPort, client) : make(client, vipPort);
  const sent = back ? make(vipPort, client) : make(client, podPort);
  return {
    pieces: cut(random, { ...ip, ...from }, segment, headerBytes),
    slot: back ? PODS : UPLINK,
    expected: buildFrame({ ...ip, ...to, ttl: ttl - 1 }, sent, sentMacs(back ? UPLINK : PODS)),
  };
}

/** Sessions that answers can follow: one packet of each flow. */
function begin(world: World, f: Family): void {
  for (let client = 20_000; client < 20_004; client++) {
    for (const make of [udp, tcp]) {
      world.run(
        buildFrame({ src: f.client, dst: f.vipTwin }, make({ srcPort: client, dstPort: 80 })),
        UPLINK,
      );
    }
    world.run(buildFrame({ src: f.client, dst: f.vip }, sctp({ srcPort: client, dstPort: 53 })), UPLINK);
  }
}

function checkDatagram(datagram: Datagram, outcomes: Outcome[]): void {
  const own = outcomes.filter(({ input, verdict }) =>
    verdict === VERDICT_TX && datagram.pieces.includes(input)
  );
  assertEquals(own.length, datagram.pieces.length, "every fragment left once");
  const whole = reassemble(own.map(({ frame }) => frame));
  assertEquals(faults(whole), []);
  assertEquals(hexLines(whole), hexLines(datagram.expected));
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: datagrams in fragments of any size and order leave as they would have whole`, () => {
    property((random) => {
      for (let round = 0; round < ROUNDS; round++) {
        const world = new World(nodeSpec(f));
        begin(world, f);
        const worker = new HoldingWorker(world, 10_000);
        const id = random.below(65_000);
        const datagrams = Array.from(
          { length: 1 + random.below(4) },
          (_, n) => randomDatagram(random, f, id + n),
        );
        const frames = datagrams.flatMap(({ pieces, slot }) => pieces.map((input) => ({ input, slot })));
        if (random.below(3) > 0) random.shuffle(frames);
        const outcomes = frames.flatMap(({ input, slot }) => worker.receive(input, slot));
        assertEquals(worker.heldCount, 0);
        for (const datagram of datagrams) checkDatagram(datagram, outcomes);
        assertEquals(world.nodeCounts()["ku-fragment: overlapping fragment"], undefined);
      }
    });
  });

  Deno.test(`Processor: ${f.name}: fragments that come twice leave once`, () => {
    property((random) => {
      for (let round = 0; round < ROUNDS; round++) {
        const world = new World(nodeSpec(f));
        begin(world, f);
        const worker = new HoldingWorker(world, 10_000);
        const datagram = randomDatagram(random, f, random.below(65_000));
        const { pieces, slot } = datagram;
        // The last one to come is no duplicate: once all are there, the same first one would begin the next datagram.
        const last = pieces[pieces.length - 1];
        const early = pieces.length === 1 ? [] : pieces.slice(0, -1);
        const twice = random.shuffle([...early, ...early.map((piece) => concat(piece))]);
        const outcomes = [...twice, last].flatMap((input) => worker.receive(input, slot));
        const sent = outcomes.filter(({ verdict }) => verdict === VERDICT_TX).map(({ frame }) => frame);
        assertEquals(sent.length, pieces.length);
        assertEquals(hexLines(reassemble(sent)), hexLines(datagram.expected));
        assertEquals(outcomes.filter(({ verdict }) => verdict === VERDICT_DROP).length, early.length);
      }
    });
  });
}
