/**
 * Pairs of ICMP and ICMPv6 errors that RFC 7915 makes of one another, quotes included; as translations.ts does for other packets. The
 * quoted packet is one of those, cut; its sender gets the error from a router on the way.
 *
 * Of the quoted packet the identification is lost, and DF is set when it has more than 1260 bytes.
 */

import {
  buildPacket,
  concat,
  fragmentHeader,
  icmp,
  icmpv6,
  pattern,
  raw,
  sctp,
  tcp,
  udp,
} from "./builder.ts";
import {
  ALL_EXTENSIONS,
  ECHO4,
  ECHO6,
  four,
  IDENTIFICATION,
  pieces4,
  pieces6,
  PORTS4,
  PORTS6,
  ROUTER_ALERT,
  six,
  SRC4,
  SRC6,
  type Translation,
  type Way,
} from "./translations.ts";

export const ROUTER4 = "203.0.113.9";
export const ROUTER6 = "2001:db8:9::9";

/** MTU of both ways out in the tests of errors. */
export const WIDE_MTU_BYTES = 9000;

export interface ErrorTranslation extends Translation {
  /** Ports or identifier of the quote; the tables' own if absent. */
  echo?: boolean;
}

function error4(type: number, code: number, rest: number, quote: Uint8Array, after = new Uint8Array(0)) {
  const payload = concat(quote, after);
  return buildPacket({ src: ROUTER4, dst: SRC4, id: IDENTIFICATION }, icmp({ type, code, rest, payload }));
}

function error6(type: number, code: number, rest: number, quote: Uint8Array, after = new Uint8Array(0)) {
  return buildPacket(
    { src: ROUTER6, dst: SRC6 },
    icmpv6({ type, code, rest, payload: concat(quote, after) }),
  );
}

const TCP4 = four(tcp({ ...PORTS4, payload: pattern(1400) }), { dontFragment: true, id: 0, ttl: 3 });
const TCP6 = six(tcp({ ...PORTS6, payload: pattern(1400) }), { ttl: 3 });
const QUOTE4 = TCP4.slice(0, 28);
const QUOTE6 = TCP6.slice(0, 48);

function pair(
  what: string,
  section: string,
  way: Way,
  [type4, code4, rest4]: [number, number, number],
  [type6, code6, rest6]: [number, number, number],
): ErrorTranslation {
  return {
    what,
    section,
    way,
    four: error4(type4, code4, rest4, QUOTE4),
    six: error6(type6, code6, rest6, QUOTE6),
  };
}

function pointer(way: Way, at4: number, at6: number): ErrorTranslation {
  return pair(`pointer ${at4} ↔ ${at6}`, "4.4, 5.4", way, [12, 0, at4 * 2 ** 24], [4, 0, at6]);
}

function tooBig(way: Way, mtu4: number, mtu6: number): ErrorTranslation {
  return pair(`MTU ${mtu4} ↔ ${mtu6}`, "4.2, 5.2", way, [3, 4, mtu4], [2, 0, mtu6]);
}

/** Quotes of `bytes` transport bytes of the same packet in both families. */
function quotePair(
  what: string,
  way: Way,
  whole4: Uint8Array,
  whole6: Uint8Array,
  bytes: number,
  echo = false,
) {
  const header4 = (whole4[0] & 15) * 4;
  const header6 = whole6.length - (whole4.length - header4);
  return {
    what,
    section: "4.3, 5.3",
    way,
    echo,
    four: error4(11, 0, 0, whole4.slice(0, header4 + bytes)),
    six: error6(3, 0, 0, whole6.slice(0, header6 + bytes)),
  };
}

const EXTENSION = Uint8Array.of(0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0xff); // RFC 4950: an MPLS label

/** A quote of `bytes` bytes, filled up with zeros if the packet is shorter. */
function extended(whole: Uint8Array, bytes: number): Uint8Array {
  return concat(whole.slice(0, bytes), new Uint8Array(Math.max(bytes - whole.length, 0)));
}

