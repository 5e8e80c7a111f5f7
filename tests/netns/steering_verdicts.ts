/*
 * The decision of the steering programs, by BPF_PROG_TEST_RUN: a table of packets, random changes to them, and random
 * answers of pods, against a slow model of the rules, for ku_xdp and ku_tc alike.
 */

import { assert, assertEquals } from "@std/assert";
import { SessionFilter } from "../../mod/table/filter.ts";
import * as build from "../packets/builder.ts";
import { type Answer, counterModel } from "../packets/filter_model.ts";
import { property, type Random } from "../packets/random.ts";
import {
  runTc,
  runXdp,
  SHORTEST_SKB,
  TC_ACT_REDIRECT,
  TC_ACT_UNSPEC,
  XDP_PASS,
  XDP_REDIRECT,
} from "./bpf_run.ts";
import { keyOf, linkOf, setUp, UPLINK } from "./steering_rings.ts";
import { isSteered } from "./steering_model.ts";

const { buildFrame, buildPacket, icmp, icmpv6, tcp, udp } = build;

const TCP = 6, UDP = 17, SCTP = 132;
const VIP = "10.96.0.1",
  VIP6 = "fd96::1",
  POD = "10.1.0.2",
  POD6 = "fd01::2",
  FAR = "192.0.2.9",
  FAR6 = "fd99::9";
const ANY_VIP = "10.98.0.1", ANY_VIP6 = "fd98::1";

/** What is steered in every case: on an interface with `nat4` and `nat6 in`, when every answer is awaited. */
const MATCH = [
  keyOf(VIP, { protocol: TCP, port: 80 }),
  keyOf(VIP, { protocol: SCTP, port: 3868 }),
  keyOf(VIP6, { protocol: TCP, port: 80 }),
  keyOf("10.97.0.0", { protocol: UDP, port: 53 }, 24),
  keyOf("10.97.0.0", { protocol: TCP, port: 443 }, 16),
  keyOf("fd97::", { protocol: UDP, port: 53 }, 61),
  keyOf(ANY_VIP, { protocol: 0, port: 0 }),
  keyOf(ANY_VIP6, { protocol: 0, port: 0 }),
];
const PODS = [keyOf(POD, { protocol: TCP, port: 8080 }), keyOf(POD6, { protocol: TCP, port: 8080 })];

const mac = { dst: linkOf(UPLINK).mac };
const v4 = { src: FAR, dst: VIP }, v6 = { src: FAR6, dst: VIP6 };
const web = tcp({ dstPort: 80 });
const toVip = (ip: Partial<build.IpFields> = {}, segment = web) => buildFrame({ ...v4, ...ip }, segment, mac);
const toVip6 = (ip: Partial<build.IpFields> = {}, segment = web) =>
  buildFrame({ ...v6, ...ip }, segment, mac);
const changed = (frame: Uint8Array, at: number, value: number) => frame.with(at, value);
/** An ICMP error from a router, quoting the first bytes of a packet. */
const error4 = (quote: Uint8Array, type = 3) =>
  buildFrame({ src: "192.0.2.1", dst: FAR }, icmp({ type, code: 4, payload: quote }), mac);
const error6 = (quote: Uint8Array, type = 2) =>
  buildFrame({ src: "fd99::1", dst: FAR6 }, icmpv6({ type, payload: quote }), mac);
const toPod = buildPacket({ src: FAR, dst: POD }, tcp({ dstPort: 8080 }));
const toPod6 = buildPacket({ src: FAR6, dst: POD6 }, tcp({ dstPort: 8080 }));
const hop = build.hopByHop();

type Case = readonly [description: string, frame: Uint8Array, xdp: boolean, tc?: boolean];

