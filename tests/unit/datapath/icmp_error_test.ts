/** Fixtures of ICMP errors about translated packets, in both directions and families, whole and cut. */

import { assertEquals } from "@std/assert";
import {
  buildFrame,
  buildPacket,
  destinationOptions,
  type IcmpFields,
  type IpFields,
  pattern,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { checkFixture, checkStep, type Fixture, type Step } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeWorld, PODS, sentBy, UPLINK } from "../../packets/node.ts";

/** What is asked for, as it is at the pod, at the client, and the answer's two shapes. */
interface Conversation {
  name: string;
  vip: (f: Family) => string;
  ask: Segment;
  askAtPod: Segment;
  answer: Segment;
  answerAtClient: Segment;
}

function conversations(f: Family): Conversation[] {
  const payload = pattern(100);
  const echo = (type: number) => f.icmp({ type, rest: 0x77770001, payload });
  return [
    {
      name: "UDP",
      vip: (f) => f.vip,
      ask: udp({ dstPort: 80, payload }),
      askAtPod: udp({ dstPort: 8080, payload }),
      answer: udp({ srcPort: 8080, dstPort: 40000, payload }),
      answerAtClient: udp({ srcPort: 80, dstPort: 40000, payload }),
    },
    {
      name: "UDP without checksum",
      vip: (f) => f.vip,
      ask: udp({ dstPort: 80, payload, checksum: "none" }),
      askAtPod: udp({ dstPort: 8080, payload, checksum: "none" }),
      answer: udp({ srcPort: 8080, dstPort: 40000, payload, checksum: "none" }),
      answerAtClient: udp({ srcPort: 80, dstPort: 40000, payload, checksum: "none" }),
    },
    {
      name: "TCP",
      vip: (f) => f.vip,
      ask: tcp({ dstPort: 80, payload }),
      askAtPod: tcp({ dstPort: 8080, payload }),
      answer: tcp({ srcPort: 8080, dstPort: 40000, payload }),
      answerAtClient: tcp({ srcPort: 80, dstPort: 40000, payload }),
    },
    {
      name: "SCTP",
      vip: (f) => f.inPrefix,
      ask: sctp({ dstPort: 80 }),
      askAtPod: sctp({ dstPort: 80 }),
      answer: sctp({ srcPort: 80, dstPort: 40000 }),
      answerAtClient: sctp({ srcPort: 80, dstPort: 40000 }),
    },
    {
      name: "echo",
      vip: (f) => f.inPrefix,
      ask: echo(f.echoRequest),
      askAtPod: echo(f.echoRequest),
      answer: echo(f.echoReply),
      answerAtClient: echo(f.echoReply),
    },
  ];
}

function errorsOf(f: Family): { name: string; fields: IcmpFields }[] {
  return f.ip === 4
    ? [
      { name: "fragmentation needed", fields: { type: 3, code: 4, rest: 1300 } },
      { name: "port unreachable", fields: { type: 3, code: 3 } },
      { name: "time exceeded", fields: { type: 11 } },
      { name: "parameter problem", fields: { type: 12, rest: 0x01000000 } },
    ]
    : [
      { name: "packet too big", fields: { type: 2, rest: 1300 } },
      { name: "port unreachable", fields: { type: 1, code: 4 } },
      { name: "time exceeded", fields: { type: 3 } },
      { name: "parameter problem", fields: { type: 4, rest: 6 } },
    ];
}

function start(f: Family, talk: Conversation): Step {
  return { input: buildFrame({ src: f.client, dst: talk.vip(f) }, talk.ask), slot: UPLINK, verdict: "tx" };
}

/** A router between node and pod, or the pod itself, complains about what the client sent. */
function aboutClient(f: Family, talk: Conversation, error: IcmpFields, from: string, keep: number): Step {
  const vip = talk.vip(f);
  const inside = (dst: string, segment: Segment) =>
    buildPacket({ src: f.client, dst, ttl: 61 }, segment).subarray(0, keep);
  const shown = from === f.pod ? vip : from;
  return {
    input: buildFrame(
      { src: from, dst: f.client },
      f.icmp({ ...error, payload: inside(f.pod, talk.askAtPod) }),
    ),
    slot: PODS,
    verdict: "tx",
    outSlot: UPLINK,
    output: sentBy(
      UPLINK,
      { src: shown, dst: f.client, ttl: 63 },
      f.icmp({ ...error, payload: inside(vip, talk.ask) }),
    ),
  };
}

/** A router between client and node, or the client itself, complains about what the pod answered. */
function aboutPod(f: Family, talk: Conversation, error: IcmpFields, from: string, keep: number): Step {
  const vip = talk.vip(f);
  const inside = (src: string, segment: Segment) =>
    buildPacket({ src, dst: f.client, ttl: 60 }, segment).subarray(0, keep);
  return {
    input: buildFrame(
      { src: from, dst: vip },
      f.icmp({ ...error, payload: inside(vip, talk.answerAtClient) }),
    ),
    slot: UPLINK,
    verdict: "tx",
    outSlot: PODS,
    output: sentBy(
      PODS,
      { src: from, dst: f.pod, ttl: 63 },
      f.icmp({ ...error, payload: inside(f.pod, talk.answer) }),
    ),
  };
}

