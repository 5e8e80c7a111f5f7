/** Packets that `ku explain` asks about, and packets in words: against the tests' own builder. */

import { assertEquals } from "@std/assert";
import { parseAddress } from "../../../mod/config/address.ts";
import { packetFacts, packetText } from "../../../mod/control/packet_text.ts";
import { writeProbe } from "../../../mod/control/probe.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../../mod/wire/tcp.ts";
import { buildFrame, sctp, tcp, text, udp } from "../../packets/builder.ts";
import { Random } from "../../packets/random.ts";

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 };

Deno.test("writeProbe() makes packets whose text says what was asked for, with right checksums", () => {
  const frames = new Uint8Array(512).fill(0xa5);
  for (const [source, destination] of [["10.1.1.2", "10.96.0.10"], ["2001:db8::7", "fd00:96::10"]]) {
    for (const [name, protocol] of Object.entries(PROTOCOLS)) {
      const length = writeProbe(frames, 64, {
        source: parseAddress(source)!,
        destination: parseAddress(destination)!,
        protocol,
        sourcePort: 40000,
        destinationPort: 80,
        tcpFlags: TCP_SYN,
        mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
      });
      const frame = frames.slice(64, 64 + length);
      const facts = packetFacts(frame)!;
      assertEquals([facts.source, facts.destination, facts.protocol], [source, destination, protocol]);
      assertEquals([facts.sourcePort, facts.destinationPort, facts.ttl], [40000, 80, 64]);
      assertEquals(facts.bytes, length - 14);
      if (name === "sctp") continue;
      const fields = { src: source, dst: destination, dontFragment: true, id: 0 };
      const segment = name === "tcp"
        ? tcp({ dstPort: 80, sequence: 0, flags: TCP_SYN, window: 0xffff })
        : udp({ dstPort: 80, payload: new Uint8Array(0) });
      // The Ethernet sender apart, which is nobody's.
      assertEquals(
        frame.slice(12),
        buildFrame({ ...fields, ttl: 64 }, segment).slice(12),
        `${name} ${source}`,
      );
    }
  }
});

Deno.test("packetText() of packets of every kind", () => {
  const four = { src: "10.0.0.9", dst: "10.96.0.1", ttl: 63 };
  const cases: [Uint8Array, string][] = [
    [
      buildFrame(four, tcp({ srcPort: 1, dstPort: 2, flags: TCP_SYN | TCP_ACK })),
      "10.0.0.9:1 > 10.96.0.1:2 tcp SYN,ACK ttl 63, 40 bytes",
    ],
    [
      buildFrame(four, tcp({ srcPort: 1, dstPort: 2, flags: TCP_RST })),
      "10.0.0.9:1 > 10.96.0.1:2 tcp RST ttl 63, 40 bytes",
    ],
    [
      buildFrame(four, udp({ srcPort: 1, dstPort: 2, payload: text("abc") })),
      "10.0.0.9:1 > 10.96.0.1:2 udp ttl 63, 31 bytes",
    ],
    [buildFrame(four, sctp({ srcPort: 1, dstPort: 2 })), "10.0.0.9:1 > 10.96.0.1:2 sctp ttl 63, 52 bytes"],
    [
      buildFrame({ ...four, fragmentOffset: 64 }, udp({ payload: text("x") })),
      "10.0.0.9 > 10.96.0.1 udp later fragment ttl 63, 29 bytes",
    ],
    [
      buildFrame(
        { src: "2001:db8::9", dst: "fd00::1", ttl: 5 },
        udp({ srcPort: 1, dstPort: 2, payload: text("abc") }),
      ),
      "[2001:db8::9]:1 > [fd00::1]:2 udp ttl 5, 51 bytes",
    ],
    [new Uint8Array(60), "60 bytes that are no IP packet"],
    [new Uint8Array(0), "0 bytes that are no IP packet"],
  ];
  for (const [frame, line] of cases) assertEquals(packetText(frame), line);
});

Deno.test("packetText() takes any bytes", () => {
  const random = new Random(20261128);
  for (let round = 0; round < 20_000; round++) {
    const frame = Uint8Array.from({ length: random.below(90) }, () => random.below(256));
    if (frame.length > 14) {
      frame.set([0x08, 0x86, 0x81][random.below(3)] === 0x08 ? [8, 0] : [0x86, 0xdd], 12);
    }
    packetText(frame);
  }
});
