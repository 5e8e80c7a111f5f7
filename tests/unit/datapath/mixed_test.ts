/**
 * nat46 and nat64 through the whole datapath: who a client is to the pod and a pod to the client, what cannot pass, and errors of
 * either side. The bytes of every translation are in translate_test.ts.
 */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  SERVICE_FIRST_PACKET,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_PACKETS,
} from "../../../mod/metrics/counters.ts";
import { TCP_RST, TCP_SYN } from "../../../mod/wire/tcp.ts";
import {
  buildFrame,
  fragments,
  hopByHop,
  icmp,
  icmpv6,
  type IpFields,
  pattern,
  routing,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import {
  CLIENT46,
  expectFrame,
  FIRST_46,
  FIRST_64,
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

const SYN = { flags: TCP_SYN };

for (const protocol of ["TCP", "UDP"]) {
  const segment = protocol === "TCP" ? tcp : udp;

  Deno.test(`nat46: ${protocol} from an IPv4 client to an IPv6 pod and back`, () => {
    const world = new World(mixedSpec());
    const asked = { srcPort: 40000, dstPort: 80, ...SYN, payload: pattern(30) };
    const out = pass(
      world,
      buildFrame({ src: CLIENT4, dst: VIPS46.web }, segment(asked)),
      UPLINK,
      "tx",
      PODS,
    );
    expectFrame(
      out,
      sentBy(PODS, { src: CLIENT46, dst: POD6, ttl: 63 }, segment({ ...asked, dstPort: 8080 })),
    );
    for (let i = 0; i < 2; i++) {
      const answer = { srcPort: 8080, dstPort: 40000, payload: pattern(1400) };
      const back = pass(world, buildFrame({ src: POD6, dst: CLIENT46 }, segment(answer)), PODS, "tx", UPLINK);
      const ip = { src: VIPS46.web, dst: CLIENT4, ttl: 63, id: i + 1, dontFragment: true };
      expectFrame(back, sentBy(UPLINK, ip, segment({ ...answer, srcPort: 80 })));
    }
    pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.web }, segment({ ...asked, flags: 16 })), UPLINK);
    const counts = [SERVICE_FIRST_PACKET, SERVICE_NEXT_PACKET, SERVICE_REPLY_PACKETS];
    assertEquals(counts.map((column) => world.serviceCount(FIRST_46, column)), [1, 1, 2]);
  });

  Deno.test(`nat64: ${protocol} from an IPv6 client to an IPv4 pod and back`, () => {
    const world = new World(mixedSpec());
    const asked = { srcPort: 40000, dstPort: 80, ...SYN, payload: pattern(30) };
    const out = pass(
      world,
      buildFrame({ src: CLIENT6, dst: VIPS64.web }, segment(asked)),
      UPLINK,
      "tx",
      PODS,
    );
    const srcPort = sourcePort4(out);
    const ip = { src: NODE4, dst: POD4, ttl: 63, id: 1 };
    expectFrame(out, sentBy(PODS, ip, segment({ ...asked, srcPort, dstPort: 8080 })));
    for (let i = 0; i < 2; i++) {
      const answer = { srcPort: 8080, dstPort: srcPort, payload: pattern(1400) };
      const back = pass(world, buildFrame({ src: POD4, dst: NODE4 }, segment(answer)), PODS, "tx", UPLINK);
      const expected = segment({ ...answer, srcPort: 80, dstPort: 40000 });
      expectFrame(back, sentBy(UPLINK, { src: VIPS64.web, dst: CLIENT6, ttl: 63 }, expected));
    }
    const again = pass(
      world,
      buildFrame({ src: CLIENT6, dst: VIPS64.web }, segment({ ...asked, flags: 16 })),
      UPLINK,
    );
    assertEquals(sourcePort4(again), srcPort, "one flow, one port");
    const counts = [SERVICE_FIRST_PACKET, SERVICE_NEXT_PACKET, SERVICE_REPLY_PACKETS];
    assertEquals(counts.map((column) => world.serviceCount(FIRST_64, column)), [1, 1, 2]);
  });
}