function fixtures(f: Family): Fixture[] {
  const all: Fixture[] = [];
  for (const talk of conversations(f)) {
    for (const { name, fields } of errorsOf(f)) {
      const counted = { "ku-icmp: error translated": 2 };
      all.push({
        description: `${name} about ${talk.name}, from routers`,
        steps: [
          start(f, talk),
          aboutClient(f, talk, fields, f.router, 1000),
          aboutPod(f, talk, fields, f.router, 1000),
        ],
        counted,
      });
      all.push({
        description: `${name} about ${talk.name}, from the ends`,
        steps: [
          start(f, talk),
          aboutClient(f, talk, fields, f.pod, 1000),
          aboutPod(f, talk, fields, f.client, 1000),
        ],
        counted,
      });
      // Not 17: of a checksum cut in half, the half is left as it is.
      for (const keep of [8, 9, 12, 16, 18, 19, 20, 21, 33]) {
        all.push({
          description: `${name} about ${talk.name}, ${keep} bytes behind the quoted header`,
          steps: [
            start(f, talk),
            aboutClient(f, talk, fields, f.pod, f.headerBytes + keep),
            aboutPod(f, talk, fields, f.router, f.headerBytes + keep),
          ],
          counted,
        });
      }
    }
  }
  return all;
}

for (const f of FAMILIES) {
  Deno.test(`translateError${f.ip}: ${f.name}: every error about every protocol, whole and cut`, () => {
    for (const fixture of fixtures(f)) {
      try {
        checkFixture(nodeWorld(f), fixture);
      } catch (error) {
        if (error instanceof Error) error.message = `${fixture.description}: ${error.message}`;
        throw error;
      }
    }
  });

  Deno.test(`translateError${f.ip}: ${f.name}: an error about no session is the kernel's, as it is`, () => {
    const quoted = buildPacket({ src: f.client, dst: f.pod }, udp({ dstPort: 8080 }));
    const input = buildFrame(
      { src: f.router, dst: f.client },
      f.icmp({ ...errorsOf(f)[0].fields, payload: quoted }),
    );
    checkFixture(nodeWorld(f), {
      description: "",
      steps: [{ input, slot: PODS, verdict: "puntIn", output: input }],
      counted: { "ku-icmp: error about no session": 1 },
    });
  });

  Deno.test(`translateError${f.ip}: ${f.name}: quotes that say too little are the kernel's`, () => {
    const talk = conversations(f)[0];
    const world = nodeWorld(f);
    checkStep(world, start(f, talk));
    const quoted = buildPacket({ src: f.client, dst: f.pod }, talk.askAtPod);
    for (let keep = 0; keep < f.headerBytes + 8; keep++) {
      const payload = quoted.subarray(0, keep);
      const input = buildFrame({ src: f.pod, dst: f.client }, f.icmp({ ...errorsOf(f)[0].fields, payload }));
      checkStep(world, { input, slot: PODS, verdict: "puntIn", output: input });
    }
  });

  Deno.test(`translateError${f.ip}: ${f.name}: no error about an error`, () => {
    const talk = conversations(f)[0];
    const world = nodeWorld(f);
    checkStep(world, start(f, talk));
    const payload = buildPacket({ src: f.client, dst: f.pod }, talk.askAtPod);
    const ip: IpFields = { src: f.pod, dst: f.client, ttl: 1 };
    const input = buildFrame(ip, f.icmp({ ...errorsOf(f)[0].fields, payload }));
    checkStep(world, { input, slot: PODS, verdict: "drop" });
    assertEquals(world.nodeCounts()["ku-icmp: error not allowed about this packet"], 1);
  });

  Deno.test(`translateError${f.ip}: ${f.name}: a wrong checksum outside stays wrong by as much`, () => {
    const talk = conversations(f)[2];
    const world = nodeWorld(f);
    checkStep(world, start(f, talk));
    const step = aboutClient(f, talk, errorsOf(f)[0].fields, f.pod, 1000);
    const at = 14 + f.headerBytes + 2;
    const spoil = (frame: Uint8Array) => {
      const view = new DataView(frame.buffer);
      const sum = view.getUint16(at) + 0x0101;
      view.setUint16(at, (sum & 0xffff) + (sum >>> 16));
    };
    spoil(step.input);
    spoil(step.output!);
    checkStep(world, step);
  });
}

Deno.test("translateError6: IPv6: extension headers in quote and error are stepped over", () => {
  const f = FAMILIES[1];
  const talk = conversations(f)[0];
  const extensions = [destinationOptions(16)];
  const world = nodeWorld(f);
  checkStep(world, start(f, talk));
  const inside = (dst: string, segment: Segment) => buildPacket({ src: f.client, dst, extensions }, segment);
  const fields = errorsOf(f)[0].fields;
  checkStep(world, {
    input: buildFrame(
      { src: f.pod, dst: f.client, extensions },
      f.icmp({ ...fields, payload: inside(f.pod, talk.askAtPod) }),
    ),
    slot: PODS,
    verdict: "tx",
    output: sentBy(
      UPLINK,
      { src: f.vip, dst: f.client, ttl: 63, extensions },
      f.icmp({ ...fields, payload: inside(f.vip, talk.ask) }),
    ),
  });
});
