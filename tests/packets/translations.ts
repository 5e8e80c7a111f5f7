/**
 * Pairs of packets that RFC 7915 makes of one another: the IPv4 one and the IPv6 one, whole, each with the section that says so. Written
 * down by hand with the builder, which shares no arithmetic with mod/; hop limits are equal on both sides, ports differ.
 *
 *     192.0.2.33:40000 → 198.51.100.2:80     2001:db8:1c6::21:40000 → 2001:db8:1c0::2:8080
 *
 * Addresses and mapping are those of RFC 7915 appendix A, shortened.
 */

import {
  authentication,
  buildPacket,
  destinationOptions,
  fragmentHeader,
  fragments,
  hopByHop,
  icmp,
  icmpv6,
  type IpFields,
  pattern,
  raw,
  routing,
  sctp,
  type Segment,
  tcp,
  udp,
} from "./builder.ts";

export const SRC4 = "192.0.2.33";
export const DST4 = "198.51.100.2";
export const SRC6 = "2001:db8:1c6::21";
export const DST6 = "2001:db8:1c0::2";
export const SRC_PORT = 40000;
export const DST_PORT4 = 80;
export const DST_PORT6 = 8080;
/** Of an echo, on either side. */
export const ECHO_ID4 = 0x4444;
export const ECHO_ID6 = 0x6666;
/** What an IPv4 packet is called that has no identification of its own. */
export const IDENTIFICATION = 0x1234;

/** Which of the two becomes the other. */
export type Way = "both" | "46" | "64";

export interface Translation {
  what: string;
  /** Of RFC 7915. */
  section: string;
  way: Way;
  four: Uint8Array;
  six: Uint8Array;
}

export function four(segment: Segment, fields: Partial<IpFields> = {}): Uint8Array {
  return buildPacket({ src: SRC4, dst: DST4, id: IDENTIFICATION, ...fields }, segment);
}

export function six(segment: Segment, fields: Partial<IpFields> = {}): Uint8Array {
  return buildPacket({ src: SRC6, dst: DST6, ...fields }, segment);
}

export const PORTS4 = { srcPort: SRC_PORT, dstPort: DST_PORT4 };
export const PORTS6 = { srcPort: SRC_PORT, dstPort: DST_PORT6 };
export const ECHO4 = { rest: (ECHO_ID4 << 16) | 7, payload: pattern(33) };
export const ECHO6 = { rest: (ECHO_ID6 << 16) | 7, payload: pattern(33) };
export const ALL_EXTENSIONS = [hopByHop(), destinationOptions(16), routing()];
const LONG = pattern(3000);

/** The IP packet of fragment `index` of a datagram whose IP payload is cut into `size` bytes. */
function piece(ip: IpFields, segment: Segment, size: number, index: number): Uint8Array {
  return fragments(ip, segment, size)[index].slice(14);
}

export function pieces4(index: number, id: number): Uint8Array {
  return piece({ src: SRC4, dst: DST4, id }, udp({ ...PORTS4, payload: LONG }), 1232, index);
}

export function pieces6(index: number, id: number, extensions = ALL_EXTENSIONS.slice(0, 0)): Uint8Array {
  return piece({ src: SRC6, dst: DST6, id, extensions }, udp({ ...PORTS6, payload: LONG }), 1232, index);
}

/** Options of IPv4: a router alert, and a loose source route whose pointer (fourth argument) is 8 of 7: at its end. */
export const ROUTER_ALERT = Uint8Array.of(148, 4, 0, 0);
export const ENDED_SOURCE_ROUTE = Uint8Array.of(1, 131, 7, 8, 10, 0, 0, 1);
export const LOOSE_SOURCE_ROUTE = Uint8Array.of(1, 131, 7, 4, 10, 0, 0, 1);
export const STRICT_SOURCE_ROUTE = Uint8Array.of(137, 7, 4, 10, 0, 0, 1, 0);

