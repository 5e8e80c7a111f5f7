/*
 * buildNextHops by examples: a table of situations and the entries they must give, in a short notation:
 * "prefix → slot mac" resolved, "prefix → slot ?" an attached link without a known MAC, "prefix → punt", "→ local".
 */

import { assert, assertEquals } from "@std/assert";
import { NUD_FAILED, NUD_NOARP, NUD_STALE, RT_TABLE_LOCAL, RTNH_F_DEAD } from "../../../ffi/rtnetlink.ts";
import { addressText, macText } from "../../../mod/netlink/address.ts";
import type { Link, Neighbor, Route } from "../../../mod/netlink/messages.ts";
import {
  buildNextHops,
  KU_ROUTE_PROTOCOL,
  neighborKey,
  type NextHops,
} from "../../../mod/netlink/next_hops.ts";
import { PUNT_ADJACENCY, ROUTE_LOCAL } from "../../../mod/netlink/next_hops.ts";
import { ROUTE_LOCAL as TABLE_ROUTE_LOCAL, RouteTable } from "../../../mod/table/route.ts";
import { link, neighbor, nextHop, route } from "./builder.ts";

const LOCAL = { table: RT_TABLE_LOCAL };
/** Slot = 10 × ifindex; link 9 is not attached. */
const SLOTS = new Map([[3, 30], [4, 40], [5, 50]]);

function build(links: Link[], routes: Route[], neighbors: Neighbor[]): NextHops {
  return buildNextHops({
    links: new Map(links.map((each) => [each.index, each])),
    routes,
    neighbors: new Map(neighbors.map((each) => [neighborKey(each.ifindex, each.address), each])),
    slots: SLOTS,
  });
}

function lines(tables: NextHops): string[] {
  return [...tables.routes4, ...tables.routes6].map(({ address, prefixLength, adjacency }) => {
    const prefix = `${addressText(address)}/${prefixLength}`;
    if (adjacency === ROUTE_LOCAL) return `${prefix} → local`;
    const { slot, resolved, dstMac, srcMac, mtuBytes, ifindex } = tables.adjacencies[adjacency];
    if (slot < 0) return `${prefix} → punt`;
    if (!resolved) return `${prefix} → ${slot} ?`;
    assertEquals(srcMac[5], ifindex);
    return `${prefix} → ${slot} ${macText(dstMac).slice(-2)}${mtuBytes === 1500 ? "" : ` mtu ${mtuBytes}`}`;
  }).sort();
}

const A = "02:00:00:00:00:aa";
const B = "02:00:00:00:00:bb";

interface Example {
  description: string;
  links?: Link[];
  routes: Route[];
  neighbors?: Neighbor[];
  entries: string[];
}

