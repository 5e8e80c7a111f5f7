/**
 * ICMP errors about nat46 and nat64 flows, through the whole datapath: about a client's packet they go to the client, about a pod's to the
 * pod; who they come from is known to their receiver, or speaks for the router.
 */

import { assertEquals } from "@std/assert";
import {
  buildFrame,
  buildPacket,
  icmp,
  icmpv6,
  type IpFields,
  pattern,
  type Segment,
  udp,
} from "../../packets/builder.ts";
import {
  CLIENT46,
  expectFrame,
  mixedSpec,
  pass,
  sourcePort4,
  VIPS46,
  VIPS64,
} from "../../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, sentBy, UPLINK } from "../../packets/node.ts";
import { World } from "../../packets/world.ts";

const CLIENT4 = FAMILY4.client;
const CLIENT6 = FAMILY6.client;
const POD4 = FAMILY4.pod;
const POD6 = FAMILY6.pod;
/** The node's address on the pods' side, which nat64 clients come from. */
const NODE4 = FAMILY4.podsAddress;

interface ErrorCase {
  what: string;
  slot: number;
  from: string;
  to: string;
  message: Segment;
  out: { slot: number; ip: IpFields; message: Segment };
}

/** Of `bytes` bytes, as it went: IP packets on the pod's or the client's side. */
function quote(ip: IpFields, segment: Segment, bytes = 28): Uint8Array {
  return buildPacket(ip, segment).slice(0, (ip.src.includes(":") ? 40 : 20) + bytes - 20);
}

const BIG = { payload: pattern(1400) };

/** The errors about one nat46 flow from port 40000, and one nat64 flow that the pod knows by port `port`. */
function errorCases(port: number): ErrorCase[] {
  const at46 = { src: CLIENT46, dst: POD6, ttl: 63 };
  const as46 = { src: CLIENT4, dst: VIPS46.web, ttl: 63, id: 0, dontFragment: true };
  const at64 = { src: NODE4, dst: POD4, ttl: 63 };
  const as64 = { src: CLIENT6, dst: VIPS64.web, ttl: 63 };
  const toPod = (srcPort: number) => udp({ srcPort, dstPort: 8080, ...BIG });
  const toVip = udp({ srcPort: 40000, dstPort: 80, ...BIG });
  const fromVip = udp({ srcPort: 80, dstPort: 40000, ...BIG });
  const fromPod = (dstPort: number) => udp({ srcPort: 8080, dstPort, ...BIG });
  const router4 = FAMILY4.router;
  const router6 = FAMILY6.router;
  const router46 = "64:ff9b:1::c633:6401";
  return [
    {
      what: "nat46: the pod says that its port is closed",
      slot: PODS,
      from: POD6,
      to: CLIENT46,
      message: icmpv6({ type: 1, code: 4, payload: quote(at46, toPod(40000)) }),
      out: {
        slot: UPLINK,
        ip: { src: VIPS46.web, dst: CLIENT4, ttl: 63 },
        message: icmp({ type: 3, code: 3, payload: quote(as46, toVip) }),
      },
    },
    {
      what: "nat46: a router on the pod's side has a smaller MTU",
      slot: PODS,
      from: router6,
      to: CLIENT46,
      message: icmpv6({ type: 2, rest: 1400, payload: quote(at46, toPod(40000)) }),
      out: {
        slot: UPLINK,
        ip: { src: FAMILY4.uplinkAddress, dst: CLIENT4, ttl: 63 },
        message: icmp({ type: 3, code: 4, rest: 1380, payload: quote(as46, toVip) }),
      },
    },
    {
      what: "nat46: a router on the client's side has a smaller MTU",
      slot: UPLINK,
      from: router4,
      to: VIPS46.web,
      message: icmp({
        type: 3,
        code: 4,
        rest: 1400,
        payload: quote({ src: VIPS46.web, dst: CLIENT4, ttl: 60, dontFragment: true }, fromVip),
      }),
      out: {
        slot: PODS,
        ip: { src: router46, dst: POD6, ttl: 63 },
        message: icmpv6({
          type: 2,
          rest: 1420,
          payload: quote({ src: POD6, dst: CLIENT46, ttl: 60 }, fromPod(40000)),
        }),
      },
    },
    {
      what: "nat46: the client says that its port is closed",
      slot: UPLINK,
      from: CLIENT4,
      to: VIPS46.web,
      message: icmp({
        type: 3,
        code: 3,
        payload: quote({ src: VIPS46.web, dst: CLIENT4, ttl: 60 }, fromVip),
      }),
      out: {
        slot: PODS,
        ip: { src: CLIENT46, dst: POD6, ttl: 63 },
        message: icmpv6({
          type: 1,
          code: 4,
          payload: quote({ src: POD6, dst: CLIENT46, ttl: 60 }, fromPod(40000)),
        }),
      },
    },
    {
      what: "nat64: the pod says that its port is closed",
      slot: PODS,
      from: POD4,
      to: NODE4,
      message: icmp({ type: 3, code: 3, payload: quote(at64, toPod(port)) }),
      out: {
        slot: UPLINK,
        ip: { src: VIPS64.web, dst: CLIENT6, ttl: 63 },
        message: icmpv6({ type: 1, code: 4, payload: quote(as64, toVip) }),
      },
    },
    {
      what: "nat64: a router on the pod's side has a smaller MTU",
      slot: PODS,
      from: router4,
      to: NODE4,
      message: icmp({ type: 3, code: 4, rest: 1400, payload: quote(at64, toPod(port)) }),
      out: {
        slot: UPLINK,
        ip: { src: router46, dst: CLIENT6, ttl: 63 },
        message: icmpv6({ type: 2, rest: 1420, payload: quote(as64, toVip) }),
      },
    },
    {
      what: "nat64: a router on the client's side has a smaller MTU",
      slot: UPLINK,
      from: router6,
      to: VIPS64.web,
      message: icmpv6({
        type: 2,
        rest: 1400,
        payload: quote({ src: VIPS64.web, dst: CLIENT6, ttl: 60 }, fromVip),
      }),
      out: {
        slot: PODS,
        ip: { src: FAMILY4.podsAddress, dst: POD4, ttl: 63 },
        message: icmp({
          type: 3,
          code: 4,
          rest: 1380,
          payload: quote({ src: POD4, dst: NODE4, ttl: 60, id: 0, dontFragment: true }, fromPod(port)),
        }),
      },
    },
    {
      what: "nat64: the client says that its port is closed",
      slot: UPLINK,
      from: CLIENT6,
      to: VIPS64.web,
      message: icmpv6({
        type: 1,
        code: 4,
        payload: quote({ src: VIPS64.web, dst: CLIENT6, ttl: 60 }, fromVip),
      }),
      out: {
        slot: PODS,
        ip: { src: NODE4, dst: POD4, ttl: 63 },
        message: icmp({
          type: 3,
          code: 3,
          payload: quote({ src: POD4, dst: NODE4, ttl: 60, id: 0, dontFragment: true }, fromPod(port)),
        }),
      },
    },
  ];
}

