/** Service match: build, find and miss with 1 … 10,000 services; routes. `deno bench -A bench/match_bench.ts` */

import { type MatchEntry, MatchTable } from "../mod/table/match.ts";
import { RouteTable } from "../mod/table/route.ts";
import { Random } from "../tests/packets/random.ts";
import { bench, QUICK } from "./micro/case.ts";

const TCP = 6;
const LOOKUPS = 16_384;

function makeEntries(random: Random, count: number): MatchEntry[] {
  return Array.from({ length: count }, (_, serviceId) => {
    const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 96, ...random.bytes(2));
    return { address, prefixLength: 128, protocol: TCP, port: 80 + (serviceId & 7), serviceId };
  });
}

function addressOf({ address }: MatchEntry): number {
  return (address[12] << 24) | (address[13] << 16) | (address[14] << 8) | address[15];
}

function findAll(table: MatchTable, addresses: Int32Array, ports: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < addresses.length; i++) sum = (sum + table.find4(addresses[i], TCP, ports[i])) | 0;
  return sum;
}

function lookAll(table: RouteTable, addresses: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < addresses.length; i++) sum = (sum + table.lookup4(addresses[i])) | 0;
  return sum;
}

function benchMatch(services: number): void {
  const random = new Random(5);
  const entries = makeEntries(random, services);
  const table = MatchTable.build(entries);
  const wanted = Array.from({ length: LOOKUPS }, () => entries[random.below(services)]);
  const addresses = Int32Array.from(wanted, addressOf);
  const ports = Int32Array.from(wanted, ({ port }) => port);
  const others = Int32Array.from({ length: LOOKUPS }, () => 0x0af40000 + random.below(65536));
  if (services > 1) {
    bench("match build", { services }, 1, () => ({ run: () => MatchTable.build(entries).words[1] }), 10);
  }
  bench("match find", { services }, LOOKUPS, () => ({ run: () => findAll(table, addresses, ports) }));
  bench("match miss", { services }, LOOKUPS, () => ({ run: () => findAll(table, others, ports) }));
}

function benchRoute(count: number): void {
  const random = new Random(6);
  const routes = Array.from({ length: count }, (_, adjacency) => ({
    address: Uint8Array.of(10, 244, ...random.bytes(2)),
    prefixLength: 24 + random.below(9),
    adjacency,
  }));
  routes.push({ address: new Uint8Array(4), prefixLength: 0, adjacency: count });
  const table = RouteTable.build(routes, []);
  const addresses = Int32Array.from({ length: LOOKUPS }, () => 0x0af40000 + random.below(65536));
  const params = { routes: count };
  bench("route build", params, 1, () => ({ run: () => RouteTable.build(routes, []).words[256] }), 10);
  bench("route lookup", params, LOOKUPS, () => ({ run: () => lookAll(table, addresses) }));
}

for (const services of QUICK ? [1, 10_000] : [1, 100, 1000, 10_000]) benchMatch(services);
benchRoute(1000);
