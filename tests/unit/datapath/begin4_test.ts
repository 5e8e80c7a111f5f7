/**
 * Sessions begun in a burst: new UDP flows to a plain service leave by `forward`, without a decision about each; what is not that simple is
 * left to `decide`, and nothing has been written for it. That both come to the same is burst_test.ts's matter.
 */

import { assertEquals } from "@std/assert";
import { BURST_PACKETS } from "../../../mod/datapath/burst.ts";
import { VERDICT_TX } from "../../../mod/datapath/processor.ts";
import { SESSION_POD, SESSION_SERVICE, SESSION_STATE_TRANSITORY } from "../../../mod/table/session.ts";
import { buildFrame, type IpFields, tcp, udp } from "../../packets/builder.ts";
import { FAMILY4, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { FRAME_BYTES, World } from "../../packets/world.ts";

const f = FAMILY4;
const [SYN, RST, ACK, ECE, CWR] = [0x02, 0x04, 0x10, 0x40, 0x80];

function node(buckets = 2048): World {
  return new World({ ...nodeSpec(f), buckets, frames: BURST_PACKETS + 1 });
}

function request(port: number, fields: Partial<IpFields> = {}): Uint8Array {
  return buildFrame(
    { src: f.client, dst: f.vip, ...fields },
    udp({ srcPort: port, dstPort: 80, payload: new Uint8Array(8) }),
  );
}

function segment(port: number, flags: number): Uint8Array {
  const fields = { srcPort: port, dstPort: 80, flags, payload: new Uint8Array(0) };
  return buildFrame({ src: f.client, dst: f.vip }, tcp(fields));
}

/** Puts the frames into a burst; returns how many of them `forward` sends before the first that it does not. */
function forward(world: World, frames: Uint8Array[], slot = UPLINK): number {
  const { processor } = world;
  const { ats, lengths, slots } = processor.burst;
  frames.forEach((frame, i) => {
    ats[i] = world.place(frame, i);
    lengths[i] = frame.length;
    slots[i] = slot;
  });
  processor.lookAhead(frames.length);
  return processor.forward(0, frames.length);
}

Deno.test("a burst of new flows begins their sessions and sends all packets", () => {
  const world = node();
  const frames = Array.from({ length: BURST_PACKETS }, (_, i) => request(2000 + i));
  assertEquals(forward(world, frames), BURST_PACKETS);
  assertEquals(world.sessions4.used(), BURST_PACKETS);
  assertEquals(world.nodeCounts()["ku-session: session started"], BURST_PACKETS);
  const ids = new Set<string>();
  const { words } = world.sessions4;
  world.sessions4.forEach(world.processor.now, (entry) => {
    ids.add(`${words[entry + SESSION_SERVICE]} ${words[entry + SESSION_POD]}`);
  });
  assertEquals(ids.size, 1, "one service with one pod");
  assertEquals(forward(world, frames), BURST_PACKETS, "and now they are known");
  assertEquals(world.sessions4.used(), BURST_PACKETS);
});

Deno.test("the second packet of a flow in the burst that began it is decided, and finds the session", () => {
  const world = node();
  assertEquals(forward(world, [request(2000), request(2000), request(2001)]), 1);
  const verdict = world.processor.decide(
    world.processor.burst.ats[1],
    request(2000).length,
    UPLINK,
    2 * FRAME_BYTES,
  );
  assertEquals(verdict, VERDICT_TX);
  assertEquals(world.sessions4.used(), 1);
  assertEquals(world.processor.forward(2, 3), 3);
  assertEquals(world.sessions4.used(), 2);
});

Deno.test("SYNs begin sessions in the state of a handshake", () => {
  const world = node();
  const frames = Array.from({ length: 8 }, (_, i) => segment(2000 + i, i % 2 === 0 ? SYN : SYN | ECE | CWR));
  assertEquals(forward(world, frames), 8);
  assertEquals(world.sessions4.used(), 8);
  world.sessions4.forEach(world.processor.now, (entry) => {
    assertEquals(world.sessions4.state(entry), SESSION_STATE_TRANSITORY);
  });
  assertEquals(forward(world, [frames[0]]), 0, "a SYN again may change the session");
});

const OTHERS: [string, Uint8Array, number?][] = [
  ["TTL at its end", request(2000, { ttl: 1 })],
  ["a client that cannot be answered", request(2000, { src: "127.0.0.1" })],
  ["the VIP as its own client", request(2000, { src: f.vip })],
  ["the pod as its own client", request(2000, { src: f.pod })],
  ["a masquerading service", request(2000, { dst: f.vipMasquerade })],
  ["a sticky service", request(2000, { dst: f.vipSticky })],
  ["a prefix", request(2000, { dst: f.inPrefix })],
  ["a service without pods", request(2000, { dst: f.vipEmpty })],
  ["a pod whose neighbor is unknown", request(2000, { dst: f.vipUnresolved })],
  ["a pod behind no attached interface", request(2000, { dst: f.vipUnattached })],
  ["no service", request(2000, { dst: "192.0.2.200" })],
  ["a fragment", request(2000, { moreFragments: true })],
  ["options", request(2000, { options: Uint8Array.of(1, 1, 1, 1) })],
  ["what comes in from pods", request(2000), PODS],
  ["a segment in the middle of a connection", segment(2000, ACK)],
  ["SYN and RST", segment(2000, SYN | RST)],
  ["SYN and ACK", segment(2000, SYN | ACK)],
];

for (const [name, frame, slot] of OTHERS) {
  Deno.test(`a new flow is left to the long way: ${name}`, () => {
    const world = node();
    const before = world.sessions4.words.slice();
    assertEquals(forward(world, [frame], slot), 0);
    assertEquals(world.sessions4.words, before);
    assertEquals(world.nodeCounts(), {});
  });
}

Deno.test("full buckets leave new flows to the long way", () => {
  const world = node(1);
  const frames = Array.from({ length: 6 }, (_, i) => request(2000 + i));
  const begun = forward(world, frames);
  assertEquals(begun <= 4, true);
  assertEquals(world.sessions4.used(), begun);
});
