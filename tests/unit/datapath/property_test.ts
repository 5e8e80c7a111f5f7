/**
 * Properties of the datapath on random packets:
 *   - what a client sends arrives at the pod, and sent back by the same rewriting it is the original again, TTL aside;
 *   - every checksum of what leaves, computed from nothing, is right if it was right or half done, and wrong by as much if it was wrong;
 *   - the fast way and the long way agree.
 */

import { assert, assertEquals } from "@std/assert";
import { COUNT_CHECKSUM_COMPLETED } from "../../../mod/metrics/counters.ts";
import {
  buildFrame,
  type Checksum,
  destinationOptions,
  hopByHop,
  type IpFields,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { hexLines, verdictWord } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { property, type Random } from "../../packets/random.ts";
import { faults } from "../../packets/verify.ts";
import { World } from "../../packets/world.ts";

const ROUNDS = 3000;

interface Flow {
  ip: IpFields;
  /** The segment with its ports and checksum told; `forward` false = the answer's. */
  segment: (srcPort: number, dstPort: number, checksum: Checksum) => Segment;
  srcPort: number;
  dstPort: number;
}

function randomIp(random: Random, f: Family): Partial<IpFields> {
  const ip: Partial<IpFields> = {
    ttl: 2 + random.below(250),
    tos: random.below(256),
    id: random.below(65536),
  };
  if (f.ip === 4) {
    ip.dontFragment = random.below(2) === 0;
    if (random.below(4) === 0) ip.options = random.bytes(1 + random.below(40)).fill(1);
  } else {
    ip.flowLabel = random.below(1 << 20);
    if (random.below(4) === 0) ip.extensions = [hopByHop(8), destinationOptions(8 * (1 + random.below(4)))];
  }
  return ip;
}

/** `least`: bytes of payload there are at any rate. */
function randomFlow(random: Random, f: Family, least = 0): Flow {
  const size = random.below(3) === 0 ? random.below(1300) : random.below(40);
  const vips = [f.vip, f.vipAll, f.vipMasquerade, f.vipTwin, f.vipMany, f.inPrefix];
  const dst = vips[random.below(vips.length)];
  const kind = random.below(dst === f.vipAll || dst === f.inPrefix ? 4 : 3);
  const payload = random.bytes(Math.max(size, kind === 3 ? 4 : least));
  // The answer carries the same flags. SYN with ACK would be none where the port's former connection has ended (session_hit.ts).
  const drawn = random.below(256) & ~4;
  const flags = (drawn & 2) !== 0 ? drawn & ~16 : drawn;
  const options = random.bytes(4 * random.below(11));
  const tag = random.int32() >>> 0;
  return {
    ip: { ...randomIp(random, f), src: f.client, dst },
    srcPort: 1 + random.below(65535),
    dstPort: dst === f.vipAll || dst === f.inPrefix ? 1 + random.below(65535) : 80,
    segment: (srcPort, dstPort, checksum) => {
      if (kind === 0) return udp({ srcPort, dstPort, payload, checksum });
      if (kind === 1) return tcp({ srcPort, dstPort, payload, flags, options, checksum });
      if (kind === 2) return sctp({ srcPort, dstPort, tag, checksum });
      return raw(200, payload);
    },
  };
}

/** Source, destination and ports of a frame, and a frame with them turned round and all checksums right again. */
function answerTo(f: Family, frame: Uint8Array, flow: Flow): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const headers = f.ip === 4 ? (frame[14] & 15) * 4 : 40 + extensionBytes(flow.ip);
  const size = f.ip === 4 ? 4 : 16;
  const at = f.ip === 4 ? 26 : 22;
  const text = (from: number) => addressText(frame.subarray(from, from + size));
  const l4 = 14 + headers;
  const segment = flow.segment(view.getUint16(l4 + 2), view.getUint16(l4), "right");
  return buildFrame({ ...flow.ip, src: text(at + size), dst: text(at) }, segment);
}

function extensionBytes(ip: IpFields): number {
  return (ip.extensions ?? []).reduce((sum, { rest }) => sum + rest.length + 1, 0);
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push(((bytes[i] << 8) | bytes[i + 1]).toString(16));
  return words.join(":");
}