const EXAMPLES: Example[] = [
  {
    description: "a connected prefix punts, its known neighbors are host entries",
    routes: [route("10.0.0.0/24 3")],
    neighbors: [
      neighbor(`3 10.0.0.7 ${A}`, NUD_STALE),
      neighbor("3 10.0.0.8"),
      neighbor(`3 10.0.0.9 ${B}`, NUD_FAILED),
    ],
    entries: ["10.0.0.0/24 → 30 ?", "10.0.0.7/32 → 30 aa"],
  },
  {
    description: "the same for IPv6, link-local neighbors excepted",
    routes: [route("fd00::/64 3"), route("fe80::/64 3")],
    neighbors: [neighbor(`3 fd00::7 ${A}`), neighbor(`3 fe80::7 ${A}`)],
    entries: ["fd00::/64 → 30 ?", "fd00::7/128 → 30 aa", "fe80::/64 → 30 ?"],
  },
  {
    description: "a gateway route uses its gateway's neighbor, on its own link only",
    routes: [
      route("0.0.0.0/0 3 via 10.0.0.1"),
      route("10.0.0.0/24 3"),
      route("172.16.0.0/12 4 via 10.0.0.1"),
    ],
    neighbors: [neighbor(`3 10.0.0.1 ${A}`)],
    entries: ["0.0.0.0/0 → 30 aa", "10.0.0.0/24 → 30 ?", "10.0.0.1/32 → 30 aa", "172.16.0.0/12 → 40 ?"],
  },
  {
    description: "an IPv4 route may have an IPv6 gateway (RTA_VIA)",
    routes: [route("192.168.0.0/16 3 via fe80::9")],
    neighbors: [neighbor(`3 fe80::9 ${B}`)],
    entries: ["192.168.0.0/16 → 30 bb"],
  },
  {
    description: "a /32 on a link (pods of many CNIs) is its neighbor once that is known",
    routes: [route("10.244.0.5/32 3"), route("10.244.0.6/32 4"), route("10.244.0.0/24 5 via 10.0.0.1")],
    neighbors: [neighbor(`3 10.244.0.5 ${A}`)],
    entries: ["10.244.0.0/24 → 50 ?", "10.244.0.5/32 → 30 aa", "10.244.0.6/32 → 40 ?"],
  },
  {
    description:
      "a neighbor behind a more specific route, or on another link than the routes say, is no host entry",
    routes: [route("10.0.0.0/24 3"), route("10.0.0.128/25 3 via 10.0.0.1"), route("10.1.0.0/24 4")],
    neighbors: [neighbor(`3 10.0.0.200 ${A}`), neighbor(`3 10.1.0.7 ${A}`), neighbor(`3 10.99.0.7 ${A}`)],
    entries: ["10.0.0.0/24 → 30 ?", "10.0.0.128/25 → 30 ?", "10.1.0.0/24 → 40 ?"],
  },
  {
    description: "local beats everything else at its prefix, broadcast and the rest punt",
    routes: [
      route("10.0.0.1/32 3"),
      route("local 10.0.0.1/32 3", LOCAL),
      route("broadcast 10.0.0.255/32 3", LOCAL),
      route("multicast ff00::/8 3", LOCAL),
      route("anycast fd00::/128 3", LOCAL),
      route("blackhole 10.66.0.0/16"),
      route("unreachable 10.67.0.0/16"),
      route("prohibit fd67::/48"),
      route("throw 10.68.0.0/16"),
    ],
    entries: [
      "10.0.0.1/32 → local",
      "10.0.0.255/32 → punt",
      "10.66.0.0/16 → punt",
      "10.67.0.0/16 → punt",
      "10.68.0.0/16 → punt",
      "fd00::/128 → local",
      "fd67::/48 → punt",
      "ff00::/8 → punt",
    ],
  },
  {
    description: "the lowest metric wins whatever the order, the first of equal ones",
    routes: [
      route("10.0.0.0/8 3 via 10.9.0.1", { metric: 20 }),
      route("10.0.0.0/8 4 via 10.9.0.2", { metric: 10 }),
      route("10.0.0.0/8 5 via 10.9.0.3", { metric: 30 }),
      route("fd00::/8 5", { metric: 256 }),
      route("fd00::/8 3", { metric: 256 }),
    ],
    entries: ["10.0.0.0/8 → 40 ?", "fd00::/8 → 50 ?"],
  },
  {
    description:
      "a link that is down gives its routes to the next one; without carrier it keeps and punts them",
    links: [
      link(3, "down", { up: false, running: false }),
      link(4, "uncarried", { running: false }),
      link(5, "up"),
    ],
    routes: [
      route("10.0.0.0/8 3 via 10.9.0.1"),
      route("10.0.0.0/8 5 via 10.9.0.1", { metric: 10 }),
      route("10.1.0.0/16 3"),
      route("10.2.0.0/16 4 via 10.9.0.1"),
      route("10.3.0.0/16 88"),
    ],
    neighbors: [neighbor(`5 10.9.0.1 ${A}`), neighbor(`4 10.9.0.1 ${A}`), neighbor(`3 10.1.0.1 ${A}`)],
    entries: ["10.0.0.0/8 → 50 aa", "10.2.0.0/16 → 40 ?"],
  },
  {
    description: "multipath takes the first usable way",
    links: [link(3, "down", { up: false }), link(4, "b"), link(5, "c")],
    routes: [
      route("10.0.0.0/8 3 via 10.9.0.1, 4 via 10.9.0.2, 5 via 10.9.0.3"),
      route("10.1.0.0/16", {
        nextHops: [nextHop("4 via 10.9.0.2", { flags: RTNH_F_DEAD }), nextHop("5 via 10.9.0.3")],
      }),
    ],
    neighbors: [neighbor(`4 10.9.0.2 ${A}`), neighbor(`5 10.9.0.3 ${B}`)],
    entries: ["10.0.0.0/8 → 40 aa", "10.1.0.0/16 → 50 bb"],
  },
  {
    description: "what depends on more than the destination punts, also over a better metric",
    routes: [
      route("10.0.0.0/8 3 via 10.9.0.1"),
      route("10.0.0.0/8 4 via 10.9.0.1", { tos: 16, metric: 99 }),
      route("fd00::/8 3 via fe80::1", { sourcePrefixLength: 64 }),
      route("fd00::/8 3 via fe80::1"),
      route("10.1.0.0/16", { nexthopId: 7 }),
      route("10.2.0.0/16", { nextHops: [nextHop("3 via 10.9.0.1", { encapsulated: true })] }),
    ],
    neighbors: [neighbor(`3 10.9.0.1 ${A}`), neighbor(`3 fe80::1 ${A}`), neighbor(`3 10.2.0.1 ${A}`)],
    entries: ["10.0.0.0/8 → punt", "10.1.0.0/16 → punt", "10.2.0.0/16 → punt", "fd00::/8 → punt"],
  },
  {
    description: "other tables and ku's own routes are left out",
    routes: [
      route("10.0.0.0/8 3 via 10.9.0.1", { table: 100 }),
      route("10.96.0.0/12 3", { protocol: KU_ROUTE_PROTOCOL }),
    ],
    entries: [],
  },
  {
    description: "links that are not attached, not Ethernet or point-to-point punt",
    links: [
      link(9, "eth9"),
      link(3, "tun", { hardwareType: 65534, mac: null, noArp: true, pointToPoint: true }),
      link(4, "p2p", { pointToPoint: true }),
    ],
    routes: [
      route("10.0.0.0/8 9 via 10.9.0.1"),
      route("10.1.0.0/16 3"),
      route("10.2.0.0/16 4"),
      route("10.9.0.0/24 9"),
    ],
    neighbors: [neighbor(`9 10.9.0.1 ${A}`), neighbor(`4 10.2.0.1 ${A}`)],
    entries: ["10.0.0.0/8 → punt", "10.1.0.0/16 → punt", "10.2.0.0/16 → punt", "10.9.0.0/24 → punt"],
  },
  {
    description:
      "an Ethernet link without ARP has its own MAC for everybody, but for neighbors that were set",
    links: [link(3, "noarp", { noArp: true })],
    routes: [
      route("10.0.0.0/24 3"),
      route("10.1.0.0/24 3 via 10.0.0.1"),
      route("10.2.0.0/24 3 via 10.0.0.2"),
    ],
    neighbors: [neighbor(`3 10.0.0.1 ${A}`, NUD_NOARP)],
    entries: ["10.0.0.0/24 → 30 03", "10.0.0.1/32 → 30 aa", "10.1.0.0/24 → 30 aa", "10.2.0.0/24 → 30 03"],
  },
  {
    description: "a route's MTU counts when it is smaller than the link's",
    routes: [
      route("10.1.0.0/16 3 via 10.0.0.1", { mtuBytes: 1300 }),
      route("10.2.0.0/16 3 via 10.0.0.1", { mtuBytes: 9000 }),
      route("10.3.0.0/24 3", { mtuBytes: 1280 }),
    ],
    neighbors: [neighbor(`3 10.0.0.1 ${A}`), neighbor(`3 10.3.0.7 ${B}`)],
    entries: [
      "10.1.0.0/16 → 30 aa mtu 1300",
      "10.2.0.0/16 → 30 aa",
      "10.3.0.0/24 → 30 ?",
      "10.3.0.7/32 → 30 bb mtu 1280",
    ],
  },
];

