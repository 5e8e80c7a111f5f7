/** Which sessions the kernel is given, when they come back, and what it is believed about them; in both families. */

import { assert, assertEquals } from "@std/assert";
import { FlowCounters } from "../../../mod/datapath/offload.ts";
import { POD_PACKETS, SERVICE_NEXT_PACKET, SERVICE_REPLY_PACKETS } from "../../../mod/metrics/counters.ts";
import { OffloadTable } from "../../../mod/table/offload.ts";
import { createOffloadMemory, prepareOffload, setOffloadEpoch } from "../../../mod/table/offload_memory.ts";
import * as layout from "../../../mod/table/offload_layout.ts";
import {
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SESSION_STATE_TRANSITORY,
} from "../../../mod/table/session.ts";
import { buildFrame, type Segment, tcp, udp } from "../../packets/builder.ts";
import { FAMILIES, type Family, nodeSpec, PODS, SERVICE_VIP80, UPLINK } from "../../packets/node.ts";
import { type RouteSpec, World } from "../../packets/world.ts";

const SYN = 2, ACK = 16, FIN = 1, RST = 4;
const CLIENT_PORT = 40000;
/** Number of nodeSpec's service for `Node.datagram`. */
const SERVICE_VIP53 = 1;

/** The node with memory that a kernel would repeat from; tests stand in for the kernel. */
class Node {
  readonly memory = createOffloadMemory(64);
  offload!: OffloadTable;
  readonly world: World;

  constructor(readonly family: Family) {
    prepareOffload(this.memory, Uint32Array.of(1, 2, 3, 4));
    setOffloadEpoch(this.memory, 1);
    this.world = new World(nodeSpec(family), (counters) => {
      this.offload = new OffloadTable(
        { memory: this.memory, first: 0, count: 64, firstHop: 0, hopCount: 64 },
        0,
        new FlowCounters(counters),
      );
      return this.offload;
    });
    this.world.processor.now = 1000;
  }

  request(segment: Segment, dst = this.family.vip): void {
    this.world.run(buildFrame({ src: this.family.client, dst }, segment), UPLINK);
  }

  answer(segment: Segment): void {
    this.world.run(buildFrame({ src: this.family.pod, dst: this.family.client }, segment), PODS);
  }

  connect(): void {
    this.segment(SYN);
    this.reply(SYN | ACK);
    this.segment(ACK);
  }

  segment(flags: number): void {
    this.request(tcp({ srcPort: CLIENT_PORT, dstPort: 80, flags }));
  }

  reply(flags: number): void {
    this.answer(tcp({ srcPort: 8080, dstPort: CLIENT_PORT, flags }));
  }

  datagram(): void {
    this.request(udp({ srcPort: CLIENT_PORT, dstPort: 53 }));
  }

  /** As a program does it. */
  carry(flow: number, second: number): void {
    this.memory.flows[flow * layout.FLOW_WORDS + layout.FLOW_PACKETS]++;
    this.offload.setLastSeen(flow, second);
  }

  /** Where the flow leaves in this direction. */
  slot(direction: number): number {
    return this.memory.hops[this.hopAt(direction) + layout.HOP_SLOT];
  }

  /** Word of the row of hops that says it. */
  hopAt(direction: number): number {
    const kind = this.memory.flows[(this.flow + direction * 64) * layout.FLOW_WORDS + layout.FLOW_KIND];
    return (kind >>> layout.KIND_HOP_SHIFT) * layout.HOP_WORDS;
  }

  /** State of the session in the kernel, or of the only one. */
  get state(): number {
    const table = this.family.ip === 4 ? this.world.sessions4 : this.world.sessions6;
    let state = -1;
    table.forEach(this.world.processor.now, (entry) => state = table.state(entry));
    return state;
  }

  route(to: string): RouteSpec {
    return this.world.spec.routes.find(({ prefix }) => prefix.startsWith(to))!;
  }

  get flow(): number {
    for (let flow = 0; flow < this.offload.capacity; flow++) if (this.offload.entryOf(flow) >= 0) return flow;
    return -1;
  }
}