/** `tc` as `xdp` unless given. */
const CASES: readonly Case[] = [
  ["TCP to the VIP", toVip(), true],
  ["another port", toVip({}, tcp({ dstPort: 81 })), false],
  ["another protocol", toVip({}, udp({ dstPort: 80 })), false],
  ["SCTP", toVip({}, build.sctp({})), true],
  ["another address", toVip({ dst: "10.96.0.2" }), false],
  ["IPv4 options", toVip({ options: new Uint8Array(12).fill(1) }), true],
  ["not for our MAC", buildFrame(v4, web), false],
  [
    "one VLAN tag (tc sees it when the tag is the kernel's)",
    buildFrame(v4, web, { ...mac, vlan: 5 }),
    true,
    false,
  ],
  [
    "two VLAN tags",
    build.ethernet(0x8100, Uint8Array.of(0, 1, 0x81, 0, 0, 2, 8, 0, ...buildPacket(v4, web)), mac),
    false,
  ],
  ["cut within the ports", toVip().slice(0, 37), false],
  ["cut within the IP header", toVip().slice(0, 33), false],
  ["header length 4", changed(toVip(), 14, 0x44), false],
  ["version 5", changed(toVip(), 14, 0x55), false],
  ["ARP", build.arp(1, FAR, VIP, mac), false],
  ["first fragment", toVip({ moreFragments: true }), true],
  ["first fragment to another port", toVip({ moreFragments: true }, tcp({ dstPort: 81 })), true],
  ["later fragment", toVip({ fragmentOffset: 1480 }), true],
  ["later fragment for somebody else", toVip({ fragmentOffset: 1480, dst: "10.96.0.2" }), false],
  ["a prefix", toVip({ dst: "10.97.0.200" }, udp({ dstPort: 53 })), true],
  ["a wider prefix behind a narrower one", toVip({ dst: "10.97.0.200" }, tcp({ dstPort: 443 })), true],
  ["outside of the narrower one", toVip({ dst: "10.97.1.0" }, udp({ dstPort: 53 })), false],
  ["later fragment to a prefix", toVip({ dst: "10.97.0.200", fragmentOffset: 8 }), true],
  ["echo request to a VIP", toVip({}, icmp({ type: 8 })), true],
  ["echo reply", toVip({}, icmp({ type: 0 })), false],
  ["echo request to a prefix with ports", toVip({ dst: "10.97.0.200" }, icmp({ type: 8 })), false],
  ["any protocol to a VIP of all", toVip({ dst: ANY_VIP }, build.raw(47, new Uint8Array(8))), true],
  ["GRE to a VIP of TCP", toVip({}, build.raw(47, new Uint8Array(8))), false],
  ["a pod's answer", buildFrame({ src: POD, dst: FAR }, tcp({ srcPort: 8080 }), mac), true],
  ["a pod's own connection", buildFrame({ src: POD, dst: FAR }, tcp({ srcPort: 40000 }), mac), false],
  ["a pod's first fragment", buildFrame({ src: POD, dst: FAR, moreFragments: true }, web, mac), true],
  ["a pod's later fragment", buildFrame({ src: POD, dst: FAR, fragmentOffset: 64 }, web, mac), true],
  ["a pod's ping", buildFrame({ src: POD, dst: FAR }, icmp({ type: 8 }), mac), false],
  ["error about a packet to a pod", error4(toPod), true],
  ["quoting only eight bytes of TCP", error4(toPod.slice(0, 28)), true],
  ["quoting less than the ports", error4(toPod.slice(0, 23)), false],
  ["time exceeded", error4(toPod, 11), true],
  [
    "error about an answer of the VIP",
    error4(buildPacket({ src: VIP, dst: FAR }, tcp({ srcPort: 80 }))),
    true,
  ],
  [
    "about an answer from a prefix",
    error4(buildPacket({ src: "10.97.0.7", dst: FAR }, udp({ srcPort: 53 }))),
    true,
  ],
  ["about something else", error4(buildPacket({ src: FAR, dst: "10.1.0.3" }, web)), false],
  ["about an error", error4(buildPacket({ src: VIP, dst: POD }, icmp({ type: 3, payload: toPod }))), false],
  ["IPv6", toVip6(), true],
  ["another port of IPv6", toVip6({}, tcp({ dstPort: 81 })), false],
  [
    "every extension",
    toVip6({ extensions: [hop, build.routing(), build.destinationOptions(16), build.authentication()] }),
    true,
  ],
  ["eight of them are one too many", toVip6({ extensions: new Array(8).fill(hop) }), false],
  ["seven are not", toVip6({ extensions: new Array(7).fill(hop) }), true],
  [
    "a long one, then the ports out of reach",
    toVip6({ extensions: [build.destinationOptions(1024)] }),
    false,
  ],
  ["no next header", toVip6({}, build.raw(59, new Uint8Array(8))), false],
  ["first fragment of IPv6", toVip6({ extensions: [build.fragmentHeader(0, true, 1)] }), true],
  [
    "first fragment to another port of IPv6",
    toVip6({ extensions: [build.fragmentHeader(0, true, 1)] }, tcp({ dstPort: 81 })),
    true,
  ],
  [
    "whole packet with a fragment header to another port of IPv6",
    toVip6({ extensions: [build.fragmentHeader(0, false, 1)] }, tcp({ dstPort: 81 })),
    false,
  ],
  ["later fragment of IPv6", toVip6({ extensions: [hop, build.fragmentHeader(1232, true, 1)] }), true],
  [
    "the same for somebody else",
    toVip6({ dst: FAR6, src: VIP6, extensions: [build.fragmentHeader(8, true, 1)] }),
    false,
  ],
  ["IPv6 prefix", toVip6({ dst: "fd97:0:0:7::99" }, udp({ dstPort: 53 })), true],
  ["beside it", toVip6({ dst: "fd97:0:0:8::99" }, udp({ dstPort: 53 })), false],
  ["IPv6 pod's answer", buildFrame({ src: POD6, dst: FAR6 }, tcp({ srcPort: 8080 }), mac), true],
  ["ICMPv6 echo request to a VIP", toVip6({}, icmpv6({ type: 128 })), true],
  ["neighbor solicitation to a VIP of all", toVip6({ dst: ANY_VIP6 }, icmpv6({ type: 135 })), false],
  ["other ICMPv6 to it", toVip6({ dst: ANY_VIP6 }, icmpv6({ type: 129 })), true],
  ["packet too big about a pod", error6(toPod6), true],
  [
    "with an extension in the quote",
    error6(buildPacket({ src: FAR6, dst: POD6, extensions: [hop] }, tcp({ dstPort: 8080 }))),
    true,
  ],
  [
    "about an answer of the IPv6 VIP",
    error6(buildPacket({ src: VIP6, dst: FAR6 }, tcp({ srcPort: 80 })), 3),
    true,
  ],
  ["about something else", error6(buildPacket(v6, tcp({ dstPort: 8080 }))), false],
];

