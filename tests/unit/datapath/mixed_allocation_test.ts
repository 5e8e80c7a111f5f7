/** Translation between the families allocates nothing: packets of nat46 and nat64 flows, both ways, and errors about them. */

import { assert } from "@std/assert";
import { VERDICT_PIECES } from "../../../mod/datapath/processor.ts";
import { buildFrame, buildPacket, icmp, icmpv6, pattern, tcp, udp } from "../../packets/builder.ts";
import { CLIENT46, mixedSpec, VIPS46, VIPS64 } from "../../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, UPLINK } from "../../packets/node.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

const PACKETS = 1_000_000;
/** What the test runner and the collector's own bookkeeping may take. One byte a packet would be a million. */
const TOLERANCE_BYTES = 400_000;

interface Traffic {
  frame: Uint8Array;
  slot: number;
}

function traffic(): Traffic[] {
  const [client4, client6] = [FAMILY4.client, FAMILY6.client];
  const list: Traffic[] = [];
  const add = (frame: Uint8Array, slot: number) => list.push({ frame, slot });
  for (let srcPort = 20000; srcPort < 20030; srcPort++) {
    add(buildFrame({ src: client4, dst: VIPS46.web }, udp({ srcPort, dstPort: 80 })), UPLINK);
    add(buildFrame({ src: FAMILY6.pod, dst: CLIENT46 }, udp({ srcPort: 8080, dstPort: srcPort })), PODS);
    add(buildFrame({ src: client6, dst: VIPS64.many }, tcp({ srcPort, dstPort: 80 })), UPLINK);
    add(
      buildFrame({ src: client6, dst: VIPS64.web }, udp({ srcPort, dstPort: 80, checksum: "half" })),
      UPLINK,
    );
  }
  const quote46 = buildPacket({ src: CLIENT46, dst: FAMILY6.pod }, udp({ srcPort: 20000, dstPort: 8080 }));
  const quote64 = buildPacket({ src: VIPS64.web, dst: client6 }, udp({ srcPort: 80, dstPort: 20000 }));
  const error = { type: 1, code: 4 };
  add(buildFrame({ src: FAMILY6.pod, dst: CLIENT46 }, icmpv6({ ...error, payload: quote46 })), PODS);
  add(buildFrame({ src: client6, dst: VIPS64.web }, icmpv6({ ...error, payload: quote64 })), UPLINK);
  add(buildFrame({ src: client4, dst: VIPS46.all }, icmp({ type: 8, rest: 5 })), UPLINK);
  add(buildFrame({ src: client6, dst: VIPS64.all }, icmpv6({ type: 128, rest: 5 })), UPLINK);
  add(buildFrame({ src: client4, dst: VIPS46.small }, udp({ dstPort: 80, payload: pattern(1400) })), UPLINK);
  add(buildFrame({ src: client6, dst: VIPS64.small }, udp({ dstPort: 80, payload: pattern(1400) })), UPLINK);
  add(buildFrame({ src: client4, dst: VIPS46.empty }, tcp({ dstPort: 80, flags: 2 })), UPLINK);
  return list;
}

Deno.test("Processor: a million packets between the families do not grow the heap", () => {
  const world = new World({ ...mixedSpec(), buckets: 16 });
  const frames = traffic();
  const { memory, processor } = world;
  const run = (packets: number): void => {
    for (let i = 0, n = 0; i < packets; i++, n = n + 1 === frames.length ? 0 : n + 1) {
      const { frame, slot } = frames[n];
      for (let j = 0; j < frame.length; j++) memory[HEADROOM + j] = frame[j];
      if ((i & 0xffff) === 0) processor.now++;
      if (processor.process(HEADROOM, frame.length, slot, FRAME_BYTES) !== VERDICT_PIECES) continue;
      while (processor.piecesLeft > 0) processor.nextPiece(FRAME_BYTES + HEADROOM);
    }
  };
  run(200_000); // compiled by now
  const before = Deno.memoryUsage().heapUsed;
  run(PACKETS);
  const grown = Deno.memoryUsage().heapUsed - before;
  assert(grown < TOLERANCE_BYTES, `${grown} bytes more on the heap`);
});
