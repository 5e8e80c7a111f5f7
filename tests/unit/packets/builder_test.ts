/** The packet builder of the tests against frames of another implementation, and `faults` against frames made wrong on purpose. */

import { assertEquals } from "@std/assert";
import {
  arp,
  authentication,
  buildFrame,
  concat,
  destinationOptions,
  fragmentHeader,
  fragments,
  hopByHop,
  icmp,
  icmpv6,
  ipBytes,
  pattern,
  raw,
  routing,
  sctp,
  tcp,
  text,
  udp,
} from "../../packets/builder.ts";
import * as golden from "../../packets/golden.ts";
import { faults } from "../../packets/verify.ts";

const CLIENT4 = { src: "10.0.0.9", dst: "10.96.0.1" };
const CLIENT6 = { src: "2001:db8::9", dst: "2001:db8:1::1" };

Deno.test("buildFrame: TCP with options in a tagged frame is scapy's, byte for byte", () => {
  const options = Uint8Array.of(2, 4, 0x05, 0xb4, 1, 3, 3, 7);
  const segment = tcp({ flags: 0x02, window: 64240, options });
  const frame = buildFrame({ ...CLIENT4, dontFragment: true, ttl: 63, tos: 0x10 }, segment, { vlan: 0x2064 });
  assertEquals(frame, golden.GOLDEN_TCP_VLAN);
});

Deno.test("buildFrame: UDP behind IPv4 options is scapy's, byte for byte", () => {
  const ip = { src: "192.0.2.1", dst: "198.51.100.7", id: 7, options: Uint8Array.of(0x94, 4, 0, 0) };
  assertEquals(
    buildFrame(ip, udp({ srcPort: 5353, payload: text("hello") })),
    golden.GOLDEN_UDP_OPTIONS,
  );
});

Deno.test("buildFrame: UDP behind IPv6 extension headers is scapy's, byte for byte", () => {
  const ip = {
    ...CLIENT6,
    ttl: 61,
    tos: 0xb8,
    flowLabel: 0x12345,
    extensions: [hopByHop(), destinationOptions()],
  };
  const segment = udp({ srcPort: 1000, dstPort: 2000, payload: text("odd") });
  assertEquals(buildFrame(ip, segment), golden.GOLDEN_UDP6_EXTENSIONS);
});

Deno.test("buildFrame: SCTP, ICMP echo and ARP are scapy's, byte for byte", () => {
  assertEquals(
    buildFrame({ ...CLIENT4, id: 3 }, sctp({ chunks: golden.GOLDEN_SCTP_INIT.slice(46) })),
    golden.GOLDEN_SCTP_INIT,
  );
  const echo = icmp({ type: 8, rest: 0x00770005, payload: text("abcde") });
  assertEquals(buildFrame({ ...CLIENT4, id: 9 }, echo), golden.GOLDEN_ECHO);
  assertEquals(arp(1, "10.0.0.9", "10.0.0.1"), golden.GOLDEN_ARP);
});

Deno.test("buildFrame: ICMP errors with a quoted packet are scapy's, byte for byte", () => {
  const needed = icmp({
    type: 3,
    code: 4,
    rest: 1300,
    payload: golden.GOLDEN_FRAGMENTATION_NEEDED.slice(42),
  });
  assertEquals(
    buildFrame({ src: "203.0.113.1", dst: "10.0.0.9", id: 1, ttl: 255 }, needed),
    golden.GOLDEN_FRAGMENTATION_NEEDED,
  );
  const tooBig = icmpv6({ type: 2, rest: 1300, payload: golden.GOLDEN_PACKET_TOO_BIG.slice(62) });
  assertEquals(buildFrame({ src: "2001:db8::1", dst: "2001:db8::9" }, tooBig), golden.GOLDEN_PACKET_TOO_BIG);
});