/** What the pods' keys are when any packet of theirs may be an answer. */
const SERVE_ALL = [keyOf(POD, { protocol: 0, port: 0 }), keyOf(POD6, { protocol: 0, port: 0 })];
/** mod/table/filter.ts: bytes of the filter before its counters. */
const COUNTERS_AT = 4096;

/** A packet of a pod to anywhere, of any protocol that has ports, an identifier, or neither. */
function randomAnswer(random: Random): Uint8Array {
  const is6 = random.below(2) === 0;
  const port = () => random.below(65536);
  const ports = { srcPort: port(), dstPort: port() };
  const echo = { type: is6 ? 128 + random.below(2) : 8 * random.below(2), rest: random.int32() >>> 0 };
  const segment = [
    () => tcp(ports),
    () => udp(ports),
    () => build.sctp(ports),
    () => is6 ? icmpv6(echo) : icmp(echo),
    () => build.raw(47, random.bytes(8)),
  ][random.below(5)]();
  const word = () => random.below(65536).toString(16);
  const dst = is6 ? `2001:${word()}:${word()}::${word()}` : [198, ...random.bytes(3)].join(".");
  return buildFrame({ src: is6 ? POD6 : POD, dst }, segment, mac);
}

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isTagged(frame: Uint8Array): boolean {
  return frame[12] === 0x81 && frame[13] === 0;
}

