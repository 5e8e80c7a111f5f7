/** What becomes of sessions: counted exactly, ageing by TCP state, pods and services that go. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  POD_COUNTERS,
  POD_FIRST_PACKET,
  POD_PACKETS,
  POD_REPLY_PACKETS,
  SERVICE_BYTES,
  SERVICE_FIRST_PACKET,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_BYTES,
  SERVICE_REPLY_PACKETS,
} from "../../../mod/metrics/counters.ts";
import { buildFrame, tcp, udp } from "../../packets/builder.ts";
import { checkStep, verdictWord } from "../../packets/fixture.ts";
import {
  FAMILIES,
  type Family,
  nodeWorld,
  PODS,
  SERVICE_MANY,
  SERVICE_VIP80,
  UPLINK,
} from "../../packets/node.ts";
import type { World } from "../../packets/world.ts";
import { SERVICE_IN_USE } from "../../../mod/table/service.ts";

const SYN = 2;
const FIN = 1;
const RST = 4;
const ACK = 16;

/** A conversation of one client port with `vip`, told in segments. */
class Talk {
  constructor(
    readonly world: World,
    readonly f: Family,
    readonly vip = f.vip,
    readonly srcPort = 40000,
  ) {}

  client(flags: number): void {
    const input = buildFrame(
      { src: this.f.client, dst: this.vip },
      tcp({ srcPort: this.srcPort, dstPort: 80, flags }),
    );
    checkStep(this.world, { input, slot: UPLINK, verdict: "tx" });
  }

  pod(flags: number, from = this.f.pod, verdict: "tx" | "puntIn" = "tx"): void {
    const input = buildFrame(
      { src: from, dst: this.f.client },
      tcp({ srcPort: 8080, dstPort: this.srcPort, flags }),
    );
    checkStep(this.world, { input, slot: PODS, verdict });
  }

  /** The state of the one session there is: 1 transitory, 2 established, 3 closing. */
  state(): number {
    const states: number[] = [];
    const table = this.f.ip === 4 ? this.world.sessions4 : this.world.sessions6;
    table.forEach(this.world.processor.now, (entry) => states.push(table.state(entry)));
    assertEquals(states.length, 1);
    return states[0];
  }
}

function used(world: World, f: Family): number {
  return (f.ip === 4 ? world.sessions4 : world.sessions6).used();
}

/** Destination of a frame without options, as text of its bytes. */
function destinationOf(f: Family, frame: Uint8Array): string {
  return (f.ip === 4 ? frame.subarray(30, 34) : frame.subarray(38, 54)).join(".");
}

