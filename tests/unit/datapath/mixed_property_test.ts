/**
 * nat46 and nat64 on random packets through the whole datapath: what a client sends arrives at the pod, what the pod answers to whom it
 * saw arrives at the client from whom the client asked, and every checksum is right when computed from nothing.
 */

import { assertEquals } from "@std/assert";
import {
  buildFrame,
  type Checksum,
  destinationOptions,
  hopByHop,
  icmp,
  icmpv6,
  type IpFields,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { CLIENT46, expectFrame, mixedSpec, pass, VIPS46, VIPS64 } from "../../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, sentBy, UPLINK } from "../../packets/node.ts";
import { property, type Random } from "../../packets/random.ts";
import { ROUTER_ALERT } from "../../packets/translations.ts";
import { World } from "../../packets/world.ts";

const ROUNDS = 2000;
const CHECKSUMS = ["right", "right", "half"] as const;

interface Talk {
  vip: string;
  srcPort: number;
  dstPort: number;
  /** The port on the pod. */
  podPort: number;
  /** A segment of the talk: `family` matters to echo, `request` too; ports are those of this segment. */
  make(family: 4 | 6, request: boolean, srcPort: number, dstPort: number, checksum?: Checksum): Segment;
}

function draw(random: Random, vips: typeof VIPS46): Talk {
  const all = random.below(2) === 0;
  const vip = all ? vips.all : [vips.web, vips.masquerade][random.below(2)];
  const kind = random.below(all ? 5 : 3);
  const size = random.below(3) === 0 ? random.below(1350) : random.below(64);
  const payloads = [random.bytes(size), random.bytes(size)];
  const srcPort = 1 + random.below(65535);
  const dstPort = kind > 2 ? 0 : all ? 1 + random.below(65535) : 80;
  return {
    vip,
    srcPort: kind === 4 ? 0 : srcPort,
    dstPort,
    podPort: dstPort === 80 && !all ? 8080 : dstPort,
    make(family, request, srcPort, dstPort, checksum = "right") {
      const payload = payloads[request ? 0 : 1];
      if (kind === 0) return udp({ srcPort, dstPort, payload, checksum });
      if (kind === 1) return tcp({ srcPort, dstPort, payload, flags: request ? 2 : 18, checksum });
      if (kind === 2) return sctp({ srcPort, dstPort, chunks: payload, checksum });
      if (kind === 4) return raw(200, payload);
      const id = request ? srcPort : dstPort;
      const echo = { code: 0, rest: id * 65536 + 9, payload };
      if (family === 4) return icmp({ type: request ? 8 : 0, ...echo });
      return icmpv6({ type: request ? 128 : 129, ...echo });
    },
  };
}

/** The port (or identifier) that the pod sees as the client's, in a frame without options. */
function seenPort(frame: Uint8Array, talk: Talk): number {
  const is4 = frame[12] === 8;
  const l4 = 14 + (is4 ? 20 : 40);
  const protocol = frame[14 + (is4 ? 9 : 6)];
  if (talk.srcPort === 0) return 0;
  const at = protocol === 1 || protocol === 58 ? l4 + 4 : l4;
  return (frame[at] << 8) | frame[at + 1];
}

Deno.test("nat46: there and back is the identity", () => {
  property((random) => {
    const world = new World({ ...mixedSpec(), buckets: 4096 });
    let id = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const talk = draw(random, VIPS46);
      const { vip, srcPort, dstPort, podPort } = talk;
      const ip: IpFields = {
        src: FAMILY4.client,
        dst: vip,
        ttl: 2 + random.below(250),
        tos: random.below(256),
      };
      if (random.below(4) === 0) ip.options = ROUTER_ALERT;
      const checksum = CHECKSUMS[random.below(3)];
      const asked = buildFrame(ip, talk.make(4, true, srcPort, dstPort, checksum));
      const out = pass(world, asked, UPLINK, "tx", PODS);
      const port = seenPort(out, talk);
      const seen = vip === VIPS46.masquerade ? FAMILY6.podsAddress : CLIENT46;
      if (vip !== VIPS46.masquerade && dstPort !== 0) assertEquals(port, srcPort);
      const inside = { src: seen, dst: FAMILY6.pod, ttl: ip.ttl! - 1, tos: ip.tos };
      expectFrame(out, sentBy(PODS, inside, talk.make(6, true, port, podPort)));

      const back: IpFields = { src: FAMILY6.pod, dst: seen, ttl: 64, flowLabel: random.below(1 << 20) };
      if (random.below(4) === 0) back.extensions = [hopByHop(), destinationOptions(16)];
      const answer = buildFrame(back, talk.make(6, false, podPort, port, CHECKSUMS[random.below(3)]));
      const home = pass(world, answer, PODS, "tx", UPLINK);
      const bytes = home.length - 14;
      const outside = {
        src: vip,
        dst: FAMILY4.client,
        ttl: 63,
        id: ++id & 0xffff,
        dontFragment: bytes > 1260,
      };
      expectFrame(home, sentBy(UPLINK, outside, talk.make(4, false, dstPort, srcPort)));
    }
  });
});

Deno.test("nat64: there and back is the identity", () => {
  property((random) => {
    const world = new World({ ...mixedSpec(), buckets: 4096 });
    let id = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const talk = draw(random, VIPS64);
      const { vip, srcPort, dstPort, podPort } = talk;
      const ip: IpFields = {
        src: FAMILY6.client,
        dst: vip,
        ttl: 2 + random.below(250),
        tos: random.below(256),
      };
      if (random.below(4) === 0) ip.extensions = [hopByHop(), destinationOptions(16)];
      const asked = buildFrame(ip, talk.make(6, true, srcPort, dstPort, CHECKSUMS[random.below(3)]));
      const out = pass(world, asked, UPLINK, "tx", PODS);
      const port = seenPort(out, talk);
      const dontFragment = out.length - 14 > 1260;
      const node = FAMILY4.podsAddress;
      const inside = {
        src: node,
        dst: FAMILY4.pod,
        ttl: ip.ttl! - 1,
        tos: ip.tos,
        id: ++id & 0xffff,
        dontFragment,
      };
      expectFrame(out, sentBy(PODS, inside, talk.make(4, true, port, podPort)));

      const back: IpFields = { src: FAMILY4.pod, dst: node, id: random.below(65536) };
      if (random.below(4) === 0) back.options = ROUTER_ALERT;
      const answer = buildFrame(back, talk.make(4, false, podPort, port, CHECKSUMS[random.below(3)]));
      const home = pass(world, answer, PODS, "tx", UPLINK);
      const outside = { src: vip, dst: FAMILY6.client, ttl: 63 };
      expectFrame(home, sentBy(UPLINK, outside, talk.make(6, false, dstPort, srcPort)));
    }
  });
});
