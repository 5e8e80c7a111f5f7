/** Service match against a naive longest-prefix model, and its rules one by one. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { MATCH_NODE_PORT, type MatchEntry, MatchTable } from "../../../mod/table/match.ts";
import { ipBytes } from "../../packets/builder.ts";
import { property, type Random } from "../../packets/random.ts";

const TCP = 6, UDP = 17;

function entry(prefix: string, protocol: number, port: number, serviceId: number): MatchEntry {
  const [text, length] = prefix.split("/");
  const bytes = ipBytes(text);
  if (bytes.length === 16) {
    return { address: bytes, prefixLength: Number(length ?? 128), protocol, port, serviceId };
  }
  const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
  return { address, prefixLength: 96 + Number(length ?? 32), protocol, port, serviceId };
}

function words(address: Uint8Array): [number, number, number, number] {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}

function find(table: MatchTable, text: string, protocol: number, port: number): number {
  const bytes = ipBytes(text);
  if (bytes.length === 4) return table.find4(new DataView(bytes.buffer).getInt32(0), protocol, port);
  return table.find6(...words(bytes), protocol, port);
}

/** The rule in the slowest words: longest prefix first; in it protocol and port, then the protocol, then everything. */
function naive(
  entries: MatchEntry[],
  address: Uint8Array,
  protocol: number,
  port: number,
  is4: boolean,
): number {
  const covers = (e: MatchEntry) => {
    if (e.prefixLength === MATCH_NODE_PORT || isMapped(e) !== is4) return false;
    for (let bit = 0; bit < e.prefixLength; bit++) {
      if ((((e.address[bit >> 3] ^ address[bit >> 3]) >> (7 - bit % 8)) & 1) !== 0) return false;
    }
    return true;
  };
  const rank = (e: MatchEntry) => {
    if (e.protocol === protocol && e.port === port) return 3;
    if (e.protocol === protocol && e.port === 0) return 2;
    return e.protocol === 0 && e.port === 0 ? 1 : 0;
  };
  let best = -1, bestRank = 0;
  entries.forEach((e, i) => {
    const r = covers(e) ? e.prefixLength * 4 + rank(e) : 0;
    if (r % 4 !== 0 && r >= bestRank) [best, bestRank] = [i, r];
  });
  return best < 0 ? -1 : entries[best].serviceId;
}

