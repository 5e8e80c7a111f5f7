/** Two workers: an answer that reaches the one that does not keep the session, and ports that neither gives out twice. */

import { assertEquals } from "@std/assert";
import { SessionTable } from "../../../mod/table/session.ts";
import { buildFrame, icmp, icmpv6, tcp, udp } from "../../packets/builder.ts";
import {
  CLIENT46,
  expectFrame,
  mixedSpec,
  pass,
  sourcePort4,
  VIPS46,
  VIPS64,
} from "../../packets/mixed_node.ts";
import { FAMILY4, FAMILY6, PODS, sentBy, UPLINK } from "../../packets/node.ts";
import { World } from "../../packets/world.ts";

const NODE4 = FAMILY4.podsAddress;

/** Two worlds, each of which sees the other's sessions. */
function twoWorkers(): [World, World] {
  const worlds: [World, World] = [new World(mixedSpec()), new World(mixedSpec())];
  worlds.forEach(({ processor, sessions4, sessions6 }, index) => {
    const other = worlds[1 - index];
    processor.setSessions({
      sessions4,
      sessions6,
      others4: [new SessionTable(other.sessions4.buffer)],
      others6: [new SessionTable(other.sessions6.buffer)],
    });
  });
  return worlds;
}

Deno.test("an answer between the families is translated by a worker that does not keep the session", () => {
  const [a, b] = twoWorkers();
  pass(a, buildFrame({ src: FAMILY4.client, dst: VIPS46.web }, tcp({ dstPort: 80, flags: 2 })), UPLINK);
  const answer46 = tcp({ srcPort: 8080, dstPort: 40000, flags: 18 });
  const back46 = pass(b, buildFrame({ src: FAMILY6.pod, dst: CLIENT46 }, answer46), PODS, "tx", UPLINK);
  const home46 = { src: VIPS46.web, dst: FAMILY4.client, ttl: 63, id: 1 };
  expectFrame(back46, sentBy(UPLINK, home46, tcp({ srcPort: 80, dstPort: 40000, flags: 18 })));

  const asked = buildFrame({ src: FAMILY6.client, dst: VIPS64.web }, tcp({ dstPort: 80, flags: 2 }));
  const dstPort = sourcePort4(pass(a, asked, UPLINK));
  const answer64 = tcp({ srcPort: 8080, dstPort, flags: 18 });
  const back64 = pass(b, buildFrame({ src: FAMILY4.pod, dst: NODE4 }, answer64), PODS, "tx", UPLINK);
  const home64 = { src: VIPS64.web, dst: FAMILY6.client, ttl: 63 };
  expectFrame(back64, sentBy(UPLINK, home64, tcp({ srcPort: 80, dstPort: 40000, flags: 18 })));
  assertEquals(b.nodeCounts()["ku-session: session of another worker"], 2);
});

Deno.test("echo replies between the families find the other worker's session", () => {
  const [a, b] = twoWorkers();
  pass(a, buildFrame({ src: FAMILY4.client, dst: VIPS46.all }, icmp({ type: 8, rest: 5 << 16 })), UPLINK);
  const reply46 = icmpv6({ type: 129, rest: 5 << 16 });
  pass(b, buildFrame({ src: FAMILY6.pod, dst: CLIENT46 }, reply46), PODS, "tx", UPLINK);
  const asked = buildFrame({ src: FAMILY6.client, dst: VIPS64.all }, icmpv6({ type: 128, rest: 5 << 16 }));
  const out = pass(a, asked, UPLINK);
  const reply64 = icmp({ type: 0, rest: (((out[38] << 8) | out[39]) << 16) >>> 0 });
  const back = pass(b, buildFrame({ src: FAMILY4.pod, dst: NODE4 }, reply64), PODS, "tx", UPLINK);
  const home = { src: VIPS64.all, dst: FAMILY6.client, ttl: 63 };
  expectFrame(back, sentBy(UPLINK, home, icmpv6({ type: 129, rest: 5 << 16 })));
});

Deno.test("errors between the families find the other worker's session", () => {
  const [a, b] = twoWorkers();
  const asked = buildFrame({ src: FAMILY6.client, dst: VIPS64.web }, udp({ dstPort: 80 }));
  const payload = pass(a, asked, UPLINK).slice(14);
  const closed = buildFrame({ src: FAMILY4.pod, dst: NODE4 }, icmp({ type: 3, code: 3, payload }));
  assertEquals(pass(b, closed, PODS, "tx", UPLINK)[54], 1);
});

Deno.test("two workers never give out one port toward a pod, in either table", () => {
  // Both are worker 0 of 1, so they would choose the same ports.
  const worlds = twoWorkers();
  const ports = new Set<number>();
  for (let i = 0; i < 60; i++) {
    const segment = udp({ srcPort: 20000 + i, dstPort: 80 });
    const six = buildFrame({ src: FAMILY6.client, dst: VIPS64.web }, segment);
    const four = buildFrame({ src: FAMILY4.client, dst: FAMILY4.vipMasquerade }, segment);
    ports.add(sourcePort4(pass(worlds[i & 1], six, UPLINK)));
    ports.add(sourcePort4(pass(worlds[1 - (i & 1)], four, UPLINK)));
  }
  assertEquals(ports.size, 120);
});