Deno.test("buildFrame: an IPv6 fragment is scapy's, byte for byte", () => {
  const ip = { ...CLIENT6, extensions: [fragmentHeader(185 * 8, true, 0xdeadbeef)] };
  assertEquals(buildFrame(ip, raw(17, text("x".repeat(16)))), golden.GOLDEN_FRAGMENT6);
});

Deno.test("ipBytes: reads dotted decimal, the double colon anywhere, and a dotted tail", () => {
  assertEquals(ipBytes("10.96.0.255"), Uint8Array.of(10, 96, 0, 255));
  assertEquals(ipBytes("::"), new Uint8Array(16));
  assertEquals(ipBytes("2001:db8::")[1], 1);
  assertEquals(ipBytes("::ffff:10.0.0.1").slice(10), Uint8Array.of(0xff, 0xff, 10, 0, 0, 1));
  assertEquals(ipBytes("1:2:3:4:5:6:7:8").slice(12), Uint8Array.of(0, 7, 0, 8));
});

Deno.test("faults: finds nothing in frames of another implementation", () => {
  for (const [name, frame] of Object.entries(golden)) assertEquals([name, ...faults(frame)], [name]);
});

Deno.test("faults: finds nothing in what the builder makes, of every protocol behind every header", () => {
  const segments = [
    udp({}),
    tcp({}),
    sctp({}),
    udp({ payload: pattern(1000) }),
    tcp({ payload: pattern(701) }),
  ];
  for (const segment of segments) {
    assertEquals(faults(buildFrame({ ...CLIENT4, options: pattern(12) }, segment)), []);
    const extensions = [hopByHop(16), routing(), authentication(), destinationOptions(24)];
    assertEquals(faults(buildFrame({ ...CLIENT6, extensions }, segment)), []);
  }
});

Deno.test("faults: names a checksum that is wrong or half done, in every protocol", () => {
  for (const checksum of ["wrong", "half"] as const) {
    assertEquals(faults(buildFrame(CLIENT4, udp({ checksum }))), ["UDP checksum"]);
    assertEquals(faults(buildFrame(CLIENT6, tcp({ checksum }))), ["TCP checksum"]);
    assertEquals(faults(buildFrame(CLIENT4, sctp({ checksum }))), ["SCTP CRC32c"]);
  }
  assertEquals(faults(buildFrame(CLIENT4, icmp({ type: 8, checksum: "wrong" }))), ["ICMP checksum"]);
  assertEquals(faults(buildFrame(CLIENT6, icmpv6({ type: 128, checksum: "wrong" }))), ["ICMPv6 checksum"]);
  assertEquals(faults(buildFrame({ ...CLIENT4, headerChecksum: "wrong" }, udp({}))), [
    "IPv4 header checksum",
  ]);
  assertEquals(faults(buildFrame(CLIENT4, udp({ checksum: "none" }))), []);
  assertEquals(faults(buildFrame(CLIENT6, udp({ checksum: "none" }))), ["UDP checksum 0 over IPv6"]);
});

Deno.test("faults: one changed byte anywhere behind the MACs is found", () => {
  const frame = buildFrame(CLIENT4, tcp({ payload: pattern(64) }));
  for (let at = 14; at < frame.length; at++) {
    const changed = frame.slice();
    changed[at] ^= 0x40;
    if (faults(changed).length === 0) throw new Error(`byte ${at} changed unnoticed`);
  }
});

Deno.test("fragments: put together again they are the whole packet's payload", () => {
  const segment = udp({ payload: pattern(1000) });
  for (const ip of [CLIENT4, CLIENT6]) {
    const headers = ip === CLIENT4 ? 34 : 62;
    const whole = buildFrame(ip, segment).slice(ip === CLIENT4 ? 34 : 54);
    const parts = fragments(ip, segment, 400);
    assertEquals(parts.length, 3);
    assertEquals(concat(...parts.map((part) => part.slice(headers))), whole);
    for (const part of parts) assertEquals(faults(part), []);
  }
});
