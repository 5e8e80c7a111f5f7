/** Accessors against golden frames: what another implementation wrote is read, and rewriting it keeps it valid. */

import { assertEquals } from "@std/assert";
import * as arp from "../../../mod/wire/arp.ts";
import * as ethernet from "../../../mod/wire/ethernet.ts";
import * as icmp from "../../../mod/wire/icmp.ts";
import * as icmpv6 from "../../../mod/wire/icmpv6.ts";
import * as ipv4 from "../../../mod/wire/ipv4.ts";
import * as ipv6 from "../../../mod/wire/ipv6.ts";
import * as ndp from "../../../mod/wire/ndp.ts";
import * as sctp from "../../../mod/wire/sctp.ts";
import * as tcp from "../../../mod/wire/tcp.ts";
import * as udp from "../../../mod/wire/udp.ts";
import {
  checksumUpdate32,
  fold,
  pseudoHeaderSum4,
  pseudoHeaderSum6,
  sumBytes,
} from "../../../mod/wire/checksum.ts";
import { buildFrame, raw, text } from "../../packets/builder.ts";
import * as golden from "../../packets/golden.ts";
import { faults } from "../../packets/verify.ts";

const IP_AT = 14;

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

Deno.test("ethernet: MACs, group bit, EtherType and tag are read", () => {
  const view = viewOf(golden.GOLDEN_TCP_VLAN);
  assertEquals(ethernet.etherType(view, 0), ethernet.ETHERTYPE_VLAN);
  assertEquals(ethernet.vlanTci(view, 0) & ethernet.VLAN_ID_MASK, 100);
  assertEquals(ethernet.vlanTci(view, 0) >>> 13, 1);
  assertEquals(ethernet.vlanInnerType(view, 0), ethernet.ETHERTYPE_IPV4);
  assertEquals([ethernet.macHigh(view, 0), ethernet.macLow(view, 0)], [0x02000000, 1]);
  assertEquals([ethernet.macHigh(view, 6), ethernet.macLow(view, 6)], [0x02000000, 2]);
  assertEquals(ethernet.macIsGroup(view, 0), false);
  assertEquals(ethernet.macIsGroup(viewOf(Uint8Array.of(0x33, 0x33, 0, 0, 0, 1)), 0), true);
});

Deno.test("writeEthernet: writes fourteen bytes and no more", () => {
  const frame = new Uint8Array(20).fill(0xa5);
  ethernet.writeEthernet(viewOf(frame), 2, 0x02000000, 1, 0xfe112233 | 0, 0x4455, ethernet.ETHERTYPE_IPV6);
  const header = [2, 0, 0, 0, 0, 1, 0xfe, 0x11, 0x22, 0x33, 0x44, 0x55, 0x86, 0xdd];
  assertEquals([...frame], [0xa5, 0xa5, ...header, 0xa5, 0xa5, 0xa5, 0xa5]);
  assertEquals(ethernet.macHigh(viewOf(frame), 8), 0xfe112233 | 0);
  ethernet.setEtherType(viewOf(frame), 2, 0x0800);
  assertEquals([frame[14], frame[15]], [8, 0]);
});

Deno.test("ipv4: every field of a header is read, options included", () => {
  const view = viewOf(golden.GOLDEN_UDP_OPTIONS);
  assertEquals(
    [ipv4.ipv4Version(view, IP_AT), ipv4.ipv4HeaderBytes(view, IP_AT), ipv4.ipv4TotalLength(view, IP_AT)],
    [4, 24, 37],
  );
  assertEquals([ipv4.ipv4Id(view, IP_AT), ipv4.ipv4Ttl(view, IP_AT), ipv4.ipv4Protocol(view, IP_AT)], [
    7,
    64,
    17,
  ]);
  assertEquals([ipv4.ipv4Src(view, IP_AT), ipv4.ipv4Dst(view, IP_AT)], [0xc0000201 | 0, 0xc6336407 | 0]);
  assertEquals([ipv4.ipv4Checksum(view, IP_AT), ipv4.ipv4Tos(view, IP_AT)], [0xf980, 0]);
  assertEquals(ipv4.ipv4HeaderChecksum(view, IP_AT, 24), 0xf980);
  const tagged = viewOf(golden.GOLDEN_TCP_VLAN);
  assertEquals(ipv4.ipv4Tos(tagged, 18), 0x10);
  assertEquals(ipv4.ipv4Fragment(tagged, 18), ipv4.IPV4_DONT_FRAGMENT);
});

