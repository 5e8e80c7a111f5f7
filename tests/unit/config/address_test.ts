/** Texts of addresses and prefixes, both ways; the canonical form is checked against the URL parser's of the platform. */

import { assertEquals } from "@std/assert";
import {
  contains,
  formatAddress,
  formatPrefix,
  hasHostBits,
  mappedLength,
  networkOf,
  parseAddress,
  parsePrefix,
} from "../../../mod/config/address.ts";
import { Random } from "./random.ts";

/** Text and its canonical form. */
const ADDRESSES: readonly [string, string][] = [
  ["10.0.0.1", "10.0.0.1"],
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8::2", "2001:db8::2"],
  ["2001:0db8:0000:0000:0000:0000:0000:0002", "2001:db8::2"],
  // RFC 5952 §4.2.2: one zero group is not shortened; §4.2.3: the longest run, the first of equals.
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["::1.2.3.4", "::102:304"],
];

const NO_ADDRESSES = [
  ...[
    "",
    " ",
    "1",
    "10.1",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "1.2.3.256",
    "010.0.0.1",
    "0x10.1.1.1",
    "1.2.3.4 ",
  ],
  ...["1..2.3", "1.2.3.", "-1.2.3.4", "1.2.3.+4", "1e1.2.3.4", "١.٢.٣.٤", "10.0.0.1/32", "foo"],
  ...[
    ":",
    ":::",
    "::1::",
    "1:::2",
    "12345::",
    "g::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
  ],
  ...[
    "::1:2:3:4:5:6:7:8",
    ":1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:",
    "::1%eth0",
    "[::1]",
    "::1.2.3",
    "::1.2.3.04",
  ],
  ...["1.2.3.4::", "::1.2.3.4:5", "::ffff:1.2.3.4", "::ffff:102:304", "0::ffff:0:0", "::-1", "::0x1"],
];

Deno.test("parseAddress and formatAddress agree on the canonical text", () => {
  for (const [text, canonical] of ADDRESSES) {
    const address = parseAddress(text);
    assertEquals(address && formatAddress(address.bytes), canonical, text);
    assertEquals(address?.family, text.includes(":") ? 6 : 4);
    assertEquals(parseAddress(canonical), address, "the canonical text is the same address");
  }
});

Deno.test("parseAddress refuses everything else", () => {
  for (const text of NO_ADDRESSES) assertEquals(parseAddress(text), null, JSON.stringify(text));
});

Deno.test("formatAddress writes random IPv6 addresses as the URL standard does, and parseAddress reads them back", () => {
  const random = new Random(1);
  for (let round = 0; round < 5000; round++) {
    const bytes = random.bytes(16);
    // Zero groups are what the rules are about: make them frequent.
    for (let group = 0; group < 8; group++) if (random.oneIn(2)) bytes.fill(0, group * 2, group * 2 + 2);
    const text = formatAddress(bytes);
    const full = Array.from(
      { length: 8 },
      (_, group) => (bytes[group * 2] << 8 | bytes[group * 2 + 1]).toString(16),
    );
    assertEquals(text, new URL(`http://[${full.join(":")}]`).hostname.slice(1, -1), `seed ${random.seed}`);
    assertEquals(parseAddress(text)?.bytes, bytes);
    assertEquals(parseAddress(full.join(":").toUpperCase())?.bytes, bytes);
  }
});

Deno.test("IPv4 addresses are mapped into 16 bytes", () => {
  assertEquals([...parseAddress("10.1.2.3")!.bytes], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3]);
  assertEquals(mappedLength(parsePrefix("10.0.0.0/8")!), 104);
  assertEquals(mappedLength(parsePrefix("2003::/16")!), 16);
});

Deno.test("parsePrefix takes a length, or a host without one", () => {
  const texts: [string, string][] = [
    ["10.0.0.1", "10.0.0.1/32"],
    ["90.0.0.0/8", "90.0.0.0/8"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:DB8:0::/48", "2001:db8::/48"],
    ["::/0", "::/0"],
    ["fd00::1", "fd00::1/128"],
  ];
  for (const [text, canonical] of texts) assertEquals(formatPrefix(parsePrefix(text)!), canonical);
  const wrong = [
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "::/129",
    "/8",
    "::1/ 64",
  ];
  for (const text of wrong) assertEquals(parsePrefix(text), null, text);
});

Deno.test("networkOf, hasHostBits and contains agree with strings of bits", () => {
  const random = new Random(2);
  const bits = (bytes: Uint8Array): string =>
    [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  for (let round = 0; round < 3000; round++) {
    const family = random.pick([4, 6] as const);
    const bytes = random.bytes(16);
    if (family === 4) bytes.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);
    const prefix = { family, bytes, length: random.below(family === 4 ? 33 : 129) };
    const kept = mappedLength(prefix);
    const network = networkOf(prefix);
    const expected = bits(bytes).slice(0, kept).padEnd(128, "0");
    assertEquals(bits(network.bytes), expected);
    assertEquals(hasHostBits(prefix), bits(bytes) !== expected);
    const inner = { ...prefix, length: random.below(family === 4 ? 33 : 129) };
    assertEquals(
      contains(network, inner),
      inner.length >= prefix.length,
      "a prefix and itself, longer or shorter",
    );
    if (prefix.length === 0) continue;
    const elsewhere = inner.bytes.slice();
    elsewhere[(kept - 1) >> 3] ^= 0x80 >> ((kept - 1) & 7);
    assertEquals(contains(network, { ...inner, bytes: elsewhere }), false, "its last bit inverted");
  }
});
