/*
 * Runs inside of a network namespace that netlink_test.ts made: one scenario, named by the first argument. It changes
 * the namespace with `ip` or by mod/netlink, and compares the mirror with what `ip -j` says. Exits 0 when all agrees.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { addressText, parseMac } from "../../mod/netlink/address.ts";
import {
  addRoutes,
  deleteNeighbor,
  deleteRoutes,
  listOwnRoutes,
  setLink,
  setNeighbor,
  useNeighbors,
} from "../../mod/netlink/links.ts";
import { Mirror } from "../../mod/netlink/mirror.ts";
import { buildNextHops, neighborKey } from "../../mod/netlink/next_hops.ts";
import { deletePair, ensurePair, ForeignPairError, KU0_MAC } from "../../mod/netlink/pair.ts";
import { RequestSocket } from "../../mod/netlink/request.ts";
import { readInterfaceSysctl } from "../../mod/netlink/sysctl.ts";
import { ipAddress } from "../unit/netlink/builder.ts";
import { agree, delay, ip, ipBatch, until } from "./netlink_compare.ts";

const SETUP = [
  "link set lo up",
  "link add va numrxqueues 2 numtxqueues 3 type veth peer name vb",
  "link add vc type veth peer name vd",
  "link add br0 type bridge",
  "link set vd master br0",
  "link add link va name mv0 type macvlan",
  "link set va address 02:00:00:00:00:0a mtu 1400",
  "link set va up",
  "link set vb up",
  "link set vc up",
  "link set vd up",
  "link set br0 up",
  "link set mv0 up",
  "addr add 10.1.0.1/24 dev va",
  "addr add 10.1.0.2/24 dev va",
  "addr add fd01::1/64 dev va nodad",
  "addr add 10.2.0.1/24 dev vc",
  "addr add 10.9.9.1 peer 10.9.9.2/32 dev vc",
];

async function followsChanges(mirror: Mirror): Promise<void> {
  await agree(mirror, "at the start");
  const steps = [
    ["route add default via 10.1.0.254", "route add 192.168.0.0/16 via inet6 fd01::9 dev va"],
    ["route add 172.16.0.0/12 nexthop via 10.1.0.254 weight 2 nexthop via 10.2.0.254"],
    [
      "-6 route add fd77::/64 nexthop via fd01::8 nexthop via fd01::9",
      "-6 route add default via fd01::8 metric 50",
    ],
    [
      "route add blackhole 10.66.0.0/16",
      "route add unreachable 10.67.0.0/16",
      "-6 route add prohibit fd66::/48",
    ],
    [
      "route add 10.3.0.0/16 via 10.1.0.3",
      "route append 10.3.0.0/16 via 10.1.0.4",
      "route prepend 10.3.0.0/16 dev vc",
    ],
    [
      "route add 10.4.0.0/16 via 10.1.0.3 mtu 1300 metric 7",
      "route replace 10.4.0.0/16 via 10.1.0.5 metric 7",
    ],
    ["route replace 10.3.0.0/16 via 10.1.0.77", "route del 10.3.0.0/16 via 10.1.0.4"],
    ["-6 route add fd78::/64 via fd01::8", "-6 route append fd78::/64 via fd01::9"],
    ["-6 route append fd78::/64 via fd01::a", "-6 route del fd78::/64 via fd01::8"],
    ["-6 route replace fd77::/64 via fd01::7"],
    [
      "nexthop add id 5 via 10.1.0.6 dev va",
      "route add 10.5.0.0/16 nhid 5",
      "nexthop replace id 5 via 10.1.0.7 dev va",
    ],
    ["nexthop del id 5"],
    [
      "neigh add 10.1.0.50 lladdr 02:00:00:00:00:50 dev va",
      "neigh add fd01::50 lladdr 02:00:00:00:00:51 dev va",
    ],
    ["neigh change 10.1.0.50 lladdr 02:00:00:00:00:52 dev va", "neigh del fd01::50 dev va"],
    ["neigh add proxy 10.1.0.51 dev va"],
    ["addr del 10.1.0.1/24 dev va", "addr add 10.7.0.1/24 dev va"],
    ["link set vc down"],
    ["link set vc up", "link set va mtu 1350", "link set vb name renamed"],
    ["link set vd nomaster", "link set vc address 02:00:00:00:00:0c"],
    ["route add 10.8.0.0/16 dev vc src 10.2.0.1", "rule add from 10.99.0.0/16 table 77"],
    ["addr del 10.2.0.1/24 dev vc"],
    ["link del va"],
    ["route flush table main"],
  ];
  for (const step of steps) {
    for (const command of step) ip(command);
    await agree(mirror, step.join("; "));
  }
  await until("the foreign rule is counted", () => mirror.foreignRuleCount === 1);
}

async function followsBursts(mirror: Mirror): Promise<void> {
  let calls = 0;
  mirror.onChange(() => calls++);
  const routes = Array.from(
    { length: 1000 },
    (_, i) => `route add 10.200.${i >> 8}.${i & 255}/32 via 10.1.0.254`,
  );
  await ipBatch(routes);
  await agree(mirror, "1,000 routes added");
  assert(mirror.routes4.size > 1000);
  assert(calls < 200, `${calls} calls for 1,000 routes`);
  const neighbors = Array.from(
    { length: 1000 },
    (_, i) =>
      `neigh add 10.1.${i >> 8}.${i & 255} lladdr 02:00:00:00:${(i >> 8).toString(16)}:${
        (i & 255).toString(16)
      } dev va`,
  );
  await ipBatch(neighbors);
  await agree(mirror, "1,000 neighbors added");
  await ipBatch(routes.map((line) => line.replace("add", "del")));
  ip("link set va down");
  await agree(mirror, "1,000 routes and neighbors gone");
}

/** Stands still while the kernel's notifications overflow the socket's buffer. */
async function survivesOverflow(mirror: Mirror): Promise<void> {
  const socket = new RequestSocket();
  const ifindex = mirror.linkByName("va")!.index;
  const routes = Array.from({ length: 5000 }, (_, i) => ({
    address: Uint8Array.of(10, 201, i >> 8, i & 255),
    prefixLength: 32,
    ifindex,
  }));
  for (let round = 0; round < 4; round++) { // 40,000 notifications without a turn of the event loop
    for (const error of addRoutes(socket, routes)) assertEquals(error, null);
    for (const error of deleteRoutes(socket, routes)) assertEquals(error, null);
  }
  addRoutes(socket, routes.slice(0, 10));
  assertEquals(listOwnRoutes(socket).length, 10);
  await agree(mirror, "after lost notifications");
  socket.close();
}

