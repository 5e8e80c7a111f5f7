/** Longest-prefix match against a naive model, both families. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ROUTE_LOCAL, ROUTE_NONE, type RouteEntry, RouteTable } from "../../../mod/table/route.ts";
import { ipBytes } from "../../packets/builder.ts";
import { property, type Random } from "../../packets/random.ts";

function route(prefix: string, adjacency: number): RouteEntry {
  const [text, length] = prefix.split("/");
  return { address: ipBytes(text), prefixLength: Number(length), adjacency };
}

function lookup(table: RouteTable, address: Uint8Array): number {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  if (address.length === 4) return table.lookup4(view.getInt32(0));
  return table.lookup6(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

function naive(routes: RouteEntry[], address: Uint8Array): number {
  let best = -1;
  routes.forEach(({ address: prefix, prefixLength }, i) => {
    for (let bit = 0; bit < prefixLength; bit++) {
      if ((((prefix[bit >> 3] ^ address[bit >> 3]) >> (7 - bit % 8)) & 1) !== 0) return;
    }
    if (best < 0 || prefixLength >= routes[best].prefixLength) best = i;
  });
  return best < 0 ? ROUTE_NONE : routes[best].adjacency;
}

/** Addresses of few values in each byte, so that prefixes nest and meet. */
function randomAddress(random: Random, bytes: number): Uint8Array {
  return random.bytes(bytes).map((byte) => byte & [0x01, 0x81, 0xc3, 0xff][random.below(4)]);
}

for (const bytes of [4, 16]) {
  Deno.test(`RouteTable agrees with a naive longest-prefix match (IPv${bytes === 4 ? 4 : 6})`, () => {
    property((random) => {
      let found = 0;
      for (let round = 0; round < 40; round++) {
        const routes = Array.from({ length: random.below(120) }, (_, i): RouteEntry => ({
          address: randomAddress(random, bytes),
          prefixLength: random.below(3) === 0
            ? random.below(8 * bytes + 1)
            : Math.min(8 * bytes, random.below(40)),
          adjacency: random.below(10) === 0 ? ROUTE_LOCAL : i,
        }));
        const table = bytes === 4 ? RouteTable.build(routes, []) : RouteTable.build([], routes);
        for (let look = 0; look < 400; look++) {
          const address = routes.length > 0 && random.below(4) !== 0
            ? routes[random.below(routes.length)].address.slice()
            : randomAddress(random, bytes);
          if (random.below(2) === 0) address[random.below(bytes)] ^= 1 << random.below(8);
          const actual = lookup(table, address);
          assertEquals(actual, naive(routes, address), `${address}`);
          if (actual >= 0) found++;
        }
      }
      assert(found > 2000, `only ${found} found: the test tests little`);
    });
  });
}

Deno.test("RouteTable: every prefix length from 0 to the longest covers exactly its own addresses", () => {
  for (const [text, bits] of [["10.20.30.41", 32], ["2001:db8:0:1:2:3:4:5", 128]] as const) {
    const address = ipBytes(text);
    for (let length = 0; length <= bits; length++) {
      const routes = [{ address, prefixLength: length, adjacency: 7 }];
      const table = bits === 32 ? RouteTable.build(routes, []) : RouteTable.build([], routes);
      assertEquals(lookup(table, address), 7);
      for (let bit = 0; bit < bits; bit++) {
        const other = address.slice();
        other[bit >> 3] ^= 0x80 >> (bit % 8);
        assertEquals(lookup(table, other), bit < length ? ROUTE_NONE : 7, `/${length}, bit ${bit}`);
      }
    }
  }
});

Deno.test("RouteTable: a node's table: default, links, host routes, its own addresses; order does not matter", () => {
  const routes = [
    route("10.244.1.2/32", 3),
    route("0.0.0.0/0", 0),
    route("10.244.1.1/32", ROUTE_LOCAL),
    route("10.244.0.0/16", 1),
    route("192.168.0.0/17", ROUTE_NONE),
  ];
  for (const table of [RouteTable.build(routes, []), RouteTable.build([...routes].reverse(), [])]) {
    assertEquals(lookup(table, ipBytes("8.8.8.8")), 0);
    assertEquals(lookup(table, ipBytes("10.244.255.255")), 1);
    assertEquals(lookup(table, ipBytes("10.244.1.2")), 3);
    assertEquals(lookup(table, ipBytes("10.244.1.1")), ROUTE_LOCAL);
    assertEquals(lookup(table, ipBytes("192.168.127.255")), ROUTE_NONE);
    assertEquals(lookup(table, ipBytes("192.168.128.0")), 0);
    assertEquals(lookup(table, ipBytes("2001::")), ROUTE_NONE);
  }
});

Deno.test("RouteTable: of two routes with one prefix the last holds; another view of the buffer finds the same", () => {
  const table = RouteTable.build([route("10.0.0.0/8", 1), route("10.0.0.0/8", 2)], [
    route("2001:db8::/32", 5),
  ]);
  const view = new RouteTable(table.buffer);
  assertEquals([lookup(view, ipBytes("10.1.1.1")), lookup(view, ipBytes("2001:db8::1"))], [2, 5]);
});

Deno.test("RouteTable: routes of the wrong family or length, and foreign buffers, are refused", () => {
  assertThrows(() => RouteTable.build([route("::/0", 1)], []), RangeError);
  assertThrows(() => RouteTable.build([], [route("10.0.0.0/8", 1)]), RangeError);
  assertThrows(() => RouteTable.build([route("10.0.0.0/33", 1)], []), RangeError);
  assertThrows(() => new RouteTable(new SharedArrayBuffer(4096)), TypeError);
});

Deno.test("RouteTable: 2,000 pod routes share their upper nodes: at most 16 KiB for each IPv6 /64", () => {
  const pods = Array.from(
    { length: 2000 },
    (_, i) => route(`2001:db8:0:${(i >> 8).toString(16)}::${(i & 255).toString(16)}/128`, i),
  );
  const table = RouteTable.build([], pods);
  pods.forEach(({ address }, i) => assertEquals(lookup(table, address), i));
  assert(table.buffer.byteLength < 8 * 16384 + 16384, `${table.buffer.byteLength} bytes`);
});