const SHORT4 = four(udp({ ...PORTS4, payload: pattern(20) }), { id: 0 });
const SHORT6 = six(udp({ ...PORTS6, payload: pattern(20) }));

export const ERROR_TRANSLATIONS: readonly ErrorTranslation[] = [
  pair("net unreachable → no route", "4.2", "46", [3, 0, 0], [1, 0, 0]),
  ...[1, 5, 6, 7, 8, 11, 12].map((code) =>
    pair(`unreachable, code ${code} → no route`, "4.2", "46", [3, code, 0], [1, 0, 0])
  ),
  pair("protocol unreachable ↔ next header not recognized", "4.2, 5.2", "46", [3, 2, 0], [4, 1, 6]),
  pair("next header not recognized → protocol unreachable", "5.2", "64", [3, 2, 0], [4, 1, 40]),
  pair("port unreachable", "4.2, 5.2", "both", [3, 3, 0], [1, 4, 0]),
  pair("host prohibited ↔ prohibited", "4.2, 5.2", "both", [3, 10, 0], [1, 1, 0]),
  ...[9, 13, 15].map((code) =>
    pair(`unreachable, code ${code} → prohibited`, "4.2", "46", [3, code, 0], [1, 1, 0])
  ),
  ...[0, 2, 3].map((code) =>
    pair(`ICMPv6 unreachable, code ${code} → host unreachable`, "5.2", "64", [3, 1, 0], [1, code, 0])
  ),
  pair("time exceeded in transit", "4.2, 5.2", "both", [11, 0, 0], [3, 0, 0]),
  pair("time exceeded in reassembly", "4.2, 5.2", "both", [11, 1, 0], [3, 1, 0]),
  tooBig("both", 1400, 1420),
  tooBig("both", 1280, 1300),
  tooBig("46", 1260, 1280),
  tooBig("46", 576, 1280), // never below 1280
  tooBig("46", 0, 1280), // a packet of 1440 bytes; the greatest plateau below that and not below 1280
  tooBig("46", 20000, WIDE_MTU_BYTES), // the way out is narrower
  tooBig("64", WIDE_MTU_BYTES - 20, 0x12345), // the MTU of IPv6 has 32 bits
  ...[[0, 0], [1, 1], [8, 7], [9, 6], [12, 8], [16, 24]].map(([at4, at6]) => pointer("both", at4, at6)),
  ...[[2, 4], [3, 4], [13, 8], [14, 8], [15, 8], [17, 24], [19, 24]].map(([a, b]) => pointer("46", a, b)),
  ...[[2, 4], [2, 5], [12, 9], [12, 23], [16, 25], [16, 39]].map(([a, b]) => pointer("64", a, b)),
  pair("bad length", "4.2", "46", [12, 2, 0x09000000], [4, 0, 6]),
  quotePair("a quote with its TCP checksum", "both", TCP4, TCP6, 20),
  quotePair("a quote of 500 bytes", "both", TCP4, TCP6, 500),
  quotePair("a whole UDP datagram as quote", "both", SHORT4, SHORT6, 28),
  quotePair(
    "a quoted GRE packet",
    "both",
    four(raw(47, pattern(40)), { id: 0 }),
    six(raw(47, pattern(40))),
    24,
  ),
  quotePair("a quoted SCTP header", "both", four(sctp(PORTS4), { id: 0 }), six(sctp(PORTS6)), 8),
  quotePair("a quoted first fragment", "both", pieces4(0, 0x8765), pieces6(0, 0x8765), 60),
  quotePair(
    "a quote with options",
    "46",
    four(tcp({ ...PORTS4, payload: pattern(30) }), { options: ROUTER_ALERT }),
    six(tcp({ ...PORTS6, payload: pattern(30) })),
    30,
  ),
  quotePair(
    "a quote with extension headers",
    "64",
    four(tcp({ ...PORTS4, payload: pattern(30) }), { id: 0 }),
    six(tcp({ ...PORTS6, payload: pattern(30) }), { extensions: ALL_EXTENSIONS }),
    30,
  ),
  quotePair(
    "a quoted echo request",
    "both",
    four(icmp({ type: 8, ...ECHO4 }), { id: 0 }),
    six(icmpv6({ type: 128, ...ECHO6 })),
    20,
    true,
  ),
  {
    what: "a quoted packet with fragment header is too big",
    section: "5.2",
    way: "64",
    four: error4(3, 4, 1372, four(udp({ ...PORTS4, payload: pattern(1400) }), { id: 0xbeef }).slice(0, 28)),
    six: error6(
      2,
      0,
      1400,
      six(udp({ ...PORTS6, payload: pattern(1400) }), {
        extensions: [fragmentHeader(0, false, 0xdeadbeef)],
      }).slice(0, 56),
    ),
  },
  {
    // 128 bytes and 20 more are 148: padded to 152, 19 times 8.
    what: "extensions behind a quote of 128 bytes",
    section: "4.2; RFC 4884 §4",
    way: "46",
    four: error4(11, 0, 32 << 16, TCP4.slice(0, 128), EXTENSION),
    six: error6(3, 0, 19 * 2 ** 24, concat(TCP6.slice(0, 148), new Uint8Array(4)), EXTENSION),
  },
  {
    // 144 bytes less 20 are 124: padded to 128, 32 times 4.
    what: "extensions behind a quote of 144 bytes",
    section: "5.2; RFC 4884 §4",
    way: "64",
    four: error4(11, 0, 32 << 16, concat(TCP4.slice(0, 124), new Uint8Array(4)), EXTENSION),
    six: error6(3, 0, 18 * 2 ** 24, TCP6.slice(0, 144), EXTENSION),
  },
  {
    what: "extensions behind a padded quote",
    section: "4.2; RFC 4884 §5.1",
    way: "46",
    four: error4(3, 3, 33 << 16, extended(SHORT4, 132), EXTENSION),
    six: error6(1, 4, 19 * 2 ** 24, extended(SHORT6, 152), EXTENSION),
  },
  {
    what: "extensions are cut off where the other family has none",
    section: "4.2; RFC 4884 §4",
    way: "46",
    four: error4(3, 4, (32 << 16) | 1400, TCP4.slice(0, 128), EXTENSION),
    six: error6(2, 0, 1420, TCP6.slice(0, 148)),
  },
  {
    what: "an error is cut at IPv6's minimum MTU",
    section: "4.2; RFC 4443 §2.4 (c)",
    way: "46",
    four: error4(11, 0, 0, TCP4.slice(0, 1300)),
    six: error6(3, 0, 0, TCP6.slice(0, 1280 - 48)),
  },
];