/** The frame with Ethernet header, TTL and IPv4 header checksum blanked. */
function essence(f: Family, frame: Uint8Array): Uint8Array {
  const out = frame.slice(14);
  if (f.ip === 4) out.fill(0, 8, 9).fill(0, 10, 12);
  else out.fill(0, 7, 8);
  return out;
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: there and back is identity, and every checksum holds`, () => {
    property((random) => {
      const world = new World({ ...nodeSpec(f), buckets: 4096 });
      for (let round = 0; round < ROUNDS; round++) {
        const flow = randomFlow(random, f);
        const checksums: Checksum[] = ["right", "half", "right"];
        const checksum = checksums[random.below(3)];
        const input = buildFrame(flow.ip, flow.segment(flow.srcPort, flow.dstPort, checksum));
        const told = `round ${round}\n${hexLines(input).join("\n")}`;
        assertEquals(verdictWord(world.run(input, UPLINK)), "tx", told);
        assertEquals(world.processor.outSlot, PODS);
        const atPod = world.result();
        assertEquals(faults(atPod), [], told);
        // Once more: now the session is known, and the result the same.
        world.run(input, UPLINK);
        assertEquals(hexLines(world.result()), hexLines(atPod), told);
        const answer = answerTo(f, atPod, flow);
        assertEquals(verdictWord(world.run(answer, PODS)), "tx", told);
        assertEquals(faults(world.result()), [], told);
        const turned: IpFields = { ...flow.ip, src: flow.ip.dst, dst: flow.ip.src };
        const expected = buildFrame(turned, flow.segment(flow.dstPort, flow.srcPort, "right"));
        assertEquals(hexLines(essence(f, world.result())), hexLines(essence(f, expected)), told);
      }
    });
  });

  Deno.test(`Processor: ${f.name}: a wrong checksum stays wrong by as much`, () => {
    property((random) => {
      const world = new World({ ...nodeSpec(f), buckets: 4096 });
      for (let round = 0; round < ROUNDS; round++) {
        const flow = randomFlow(random, f, 1);
        const good = buildFrame(flow.ip, flow.segment(flow.srcPort, flow.dstPort, "right"));
        if (faultsOfSpoiled(good).length === 0) continue; // a protocol without a checksum
        const bad = spoiled(good);
        for (let pass = 0; pass < 2; pass++) {
          world.run(good, UPLINK);
          const right = world.result();
          world.run(bad, UPLINK);
          // One right checksum in 65,536 looks half done, and is then computed anew.
          if (world.counters.node[COUNT_CHECKSUM_COMPLETED] !== 0) {
            world.counters.node[COUNT_CHECKSUM_COMPLETED] = 0;
            continue;
          }
          assertEquals(hexLines(world.result()), hexLines(spoiled(right)), `round ${round}`);
        }
      }
    });
  });
}

/** The frame with one bit of its payload's last byte flipped: data that no checksum was computed for. */
function spoiled(frame: Uint8Array): Uint8Array {
  const out = frame.slice();
  out[out.length - 1] ^= 0x10;
  return out;
}

function faultsOfSpoiled(frame: Uint8Array): string[] {
  return faults(spoiled(frame));
}

Deno.test("Processor: an IPv4 header checksum that was wrong stays wrong by as much", () => {
  property((random) => {
    const f = FAMILIES[0];
    const world = new World({ ...nodeSpec(f), buckets: 4096 });
    for (let round = 0; round < ROUNDS; round++) {
      const flow = randomFlow(random, f);
      const good = buildFrame(flow.ip, flow.segment(flow.srcPort, flow.dstPort, "right"));
      const bad = good.slice();
      bad[15] ^= 0x04; // the TOS, unknown to the checksum
      world.run(good, UPLINK);
      const right = world.result();
      world.run(bad, UPLINK);
      right[15] ^= 0x04;
      assertEquals(hexLines(world.result()), hexLines(right));
      assert(faults(world.result()).includes("IPv4 header checksum"));
    }
  });
});