function isMapped(e: MatchEntry): boolean {
  return e.prefixLength >= 96 && e.address.slice(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}

function randomEntry(random: Random, serviceId: number): MatchEntry {
  const is4 = random.below(2) === 0;
  const address = random.bytes(16).map((byte) => byte & 0x81); // few values, so that prefixes nest
  if (is4) address.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
  const span = is4 ? 32 : 128;
  const length = [span, span, random.below(span + 1), random.below(20)][random.below(4)];
  const [protocol, port] = [[0, 0], [TCP, 80], [TCP, 443], [UDP, 80], [TCP, 0], [255, 0]][random.below(6)];
  return { address, prefixLength: (is4 ? 96 : 0) + length, protocol, port, serviceId };
}

Deno.test("MatchTable agrees with a naive longest-prefix match", () => {
  property((random) => {
    let found = 0;
    for (let round = 0; round < 60; round++) {
      const entries = Array.from({ length: 1 + random.below(80) }, (_, i) => randomEntry(random, i));
      const table = MatchTable.build(entries);
      for (let look = 0; look < 300; look++) {
        const near = entries[random.below(entries.length)];
        const is4 = isMapped(near);
        const address = near.address.slice();
        if (random.below(2) === 0) {
          address[(is4 ? 12 : 0) + random.below(is4 ? 4 : 16)] ^= 1 << random.below(8);
        }
        const [protocol, port] =
          [[TCP, 80], [TCP, 443], [TCP, 8080], [UDP, 80], [47, 0], [255, 0]][random.below(6)];
        const w = words(address);
        const actual = is4 ? table.find4(w[3], protocol, port) : table.find6(...w, protocol, port);
        assertEquals(actual, naive(entries, address, protocol, port, is4), `${address} ${protocol} ${port}`);
        if (actual >= 0) found++;
      }
    }
    assert(found > 3000, `only ${found} found: the test tests little`);
  });
});

Deno.test("MatchTable: several services share an address, and protocol and port decide", () => {
  const table = MatchTable.build([
    entry("10.0.0.1", TCP, 80, 1),
    entry("10.0.0.1", UDP, 80, 2),
    entry("10.0.0.1", TCP, 443, 3),
    entry("2001:db8::1", TCP, 80, 4),
  ]);
  assertEquals([find(table, "10.0.0.1", TCP, 80), find(table, "10.0.0.1", UDP, 80)], [1, 2]);
  assertEquals([find(table, "10.0.0.1", TCP, 443), find(table, "10.0.0.1", TCP, 22)], [3, -1]);
  assertEquals([find(table, "2001:db8::1", TCP, 80), find(table, "10.0.0.2", TCP, 80)], [4, -1]);
});

Deno.test("MatchTable: the longest prefix wins, and within it protocol and port beat everything", () => {
  const table = MatchTable.build([
    entry("90.0.0.0/8", 0, 0, 1),
    entry("90.1.0.0/16", TCP, 80, 2),
    entry("90.1.2.3", 0, 0, 3),
    entry("90.1.2.3", TCP, 80, 4),
    entry("0.0.0.0/0", UDP, 53, 5),
    entry("2003::/16", 0, 0, 6),
    entry("::/0", TCP, 80, 7),
  ]);
  assertEquals([
    find(table, "90.9.9.9", TCP, 1),
    find(table, "90.1.9.9", TCP, 80),
    find(table, "90.1.9.9", TCP, 81),
  ], [1, 2, 1]);
  assertEquals([find(table, "90.1.2.3", TCP, 80), find(table, "90.1.2.3", UDP, 53)], [4, 3]);
  assertEquals([find(table, "1.1.1.1", UDP, 53), find(table, "255.255.255.255", UDP, 53)], [5, 5]);
  assertEquals([
    find(table, "2003:1::", 132, 9),
    find(table, "2004::", TCP, 80),
    find(table, "2004::", UDP, 80),
  ], [6, 7, -1]);
});

Deno.test("MatchTable: an IPv6 host that ends in a VIP's four bytes is not that VIP", () => {
  const table = MatchTable.build([entry("10.0.0.1", TCP, 80, 1), entry("2001:db8::a00:2", TCP, 80, 2)]);
  assertEquals(find(table, "2001:db8::a00:1", TCP, 80), -1);
  assertEquals(find(table, "10.0.0.2", TCP, 80), -1);
  assertEquals(find(table, "::a00:1", TCP, 80), -1);
});

Deno.test("MatchTable: protocol 255 and port 0 find that some service lives at an address", () => {
  const table = MatchTable.build([entry("10.0.0.1", TCP, 80, 1), entry("10.0.0.1", 255, 0, 1)]);
  assertEquals([find(table, "10.0.0.1", 255, 0), find(table, "10.0.0.2", 255, 0)], [1, -1]);
  assertEquals([find(table, "10.0.0.1", UDP, 0), find(table, "10.0.0.1", TCP, 0)], [-1, -1]);
});

Deno.test("MatchTable: node ports are found by family, protocol and port, and no address finds them", () => {
  const nodePort = (address: string, id: number) => {
    return { ...entry(address, TCP, 30080, id), prefixLength: MATCH_NODE_PORT };
  };
  const one = MatchTable.build([nodePort("10.0.0.1", 1)]);
  assertEquals([one.findNodePort(4, TCP, 30080), one.findNodePort(6, TCP, 30080)], [1, -1]);
  const table = MatchTable.build([
    nodePort("10.0.0.1", 1),
    nodePort("fd00::1", 2),
    entry("10.0.0.1", TCP, 80, 1),
  ]);
  assertEquals([table.findNodePort(4, TCP, 30080), table.findNodePort(6, TCP, 30080)], [1, 2]);
  assertEquals([table.findNodePort(4, UDP, 30080), table.findNodePort(4, TCP, 80)], [-1, -1]);
  assertEquals([find(table, "10.0.0.1", TCP, 30080), find(table, "0.0.0.0", TCP, 30080)], [-1, -1]);
});

Deno.test("MatchTable: of entries with the same key the last holds; an empty table finds nothing", () => {
  const table = MatchTable.build([entry("10.0.0.1", TCP, 80, 1), entry("10.0.0.1", TCP, 80, 2)]);
  assertEquals(find(table, "10.0.0.1", TCP, 80), 2);
  const empty = MatchTable.build([]);
  assertEquals([find(empty, "10.0.0.1", TCP, 80), find(empty, "::1", TCP, 80)], [-1, -1]);
  assertEquals(empty.findNodePort(4, TCP, 80), -1);
});

Deno.test("MatchTable: another view of the buffer finds the same; a foreign buffer is refused", () => {
  const table = new MatchTable(
    MatchTable.build([entry("10.0.0.1", TCP, 80, 7), entry("2003::/16", 0, 0, 8)]).buffer,
  );
  assertEquals([find(table, "10.0.0.1", TCP, 80), find(table, "2003::1", TCP, 80)], [7, 8]);
  assertThrows(() => new MatchTable(new SharedArrayBuffer(4096)), TypeError);
});

Deno.test("MatchTable: 10,000 services are all found, and ten thousand others are not", () => {
  const vip = (i: number) => `10.${96 + (i >> 14)}.${(i >> 6) & 255}.${(i & 63) << 2}`;
  const table = MatchTable.build(Array.from({ length: 10_000 }, (_, i) => entry(vip(i), TCP, 80, i)));
  for (let i = 0; i < 10_000; i++) {
    if (find(table, vip(i), TCP, 80) !== i) throw new Error(`service ${i}`);
    if (find(table, vip(i), UDP, 80) !== -1) throw new Error(`service ${i} by UDP`);
  }
});
