/** Fixtures of what does not simply leave: punts, answers of ku's own, drops; for both families. */

import {
  buildFrame,
  buildPacket,
  concat,
  type IcmpFields,
  type IpFields,
  pattern,
  raw,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { checkFixture, type Fixture } from "../../packets/fixture.ts";
import {
  FAMILIES,
  type Family,
  FAMILY4,
  MANY_NODE_PORT,
  nodeWorld,
  PODS,
  sentBy,
  SERVICE_EMPTY,
  UPLINK,
} from "../../packets/node.ts";
import { assertEquals } from "@std/assert";
import { SERVICE_NO_SERVER } from "../../../mod/metrics/counters.ts";

/** Bytes of a packet that an error may quote. */
function quote(f: Family, packet: Uint8Array): Uint8Array {
  return packet.subarray(0, f.ip === 4 ? 576 - 28 : 1280 - 48);
}

/** ICMP fields of the errors, by family. */
const ERRORS = {
  timeExceeded: (f: Family): IcmpFields => ({ type: f.ip === 4 ? 11 : 3 }),
  unreachable: (f: Family): IcmpFields => f.ip === 4 ? { type: 3, code: 3 } : { type: 1, code: 4 },
  tooBig: (f: Family, mtu: number): IcmpFields =>
    f.ip === 4 ? { type: 3, code: 4, rest: mtu } : { type: 2, rest: mtu },
};

/** The header ku writes itself. */
function own(f: Family, src: string, dst: string): IpFields {
  return f.ip === 4 ? { src, dst, id: 0, dontFragment: true } : { src, dst };
}

function answerToClient(
  f: Family,
  error: IcmpFields,
  ip: IpFields,
  segment: Segment,
  from = f.uplinkAddress,
) {
  const payload = quote(f, buildPacket(ip, segment));
  return sentBy(UPLINK, own(f, from, ip.src), f.icmp({ ...error, payload }));
}

function punts(f: Family): Fixture[] {
  const to = (dst: string): IpFields => ({ src: f.client, dst });
  return [
    {
      description: "what matches nothing goes to the kernel untouched",
      steps: [
        {
          input: buildFrame(to(f.vip), udp({ dstPort: 81 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.vip), udp({ dstPort: 81 })),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080 }), { vlan: 7 }),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080 }), { vlan: 7 }),
        },
      ],
      counted: { "ku-match: no service and no session": 2 },
    },
    {
      description: "a half-done checksum is completed on the way to the kernel",
      steps: [
        {
          input: buildFrame(
            { src: f.pod, dst: f.client },
            tcp({ srcPort: 8080, checksum: "half", payload: pattern(99) }),
          ),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080, payload: pattern(99) })),
        },
      ],
    },
    {
      description: "a pod's own connection to the world is untouched",
      steps: [
        {
          input: buildFrame({ src: f.pod, dst: f.router }, tcp({ srcPort: 33000, dstPort: 443, flags: 2 })),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.router }, tcp({ srcPort: 33000, dstPort: 443, flags: 2 })),
        },
      ],
    },
    {
      description: "a pod behind an interface that is not attached: rewritten, TTL left to the kernel",
      steps: [
        {
          input: buildFrame(to(f.vipUnattached), udp({ dstPort: 80, checksum: "half" })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podUnattached), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: egress interface not attached": 1, "ku-session: session started": 1 },
    },
    {
      description: "a pod whose neighbor is not resolved",
      steps: [
        {
          input: buildFrame(to(f.vipUnresolved), udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podUnresolved), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: neighbor not resolved": 1 },
    },
    {
      description: "a pod without a route",
      steps: [
        {
          input: buildFrame(to(f.vipNoRoute), udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podNoRoute), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: no route": 1 },
    },
    {
      description: "a pod on the node itself, whatever the TTL",
      steps: [
        {
          input: buildFrame({ ...to(f.vipLocal), ttl: 1 }, udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame({ ...to(f.podsAddress), ttl: 1 }, udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: for the node itself": 1 },
    },
    {
      description:
        "an answer to a client that is not reached by an attached interface enters on ku0, untagged",
      steps: [
        {
          input: buildFrame({ src: f.podUnattached, dst: f.vip }, udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "tx",
        },
        {
          input: buildFrame({ src: f.pod, dst: f.podUnattached }, udp({ srcPort: 8080, dstPort: 40000 }), {
            vlan: 5,
          }),
          slot: PODS,
          verdict: "puntKu",
          output: buildFrame({ src: f.vip, dst: f.podUnattached }, udp({ srcPort: 80, dstPort: 40000 })),
        },
      ],
    },
  ];
}

function answers(f: Family): Fixture[] {
  const ask = (dst: string, segment: Segment, ip: Partial<IpFields> = {}) => ({
    input: buildFrame({ ...ip, src: f.client, dst }, segment),
    slot: UPLINK,
  });
  const syn = tcp({ dstPort: 80, flags: 2, sequence: 1000 });
  const reset = (fields: Parameters<typeof tcp>[0]) =>
    sentBy(
      UPLINK,
      own(f, f.vipEmpty, f.client),
      tcp({ srcPort: 80, dstPort: 40000, window: 0, sequence: 0, ...fields }),
    );
  const big = udp({ dstPort: 80, payload: pattern(1400) });
  return [
    {
      description: "TTL 1: time exceeded, quoting what the client sent",
      steps: [
        {
          ...ask(f.vip, udp({ dstPort: 80, checksum: "half" }), { ttl: 1 }),
          verdict: "tx",
          output: answerToClient(
            f,
            ERRORS.timeExceeded(f),
            { src: f.client, dst: f.vip, ttl: 1 },
            udp({ dstPort: 80 }),
          ),
        },
      ],
      counted: { "ku-icmp: time exceeded sent": 1 },
    },
    {
      description: "no pod, UDP: port unreachable, nothing remembered",
      steps: [
        {
          ...ask(f.vipEmpty, udp({ dstPort: 80, payload: pattern(1300) })),
          verdict: "tx",
          output: answerToClient(
            f,
            ERRORS.unreachable(f),
            { src: f.client, dst: f.vipEmpty },
            udp({ dstPort: 80, payload: pattern(1300) }),
          ),
        },
      ],
      counted: { "ku-match: no server": 1, "ku-session: session started": 0 },
    },
    {
      description: "no pod, SYN: reset that acknowledges it",
      steps: [{
        ...ask(f.vipEmpty, syn),
        verdict: "tx",
        output: reset({ flags: 0x14, acknowledgment: 1001 }),
      }],
      counted: { "ku-match: no server": 1, "ku-icmp: TCP reset sent": 1 },
    },
    {
      description: "no pod, SYN with options and data: the reset acknowledges all of it",
      steps: [
        {
          ...ask(
            f.vipEmpty,
            tcp({ dstPort: 80, flags: 3, sequence: 0xffffffff, options: pattern(12), payload: pattern(5) }),
          ),
          verdict: "tx",
          output: reset({ flags: 0x14, acknowledgment: 6 }),
        },
      ],
    },
    {
      description: "no pod, ACK: reset with the sequence number that was acknowledged",
      steps: [
        {
          ...ask(
            f.vipEmpty,
            tcp({ dstPort: 80, flags: 0x18, sequence: 5, acknowledgment: 0xdeadbeef, payload: pattern(9) }),
          ),
          verdict: "tx",
          output: reset({ flags: 4, sequence: 0xdeadbeef }),
        },
      ],
    },
    {
      description: "no pod, RST: silence",
      steps: [{ ...ask(f.vipEmpty, tcp({ dstPort: 80, flags: 4 })), verdict: "drop" }],
      counted: { "ku-icmp: error not allowed about this packet": 1, "ku-match: no server": 1 },
    },
    {
      description: "too big for the pod's side, not to be fragmented: the client is told the MTU",
      steps: [
        {
          ...ask(f.vipSmall, big, { dontFragment: true }),
          verdict: "tx",
          output: answerToClient(
            f,
            ERRORS.tooBig(f, 1300),
            { src: f.client, dst: f.vipSmall, dontFragment: true },
            big,
          ),
        },
      ],
      counted: { "ku-icmp: fragmentation needed or packet too big sent": 1 },
    },
    {
      description: "a packet of exactly the MTU passes",
      steps: [
        {
          ...ask(f.vipSmall, udp({ dstPort: 80, payload: pattern(1300 - 8 - f.headerBytes) }), {
            dontFragment: true,
          }),
          verdict: "tx",
          outSlot: PODS,
        },
      ],
    },
    {
      description: "echo to a VIP is answered, whoever serves it",
      steps: [
        {
          ...ask(f.vip, f.icmp({ type: f.echoRequest, rest: 0x12340001, payload: pattern(56) }), { ttl: 7 }),
          verdict: "tx",
          output: sentBy(
            UPLINK,
            { src: f.vip, dst: f.client },
            f.icmp({ type: f.echoReply, rest: 0x12340001, payload: pattern(56) }),
          ),
        },
        {
          ...ask(f.vipEmpty, f.icmp({ type: f.echoRequest, rest: 0x00010001 })),
          verdict: "tx",
          output: sentBy(
            UPLINK,
            { src: f.vipEmpty, dst: f.client },
            f.icmp({ type: f.echoReply, rest: 0x00010001 }),
          ),
        },
      ],
      counted: { "ku-icmp: echo to a VIP answered": 2 },
    },
    {
      description: "echo to a prefix with ports is the kernel's",
      steps: [{
        ...ask(f.inPortPrefix, f.icmp({ type: f.echoRequest, rest: 0x12340001 })),
        verdict: "puntIn",
      }],
    },
    {
      description: "echo to a VIP of all protocols goes to the pod and comes back",
      steps: [
        {
          ...ask(f.inPrefix, f.icmp({ type: f.echoRequest, rest: 0x12340001, payload: pattern(7) })),
          verdict: "tx",
          output: sentBy(
            PODS,
            { src: f.client, dst: f.pod, ttl: 63 },
            f.icmp({ type: f.echoRequest, rest: 0x12340001, payload: pattern(7) }),
          ),
        },
        {
          input: buildFrame(
            { src: f.pod, dst: f.client },
            f.icmp({ type: f.echoReply, rest: 0x12340001, payload: pattern(7) }),
          ),
          slot: PODS,
          verdict: "tx",
          output: sentBy(
            UPLINK,
            { src: f.inPrefix, dst: f.client, ttl: 63 },
            f.icmp({ type: f.echoReply, rest: 0x12340001, payload: pattern(7) }),
          ),
        },
      ],
    },
    {
      description: "an echo reply that nobody asked for is the kernel's",
      steps: [{ ...ask(f.inPrefix, f.icmp({ type: f.echoReply, rest: 0x12340001 })), verdict: "puntIn" }],
    },
    {
      description: "the VIP as its own client is dropped",
      steps: [
        {
          input: buildFrame({ src: f.vip, dst: f.vip }, udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "drop",
        },
      ],
      counted: { "ku-match: source address that cannot be answered": 1 },
    },
    {
      description: "a client that cannot be answered gets no error",
      steps: [
        {
          input: buildFrame(
            { src: f.ip === 4 ? "224.0.0.9" : "ff02::9", dst: f.vipEmpty },
            udp({ dstPort: 80 }),
          ),
          slot: UPLINK,
          verdict: "drop",
        },
      ],
    },
    {
      description: "a node port on the node's own address; answered from there",
      steps: [
        { ...ask(f.uplinkAddress, udp({ dstPort: MANY_NODE_PORT })), verdict: "tx", outSlot: PODS },
        { ...ask(f.uplinkAddress, udp({ dstPort: MANY_NODE_PORT + 1 })), verdict: "puntIn" },
        { ...ask(f.router, udp({ dstPort: MANY_NODE_PORT })), verdict: "puntIn" },
      ],
    },
  ];
}

function badFrames(f: Family): { description: string; frame: Uint8Array }[] {
  const ip: IpFields = { src: f.client, dst: f.vip };
  const whole = buildFrame(ip, udp({ dstPort: 80 }));
  const edit = (at: number, value: number) => {
    const frame = whole.slice();
    frame[at] = value;
    return frame;
  };
  return [
    { description: "no Ethernet header", frame: whole.subarray(0, 13) },
    { description: "no IP header", frame: whole.subarray(0, 14) },
    { description: "half an IP header", frame: whole.subarray(0, 14 + f.headerBytes - 1) },
    { description: "half a UDP header", frame: buildFrame(ip, raw(17, pattern(7))) },
    { description: "half a TCP header", frame: buildFrame(ip, raw(6, pattern(19))) },
    { description: "cut behind the headers", frame: whole.subarray(0, whole.length - 1) },
    { description: "another version", frame: edit(14, 0x55) },
    { description: "a UDP length that is too long", frame: buildFrame(ip, udp({ dstPort: 80, length: 11 })) },
    { description: "a UDP length that is too short", frame: buildFrame(ip, udp({ dstPort: 80, length: 7 })) },
    {
      description: "a TCP header longer than the packet",
      frame: (() => {
        const frame = buildFrame(ip, tcp({ dstPort: 80 }));
        frame[14 + f.headerBytes + 12] = 0x60;
        return frame;
      })(),
    },
    {
      description: "a TCP header shorter than a header",
      frame: (() => {
        const frame = buildFrame(ip, tcp({ dstPort: 80 }));
        frame[14 + f.headerBytes + 12] = 0x40;
        return frame;
      })(),
    },
    {
      description: "a tag and nothing else",
      frame: concat(whole.subarray(0, 12), Uint8Array.of(0x81, 0, 0)),
    },
  ];
}

for (const f of FAMILIES) {
  for (const fixture of [...punts(f), ...answers(f)]) {
    Deno.test(`Processor: ${f.name}: ${fixture.description}`, () => checkFixture(nodeWorld(f), fixture));
  }
  for (const { description, frame } of badFrames(f)) {
    Deno.test(`Processor: ${f.name}: dropped as malformed: ${description}`, () => {
      checkFixture(nodeWorld(f), {
        description,
        steps: [{ input: frame, slot: UPLINK, verdict: "drop" }],
        counted: { "ku-parse: malformed packet": 1 },
      });
    });
  }
}

Deno.test("Processor: IPv4: too big without DF is left to the kernel to fragment, rewritten", () => {
  const f = FAMILY4;
  const segment = udp({ dstPort: 80, payload: pattern(1400) });
  checkFixture(nodeWorld(f), {
    description: "",
    steps: [{
      input: buildFrame({ src: f.client, dst: f.vipSmall }, segment),
      slot: UPLINK,
      verdict: "puntIn",
      output: buildFrame({ src: f.client, dst: f.podSmall }, segment),
    }],
    counted: { "ku-route: left to the kernel to fragment": 1 },
  });
});

Deno.test("Processor: no server is counted for its service", () => {
  const world = nodeWorld(FAMILY4);
  const frame = buildFrame({ src: FAMILY4.client, dst: FAMILY4.vipEmpty }, tcp({ dstPort: 80, flags: 2 }));
  for (let i = 0; i < 3; i++) world.run(frame, UPLINK);
  assertEquals(world.serviceCount(SERVICE_EMPTY, SERVICE_NO_SERVER), 3);
  assertEquals(world.sessions4.used(), 0);
});

Deno.test("Processor: ICMP errors are limited to 10,000 a second", () => {
  const world = nodeWorld(FAMILY4);
  const frame = buildFrame({ src: FAMILY4.client, dst: FAMILY4.vipEmpty }, udp({ dstPort: 80 }));
  for (let i = 0; i < 10_010; i++) world.run(frame, UPLINK);
  assertEquals(world.nodeCounts()["ku-icmp: error rate limit"], 10);
  world.processor.now = 1001;
  world.run(frame, UPLINK);
  assertEquals(world.nodeCounts()["ku-icmp: port unreachable sent"], 10_001);
});

Deno.test("Processor: what is neither IPv4 nor IPv6 goes to the kernel", () => {
  const world = nodeWorld(FAMILY4);
  const arp = buildFrame({ src: FAMILY4.client, dst: FAMILY4.vip }, udp({}));
  arp[12] = 0x08;
  arp[13] = 0x06;
  checkFixture(world, {
    description: "",
    steps: [
      { input: arp, slot: UPLINK, verdict: "puntIn", output: arp },
      { input: arp, slot: 0, verdict: "puntKu", output: arp },
    ],
    counted: { "ku-parse: neither IPv4 nor IPv6": 2 },
  });
});