Deno.test("ipv4: fragments are told from whole packets", () => {
  const frame = golden.GOLDEN_ECHO.slice();
  const view = viewOf(frame);
  for (
    const [field, isFragment, offset] of [[0x4000, false, 0], [0x2000, true, 0], [0x00b9, true, 1480], [
      0x3fff,
      true,
      65528,
    ]] as const
  ) {
    view.setUint16(IP_AT + 6, field);
    assertEquals(ipv4.ipv4IsFragment(view, IP_AT), isFragment);
    assertEquals(ipv4.ipv4FragmentOffset(view, IP_AT), offset);
  }
});

Deno.test("ipv4: rewriting addresses and TTL leaves a valid header, and rewriting back the original", () => {
  const frame = golden.GOLDEN_ECHO.slice();
  const view = viewOf(frame);
  ipv4.rewriteIpv4Dst(view, IP_AT, 0xc0a80101 | 0);
  ipv4.rewriteIpv4Src(view, IP_AT, 0xfffffffe | 0);
  ipv4.decrementIpv4Ttl(view, IP_AT);
  assertEquals([ipv4.ipv4Dst(view, IP_AT), ipv4.ipv4Src(view, IP_AT)], [0xc0a80101 | 0, -2]);
  assertEquals([ipv4.ipv4Ttl(view, IP_AT), ipv4.ipv4Protocol(view, IP_AT)], [63, 1]);
  assertEquals(faults(frame), []);
  ipv4.rewriteIpv4Dst(view, IP_AT, 0x0a600001);
  ipv4.rewriteIpv4Src(view, IP_AT, 0x0a000009);
  view.setUint8(IP_AT + 8, 64);
  ipv4.setIpv4Checksum(view, IP_AT, ipv4.ipv4HeaderChecksum(view, IP_AT, 20));
  assertEquals(frame, golden.GOLDEN_ECHO);
});

Deno.test("ipv4: the TTL is decremented rightly from every value", () => {
  for (let ttl = 1; ttl < 256; ttl++) {
    const ip = { src: "10.0.0.9", dst: "10.96.0.1", ttl, id: ttl * 257 };
    const frame = buildFrame(ip, raw(253, text("anything")));
    ipv4.decrementIpv4Ttl(viewOf(frame), IP_AT);
    assertEquals([frame[IP_AT + 8], ...faults(frame)], [ttl - 1]);
  }
});

Deno.test("ipv6: every field of a header is read", () => {
  const view = viewOf(golden.GOLDEN_UDP6_EXTENSIONS);
  assertEquals([ipv6.ipv6Version(view, IP_AT), ipv6.ipv6TrafficClass(view, IP_AT)], [6, 0xb8]);
  assertEquals([ipv6.ipv6FlowLabel(view, IP_AT), ipv6.ipv6PayloadLength(view, IP_AT)], [0x12345, 27]);
  assertEquals([ipv6.ipv6NextHeader(view, IP_AT), ipv6.ipv6HopLimit(view, IP_AT)], [0, 61]);
  assertEquals([0, 1, 2, 3].map((i) => ipv6.ipv6SrcWord(view, IP_AT, i)), [0x20010db8, 0, 0, 9]);
  assertEquals([0, 1, 2, 3].map((i) => ipv6.ipv6DstWord(view, IP_AT, i)), [0x20010db8, 0x00010000, 0, 1]);
});

Deno.test("ipv6: a written header is the golden one, byte for byte", () => {
  const frame = new Uint8Array(40).fill(0xa5);
  const view = viewOf(frame);
  ipv6.setIpv6VersionClassFlow(view, 0, 0xb8, 0x12345);
  ipv6.setIpv6PayloadLength(view, 0, 27);
  ipv6.setIpv6NextHeader(view, 0, 0);
  ipv6.setIpv6HopLimit(view, 0, 61);
  ipv6.setIpv6Address(view, ipv6.IPV6_SRC, 0x20010db8, 0, 0, 9);
  ipv6.setIpv6Address(view, ipv6.IPV6_DST, 0x20010db8, 0x00010000, 0, 1);
  assertEquals(frame, golden.GOLDEN_UDP6_EXTENSIONS.slice(14, 54));
});