for (const { description, links, routes, neighbors, entries } of EXAMPLES) {
  Deno.test(`buildNextHops: ${description}`, () => {
    const tables = build(links ?? [link(3, "a"), link(4, "b"), link(5, "c")], routes, neighbors ?? []);
    assertEquals(lines(tables), entries);
    assertEquals(tables.adjacencies[PUNT_ADJACENCY].slot, -1);
  });
}

Deno.test("buildNextHops shares one adjacency by (link, next hop)", () => {
  const routes = [
    route("10.0.0.0/24 3"),
    route("0.0.0.0/0 3 via 10.0.0.1"),
    route("10.7.0.0/16 3 via 10.0.0.1"),
  ];
  const { adjacencies, routes4 } = build([link(3, "a")], routes, [neighbor(`3 10.0.0.1 ${A}`)]);
  assertEquals(adjacencies.length, 3); // punt, the connected prefix, 10.0.0.1
  assertEquals(
    new Set(routes4.filter((entry) => entry.prefixLength !== 24).map((entry) => entry.adjacency)).size,
    1,
  );
  assertEquals(addressText(adjacencies[2].nextHop!), "10.0.0.1");
});

Deno.test("buildNextHops makes what RouteTable takes", () => {
  const routes = [
    route("0.0.0.0/0 3 via 10.0.0.1"),
    route("blackhole 10.66.0.0/16"),
    route("local 10.0.0.2/32 3", LOCAL),
  ];
  const { routes4, routes6, adjacencies } = build([link(3, "a")], routes, [neighbor(`3 10.0.0.1 ${A}`)]);
  const table = RouteTable.build(routes4, routes6);
  assertEquals(adjacencies[table.lookup4(0x08080808)].slot, 30);
  assertEquals(table.lookup4(0x0a420001), PUNT_ADJACENCY);
  assertEquals([table.lookup4(0x0a000002), ROUTE_LOCAL], [TABLE_ROUTE_LOCAL, TABLE_ROUTE_LOCAL]);
});

