/** Fixtures of packets that ku answers itself, or refuses to; for both families. */

import { assertEquals } from "@std/assert";
import { SERVICE_NO_SERVER } from "../../../mod/metrics/counters.ts";
import {
  buildFrame,
  buildPacket,
  type IcmpFields,
  type IpFields,
  pattern,
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

for (const f of FAMILIES) {
  for (const fixture of answers(f)) {
    Deno.test(`Processor: ${f.name}: ${fixture.description}`, () => checkFixture(nodeWorld(f), fixture));
  }
}

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