for (const f of FAMILIES) {
  Deno.test(`Processor: ${f.name}: counters of service and pod are exact`, () => {
    const world = nodeWorld(f);
    const ask = buildFrame({ src: f.client, dst: f.vip }, udp({ dstPort: 80, payload: new Uint8Array(50) }));
    const answer = buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 8080, dstPort: 40000 }));
    for (let i = 0; i < 10; i++) world.run(ask, UPLINK);
    for (let i = 0; i < 7; i++) world.run(answer, PODS);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_FIRST_PACKET), 1);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_NEXT_PACKET), 9);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_BYTES), 10 * (ask.length - 14));
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_REPLY_PACKETS), 7);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_REPLY_BYTES), 7 * (answer.length - 14));
    const pods = world.counters.pod;
    assertEquals([pods[POD_FIRST_PACKET], pods[POD_PACKETS], pods[POD_REPLY_PACKETS]], [1, 10, 7]);
  });

  Deno.test(`Processor: ${f.name}: TCP is transitory, established, closing`, () => {
    const talk = new Talk(nodeWorld(f), f);
    talk.client(SYN);
    assertEquals(talk.state(), 1);
    talk.client(SYN);
    talk.client(ACK);
    assertEquals(talk.state(), 1, "the client alone does not establish a session");
    talk.pod(SYN | ACK);
    assertEquals(talk.state(), 1);
    talk.client(ACK);
    assertEquals(talk.state(), 2);
    talk.pod(ACK);
    talk.client(FIN | ACK);
    assertEquals(talk.state(), 2);
    talk.pod(ACK);
    talk.pod(FIN | ACK);
    assertEquals(talk.state(), 3);
    talk.client(ACK);
    assertEquals(talk.state(), 3);
  });

  Deno.test(`Processor: ${f.name}: a RST closes, what follows it opens again`, () => {
    for (const fromPod of [false, true]) {
      const talk = new Talk(nodeWorld(f), f);
      talk.client(SYN);
      talk.pod(SYN | ACK);
      talk.client(ACK);
      if (fromPod) talk.pod(RST);
      else talk.client(RST);
      assertEquals(talk.state(), 3);
      talk.client(ACK);
      assertEquals(talk.state(), 2);
    }
  });

  Deno.test(`Processor: ${f.name}: a connection past the VIP, from a port whose session has ended, is untouched`, () => {
    const world = nodeWorld(f);
    const talk = new Talk(world, f);
    talk.client(SYN);
    talk.pod(SYN | ACK);
    talk.client(ACK);
    talk.pod(SYN | ACK); // again, late: still the session's
    talk.client(FIN | ACK);
    talk.pod(FIN | ACK);
    assertEquals(talk.state(), 3);
    talk.pod(SYN | ACK, f.pod, "puntIn");
    assertEquals(used(world, f), 0);
    talk.pod(ACK, f.pod, "puntIn");
  });

  Deno.test(`Processor: ${f.name}: a SYN on a closing session starts a new one`, () => {
    const world = nodeWorld(f);
    const talk = new Talk(world, f);
    talk.client(SYN);
    talk.pod(RST | ACK);
    assertEquals(talk.state(), 3);
    talk.client(SYN);
    assertEquals(talk.state(), 1);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_FIRST_PACKET), 2);
    assertEquals(used(world, f), 1);
  });

  Deno.test(`Processor: ${f.name}: a session in the middle is picked up and established`, () => {
    const talk = new Talk(nodeWorld(f), f);
    talk.client(ACK);
    talk.pod(ACK);
    talk.client(ACK);
    assertEquals(talk.state(), 2);
  });

  Deno.test(`Processor: ${f.name}: sessions end by their state's timeout`, () => {
    const world = nodeWorld(f);
    const talk = new Talk(world, f);
    talk.client(SYN);
    talk.pod(SYN | ACK);
    talk.client(ACK);
    world.processor.now += 7440;
    talk.pod(ACK);
    world.processor.now += 7441;
    talk.pod(ACK, f.pod, "puntIn");
    talk.client(ACK);
    assertEquals(world.serviceCount(SERVICE_VIP80, SERVICE_FIRST_PACKET), 2);
  });

  Deno.test(`Processor: ${f.name}: UDP leaves a removed pod at its next packet, TCP stays`, () => {
    const world = nodeWorld(f);
    const datagram = buildFrame({ src: f.client, dst: f.vipMany }, udp({ dstPort: 80 }));
    world.run(datagram, UPLINK);
    const before = destinationOf(f, world.result());
    const talk = new Talk(world, f, f.vipMany, 40001);
    talk.client(SYN);
    const tcpPod = destinationOf(f, world.result());
    const service = world.spec.services[SERVICE_MANY];
    for (const pod of service.pods) pod.removed = true;
    service.pods = [...service.pods, { address: "10.244.0.99" }];
    if (f.ip === 6) service.pods[3].address = "2001:db8:244::99";
    // Ids of the pods of later services move by one; their sessions are not looked at here.
    world.publish();
    talk.client(ACK);
    assertEquals(destinationOf(f, world.result()), tcpPod);
    talk.client(ACK);
    assertEquals(destinationOf(f, world.result()), tcpPod);
    world.run(datagram, UPLINK);
    assertNotEquals(destinationOf(f, world.result()), before);
    assertEquals(world.nodeCounts()["ku-session: session moved off a removed pod"], 1);
    assertEquals(world.serviceCount(SERVICE_MANY, SERVICE_FIRST_PACKET), 3);
    // A handshake that no pod has answered starts anew: here the session was confirmed above, so it does not.
    const second = new Talk(world, f, f.vipMany, 40002);
    second.client(SYN);
    assertNotEquals(destinationOf(f, world.result()), tcpPod);
  });

  Deno.test(`Processor: ${f.name}: a draining pod keeps what it has and gets nothing new`, () => {
    const world = nodeWorld(f);
    const ports = Array.from({ length: 60 }, (_, i) => 20000 + i);
    const send = (srcPort: number) => {
      const verdict = world.run(
        buildFrame({ src: f.client, dst: f.vipMany }, udp({ srcPort, dstPort: 80 })),
        UPLINK,
      );
      assertEquals(verdictWord(verdict), "tx");
      return destinationOf(f, world.result());
    };
    const before = ports.map(send);
    assertEquals(new Set(before).size, 3);
    world.spec.services[SERVICE_MANY].pods[0].weight = 0;
    world.publish();
    assertEquals(ports.map(send), before);
    const drained = (f.ip === 4 ? [10, 244, 0, 5] : []).join(".");
    const after = ports.map((port) => send(port + 1000));
    assertEquals(new Set(after).size, 2);
    if (f.ip === 4) assert(!after.includes(drained));
  });

  Deno.test(`Processor: ${f.name}: sessions of a service that is gone end, and its packets are the kernel's`, () => {
    const world = nodeWorld(f);
    const ask = buildFrame({ src: f.client, dst: f.vip }, udp({ dstPort: 80 }));
    const answer = buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 8080, dstPort: 40000 }));
    checkStep(world, { input: ask, slot: UPLINK, verdict: "tx" });
    const service = world.spec.services[SERVICE_VIP80];
    world.spec.services[SERVICE_VIP80] = { ...service, vip: f.router, port: 9999, pods: service.pods };
    service.flags = 0;
    world.publish();
    // The row is still in use here; take the flag away as the control plane does.
    const { services } = worldTables(world);
    services[0] &= ~SERVICE_IN_USE;
    checkStep(world, { input: answer, slot: PODS, verdict: "puntIn" });
    assertEquals(used(world, f), 0);
    checkStep(world, { input: ask, slot: UPLINK, verdict: "puntIn" });
    assertEquals(world.nodeCounts()["ku-session: session of a deleted service ended"], 1);
  });

  Deno.test(`Processor: ${f.name}: src_ip_sticky sends a client to one pod, whatever its port`, () => {
    const world = nodeWorld(f);
    const seen = new Set<string>();
    for (let srcPort = 20000; srcPort < 20050; srcPort++) {
      world.run(buildFrame({ src: f.client, dst: f.vipSticky }, udp({ srcPort, dstPort: 80 })), UPLINK);
      seen.add(destinationOf(f, world.result()));
    }
    assertEquals(seen.size, 1);
  });

  Deno.test(`Processor: ${f.name}: flows spread over all pods`, () => {
    const world = nodeWorld(f);
    for (let srcPort = 20000; srcPort < 20030; srcPort++) {
      world.run(buildFrame({ src: f.client, dst: f.vipMany }, udp({ srcPort, dstPort: 80 })), UPLINK);
    }
    const first = 6; // pods of the services before: one each, none for the empty one
    const started = [5, 6, 7].map((pod) => world.counters.pod[pod * POD_COUNTERS + POD_FIRST_PACKET]);
    assert(started.every((count) => count > 0), `${started} from pod ${first}`);
    assertEquals(started.reduce((sum, count) => sum + count), 30);
  });
}

/** The service words that the processor reads. */
function worldTables(world: World): { services: Int32Array } {
  return { services: world.tables.services.words };
}