Deno.test("ipv6: extension headers are stepped over by their own lengths", () => {
  const view = viewOf(golden.GOLDEN_UDP6_EXTENSIONS);
  let next = ipv6.ipv6NextHeader(view, IP_AT);
  let at = IP_AT + ipv6.IPV6_HEADER_BYTES;
  const seen: number[] = [];
  while (ipv6.ipv6IsExtension(next)) {
    seen.push(next);
    const bytes = ipv6.ipv6ExtensionBytes(view, at, next);
    next = ipv6.ipv6ExtensionNextHeader(view, at);
    at += bytes;
  }
  assertEquals([seen, next, at], [[0, 60], 17, IP_AT + 56]);
  assertEquals(udp.udpDstPort(view, at), 2000);
  const header = viewOf(Uint8Array.of(17, 4, 0, 0, 0, 0, 0, 0));
  assertEquals([0, 43, 60, 51, 44].map((kind) => ipv6.ipv6ExtensionBytes(header, 0, kind)), [
    40,
    40,
    40,
    24,
    8,
  ]);
  assertEquals([6, 17, 58, 132, 50, 59].map(ipv6.ipv6IsExtension), new Array(6).fill(false));
});

Deno.test("ipv6: the fragment header is read", () => {
  const view = viewOf(golden.GOLDEN_FRAGMENT6);
  const at = IP_AT + 40;
  assertEquals(ipv6.ipv6FragmentOffset(view, at), 1480);
  assertEquals(ipv6.ipv6FragmentMore(view, at), true);
  assertEquals(ipv6.ipv6FragmentId(view, at), 0xdeadbeef | 0);
});

Deno.test("tcp: fields are read, the pseudo-header sum agrees, and a rewrite keeps the checksum valid", () => {
  const frame = golden.GOLDEN_TCP_VLAN.slice();
  const view = viewOf(frame);
  const at = 18 + 20;
  assertEquals([tcp.tcpSrcPort(view, at), tcp.tcpDstPort(view, at), tcp.tcpHeaderBytes(view, at)], [
    40000,
    80,
    28,
  ]);
  assertEquals([tcp.tcpSequence(view, at), tcp.tcpAcknowledgment(view, at)], [0x01020304, 0]);
  assertEquals([tcp.tcpFlags(view, at), tcp.tcpChecksum(view, at)], [tcp.TCP_SYN, 0xd427]);
  assertEquals(fold(sumBytes(view, at, 28, pseudoHeaderSum4(view, 18, 6, 28))), 0xffff);
  const before = view.getInt32(at);
  tcp.setTcpSrcPort(view, at, 1);
  tcp.setTcpDstPort(view, at, 8080);
  tcp.setTcpChecksum(view, at, checksumUpdate32(tcp.tcpChecksum(view, at), before, view.getInt32(at)));
  assertEquals([tcp.tcpSrcPort(view, at), tcp.tcpDstPort(view, at), faults(frame).length], [1, 8080, 0]);
});

Deno.test("udp: fields are read and written, behind IPv4 options and IPv6 extension headers", () => {
  const view = viewOf(golden.GOLDEN_UDP_OPTIONS);
  const at = IP_AT + 24;
  assertEquals([udp.udpSrcPort(view, at), udp.udpDstPort(view, at), udp.udpLength(view, at)], [5353, 53, 13]);
  assertEquals(fold(sumBytes(view, at, 13, pseudoHeaderSum4(view, IP_AT, 17, 13))), 0xffff);
  const view6 = viewOf(golden.GOLDEN_UDP6_EXTENSIONS);
  assertEquals(fold(sumBytes(view6, 70, 11, pseudoHeaderSum6(view6, IP_AT, 17, 11))), 0xffff);
  const written = new Uint8Array(8).fill(0xa5);
  const out = viewOf(written);
  udp.setUdpSrcPort(out, 0, 5353);
  udp.setUdpDstPort(out, 0, 53);
  udp.setUdpLength(out, 0, 13);
  udp.setUdpChecksum(out, 0, udp.udpChecksum(view, at));
  assertEquals(written, golden.GOLDEN_UDP_OPTIONS.slice(at, at + 8));
});