async function idlesAndCloses(mirror: Mirror): Promise<void> {
  await delay(500); // let IPv6 address set-up come to rest
  const before = cpuMs();
  await delay(3000);
  const usedMs = cpuMs() - before;
  assert(usedMs < 30, `${usedMs} ms of CPU in 3 s of idling`);
  const start = performance.now();
  await mirror.close();
  const closeMs = performance.now() - start;
  assert(closeMs < 50, `close took ${closeMs} ms`);
  console.log(`idle: ${usedMs} ms CPU in 3 s; close: ${closeMs.toFixed(1)} ms`);
}

/** CPU time of this process, utime + stime of /proc/self/stat in ticks of 10 ms. */
function cpuMs(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function controlsLinks(mirror: Mirror): Promise<void> {
  const socket = new RequestSocket();
  const { ku0, ku1, adopted } = ensurePair(socket, 4);
  assertEquals([adopted, ku0.rxQueueCount, ku1.txQueueCount, ku0.up, ku1.noArp], [false, 4, 4, true, true]);
  assertEquals(ku0.mac, KU0_MAC);
  assertEquals(ensurePair(socket, 2).adopted, true);
  assertEquals(ensurePair(socket, 2).ku0.index, ku0.index);
  const wider = ensurePair(socket, 6, 3000);
  assertEquals([wider.adopted, wider.ku0.rxQueueCount, wider.ku1.mtuBytes], [false, 6, 3000]);
  assertEquals(readInterfaceSysctl("ipv4", "ku0", "accept_local"), 1);
  assertEquals(readInterfaceSysctl("ipv6", "ku1", "disable_ipv6"), 1);
  await agree(mirror, "the pair");
  assert(
    ![...mirror.addresses.values()].some(({ ifindex }) => ifindex === wider.ku0.index),
    "ku0 has an address",
  );

  const ifindex = wider.ku0.index;
  const vip4 = {
    address: ipAddress("10.96.0.0"),
    prefixLength: 12,
    ifindex,
    source: ipAddress("10.1.0.1"),
  };
  const vip6 = { address: ipAddress("fd96::"), prefixLength: 112, ifindex };
  assertEquals(addRoutes(socket, [vip4, vip6]), [null, null]);
  assertEquals(addRoutes(socket, [vip4])[0]!.name, "SystemError");
  await agree(mirror, "VIP routes");
  ip("route add 10.98.0.0/16 dev ku0");
  const foreign = { address: ipAddress("10.98.0.0"), prefixLength: 16, ifindex };
  assertEquals(deleteRoutes(socket, [foreign]).length, 1);
  assert(ip("route show 10.98.0.0/16").includes("ku0"), "somebody else's route stays");
  assertEquals(listOwnRoutes(socket).length, 2);
  assertEquals(deleteRoutes(socket, listOwnRoutes(socket)), [null, null]);
  assertEquals(listOwnRoutes(socket), []);

  const neighbor = { ifindex: mirror.linkByName("va")!.index, address: ipAddress("10.1.0.33") };
  setNeighbor(socket, neighbor, parseMac("02:00:00:00:00:33")!);
  const key = neighborKey(neighbor.ifindex, neighbor.address);
  await until("the neighbor is there", () => mirror.neighbors.get(key)?.mac?.[5] === 0x33);
  deleteNeighbor(socket, neighbor);
  await until("the neighbor is gone", () => (mirror.neighbors.get(key)?.mac ?? null) === null);
  setLink(socket, wider.ku0.index, { up: false });
  await agree(mirror, "ku0 down");
  const error = assertThrows(() => setLink(socket, 9999, { up: true }));
  assert(error instanceof Error && error.message.includes("9999"), String(error));

  deletePair(socket);
  deletePair(socket);
  ip("link add ku0 type veth peer name ku1");
  assertThrows(() => ensurePair(socket, 1), ForeignPairError, "ku0");
  assertThrows(() => deletePair(socket), ForeignPairError);
  ip("link del ku0");
  await agree(mirror, "the pair deleted");
  socket.close();
}

/** Needs the namespace named by the second argument as the far end of `va`. */
async function resolvesNeighbors(mirror: Mirror): Promise<void> {
  const far = Deno.args[1];
  ip(`link set vb netns ${far}`);
  for (
    const command of ["link set vb up", "addr add 10.1.0.77/24 dev vb", "addr add fd01::77/64 dev vb nodad"]
  ) {
    ip(`-n ${far} ${command}`);
  }
  await until("the peer is known to be elsewhere", () => mirror.linkByName("va")!.peerNetnsId !== null);
  await until("the link runs", () => mirror.linkByName("va")!.running);
  const socket = new RequestSocket();
  const ifindex = mirror.linkByName("va")!.index;
  const slots = new Map([[ifindex, 1]]);
  for (const text of ["10.1.0.77", "fd01::77"]) {
    const address = ipAddress(text);
    let reported = false;
    const cancel = mirror.onChange((kinds) => reported ||= kinds.has("neighbors"));
    assertEquals(useNeighbors(socket, [{ ifindex, address }]), [null]);
    await until(
      `${text} is resolved`,
      () => mirror.neighbors.get(neighborKey(ifindex, address))?.mac?.length === 6,
    );
    await until(`${text} is reported`, () => reported);
    cancel();
    const { links, routes, neighbors } = mirror;
    const tables = buildNextHops({ links, routes, neighbors, slots });
    const host = [...tables.routes4, ...tables.routes6].find((entry) => addressText(entry.address) === text)!;
    const adjacency = tables.adjacencies[host.adjacency];
    assertEquals([adjacency.resolved, adjacency.slot], [true, 1]);
  }
  await agree(mirror, "after resolving");
  socket.close();
}

const SCENARIOS: Record<string, (mirror: Mirror) => Promise<void>> = {
  followsChanges,
  followsBursts,
  survivesOverflow,
  idlesAndCloses,
  controlsLinks,
  resolvesNeighbors,
};

if (import.meta.main) {
  await ipBatch(SETUP);
  const mirror = await Mirror.open();
  await SCENARIOS[Deno.args[0]](mirror);
  await mirror.close();
}