Deno.test("nat64: ip4-src-address is the source when it is set, and two clients with one port are told apart", () => {
  const world = new World({ ...mixedSpec(), ip4SrcAddress: "192.0.2.77" });
  const ports = new Set<number>();
  for (let i = 1; i <= 50; i++) {
    const src = `2001:db8:c::${i}`;
    const out = pass(world, buildFrame({ src, dst: VIPS64.web }, udp({ dstPort: 80 })), UPLINK);
    assertEquals([...out.subarray(26, 30)], [192, 0, 2, 77]);
    const dstPort = sourcePort4(out);
    ports.add(dstPort);
    const answer = udp({ srcPort: 8080, dstPort });
    const back = pass(world, buildFrame({ src: POD4, dst: "192.0.2.77" }, answer), PODS, "tx", UPLINK);
    const expected = udp({ srcPort: 80, dstPort: 40000 });
    expectFrame(back, sentBy(UPLINK, { src: VIPS64.web, dst: src, ttl: 63 }, expected));
  }
  assertEquals(ports.size, 50);
});

Deno.test("nat64 and masquerading nat44 never share a port toward the same pod", () => {
  const world = new World({ ...mixedSpec(), buckets: 1024 });
  const ports = new Set<number>();
  for (let i = 0; i < 400; i++) {
    const six = udp({ srcPort: 20000 + i, dstPort: 80 });
    ports.add(sourcePort4(pass(world, buildFrame({ src: CLIENT6, dst: VIPS64.web }, six), UPLINK)));
    ports.add(
      sourcePort4(pass(world, buildFrame({ src: CLIENT4, dst: FAMILY4.vipMasquerade }, six), UPLINK)),
    );
  }
  assertEquals(ports.size, 800);
});

Deno.test("nat46 with masquerade: the client is the node's IPv6 address and a port of its own", () => {
  const world = new World(mixedSpec());
  const out = pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.masquerade }, udp({ dstPort: 80 })), UPLINK);
  const dstPort = (out[54] << 8) | out[55];
  assertNotEquals(dstPort, 40000);
  const ip = { src: FAMILY6.podsAddress, dst: POD6, ttl: 63 };
  expectFrame(out, sentBy(PODS, ip, udp({ srcPort: dstPort, dstPort: 8080 })));
  const answer = buildFrame({ src: POD6, dst: FAMILY6.podsAddress }, udp({ srcPort: 8080, dstPort }));
  const back = pass(world, answer, PODS, "tx", UPLINK);
  expectFrame(
    back,
    sentBy(
      UPLINK,
      { src: VIPS46.masquerade, dst: CLIENT4, ttl: 63, id: 1 },
      udp({ srcPort: 80, dstPort: 40000 }),
    ),
  );
});

Deno.test("nat46, nat64: echo through a VIP of all protocols, and by the VIP itself elsewhere", () => {
  const world = new World(mixedSpec());
  const echo = (type: number, id: number) => ({ type, rest: (id << 16) | 1, payload: pattern(56) });
  const to6 = pass(
    world,
    buildFrame({ src: CLIENT4, dst: VIPS46.all }, icmp(echo(8, 77))),
    UPLINK,
    "tx",
    PODS,
  );
  expectFrame(to6, sentBy(PODS, { src: CLIENT46, dst: POD6, ttl: 63 }, icmpv6(echo(128, 77))));
  const from6 = pass(
    world,
    buildFrame({ src: POD6, dst: CLIENT46 }, icmpv6(echo(129, 77))),
    PODS,
    "tx",
    UPLINK,
  );
  expectFrame(from6, sentBy(UPLINK, { src: VIPS46.all, dst: CLIENT4, ttl: 63, id: 1 }, icmp(echo(0, 77))));

  const to4 = pass(
    world,
    buildFrame({ src: CLIENT6, dst: VIPS64.all }, icmpv6(echo(128, 77))),
    UPLINK,
    "tx",
    PODS,
  );
  const id = (to4[38] << 8) | to4[39];
  expectFrame(to4, sentBy(PODS, { src: NODE4, dst: POD4, ttl: 63, id: 2 }, icmp(echo(8, id))));
  const from4 = pass(world, buildFrame({ src: POD4, dst: NODE4 }, icmp(echo(0, id))), PODS, "tx", UPLINK);
  expectFrame(from4, sentBy(UPLINK, { src: VIPS64.all, dst: CLIENT6, ttl: 63 }, icmpv6(echo(129, 77))));

  const own4 = pass(
    world,
    buildFrame({ src: CLIENT4, dst: VIPS46.web }, icmp(echo(8, 5))),
    UPLINK,
    "tx",
    UPLINK,
  );
  expectFrame(own4, sentBy(UPLINK, { src: VIPS46.web, dst: CLIENT4 }, icmp(echo(0, 5))));
  const own6 = pass(
    world,
    buildFrame({ src: CLIENT6, dst: VIPS64.web }, icmpv6(echo(128, 5))),
    UPLINK,
    "tx",
    UPLINK,
  );
  expectFrame(own6, sentBy(UPLINK, { src: VIPS64.web, dst: CLIENT6 }, icmpv6(echo(129, 5))));
});

