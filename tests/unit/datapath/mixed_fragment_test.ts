/** Packets that are too large after translation and may be fragmented: by the datapath for IPv6, by the kernel for IPv4. */

import { assertEquals } from "@std/assert";
import { VERDICT_PIECES, VERDICT_TX } from "../../../mod/datapath/processor.ts";
import { INTERFACE_COUNTERS, INTERFACE_TX_PACKETS } from "../../../mod/metrics/counters.ts";
import { buildFrame, fragments, pattern, udp } from "../../packets/builder.ts";
import { hexLines, verdictWord } from "../../packets/fixture.ts";
import {
  CLIENT46,
  expectFrame,
  mixedSpec,
  pass,
  sourcePort4,
  VIPS46,
  VIPS64,
} from "../../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, sentMacs, UPLINK } from "../../packets/node.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

const CLIENT4 = FAMILY4.client;
const CLIENT6 = FAMILY6.client;

/** Runs one frame that is to leave in pieces; all of them. */
function piecesOf(world: World, input: Uint8Array): Uint8Array[] {
  assertEquals(verdictWord(world.run(input, UPLINK)), `verdict ${VERDICT_PIECES}`);
  const pieces: Uint8Array[] = [];
  const { processor } = world;
  for (let frame = 1; processor.piecesLeft > 0; frame++) {
    assertEquals(processor.nextPiece(frame * FRAME_BYTES + HEADROOM), VERDICT_TX);
    assertEquals(processor.outSlot, PODS);
    pieces.push(world.result());
  }
  return pieces;
}

Deno.test("nat46: a packet that may be fragmented leaves in pieces of at most 1280 bytes", () => {
  const world = new World(mixedSpec());
  for (const checksum of ["right", "half", "none"] as const) {
    for (const size of [1300 - 48 + 1, 1472]) {
      const payload = pattern(size);
      const ip = { src: CLIENT4, dst: VIPS46.small, id: 0xbeef };
      const pieces = piecesOf(world, buildFrame(ip, udp({ dstPort: 80, payload, checksum })));
      const inside = { src: CLIENT46, dst: FAMILY6.podSmall, ttl: 63, id: 0xbeef };
      const expected = fragments(inside, udp({ dstPort: 8080, payload }), 1232, sentMacs(PODS));
      assertEquals(pieces.map(hexLines), expected.map(hexLines));
    }
  }
  assertEquals(world.counters.interface[PODS * INTERFACE_COUNTERS + INTERFACE_TX_PACKETS], 12);
});

Deno.test("nat46: a first fragment that is too large leaves in pieces, more to follow", () => {
  const world = new World(mixedSpec());
  const ip = { src: CLIENT4, dst: VIPS46.small, id: 0xbeef };
  const whole = udp({ dstPort: 80, payload: pattern(4000) });
  const pieces = piecesOf(world, fragments(ip, whole, 1480)[0]);
  const inside = { src: CLIENT46, dst: FAMILY6.podSmall, ttl: 63, id: 0xbeef };
  const expected = fragments(inside, udp({ dstPort: 8080, payload: pattern(4000) }), 1232, sentMacs(PODS));
  expectFrame(pieces[0], expected[0]);
  assertEquals([pieces.length, pieces[1].length], [2, 14 + 48 + 1480 - 1232]);
  const header = [...pieces[1].subarray(54, 62)];
  assertEquals(header, [17, 0, 1232 >>> 8, (1232 & 0xff) | 1, 0, 0, 0xbe, 0xef]);
});

Deno.test("nat64: a packet of at most 1280 bytes that does not fit is the kernel's to fragment", () => {
  const spec = mixedSpec();
  spec.routes.find(({ mtu }) => mtu === 1300)!.mtu = 600;
  const world = new World(spec);
  const ip = { src: CLIENT6, dst: VIPS64.small };
  const out = pass(world, buildFrame(ip, udp({ dstPort: 80, payload: pattern(1232) })), UPLINK, "puntKu");
  assertEquals([out.length, out[20] & 0x40], [14 + 1260, 0]);
});

Deno.test("nat46: the fragments of a datagram follow one another, there and back", () => {
  const world = new World(mixedSpec());
  const payload = pattern(3000);
  const there = fragments({ src: CLIENT4, dst: VIPS46.web, id: 0x77 }, udp({ dstPort: 80, payload }), 1232);
  const inside = { src: CLIENT46, dst: FAMILY6.pod, ttl: 63, id: 0x77 };
  const expected = fragments(inside, udp({ dstPort: 8080, payload }), 1232, sentMacs(PODS));
  there.forEach((one, i) => expectFrame(pass(world, one, UPLINK, "tx", PODS), expected[i]));

  const answer = udp({ srcPort: 8080, dstPort: 40000, payload });
  const back = fragments({ src: FAMILY6.pod, dst: CLIENT46, id: 0x8899aabb }, answer, 1232);
  const outside = { src: VIPS46.web, dst: CLIENT4, ttl: 63, id: 0xaabb };
  const home = fragments(outside, udp({ srcPort: 80, dstPort: 40000, payload }), 1232, sentMacs(UPLINK));
  back.forEach((one, i) => expectFrame(pass(world, one, PODS, "tx", UPLINK), home[i]));
});

Deno.test("nat64: the fragments of a datagram follow one another, there and back", () => {
  const world = new World(mixedSpec());
  const payload = pattern(3000);
  const asked = { src: CLIENT6, dst: VIPS64.web, id: 0x8899aabb };
  const there = fragments(asked, udp({ dstPort: 80, payload }), 1232);
  const first = pass(world, there[0], UPLINK, "tx", PODS);
  const srcPort = sourcePort4(first);
  const node = FAMILY4.podsAddress;
  const inside = { src: node, dst: FAMILY4.pod, ttl: 63, id: 0xaabb };
  const expected = fragments(inside, udp({ srcPort, dstPort: 8080, payload }), 1232, sentMacs(PODS));
  expectFrame(first, expected[0]);
  there.slice(1).forEach((one, i) => expectFrame(pass(world, one, UPLINK, "tx", PODS), expected[i + 1]));

  const answer = udp({ srcPort: 8080, dstPort: srcPort, payload });
  const back = fragments({ src: FAMILY4.pod, dst: node, id: 0x77 }, answer, 1232);
  const outside = { src: VIPS64.web, dst: CLIENT6, ttl: 63, id: 0x77 };
  const home = fragments(outside, udp({ srcPort: 80, dstPort: 40000, payload }), 1232, sentMacs(UPLINK));
  back.forEach((one, i) => expectFrame(pass(world, one, PODS, "tx", UPLINK), home[i]));
});
