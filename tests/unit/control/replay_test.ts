/** Capture files read and written, and the datapath run over them: what goes in is known, what comes out is looked at, twice the same. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { loadConfig } from "../../../mod/config/file.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import { packetText } from "../../../mod/control/packet_text.ts";
import { type CapturedPacket, PcapngWriter, readCapture } from "../../../mod/control/pcap.ts";
import { Replay, type Replayed } from "../../../mod/control/replay.ts";
import { TCP_ACK, TCP_SYN } from "../../../mod/wire/tcp.ts";
import { buildFrame, concat, pattern, tcp, udp } from "../../packets/builder.ts";
import { Random } from "../../packets/random.ts";

const CONFIG = `
vips:
  - {prefix: 10.96.0.10, protocol: tcp, port: 80, targetPort: 8080, pods: [10.244.1.2, 10.244.1.3]}
  - {prefix: 10.96.0.10, protocol: udp, port: 53, pods: [10.244.1.2, 10.244.1.3]}
  - {prefix: 10.96.0.11, protocol: tcp, port: 80}
  - {prefix: 10.97.0.0/16, type: nat46, pods: ["fd00::2"]}
`;

const client = "10.1.1.2";

function packet(timeUs: number, bytes: Uint8Array): CapturedPacket {
  return { timeUs, interfaceId: 0, bytes, originalBytes: bytes.length };
}

function replay(packets: readonly CapturedPacket[], config = CONFIG): { out: Replayed[]; replay: Replay } {
  const out: Replayed[] = [];
  const replay = new Replay(loadConfig(config, "test"), (replayed) => out.push(replayed));
  for (const each of packets) replay.add(each);
  replay.end();
  return { out, replay };
}

const lines = (out: readonly Replayed[]): string[] =>
  out.map(({ verdict, bytes }) => `${verdict} ${bytes === null ? "" : packetText(bytes)}`);

Deno.test("Replay: a connection there and back, no pod, no service, the other family", () => {
  const web = { srcPort: 4000, dstPort: 80 };
  const { out, replay: done } = replay([
    packet(0, buildFrame({ src: client, dst: "10.96.0.10" }, tcp({ ...web, flags: TCP_SYN }))),
    packet(
      100,
      buildFrame(
        { src: "10.244.1.2", dst: client },
        tcp({ srcPort: 8080, dstPort: 4000, flags: TCP_SYN | TCP_ACK }),
      ),
    ),
    packet(
      150,
      buildFrame(
        { src: "10.244.1.3", dst: client },
        tcp({ srcPort: 8080, dstPort: 4000, flags: TCP_SYN | TCP_ACK }),
      ),
    ),
    packet(200, buildFrame({ src: client, dst: "10.96.0.11" }, tcp({ ...web, flags: TCP_SYN }))),
    packet(300, buildFrame({ src: client, dst: "10.99.0.1" }, tcp(web))),
    packet(400, buildFrame({ src: client, dst: "10.97.3.4" }, udp({ srcPort: 5, dstPort: 6 }))),
    packet(500, new Uint8Array(10)),
  ]);
  const said = lines(out);
  assertEquals(
    said[0].replace(/244\.1\.[23]:/, "244.1.x:"),
    `sent ${client}:4000 > 10.244.1.x:8080 tcp SYN ttl 63, 40 bytes`,
  );
  // One of the two is the answer of the pod that was picked.
  const answers = said.slice(1, 3).toSorted();
  assertEquals(answers[1], `sent 10.96.0.10:80 > ${client}:4000 tcp SYN,ACK ttl 63, 40 bytes`);
  assert(answers[0].startsWith("kernel 10.244.1."));
  assertEquals(said[3], `sent 10.96.0.11:80 > ${client}:4000 tcp RST,ACK ttl 64, 40 bytes`);
  assertEquals(said[4], `kernel ${client}:4000 > 10.99.0.1:80 tcp ACK ttl 64, 40 bytes`);
  assertEquals(said[5], "sent [64:ff9b:1::a01:102]:5 > [fd00::2]:6 udp ttl 63, 50 bytes");
  assertEquals([said[6], out[6].reasons], ["dropped ", ["ku-parse: malformed packet"]]);
  assertEquals(done.counted.find(({ reason }) => reason === "session started")?.count, 2);
});

Deno.test("Replay: fragments in the wrong order wait; those whose first never comes are the kernel's in the end", () => {
  const payload = pattern(3000);
  const whole = buildFrame(
    { src: client, dst: "10.96.0.10", id: 7 },
    udp({ srcPort: 9, dstPort: 53, payload }),
  );
  const piece = (id: number, offset: number, more: boolean) => {
    const bytes = whole.slice(34 + offset, 34 + offset + (more ? 1480 : 3008));
    return buildFrame(
      { src: client, dst: "10.96.0.10", id, fragmentOffset: offset, moreFragments: more },
      { protocol: 17, bytes, checksumAt: -1, sum: "internet", checksum: "none" },
    );
  };
  const { out } = replay([
    packet(0, piece(7, 1480, true)),
    packet(10, piece(7, 2960, false)),
    packet(20, piece(7, 0, true)),
    packet(30, piece(8, 1480, true)),
    packet(400_000, piece(9, 1480, true)),
  ]);
  assertEquals(out.map(({ verdict, packet }) => [verdict, packet.timeUs]), [
    ["sent", 20],
    ["sent", 0],
    ["sent", 10],
    ["kernel", 30],
    ["kernel", 400_000],
  ]);
});

Deno.test("Replay: sessions age by the time of the packets", () => {
  const ask = (timeUs: number) =>
    packet(timeUs, buildFrame({ src: client, dst: "10.96.0.10" }, udp({ srcPort: 9 })));
  const started = (...times: number[]) =>
    replay(times.map(ask)).replay.counted.find(({ reason }) => reason === "session started")?.count;
  assertEquals([started(0, 39e6, 78e6), started(0, 60e6)], [1, 2]);
});

Deno.test("Replay: any capture gives the same twice", () => {
  const random = new Random(7);
  const packets = Array.from({ length: 400 }, (_, index) => {
    const dst = ["10.96.0.10", "10.96.0.11", "10.97.1.1", "10.9.9.9"][random.below(4)];
    const fields = { srcPort: 1 + random.below(50), dstPort: [53, 80][random.below(2)] };
    const frame = buildFrame({ src: client, dst }, random.below(2) === 0 ? tcp(fields) : udp(fields));
    if (random.below(10) === 0) frame[random.below(frame.length)] ^= 1 << random.below(8);
    return packet(index * 1000, frame);
  });
  const once = replay(packets);
  const twice = replay(packets);
  assertEquals(once.out, twice.out);
  assertEquals(once.replay.counted, twice.replay.counted);
  assertEquals(once.out.length, 400);
});

Deno.test("PcapngWriter: what is written is read again; comments and interfaces are in it", () => {
  const writer = new PcapngWriter();
  const packets = [1, 2, 3, 4, 60].map((length) => ({
    timeUs: 1.7e15 + length,
    bytes: pattern(length),
    originalBytes: length + 1,
  }));
  const file = concat(
    writer.header("test"),
    ...packets.map((each, index) => writer.packet(index % 2 === 0 ? "eth0" : "pod1", each, "in", "reason")),
  );
  assertEquals(
    [...readCapture(file, "x")],
    packets.map((each, index) => ({ ...each, interfaceId: index % 2 })),
  );
  assert(new TextDecoder().decode(file).includes("reason"));
});

/** A pcap file of one packet, in either byte order. */
function pcap(magic: number, little: boolean, fraction: number, linkType = 1): Uint8Array {
  const view = new DataView(new ArrayBuffer(24 + 16 + 4));
  view.setUint32(0, magic, little);
  view.setUint32(20, linkType, little);
  view.setUint32(24, 1000, little);
  view.setUint32(28, fraction, little);
  view.setUint32(32, 4, little);
  view.setUint32(36, 60, little);
  view.setUint32(40, 0x01020304);
  return new Uint8Array(view.buffer);
}

