/** Clients' prefixes: who is outside starts nothing and is counted; who has a session goes on. */

import { assertEquals } from "@std/assert";
import { buildFrame, tcp, udp } from "../../packets/builder.ts";
import { FAMILIES, type Family, nodeSpec, UPLINK } from "../../packets/node.ts";
import { World } from "../../packets/world.ts";
import { VERDICT_DROP, VERDICT_TX } from "../../../mod/datapath/context.ts";

const REFUSED = "ku-match: client outside the VIP's source prefixes";

/** The test's node, whose first service takes clients of `sources` only. */
function world(f: Family, sources?: string[]): World {
  const spec = nodeSpec(f);
  spec.services[0] = { ...spec.services[0], sources };
  return new World(spec);
}

const ranges = (f: Family, inside: boolean): string[] =>
  f.ip === 4
    ? ["198.51.100.7", inside ? "203.0.113.0/24" : "203.0.112.0/24"]
    : ["2001:db8:d::/48", inside ? "2001:db8:c::/47" : "2001:db8:e::9"];

for (const f of FAMILIES) {
  const syn = () => buildFrame({ src: f.client, dst: f.vip }, tcp({ srcPort: 40000, dstPort: 80, flags: 2 }));

  Deno.test(`${f.name}: a client inside a source prefix is served, one outside is dropped and counted`, () => {
    const inside = world(f, ranges(f, true));
    assertEquals(inside.run(syn(), UPLINK), VERDICT_TX);
    assertEquals(inside.nodeCounts()[REFUSED], undefined);
    const outside = world(f, ranges(f, false));
    assertEquals(outside.run(syn(), UPLINK), VERDICT_DROP);
    assertEquals(outside.nodeCounts(), { [REFUSED]: 1 });
    const other = buildFrame({ src: f.client, dst: f.vip }, udp({ srcPort: 40000, dstPort: 53 }));
    assertEquals(outside.run(other, UPLINK), VERDICT_TX, "another VIP's clients are its own matter");
  });

  Deno.test(`${f.name}: a session outlives a change of the prefixes`, () => {
    const node = world(f, ranges(f, true));
    assertEquals(node.run(syn(), UPLINK), VERDICT_TX);
    node.spec.services[0].sources = ranges(f, false);
    node.publish();
    const next = buildFrame({ src: f.client, dst: f.vip }, tcp({ srcPort: 40000, dstPort: 80, flags: 16 }));
    assertEquals(node.run(next, UPLINK), VERDICT_TX);
    const another = buildFrame({ src: f.client, dst: f.vip }, tcp({ srcPort: 40001, dstPort: 80, flags: 2 }));
    assertEquals(node.run(another, UPLINK), VERDICT_DROP);
  });
}
