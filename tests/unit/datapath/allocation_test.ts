/** The packet path allocates nothing: a million packets of every kind leave the heap as it was. */

import { assert } from "@std/assert";
import { buildFrame, buildPacket, fragments, pattern, tcp, udp } from "../../packets/builder.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

const PACKETS = 1_000_000;
/** What the test runner and the collector's own bookkeeping may take. One byte a packet would be a million. */
const TOLERANCE_BYTES = 300_000;

interface Traffic {
  frame: Uint8Array;
  slot: number;
}

/** Known sessions both ways, new ones, untracked ones, fragments, punts, answers, errors, drops. */
function traffic(f: Family): Traffic[] {
  const list: Traffic[] = [];
  for (let i = 0; i < 40; i++) {
    const srcPort = 20000 + i;
    list.push({
      frame: buildFrame({ src: f.client, dst: f.vip }, udp({ srcPort, dstPort: 80 })),
      slot: UPLINK,
    });
    list.push({
      frame: buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 8080, dstPort: srcPort })),
      slot: PODS,
    });
    list.push({
      frame: buildFrame({ src: f.client, dst: f.vipMany }, tcp({ srcPort, dstPort: 80 })),
      slot: UPLINK,
    });
  }
  const quote = buildPacket({ src: f.client, dst: f.pod }, udp({ srcPort: 20000, dstPort: 8080 }));
  const error = f.ip === 4 ? { type: 3, code: 3 } : { type: 1, code: 4 };
  list.push(
    { frame: buildFrame({ src: f.pod, dst: f.client }, f.icmp({ ...error, payload: quote })), slot: PODS },
    {
      frame: buildFrame({ src: f.client, dst: f.vip }, f.icmp({ type: f.echoRequest, rest: 1 })),
      slot: UPLINK,
    },
    { frame: buildFrame({ src: f.client, dst: f.vipEmpty }, tcp({ dstPort: 80, flags: 2 })), slot: UPLINK },
    { frame: buildFrame({ src: f.client, dst: f.vipEmpty }, udp({ dstPort: 80 })), slot: UPLINK },
    { frame: buildFrame({ src: f.client, dst: f.vip, ttl: 1 }, udp({ dstPort: 80 })), slot: UPLINK },
    { frame: buildFrame({ src: f.client, dst: f.vipUnattached }, udp({ dstPort: 80 })), slot: UPLINK },
    { frame: buildFrame({ src: f.pod, dst: f.vip }, udp({ dstPort: 80 })), slot: PODS },
    { frame: buildFrame({ src: f.client, dst: f.vipMasquerade }, udp({ dstPort: 80 })), slot: UPLINK },
    { frame: buildFrame({ src: f.client, dst: f.router }, udp({ dstPort: 9 })), slot: UPLINK },
    { frame: buildFrame({ src: f.client, dst: f.vip }, udp({ dstPort: 80, length: 99 })), slot: UPLINK },
    {
      frame: buildFrame(
        { src: f.client, dst: f.vipSmall, dontFragment: true },
        udp({ dstPort: 80, payload: pattern(1400), checksum: "half" }),
      ),
      slot: UPLINK,
    },
  );
  const payload = pattern(3000);
  const pieces = (src: string, dst: string, srcPort: number, dstPort: number, id: number) =>
    fragments({ src, dst, id }, udp({ srcPort, dstPort, payload }), 1240);
  const there = pieces(f.client, f.vip, 20000, 80, 1);
  const orphans = pieces(f.client, f.vip, 20000, 80, 2).slice(1);
  list.push(
    ...[...there, there[1], ...orphans].map((frame) => ({ frame, slot: UPLINK })),
    ...pieces(f.pod, f.client, 8080, 20000, 3).map((frame) => ({ frame, slot: PODS })),
  );
  return list;
}

/** Heap in use once the collector has taken what it can. */
function heapUsed(): number {
  return Deno.memoryUsage().heapUsed;
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: a million packets do not grow the heap`, () => {
    const world = new World({ ...nodeSpec(f), buckets: 16 });
    const frames = traffic(f);
    const { memory, processor } = world;
    processor.holdRoom = 1;
    const run = (packets: number): number => {
      let sum = 0;
      for (let i = 0, n = 0; i < packets; i++, n = n + 1 === frames.length ? 0 : n + 1) {
        const { frame, slot } = frames[n];
        for (let j = 0; j < frame.length; j++) memory[HEADROOM + j] = frame[j];
        if ((i & 0xffff) === 0) processor.now++;
        sum += processor.process(HEADROOM, frame.length, slot, FRAME_BYTES);
      }
      return sum;
    };
    run(200_000); // compiled by now
    const before = heapUsed();
    run(PACKETS);
    const grown = heapUsed() - before;
    assert(grown < TOLERANCE_BYTES, `${grown} bytes more on the heap`);
  });
}