Deno.test("readCapture() reads pcap of either byte order and both clocks, and says where a file is broken", () => {
  const expected = [{
    timeUs: 1_000_000_007,
    interfaceId: 0,
    bytes: Uint8Array.of(1, 2, 3, 4),
    originalBytes: 60,
  }];
  for (const little of [false, true]) {
    assertEquals([...readCapture(pcap(0xa1b2c3d4, little, 7), "x")], expected);
    assertEquals([...readCapture(pcap(0xa1b23c4d, little, 7999), "x")], expected);
  }
  const broken: [Uint8Array, string][] = [
    [new Uint8Array(0), "capture : x, is neither pcap nor pcapng"],
    [pcap(0xa1b2c3d4, true, 7).subarray(0, 42), "capture : x, is broken or cut short at byte 24"],
    [pcap(0xa1b2c3d4, true, 7, 113), "capture : x, has link type 113, give one of Ethernet (1)"],
  ];
  for (const [bytes, message] of broken) {
    assertEquals(assertThrows(() => [...readCapture(bytes, "x")], ConfigError).message, message);
  }
});

Deno.test("readCapture() ends with a ConfigError or without, whatever the bytes", () => {
  const random = new Random(11);
  const writer = new PcapngWriter();
  const good = concat(
    writer.header("t"),
    writer.packet("a", { timeUs: 1, bytes: pattern(60), originalBytes: 60 }, "in", "c"),
  );
  for (const start of [good, pcap(0xa1b2c3d4, true, 1)]) {
    for (let round = 0; round < 3000; round++) {
      const bytes = start.slice(0, random.below(start.length + 1));
      for (let flips = random.below(4); flips > 0 && bytes.length > 0; flips--) {
        bytes[random.below(bytes.length)] = random.below(256);
      }
      try {
        for (const _ of readCapture(bytes, "x"));
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
      }
    }
  }
});