export const TRANSLATIONS: readonly Translation[] = [
  {
    what: "TCP, TOS and hop limit",
    section: "4.1, 5.1",
    way: "both",
    four: four(tcp({ ...PORTS4, flags: 2 }), { tos: 0xb9, ttl: 7 }),
    six: six(tcp({ ...PORTS6, flags: 2 }), { tos: 0xb9, ttl: 7 }),
  },
  {
    what: "TCP of more than 1260 bytes, DF",
    section: "4.1, 5.1",
    way: "both",
    four: four(tcp({ ...PORTS4, payload: pattern(1400) }), { dontFragment: true }),
    six: six(tcp({ ...PORTS6, payload: pattern(1400) })),
  },
  {
    what: "a small packet with DF",
    section: "4",
    way: "46",
    four: four(tcp(PORTS4), { dontFragment: true }),
    six: six(tcp(PORTS6)),
  },
  {
    what: "TCP of exactly 1260 bytes: no DF",
    section: "5.1",
    way: "both",
    four: four(tcp({ ...PORTS4, payload: pattern(1220) })),
    six: six(tcp({ ...PORTS6, payload: pattern(1220) })),
  },
  {
    what: "TCP of 1261 bytes: DF",
    section: "5.1",
    way: "both",
    four: four(tcp({ ...PORTS4, payload: pattern(1221) }), { dontFragment: true }),
    six: six(tcp({ ...PORTS6, payload: pattern(1221) })),
  },
  {
    what: "UDP, odd length",
    section: "4.5",
    way: "both",
    four: four(udp({ ...PORTS4, payload: pattern(17) })),
    six: six(udp({ ...PORTS6, payload: pattern(17) })),
  },
  {
    what: "UDP without data",
    section: "4.5",
    way: "both",
    four: four(udp({ ...PORTS4, payload: pattern(0) })),
    six: six(udp({ ...PORTS6, payload: pattern(0) })),
  },
  {
    what: "UDP without checksum gets one",
    section: "4.5",
    way: "46",
    four: four(udp({ ...PORTS4, payload: pattern(99), checksum: "none" })),
    six: six(udp({ ...PORTS6, payload: pattern(99) })),
  },
  ...(["tcp", "udp"] as const).flatMap((protocol): Translation[] => {
    const segment = protocol === "tcp" ? tcp : udp;
    const payload = pattern(51);
    return [
      {
        what: `a half-done ${protocol} checksum of IPv4 is completed`,
        section: "4.5",
        way: "46",
        four: four(segment({ ...PORTS4, payload, checksum: "half" })),
        six: six(segment({ ...PORTS6, payload })),
      },
      {
        what: `a half-done ${protocol} checksum of IPv6 is completed`,
        section: "5.5",
        way: "64",
        four: four(segment({ ...PORTS4, payload })),
        six: six(segment({ ...PORTS6, payload, checksum: "half" })),
      },
    ];
  }),
  {
    what: "SCTP, whose checksum covers no addresses",
    section: "4.5, 5.5",
    way: "both",
    four: four(sctp(PORTS4)),
    six: six(sctp(PORTS6)),
  },
  {
    what: "UDP-Lite, whose checksum covers the addresses and whose ports are kept",
    section: "4.5, 5.5",
    way: "both",
    four: four({ ...udp({ ...PORTS4, length: 0 }), protocol: 136 }),
    six: six({ ...udp({ ...PORTS4, length: 0 }), protocol: 136 }),
  },
  {
    what: "GRE, a protocol without ports",
    section: "4.1, 5.1",
    way: "both",
    four: four(raw(47, pattern(40))),
    six: six(raw(47, pattern(40))),
  },
  {
    what: "ESP",
    section: "4.1, 5.1",
    way: "both",
    four: four(raw(50, pattern(64))),
    six: six(raw(50, pattern(64))),
  },
  {
    what: "options are left out",
    section: "4.1",
    way: "46",
    four: four(udp(PORTS4), { options: ROUTER_ALERT }),
    six: six(udp(PORTS6)),
  },
  {
    what: "a source route at its end is left out",
    section: "4.1",
    way: "46",
    four: four(udp(PORTS4), { options: ENDED_SOURCE_ROUTE }),
    six: six(udp(PORTS6)),
  },
  {
    what: "a flow label is left out",
    section: "5.1",
    way: "64",
    four: four(udp(PORTS4)),
    six: six(udp(PORTS6), { flowLabel: 0x54321 }),
  },
  {
    what: "extension headers are left out",
    section: "5.1",
    way: "64",
    four: four(tcp({ ...PORTS4, payload: pattern(9) })),
    six: six(tcp({ ...PORTS6, payload: pattern(9) }), { extensions: ALL_EXTENSIONS }),
  },
  {
    what: "a first fragment",
    section: "4.1, 5.1.1",
    way: "both",
    four: pieces4(0, 0x8765),
    six: pieces6(0, 0x8765),
  },
  {
    what: "a middle fragment",
    section: "4.1, 5.1.1",
    way: "both",
    four: pieces4(1, 0x8765),
    six: pieces6(1, 0x8765),
  },
  {
    what: "a last fragment",
    section: "4.1, 5.1.1",
    way: "both",
    four: pieces4(2, 0x8765),
    six: pieces6(2, 0x8765),
  },
  {
    what: "a fragment with DF",
    section: "4.1",
    way: "46",
    four: buildPacket(
      { src: SRC4, dst: DST4, id: 5, dontFragment: true, moreFragments: true, fragmentOffset: 64 },
      raw(17, pattern(64)),
    ),
    six: six(raw(17, pattern(64)), { extensions: [fragmentHeader(64, true, 5)] }),
  },
  {
    what: "a fragment with a long identification and extension headers before it",
    section: "5.1.1",
    way: "64",
    four: pieces4(0, 0xbeef),
    six: pieces6(0, 0xdeadbeef, ALL_EXTENSIONS),
  },
  {
    what: "a whole packet with a fragment header",
    section: "5.1.1",
    way: "64",
    four: four(udp({ ...PORTS4, payload: pattern(1300) }), { id: 0xbeef }),
    six: six(udp({ ...PORTS6, payload: pattern(1300) }), {
      extensions: [fragmentHeader(0, false, 0xdeadbeef)],
    }),
  },
  {
    what: "an echo request",
    section: "4.2, 5.2",
    way: "both",
    four: four(icmp({ type: 8, ...ECHO4 })),
    six: six(icmpv6({ type: 128, ...ECHO6 })),
  },
  {
    what: "an echo reply",
    section: "4.2, 5.2",
    way: "both",
    four: four(icmp({ type: 0, ...ECHO4 })),
    six: six(icmpv6({ type: 129, ...ECHO6 })),
  },
];

