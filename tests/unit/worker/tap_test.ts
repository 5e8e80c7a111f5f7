/** The tap: every packet once and in order, what was counted, and what is lost when nobody reads. */

import { assertEquals } from "@std/assert";
import { VERDICT_DROP, VERDICT_PUNT_IN, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import { COUNT_MALFORMED, COUNT_NOT_MINE, COUNT_SESSION_NEW } from "../../../mod/metrics/counters.ts";
import { IF_PRESENT } from "../../../mod/table/interface.ts";
import { createTapBuffer, Tap, TapReader } from "../../../mod/worker/tap.ts";
import { buildFrame, udp } from "../../packets/builder.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

function watched() {
  const world = new World({
    interfaces: [{ slot: 1, flags: IF_PRESENT }, { slot: 2, flags: IF_PRESENT }],
    routes: [{ prefix: "0.0.0.0/0", slot: 2, neighbor: 9 }],
    services: [{ vip: "10.96.0.1/32", protocol: 17, port: 53, pods: [{ address: "10.1.0.1" }] }],
  });
  const buffer = createTapBuffer();
  const tap = new Tap(buffer, world.view, world.counters.node);
  const process = (frame: Uint8Array) => {
    world.memory.set(frame, HEADROOM);
    return tap.process(world.processor, HEADROOM, frame.length, 1, FRAME_BYTES);
  };
  return { world, process, reader: new TapReader(buffer) };
}

const ask = (port: number) =>
  buildFrame({ src: "10.0.0.9", dst: "10.96.0.1" }, udp({ srcPort: port, dstPort: 53 }));

Deno.test("Tap: what came, what leaves, the verdict and the reasons", () => {
  const { process, reader } = watched();
  const other = buildFrame({ src: "10.0.0.9", dst: "10.99.0.1" }, udp({}));
  const verdicts = [process(ask(1)), process(ask(1)), process(other), process(new Uint8Array(5))];
  assertEquals(verdicts, [VERDICT_TX, VERDICT_TX, VERDICT_PUNT_IN, VERDICT_DROP]);
  const records = [...reader.take()];
  assertEquals(records.map(({ verdict }) => verdict), verdicts);
  assertEquals(records.map(({ counted }) => counted), [[COUNT_SESSION_NEW], [], [COUNT_NOT_MINE], [
    COUNT_MALFORMED,
  ]]);
  assertEquals(records.map(({ inSlot, outSlot }) => [inSlot, outSlot]).slice(0, 2), [[1, 2], [1, 2]]);
  assertEquals(records[0].before, ask(1));
  assertEquals([...records[0].after!.subarray(30, 34)], [10, 1, 0, 1]);
  assertEquals([records[2].after, records[3].after], [other, null]);
  assertEquals(records[3].before.length, 5);
  assertEquals([...reader.take()], []);
});

Deno.test("Tap: a full ring loses records and never packets; read, it goes on, round its end", () => {
  const { process, reader } = watched();
  for (let round = 0; round < 3; round++) {
    for (let port = 1; port <= 1500; port++) assertEquals(process(ask(port)), VERDICT_TX);
    const ports = [...reader.take()].map(({ before }) => (before[34] << 8) | before[35]);
    assertEquals(ports, Array.from({ length: 1024 }, (_, index) => index + 1));
    assertEquals(reader.lost, (round + 1) * (1500 - 1024));
  }
});
