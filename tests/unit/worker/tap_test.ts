/** The tap: every packet once and in order, what was counted, and what is lost when nobody reads. */

import { assertEquals } from "@std/assert";
import { VERDICT_DROP, VERDICT_PUNT_IN, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import { COUNT_MALFORMED, COUNT_NOT_MINE, COUNT_SESSION_NEW } from "../../../mod/metrics/counters.ts";
import { IF_NAT4_IN, IF_PRESENT } from "../../../mod/table/interface.ts";
import { createTapBuffer, Tap, TapReader } from "../../../mod/worker/tap.ts";
import type { TapRange } from "../../../mod/worker/tap_filter.ts";
import { parseEndpointRange } from "../../../mod/control/endpoint_filter.ts";
import { buildFrame, udp } from "../../packets/builder.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

function watched(ranges: readonly TapRange[] | null = null) {
  const world = new World({
    interfaces: [{ slot: 1, flags: IF_PRESENT }, { slot: 2, flags: IF_PRESENT | IF_NAT4_IN }],
    routes: [{ prefix: "0.0.0.0/0", slot: 2, neighbor: 9 }],
    services: [{ vip: "10.96.0.1/32", protocol: 17, port: 53, pods: [{ address: "10.1.0.1" }] }],
  });
  const buffer = createTapBuffer();
  const tap = new Tap(buffer, world.view, world.counters.node, ranges);
  const process = (frame: Uint8Array, slot = 1) => {
    world.memory.set(frame, HEADROOM);
    return tap.process(world.processor, HEADROOM, frame.length, slot, FRAME_BYTES);
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

Deno.test("Tap: asked for one VIP, it keeps what is sent there and what leaves from it, and others' packets take no room", () => {
  const { process, reader } = watched([parseEndpointRange("vip", "10.96.0.1:53")]);
  const other = buildFrame({ src: "10.0.0.9", dst: "10.99.0.1" }, udp({ dstPort: 53 }));
  const elsewhere = buildFrame({ src: "10.0.0.9", dst: "10.96.0.1" }, udp({ dstPort: 54 }));
  for (let count = 0; count < 2000; count++) process(other);
  process(elsewhere);
  assertEquals([[...reader.take()].length, reader.lost], [0, 0]);
  process(ask(7));
  process(buildFrame({ src: "10.1.0.1", dst: "10.0.0.9" }, udp({ srcPort: 53, dstPort: 7 })), 2);
  const kept = [...reader.take()];
  const [question, answer] = kept.map(({ before }) => [...before.subarray(26, 34)].join("."));
  assertEquals([kept.length, question, answer], [2, "10.0.0.9.10.96.0.1", "10.1.0.1.10.0.0.9"]);
  assertEquals([...kept[1].after!.subarray(26, 30)], [10, 96, 0, 1], "the answer leaves from the VIP");
  for (let port = 1; port <= 1500; port++) process(ask(port));
  for (let count = 0; count < 100; count++) process(other);
  assertEquals([[...reader.take()].length, reader.lost], [1024, 1500 - 1024]);
});

Deno.test("Tap: IPv6, prefixes, and fragments whose port is not there", () => {
  const six = watched([parseEndpointRange("vip", "2001:db8:96::/48")]);
  six.process(buildFrame({ src: "2001:db8::9", dst: "2001:db8:96::1" }, udp({ dstPort: 1 })));
  six.process(buildFrame({ src: "2001:db8::9", dst: "2001:db8:97::1" }, udp({ dstPort: 1 })));
  assertEquals([...six.reader.take()].length, 1);
  const four = watched([parseEndpointRange("vip", "10.96.0.0/16")]);
  const fragment = ask(1);
  new DataView(fragment.buffer, fragment.byteOffset).setUint16(20, 100);
  for (const frame of [fragment, ask(2)]) four.process(frame);
  four.process(buildFrame({ src: "10.0.0.9", dst: "10.97.0.1" }, udp({ dstPort: 53 })));
  const ported = watched([parseEndpointRange("vip", "10.96.0.1:54")]);
  for (const frame of [fragment, ask(3)]) ported.process(frame);
  assertEquals([[...four.reader.take()].length, [...ported.reader.take()].length], [2, 1]);
});