for (const [index, { what }] of errorCases(0).entries()) {
  Deno.test(`ICMP error, ${what}`, () => {
    const world = new World(mixedSpec());
    pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.web }, udp({ dstPort: 80 })), UPLINK);
    const out64 = pass(world, buildFrame({ src: CLIENT6, dst: VIPS64.web }, udp({ dstPort: 80 })), UPLINK);
    const { slot, from, to, message, out } = errorCases(sourcePort4(out64))[index];
    const result = pass(world, buildFrame({ src: from, dst: to }, message), slot, "tx", out.slot);
    expectFrame(result, sentBy(out.slot, { ...out.ip, id: 2 }, out.message));
    assertEquals(world.nodeCounts()["ku-icmp: error translated"], 1);
  });
}

Deno.test("ICMP error: one that the other family does not know ends, one with a wrong checksum too", () => {
  const world = new World(mixedSpec());
  pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.web }, udp({ dstPort: 80 })), UPLINK);
  const payload = quote({ src: CLIENT46, dst: POD6 }, udp({ srcPort: 40000, dstPort: 8080 }));
  const ip = { src: POD6, dst: CLIENT46 };
  pass(world, buildFrame(ip, icmpv6({ type: 4, code: 2, payload })), PODS, "drop");
  pass(world, buildFrame(ip, icmpv6({ type: 1, code: 4, payload, checksum: "wrong" })), PODS, "drop");
  const counts = world.nodeCounts();
  assertEquals(counts["ku-icmp: error unknown to the other family"], 1);
  assertEquals(counts["ku-parse: malformed packet"], 1);
});