/** The client's side of either translation. */
const SIDES = [
  { name: "nat46", client: CLIENT4, vips: VIPS46, node: FAMILY4.uplinkAddress, l3: 14 + 20, message: icmp },
  { name: "nat64", client: CLIENT6, vips: VIPS64, node: FAMILY6.uplinkAddress, l3: 14 + 40, message: icmpv6 },
];

for (const { name, client, vips, node, message } of SIDES) {
  const is4 = name === "nat46";
  /** An error that the node sends about `frame`. */
  const error = (frame: Uint8Array, type: number, code: number, rest: number): Uint8Array => {
    const payload = frame.slice(14, 14 + Math.min(frame.length - 14, is4 ? 548 : 1232));
    const ip: IpFields = { src: node, dst: client, id: 0, dontFragment: true };
    return sentBy(UPLINK, ip, message({ type, code, rest, payload }));
  };

  Deno.test(`${name}: without a pod the client is answered in its family, and nothing is remembered`, () => {
    const world = new World(mixedSpec());
    const syn = buildFrame({ src: client, dst: vips.empty }, tcp({ dstPort: 80, ...SYN }));
    const reset = pass(world, syn, UPLINK, "tx", UPLINK);
    assertEquals(reset[is4 ? 47 : 67] & TCP_RST, TCP_RST);
    const asked = buildFrame({ src: client, dst: vips.empty }, udp({ dstPort: 80 }));
    expectFrame(pass(world, asked, UPLINK, "tx", UPLINK), error(asked, is4 ? 3 : 1, is4 ? 3 : 4, 0));
    assertEquals(world.sessions6.used(), 0);
  });

  Deno.test(`${name}: a hop limit that runs out is answered to the client`, () => {
    const world = new World(mixedSpec());
    const asked = buildFrame({ src: client, dst: vips.web, ttl: 1 }, udp({ dstPort: 80 }));
    expectFrame(pass(world, asked, UPLINK, "tx", UPLINK), error(asked, is4 ? 11 : 3, 0, 0));
  });

  Deno.test(`${name}: a packet that does not fit after translation is answered with what would have fit`, () => {
    const world = new World(mixedSpec());
    const headers = is4 ? 20 + 8 : 40 + 8;
    const mtu = is4 ? 1280 : 1320; // of the client's side, for 1300 on the pod's
    const fits = (bytes: number) =>
      buildFrame(
        { src: client, dst: vips.small, dontFragment: true },
        udp({ dstPort: 80, payload: pattern(bytes - headers) }),
      );
    assertEquals(pass(world, fits(mtu), UPLINK, "tx", PODS).length, 1300 + 14);
    const asked = fits(mtu + 1);
    expectFrame(pass(world, asked, UPLINK, "tx", UPLINK), error(asked, is4 ? 3 : 2, is4 ? 4 : 0, mtu));
  });

  Deno.test(`${name}: where the way out is not open the translated packet enters the kernel by ku0`, () => {
    const world = new World(mixedSpec());
    for (const dst of [vips.unresolved, vips.unattached]) {
      const out = pass(world, buildFrame({ src: client, dst }, udp({ dstPort: 80 })), UPLINK, "puntKu");
      assertEquals((out[12] << 8) | out[13], is4 ? 0x86dd : 0x0800);
      assertEquals(out[is4 ? 21 : 22], 64, "the kernel forwards it and takes one hop itself");
    }
  });

  Deno.test(`${name}: flows are spread over the pods, by the client alone where it is sticky`, () => {
    const world = new World({ ...mixedSpec(), buckets: 256 });
    const podOf = (dst: string, srcPort: number) => {
      const out = pass(
        world,
        buildFrame({ src: client, dst }, tcp({ srcPort, dstPort: 80, ...SYN })),
        UPLINK,
      );
      return is4 ? out[14 + 39] : out[14 + 19];
    };
    const pods = new Set<number>();
    const sticky = new Set<number>();
    for (let port = 1; port <= 60; port++) {
      pods.add(podOf(vips.many, port));
      sticky.add(podOf(vips.sticky, port));
    }
    assertEquals([pods.size, sticky.size], [3, 1]);
  });

  Deno.test(`${name}: of a removed pod UDP moves on at once, TCP lives on`, () => {
    const spec = mixedSpec();
    const world = new World(spec);
    const service = spec.services.find(({ vip }) => vip === vips.many)!;
    const ask = (segment: Segment) => {
      const out = pass(world, buildFrame({ src: client, dst: vips.many }, segment), UPLINK);
      return is4 ? out[14 + 39] : out[14 + 19];
    };
    for (let srcPort = 1; srcPort < 40; srcPort++) {
      const first = ask(udp({ srcPort, dstPort: 80 }));
      const held = ask(tcp({ srcPort, dstPort: 80, ...SYN }));
      for (const pod of service.pods) pod.removed = pod.address.endsWith(is4 ? "5" : ".5");
      world.publish();
      assertNotEquals(ask(udp({ srcPort, dstPort: 80 })), 5);
      if (first !== 5) assertEquals(ask(udp({ srcPort, dstPort: 80 })), first);
      assertEquals(ask(tcp({ srcPort, dstPort: 80 })), held);
      for (const pod of service.pods) pod.removed = false;
      world.publish();
    }
  });
}