export async function decidesAlike(): Promise<void> {
  const { steering, rings, link } = await setUp("native");
  steering.match.replaceAll(MATCH);
  steering.pods.replaceAll(PODS);
  steering.update({ ...link, nat4: true, nat6: true });
  const xdpFd = steering.programFd("ku_xdp"), tcFd = steering.programFd("ku_tc");

  const byXdp = (frame: Uint8Array): boolean => {
    const { verdict } = runXdp(xdpFd, frame, link.index);
    assert(verdict === XDP_PASS || verdict === XDP_REDIRECT, `XDP verdict ${verdict}`);
    return verdict === XDP_REDIRECT;
  };
  const byTc = (frame: Uint8Array): boolean => {
    if (frame.length < SHORTEST_SKB) return byXdp(frame) && !isTagged(frame);
    const { verdict } = runTc(tcFd, frame, link.index);
    assert(verdict === TC_ACT_UNSPEC || verdict === TC_ACT_REDIRECT, `tc verdict ${verdict}`);
    return verdict === TC_ACT_REDIRECT;
  };
  // No session is there, and no key either: all answers have counter 0.
  const counters = new Int32Array(steering.filter.buffer, COUNTERS_AT);
  for (const [description, frame] of CASES) {
    const expected = isSteered(frame, link.mac, MATCH, PODS, () => false);
    assertEquals(
      [byXdp(frame), byTc(frame)],
      [expected, expected && !isTagged(frame)],
      `unawaited ${description}`,
    );
  }
  counters[0] = 1;
  for (const [description, frame, xdp, tc = xdp] of CASES) {
    assertEquals([byXdp(frame), byTc(frame)], [xdp, tc], description);
    assertEquals(isSteered(frame, link.mac, MATCH, PODS, () => true), xdp, `the model: ${description}`);
  }
  let steered = 0;
  property((random) => {
    const { words } = SessionFilter.create(
      new Int32Array(steering.filter.buffer),
      Uint32Array.from({ length: 4 }, () => random.int32()),
    );
    for (let i = 0; i < counters.length; i++) counters[i] = random.int32() & 1;
    const isAwaited = (answer: Answer) => counters[counterModel(words, answer)] !== 0;
    steering.pods.replaceAll(SERVE_ALL);
    let awaited = 0;
    for (let round = 0; round < 4000; round++) {
      const frame = randomAnswer(random);
      const expected = isSteered(frame, link.mac, [], SERVE_ALL, isAwaited);
      assertEquals([byXdp(frame), byTc(frame)], [expected, expected], hexOf(frame));
      if (expected) awaited++;
    }
    assert(awaited > 1800 && awaited < 2200, `${awaited} of 4000 answers: half of the counters are set`);
    steering.pods.replaceAll(PODS);
    for (let round = 0; round < 20_000; round++) {
      const frame = Uint8Array.from(CASES[random.below(CASES.length)][1]);
      for (let changes = random.below(4); changes > 0; changes--) {
        frame[random.below(frame.length)] ^= 1 << random.below(8);
      }
      const cut = frame.slice(0, random.below(4) === 0 ? 14 + random.below(frame.length - 13) : frame.length);
      const expected = isSteered(cut, link.mac, MATCH, PODS, isAwaited);
      assertEquals([byXdp(cut), byTc(cut)], [expected, expected && !isTagged(cut)], hexOf(cut));
      if (expected) steered++;
    }
  });
  assert(steered > 2000 && steered < 18_000, `${steered} of 20000`);
  // What passing costs bystanders. (What is redirected cannot be repeated: a tc run changes its packet.)
  counters.fill(0);
  const direct = buildFrame({ src: POD, dst: FAR }, tcp({ srcPort: 8080 }), mac);
  for (
    const [who, frame] of [["a bystander", toVip({ dst: FAR })], ["a pod's direct answer", direct]] as const
  ) {
    const { durationNs: xdpNs } = runXdp(xdpFd, frame, link.index, 200_000);
    const { durationNs: tcNs } = runTc(tcFd, frame, link.index, 200_000);
    assert(xdpNs < 2000 && tcNs < 2000, `${who} costs ${xdpNs} ns in ku_xdp, ${tcNs} ns in ku_tc`);
    if (Deno.env.has("KU_VERBOSE")) console.log(`${who}: ku_xdp ${xdpNs} ns, ku_tc ${tcNs} ns`);
  }
  rings.close();
  steering.detachAll();
  steering.close();
}