Deno.test("buildNextHops does 5,000 routes and 5,000 neighbors, both families, quickly", () => {
  const routes = [
    route("10.0.0.0/8 3"),
    route("0.0.0.0/0 4 via 192.168.0.1"),
    route("fd00::/16 3"),
    route("::/0 4 via fe80::1"),
  ];
  const neighbors: Neighbor[] = [];
  for (let i = 0; i < 2500; i++) {
    const [high, low] = [i >> 8, i & 255];
    routes.push(route(`172.${high}.${low}.0/24 3 via 10.0.${high}.${low}`));
    routes.push(route(`2001:db8:${i.toString(16)}::/48 3 via fd00::${i.toString(16)}`));
    neighbors.push(neighbor(`3 10.0.${high}.${low} ${A}`), neighbor(`3 fd00::${i.toString(16)} ${A}`));
  }
  const links = [link(3, "a"), link(4, "b")];
  let bestMs = Infinity;
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    const tables = build(links, routes, neighbors);
    bestMs = Math.min(bestMs, performance.now() - start);
    assertEquals([tables.routes4.length, tables.routes6.length, tables.adjacencies.length], [
      5002,
      5002,
      5004,
    ]);
  }
  assert(bestMs < 100, `${bestMs} ms`); // 20 ms on a quiet machine
});