/** Errors that end at the border: type, code, rest of either family. */
export const ERROR_REFUSALS: readonly { what: string; packet: Uint8Array }[] = [
  { what: "source quench", packet: error4(4, 0, 0, QUOTE4) },
  { what: "redirect", packet: error4(5, 1, 0x0a000001, QUOTE4) },
  { what: "host precedence violation", packet: error4(3, 14, 0, QUOTE4) },
  { what: "unreachable with an unknown code", packet: error4(3, 16, 0, QUOTE4) },
  { what: "a missing option", packet: error4(12, 1, 0, QUOTE4) },
  ...[4, 5, 6, 7, 10, 11, 20, 255].map((at) => ({
    what: `pointer ${at} of IPv4`,
    packet: error4(12, 0, at * 2 ** 24, QUOTE4),
  })),
  { what: "ICMPv6 unreachable with an unknown code", packet: error6(1, 5, 0, QUOTE6) },
  { what: "an unrecognized option", packet: error6(4, 2, 40, QUOTE6) },
  { what: "an unknown ICMPv6 error", packet: error6(100, 0, 0, QUOTE6) },
  ...[2, 3, 40, 0x80000000].map((at) => ({
    what: `pointer ${at} of IPv6`,
    packet: error6(4, 0, at, QUOTE6),
  })),
];
