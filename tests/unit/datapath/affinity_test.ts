/**
 * Affinity that has an end: a client stays on its pod while it makes connections often enough, whatever pods come; its time is over, or its
 * pod is gone, and the new-connection table picks again.
 */

import { assert, assertEquals } from "@std/assert";
import { IF_NAT4_IN, IF_NAT6_IN } from "../../../mod/table/interface.ts";
import { SERVICE_STICKY } from "../../../mod/table/service.ts";
import { IPV4_DST } from "../../../mod/wire/ipv4.ts";
import { IPV6_DST } from "../../../mod/wire/ipv6.ts";
import { VERDICT_TX } from "../../../mod/datapath/context.ts";
import { buildFrame, tcp } from "../../packets/builder.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { World, type WorldSpec } from "../../packets/world.ts";

const SECONDS = 600;
const ETHERNET_BYTES = 14;

/** One sticky service whose pods are numbers 10, 11 and so on. */
function world(f: Family, podCount: number, stickySeconds: number): World {
  const { interfaces, routes } = nodeSpec(f);
  assert(interfaces[PODS].flags! & (IF_NAT4_IN | IF_NAT6_IN));
  const pods = podsOf(f, podCount);
  const service = { vip: f.vip, port: 80, flags: SERVICE_STICKY, newLen: 1024, stickySeconds, pods };
  return new World({ interfaces, routes, services: [service], buckets: 1024 } satisfies WorldSpec);
}

const podsOf = (f: Family, count: number) =>
  Array.from({ length: count }, (_, n) => ({ address: f.pod.replace(/5$/, String(10 + n)) }));

/** Destination of what leaves for a new connection of client number `client`. */
function connect(node: World, f: Family, client: number, port: number): string {
  const src = f.client.replace(/9$/, String(20 + client));
  const verdict = node.run(
    buildFrame({ src, dst: f.vip }, tcp({ srcPort: port, dstPort: 80, flags: 2 })),
    UPLINK,
  );
  assertEquals(verdict, VERDICT_TX);
  const at = ETHERNET_BYTES + (f.ip === 4 ? IPV4_DST : IPV6_DST);
  return [...node.result().subarray(at, at + (f.ip === 4 ? 4 : 16))].join();
}

const CLIENTS = 40;
const all = (node: World, f: Family, port: number): string[] =>
  Array.from({ length: CLIENTS }, (_, client) => connect(node, f, client, port));
const moved = (before: string[], after: string[]): number =>
  before.filter((pod, client) => pod !== after[client]).length;

for (const f of FAMILIES) {
  Deno.test(`${f.name}: clients stay when pods come, and move when their time is over`, () => {
    const node = world(f, 2, SECONDS);
    const first = all(node, f, 1000);
    node.spec.services[0].pods = podsOf(f, 6);
    node.publish();
    // Each connection begins the time anew.
    for (let round = 1; round < 4; round++) {
      node.processor.now += SECONDS;
      assertEquals(all(node, f, 1000 + round), first);
    }
    node.processor.now += SECONDS + 1;
    const later = all(node, f, 2000);
    assert(moved(first, later) > CLIENTS / 3, "two thirds of the slots are other pods' now");
    assertEquals(later, all(world(f, 6, SECONDS), f, 1000), "as a node picks that has never seen them");
  });

  Deno.test(`${f.name}: without an end, or as a worker that has no table, the hash alone picks`, () => {
    const endless = world(f, 2, 0);
    const first = all(endless, f, 1000);
    endless.spec.services[0].pods = podsOf(f, 6);
    endless.publish();
    assert(moved(first, all(endless, f, 1001)) > CLIENTS / 3);
  });

  Deno.test(`${f.name}: a client whose pod is removed or drains gets another, and stays on that`, () => {
    for (const gone of [{ removed: true }, { weight: 0 }]) {
      const node = world(f, 4, SECONDS);
      const first = all(node, f, 1000);
      const pods = podsOf(f, 4);
      node.spec.services[0].pods = [{ ...pods[0], ...gone }, ...pods.slice(1)];
      node.publish();
      const second = all(node, f, 1001);
      const lost = connectTo(f, pods[0].address);
      assert(!second.includes(lost));
      first.forEach((pod, client) => assert(pod === lost || second[client] === pod, "the others stay"));
      node.spec.services[0].pods = pods;
      node.publish();
      assertEquals(all(node, f, 1002), second, "they do not go back while their time lasts");
    }
  });

  Deno.test(`${f.name}: a worker knows from the others which pod a client has`, () => {
    const one = world(f, 2, SECONDS);
    const first = all(one, f, 1000);
    const two = new World(one.spec, null, [one.affinity]);
    two.spec.services[0].pods = podsOf(f, 6);
    two.publish();
    assertEquals(all(two, f, 1001), first);
  });
}

function connectTo(f: Family, address: string): string {
  const node = world(f, 1, 0);
  node.spec.services[0].pods = [{ address }];
  node.publish();
  return connect(node, f, 0, 1);
}
