/** Sources that cannot stay the client's: hairpin, masquerade, tuples that are taken. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { PORT_POOL } from "../../../mod/datapath/source.ts";
import { SERVICE_FIRST_PACKET, SERVICE_UNTRACKED } from "../../../mod/metrics/counters.ts";
import { buildFrame, tcp, udp } from "../../packets/builder.ts";
import { checkStep } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, nodeWorld, PODS, sentBy, UPLINK } from "../../packets/node.ts";
import { faults } from "../../packets/verify.ts";
import { World } from "../../packets/world.ts";

/** Ports of a frame without tag and options. */
function portsOf(f: Family, frame: Uint8Array): { source: number; destination: number } {
  const view = new DataView(frame.buffer, frame.byteOffset + 14 + f.headerBytes);
  return { source: view.getUint16(0), destination: view.getUint16(2) };
}

function outside(port: number): boolean {
  return port >= 61000 || (port >= 1024 && port < 32768);
}

for (const f of FAMILIES) {
  Deno.test(`insertSession: ${f.name}: a pod that reaches itself through its VIP is the node to itself`, () => {
    const world = nodeWorld(f);
    const ask = buildFrame({ src: f.pod, dst: f.vip }, tcp({ dstPort: 80, flags: 2 }));
    checkStep(world, { input: ask, slot: PODS, verdict: "tx", outSlot: PODS });
    const port = portsOf(f, world.result()).source;
    assert(outside(port), `port ${port}`);
    assertEquals(
      world.result(),
      sentBy(
        PODS,
        { src: f.podsAddress, dst: f.pod, ttl: 63 },
        tcp({ srcPort: port, dstPort: 8080, flags: 2 }),
      ),
    );
    // The same again goes the same way.
    checkStep(world, { input: ask, slot: PODS, verdict: "tx" });
    assertEquals(portsOf(f, world.result()).source, port);
    checkStep(world, {
      input: buildFrame(
        { src: f.pod, dst: f.podsAddress },
        tcp({ srcPort: 8080, dstPort: port, flags: 0x12 }),
      ),
      slot: PODS,
      verdict: "tx",
      output: sentBy(
        PODS,
        { src: f.vip, dst: f.pod, ttl: 63 },
        tcp({ srcPort: 80, dstPort: 40000, flags: 0x12 }),
      ),
    });
  });

  Deno.test(`useVipSource: ${f.name}: a pod that is the node itself sees the VIP, and answers by ku0`, () => {
    const world = nodeWorld(f);
    checkStep(world, {
      input: buildFrame({ src: f.client, dst: f.vipLocal, ttl: 1 }, udp({ dstPort: 80 })),
      slot: UPLINK,
      verdict: "puntKu",
    });
    const { source } = portsOf(f, world.result());
    assert(outside(source), `port ${source}`);
    const seen = buildFrame(
      { src: f.vipLocal, dst: f.podsAddress, ttl: 1 },
      udp({ srcPort: source, dstPort: 80 }),
    );
    assertEquals(world.result().subarray(12), seen.subarray(12));
    checkStep(world, {
      input: buildFrame({ src: f.podsAddress, dst: f.vipLocal }, udp({ srcPort: 80, dstPort: source })),
      slot: 0,
      verdict: "tx",
      output: sentBy(
        UPLINK,
        { src: f.vipLocal, dst: f.client, ttl: 63 },
        udp({ srcPort: 80, dstPort: 40000 }),
      ),
    });
  });

  Deno.test(`insertSession: ${f.name}: a configured source address goes before the interface's`, () => {
    const spec = nodeSpec(f);
    spec[f.ip === 4 ? "ip4SrcAddress" : "ip6SrcAddress"] = f.router;
    const world = new World(spec);
    world.run(buildFrame({ src: f.client, dst: f.vipMasquerade }, udp({ dstPort: 80 })), UPLINK);
    const port = portsOf(f, world.result()).source;
    assertEquals(
      world.result(),
      sentBy(PODS, { src: f.router, dst: f.pod, ttl: 63 }, udp({ srcPort: port, dstPort: 8080 })),
    );
  });

  Deno.test(`insertSession: ${f.name}: clients of a masquerading service are told apart by ports`, () => {
    const world = new World({ ...nodeSpec(f), buckets: 512 });
    const seen = new Set<number>();
    const count = 500;
    for (let i = 0; i < count; i++) {
      const srcPort = 20000 + i;
      world.run(buildFrame({ src: f.client, dst: f.vipMasquerade }, udp({ srcPort, dstPort: 80 })), UPLINK);
      const out = world.result();
      const port = portsOf(f, out).source;
      assertEquals(
        out,
        sentBy(PODS, { src: f.podsAddress, dst: f.pod, ttl: 63 }, udp({ srcPort: port, dstPort: 8080 })),
      );
      seen.add(port);
      checkStep(world, {
        input: buildFrame({ src: f.pod, dst: f.podsAddress }, udp({ srcPort: 8080, dstPort: port })),
        slot: PODS,
        verdict: "tx",
        output: sentBy(
          UPLINK,
          { src: f.vipMasquerade, dst: f.client, ttl: 63 },
          udp({ srcPort: 80, dstPort: srcPort }),
        ),
      });
    }
    assertEquals(seen.size, count);
    assert([...seen].every(outside));
  });

  Deno.test(`insertSession: ${f.name}: two VIPs on one pod and port, used from one client port at once`, () => {
    const world = nodeWorld(f);
    const ask = (vip: string) => buildFrame({ src: f.client, dst: vip }, tcp({ dstPort: 80, flags: 2 }));
    checkStep(world, {
      input: ask(f.vip),
      slot: UPLINK,
      verdict: "tx",
      output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, tcp({ dstPort: 8080, flags: 2 })),
    });
    checkStep(world, { input: ask(f.vipTwin), slot: UPLINK, verdict: "tx" });
    const port = portsOf(f, world.result()).source;
    assertNotEquals(port, 40000);
    assertEquals(faults(world.result()), []);
    assertEquals(world.nodeCounts()["ku-session: source port changed, tuple taken"], 1);
    const answer = (dstPort: number) =>
      buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080, dstPort, flags: 0x12 }));
    const told = (src: string) =>
      sentBy(UPLINK, { src, dst: f.client, ttl: 63 }, tcp({ srcPort: 80, dstPort: 40000, flags: 0x12 }));
    checkStep(world, { input: answer(40000), slot: PODS, verdict: "tx", output: told(f.vip) });
    checkStep(world, { input: answer(port), slot: PODS, verdict: "tx", output: told(f.vipTwin) });
  });

  Deno.test(`insertSession: ${f.name}: echo through a VIP of all protocols changes its identifier when taken`, () => {
    const world = nodeWorld(f);
    const ask = (dst: string) =>
      buildFrame({ src: f.client, dst }, f.icmp({ type: f.echoRequest, rest: 0x00070001 }));
    checkStep(world, { input: ask(f.inPrefix), slot: UPLINK, verdict: "tx" });
    checkStep(world, { input: ask(f.vipAll), slot: UPLINK, verdict: "tx" });
    const id = portsOf(f, world.result().subarray(4)).source;
    assertNotEquals(id, 7);
    checkStep(world, {
      input: buildFrame({ src: f.pod, dst: f.client }, f.icmp({ type: f.echoReply, rest: (id << 16) | 1 })),
      slot: PODS,
      verdict: "tx",
      output: sentBy(
        UPLINK,
        { src: f.vipAll, dst: f.client, ttl: 63 },
        f.icmp({ type: f.echoReply, rest: 0x00070001 }),
      ),
    });
  });

  Deno.test(`remember: ${f.name}: full buckets keep forwarding, replies too`, () => {
    const world = new World({ ...nodeSpec(f), buckets: 1 });
    const count = 20;
    const send = (i: number) =>
      world.run(buildFrame({ src: f.client, dst: f.vip }, udp({ srcPort: 20000 + i, dstPort: 80 })), UPLINK);
    for (let i = 0; i < count; i++) {
      assertEquals(send(i), 0);
      assertEquals(
        world.result(),
        sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, udp({ srcPort: 20000 + i, dstPort: 8080 })),
      );
      checkStep(world, {
        input: buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 8080, dstPort: 20000 + i })),
        slot: PODS,
        verdict: "tx",
        output: sentBy(
          UPLINK,
          { src: f.vip, dst: f.client, ttl: 63 },
          udp({ srcPort: 80, dstPort: 20000 + i }),
        ),
      });
    }
    const untracked = world.serviceCount(0, SERVICE_UNTRACKED);
    assertEquals(world.serviceCount(0, SERVICE_FIRST_PACKET) + untracked, count);
    assert(untracked >= count - 4);
    assertEquals(world.nodeCounts()["ku-session: reply of an untracked flow"], untracked);
  });

  Deno.test(`insertSession: ${f.name}: without an address of its own the node cannot be a source`, () => {
    const spec = nodeSpec(f);
    for (const each of spec.interfaces) delete each[f.ip === 4 ? "ip4" : "ip6"];
    const world = new World(spec);
    checkStep(world, {
      input: buildFrame({ src: f.client, dst: f.vipMasquerade }, udp({ dstPort: 80 })),
      slot: UPLINK,
      verdict: "drop",
    });
    assertEquals(world.nodeCounts()["ku-nat: node has no address to use as source"], 1);
  });
}

Deno.test("PORT_POOL leaves out privileged ports and those of the kernel's own connections", () => {
  assertEquals(PORT_POOL, 65536 - 61000 + 32768 - 1024);
});