for (const family of FAMILIES) {
  const test = (name: string, run: (node: Node) => void) =>
    Deno.test(`${family.name}: ${name}`, () => run(new Node(family)));

  test("a TCP connection is repeated once the pod has accepted it, and not before", (node) => {
    node.segment(SYN);
    assertEquals(node.offload.used, 0);
    node.reply(SYN | ACK);
    assertEquals(node.offload.used, 1);
    node.segment(ACK);
    assertEquals([node.offload.used, node.offload.begun], [1, 1]);
  });

  test("that the client goes on after the pod's answer may be seen by the kernel alone", (node) => {
    const { processor } = node.world;
    node.segment(SYN);
    node.reply(SYN | ACK);
    processor.followOffload(0, 64);
    assertEquals(node.state, SESSION_STATE_TRANSITORY);
    node.carry(node.flow, 1000);
    processor.followOffload(0, 64);
    assertEquals(node.state, SESSION_STATE_ESTABLISHED);
    processor.now = 1000 + 7440;
    processor.followOffload(0, 64);
    assertEquals(node.offload.used, 1);
    processor.now++;
    processor.followOffload(0, 64);
    assertEquals(node.offload.used, 0);
  });

  test("accepted connections that the client does not go on with take half of the room, and expire as such", (node) => {
    for (let port = 2000; port < 2050; port++) {
      node.request(tcp({ srcPort: port, dstPort: 80, flags: SYN }));
      node.answer(tcp({ srcPort: 8080, dstPort: port, flags: SYN | ACK }));
    }
    assertEquals(node.offload.used, 32);
    node.connect();
    assertEquals(node.offload.used, 33, "an established one finds room");
    node.world.processor.now = 1241;
    node.world.processor.followOffload(0, 64);
    assertEquals(node.offload.used, 1);
  });

  test("a connection that one end has closed stays in the kernel; closed by both it leaves with the next search", (node) => {
    const { processor } = node.world;
    node.segment(SYN);
    node.reply(SYN | ACK);
    node.carry(node.flow, 1000);
    node.segment(FIN | ACK);
    assertEquals(
      [node.offload.used, node.state],
      [1, SESSION_STATE_ESTABLISHED],
      "the FIN was not the first",
    );
    processor.followOffload(0, 64);
    assertEquals(node.offload.used, 1);
    node.reply(FIN | ACK);
    assertEquals([node.offload.used, node.state], [1, SESSION_STATE_CLOSING]);
    processor.followOffload(0, 64);
    assertEquals([node.offload.used, node.offload.begun], [0, 1]);
    node.segment(ACK);
    assertEquals([node.offload.used, node.state], [0, SESSION_STATE_CLOSING], "the last word");
  });

  test("a FIN that the kernel has repeated is seen by the next search", (node) => {
    const { processor } = node.world;
    node.connect();
    const closed = (direction: number) => {
      const at = (node.flow + direction * 64) * layout.FLOW_WORDS + layout.FLOW_CPU;
      node.memory.flows[at] |= layout.CPU_CLOSED;
      processor.followOffload(0, 64);
    };
    closed(1);
    assertEquals([node.offload.used, node.state], [1, SESSION_STATE_ESTABLISHED]);
    closed(0);
    assertEquals([node.offload.used, node.state], [0, SESSION_STATE_CLOSING]);
  });

  test("a port used again finds the old connection closed, though only the kernel has seen the FINs", (node) => {
    node.connect();
    const original = node.flow * layout.FLOW_WORDS + layout.FLOW_CPU;
    for (const at of [original, original + 64 * layout.FLOW_WORDS]) {
      node.memory.flows[at] |= layout.CPU_CLOSED;
    }
    node.segment(SYN);
    assertEquals([node.offload.used, node.state], [0, SESSION_STATE_TRANSITORY], "a new connection");
    node.reply(SYN | ACK);
    assertEquals([node.offload.used, node.offload.begun], [1, 2]);
  });

  test("RST takes a connection back, and one that goes on after a forged RST is repeated again", (node) => {
    node.connect();
    node.segment(RST);
    assertEquals(node.offload.used, 0);
    node.segment(ACK);
    assertEquals(node.offload.used, 1);
  });

  test("a datagram alone is not repeated, a second one makes it so", (node) => {
    node.datagram();
    assertEquals(node.offload.used, 0);
    node.datagram();
    assertEquals(node.offload.used, 1);
  });

  test("what leaves one way alone is repeated that way, and has no slot for the other", (node) => {
    for (let i = 0; i < 5; i++) {
      node.request(udp({ srcPort: CLIENT_PORT, dstPort: 80 }), family.vipUnattached);
    }
    assertEquals([node.offload.used, node.offload.begun], [1, 1]);
    assertEquals([node.slot(0), node.slot(1)], [0, UPLINK]);
  });

  test("what cannot leave at all is not tried at every packet", (node) => {
    node.route(family.client).neighbor = null;
    node.world.publish();
    for (let i = 0; i < 5; i++) {
      node.request(udp({ srcPort: CLIENT_PORT, dstPort: 80 }), family.vipUnattached);
    }
    assertEquals([node.offload.used, node.offload.begun], [0, 0]);
  });

  test("the kernel's packets keep a session alive, and its silence ends it", (node) => {
    node.datagram();
    node.datagram();
    const { processor } = node.world;
    node.carry(node.flow, 1030);
    processor.now = 1060;
    processor.followOffload(0, 64);
    assertEquals(node.offload.used, 1);
    processor.now = 1071;
    processor.followOffload(0, 64);
    assertEquals(node.offload.used, 0);
    const table = family.ip === 4 ? node.world.sessions4 : node.world.sessions6;
    let live = 0;
    table.forEach(1071, () => live++);
    assertEquals(live, 0);
  });

  test("what the kernel carried is counted with the rest, exactly, and ends with the session", (node) => {
    node.connect();
    const { processor, counters } = node.world;
    node.carry(node.flow, 1000);
    processor.followOffload(0, 64);
    node.carry(node.flow, 1000);
    node.segment(RST);
    // SYN began it; ACK and RST came to the worker.
    assertEquals(node.world.serviceCount(SERVICE_VIP80, SERVICE_NEXT_PACKET), 2 + 2);
    assertEquals(counters.pod[POD_PACKETS], 3 + 2);
  });

  test("a removed pod's datagrams come back to the worker, its connections go on", (node) => {
    node.connect();
    node.datagram();
    node.datagram();
    assertEquals(node.offload.used, 2);
    for (const service of node.world.spec.services) for (const pod of service.pods) pod.removed = true;
    node.world.publish();
    node.world.processor.reviseOffload();
    assertEquals(node.offload.used, 1);
    node.answer(udp({ srcPort: 53, dstPort: CLIENT_PORT }));
    assertEquals(
      node.world.serviceCount(SERVICE_VIP53, SERVICE_REPLY_PACKETS),
      1,
      "its last words are passed on",
    );
    assertEquals(node.offload.used, 1, "and do not bring the flow back");
  });

  test("another neighbor, MTU or interface is another flow at once; none open, none", (node) => {
    node.datagram();
    node.datagram();
    const first = node.flow;
    const route = node.route(family.pod);
    node.world.processor.reviseOffload();
    assertEquals(node.flow, first, "nothing has changed");
    route.neighbor = 7;
    node.world.publish();
    node.world.processor.reviseOffload();
    assert(node.flow !== first && node.offload.used === 1);
    const macs = new Uint8Array(node.memory.hops.buffer, 4 * (node.hopAt(0) + layout.HOP_MACS), 12);
    assertEquals([...macs], [2, 0, 0, 1, PODS, 7, 2, 0, 0, 0, PODS, 1]);
    assertEquals([node.slot(0), node.slot(1)], [PODS, UPLINK]);
    route.neighbor = null;
    node.world.publish();
    node.world.processor.reviseOffload();
    assertEquals([node.offload.used, node.slot(0), node.slot(1)], [1, 0, UPLINK]);
    node.route(family.client).neighbor = null;
    node.world.publish();
    node.world.processor.reviseOffload();
    assertEquals(node.offload.used, 0);
  });

  test("switched off, sessions are taken back and none is given", (node) => {
    node.connect();
    setOffloadEpoch(node.memory, 0);
    node.world.processor.withdrawOffload();
    node.datagram();
    node.datagram();
    assertEquals(node.offload.used, 0);
  });
}