/** Packets that must not be translated: what it is, the IP packet, and which REFUSE_… constant says so. */
export interface Refusal {
  what: string;
  section: string;
  packet: Uint8Array;
  reason: "unknown" | "no checksum" | "source route";
}

function noPieces(ip: IpFields, segment: Segment, index: number): Uint8Array {
  return piece(ip, segment, 64, index);
}

export const REFUSALS: readonly Refusal[] = [
  ...[0, 43, 44, 51, 58, 60, 135, 139, 140].map((protocol): Refusal => ({
    what: `IPv4 protocol ${protocol}, which means something else in IPv6`,
    section: "4.1",
    packet: four(raw(protocol, pattern(40))),
    reason: "unknown",
  })),
  {
    what: "the first fragment of an echo request",
    section: "1.2",
    packet: noPieces({ src: SRC4, dst: DST4 }, icmp({ type: 8, payload: pattern(99) }), 0),
    reason: "unknown",
  },
  {
    what: "a later fragment of an echo request",
    section: "1.2",
    packet: noPieces({ src: SRC4, dst: DST4 }, icmp({ type: 8, payload: pattern(99) }), 1),
    reason: "unknown",
  },
  {
    what: "a first fragment of UDP without checksum",
    section: "4.5",
    packet: noPieces({ src: SRC4, dst: DST4 }, udp({ payload: pattern(99), checksum: "none" }), 0),
    reason: "no checksum",
  },
  {
    what: "a loose source route under way",
    section: "4.1",
    packet: four(udp(PORTS4), { options: LOOSE_SOURCE_ROUTE }),
    reason: "source route",
  },
  {
    what: "a strict source route under way",
    section: "4.1",
    packet: four(udp(PORTS4), { options: STRICT_SOURCE_ROUTE }),
    reason: "source route",
  },
  {
    what: "IPv6 next header 1, which is ICMP in IPv4",
    section: "5.1",
    packet: six(raw(1, pattern(40))),
    reason: "unknown",
  },
  {
    what: "an authentication header",
    section: "5.1",
    packet: six(udp(PORTS6), { extensions: [authentication()] }),
    reason: "unknown",
  },
  {
    what: "an extension header behind the fragment header, first fragment",
    section: "5.1.1",
    packet: six(udp({ ...PORTS6, payload: pattern(56) }), {
      extensions: [fragmentHeader(0, true, 1), destinationOptions()],
    }),
    reason: "unknown",
  },
  {
    what: "an extension header behind the fragment header, later fragment",
    section: "5.1.1",
    packet: six(raw(60, pattern(64)), { extensions: [fragmentHeader(64, true, 1)] }),
    reason: "unknown",
  },
  {
    what: "a fragment of an ICMPv6 echo request",
    section: "1.2",
    packet: noPieces({ src: SRC6, dst: DST6 }, icmpv6({ type: 128, payload: pattern(99) }), 0),
    reason: "unknown",
  },
  {
    what: "UDP over IPv6 without checksum",
    section: "5.5",
    packet: six(udp({ ...PORTS6, payload: pattern(9), checksum: "none" })),
    reason: "no checksum",
  },
];