Deno.test("nat46: a source route under way is answered, what IPv6 would take for something else is dropped", () => {
  const world = new World(mixedSpec());
  const options = Uint8Array.of(131, 7, 4, 10, 0, 0, 1, 0);
  const routed = buildFrame({ src: CLIENT4, dst: VIPS46.web, options }, udp({ dstPort: 80 }));
  const answer = pass(world, routed, UPLINK, "tx", UPLINK);
  assertEquals([...answer.subarray(34, 36)], [3, 5]);
  const icmpv6In4 = { ...icmpv6({ type: 128 }), sum: "message" as const };
  pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.all }, icmpv6In4), UPLINK, "drop");
  const whole = udp({ dstPort: 80, payload: pattern(100), checksum: "none" });
  pass(world, fragments({ src: CLIENT4, dst: VIPS46.web }, whole, 64)[0], UPLINK, "drop");
  const counts = world.nodeCounts();
  assertEquals(counts["ku-nat: unknown to the other family"], 1);
  assertEquals(counts["ku-nat: UDP without checksum, other family needs one"], 1);
  assertEquals(world.sessions6.used(), 0);
});

Deno.test("nat64: a routing header under way is answered", () => {
  const world = new World(mixedSpec());
  const way = { ...routing(24), rest: routing(24).rest.slice() };
  way.rest[2] = 1; // segments left
  const routed = buildFrame(
    { src: CLIENT6, dst: VIPS64.web, extensions: [hopByHop(), way] },
    udp({ dstPort: 80 }),
  );
  const answer = pass(world, routed, UPLINK, "tx", UPLINK);
  const payload = routed.slice(14);
  const ip = { src: FAMILY6.uplinkAddress, dst: CLIENT6 };
  expectFrame(answer, sentBy(UPLINK, ip, icmpv6({ type: 4, code: 0, rest: 40 + 8 + 3, payload })));
});

Deno.test("mapped addresses on the wire find no session", () => {
  const world = new World(mixedSpec());
  pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.web }, udp({ dstPort: 80 })), UPLINK);
  const ip = { src: `::ffff:${CLIENT4}`, dst: `::ffff:${VIPS46.web}` };
  pass(world, buildFrame(ip, udp({ dstPort: 80 })), UPLINK, "drop");
});

Deno.test("an untracked flow's replies are translated too", () => {
  const world = new World({ ...mixedSpec(), buckets: 1 });
  for (let srcPort = 1; srcPort <= 12; srcPort++) {
    pass(world, buildFrame({ src: CLIENT4, dst: VIPS46.web }, udp({ srcPort, dstPort: 80 })), UPLINK);
    const answer = buildFrame({ src: POD6, dst: CLIENT46 }, udp({ srcPort: 8080, dstPort: srcPort }));
    pass(world, answer, PODS, "tx", UPLINK);
  }
  assert(world.nodeCounts()["ku-session: reply of an untracked flow"] > 0);
});