Deno.test("sctp: fields are read, and the CRC32c is the sender's", () => {
  const frame = golden.GOLDEN_SCTP_INIT.slice();
  const view = viewOf(frame);
  const at = IP_AT + 20;
  assertEquals([sctp.sctpSrcPort(view, at), sctp.sctpDstPort(view, at)], [40000, 3868]);
  assertEquals(view.getUint8(at + sctp.SCTP_CHUNK_TYPE), sctp.SCTP_CHUNK_INIT);
  assertEquals(sctp.sctpPacketChecksum(view, at, 32), sctp.sctpChecksum(view, at));
  sctp.setSctpSrcPort(view, at, 7);
  sctp.setSctpDstPort(view, at, 8);
  assertEquals(faults(frame), ["SCTP CRC32c"]);
  sctp.setSctpChecksum(view, at, sctp.sctpPacketChecksum(view, at, 32));
  assertEquals(faults(frame), []);
});

Deno.test("crc32c: the check value of the polynomial, and RFC 3720 B.4's of 32 zeros", () => {
  assertEquals(sctp.crc32c(viewOf(text("123456789")), 0, 9), 0xe3069283);
  assertEquals(sctp.crc32c(viewOf(new Uint8Array(32)), 0, 32), 0x8a9136aa);
});

Deno.test("icmp: echo and errors are read", () => {
  const echo = viewOf(golden.GOLDEN_ECHO);
  assertEquals([icmp.icmpType(echo, 34), icmp.icmpCode(echo, 34), icmp.icmpId(echo, 34)], [
    icmp.ICMP_ECHO_REQUEST,
    0,
    0x77,
  ]);
  assertEquals(icmp.icmpChecksum(echo, 34), 0xcdbc);
  const error = viewOf(golden.GOLDEN_FRAGMENTATION_NEEDED);
  assertEquals([icmp.icmpType(error, 34), icmp.icmpCode(error, 34)], [
    icmp.ICMP_UNREACHABLE,
    icmp.ICMP_FRAGMENTATION_NEEDED,
  ]);
  assertEquals(icmp.icmpNextHopMtu(error, 34), 1300);
  assertEquals(ipv4.ipv4Dst(error, 34 + icmp.ICMP_HEADER_BYTES), 0x0a600001);
  assertEquals([0, 3, 4, 5, 8, 11, 12, 13].filter(icmp.icmpIsError), [3, 4, 5, 11, 12]);
});

Deno.test("icmpv6: errors and neighbor discovery are read", () => {
  const error = viewOf(golden.GOLDEN_PACKET_TOO_BIG);
  assertEquals([icmpv6.icmpv6Type(error, 54), icmpv6.icmpv6Code(error, 54)], [
    icmpv6.ICMPV6_PACKET_TOO_BIG,
    0,
  ]);
  assertEquals([icmpv6.icmpv6Mtu(error, 54), icmpv6.icmpv6Checksum(error, 54)], [1300, 0x350d]);
  assertEquals(ipv6.ipv6DstWord(error, 54 + icmpv6.ICMPV6_HEADER_BYTES, 3), 1);
  const solicitation = viewOf(golden.GOLDEN_NEIGHBOR_SOLICITATION);
  assertEquals(icmpv6.icmpv6Type(solicitation, 54), ndp.NDP_NEIGHBOR_SOLICITATION);
  assertEquals([0, 1, 2, 3].map((i) => ndp.ndpTargetWord(solicitation, 54, i)), [0xfe800000 | 0, 0, 0, 1]);
  assertEquals([127, 128, 133, 137, 138].map(ndp.icmpv6IsNdp), [false, false, true, true, false]);
  assertEquals([1, 127, 128, 255].map(icmpv6.icmpv6IsError), [true, true, false, false]);
});

Deno.test("arp: a request is read", () => {
  const view = viewOf(golden.GOLDEN_ARP);
  assertEquals(arp.arpOperation(view, IP_AT), arp.ARP_REQUEST);
  assertEquals([arp.arpSenderAddress(view, IP_AT), arp.arpTargetAddress(view, IP_AT)], [
    0x0a000009,
    0x0a000001,
  ]);
});
