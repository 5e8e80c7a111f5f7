/*
 * The node of offload_verdicts.ts, whose sessions the steering programs know, and packets of these sessions, plain and odd.
 */

import { assert } from "@std/assert";
import { VERDICT_TX } from "../../mod/datapath/processor.ts";
import { FlowCounters } from "../../mod/datapath/offload.ts";
import { IF_XDP_OUT } from "../../mod/table/interface.ts";
import { OffloadTable } from "../../mod/table/offload.ts";
import { type OffloadMemory, offloadSessionsOf } from "../../mod/table/offload_memory.ts";
import * as layout from "../../mod/table/offload_layout.ts";
import { SESSION_OFFLOAD } from "../../mod/table/session.ts";
import { nowSeconds } from "../../mod/worker/clock.ts";
import {
  buildFrame,
  type Checksum,
  destinationOptions,
  type IpFields,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../packets/builder.ts";
import { type Family, nodeSpec, PODS, UPLINK } from "../packets/node.ts";
import type { Random } from "../packets/random.ts";
import { addressWords, World } from "../packets/world.ts";

const TCP = 6, UDP = 17, SCTP = 132;
const SYN = 2, ACK = 16, MOVING = 7;

/** One direction of a session: how its packets come. */
interface Side {
  slot: number;
  src: string;
  dst: string;
  srcPort: number;
  dstPort: number;
}

interface Flow {
  protocol: number;
  client: Side;
  pod: Side;
}

export interface Packet {
  frame: Uint8Array;
  slot: number;
  /** Nothing about it stands against its being repeated. */
  plain: boolean;
  flow: Flow;
}

/** What flows told that they have carried. */
class ToldCounters extends FlowCounters {
  packets = 0;
  bytes = 0;

  override countFlow(service: number, pod: number, direction: number, packets: number, bytes: number): void {
    this.packets += packets;
    this.bytes += bytes;
    super.countFlow(service, pod, direction, packets, bytes);
  }
}

/** A node whose sessions the programs know. */
export class RepeatingNode {
  readonly world: World;
  readonly flows: Flow[] = [];
  offload!: OffloadTable;
  told!: ToldCounters;

  constructor(
    readonly family: Family,
    readonly memory: OffloadMemory,
    readonly first: number,
    xdpSlots: readonly number[],
  ) {
    const spec = nodeSpec(family);
    spec.buckets = 256;
    for (const row of spec.interfaces) {
      if (xdpSlots.includes(row.slot)) row.flags = (row.flags ?? 0) | IF_XDP_OUT;
    }
    this.world = new World(spec, (counters) => {
      this.told = new ToldCounters(counters);
      this.offload = new OffloadTable(
        { memory, first, count: 1024, firstHop: first, hopCount: 1024 },
        0,
        this.told,
      );
      return this.offload;
    });
    this.world.processor.now = nowSeconds();
  }

  /** Sessions of every kind, each told to the kernel if it can be. */
  begin(random: Random): void {
    const f = this.family;
    for (let i = 0; i < 60; i++) {
      const protocol = [TCP, UDP, SCTP][i % 3];
      const [dst, dstPort] = random.pick(
        [
          [f.vip, 80],
          [f.vip, 53],
          [f.vipAll, 1 + random.below(65535)],
          [f.vipMasquerade, 80],
          [f.inPrefix, 1 + random.below(65535)],
        ] as const,
      );
      const hairpin = random.below(6) === 0;
      const src = hairpin ? f.pod : f.client;
      const client = {
        slot: hairpin ? PODS : UPLINK,
        src,
        dst,
        srcPort: 1024 + random.below(60000),
        dstPort,
      };
      const first = this.send(client, segmentOf(protocol, client, { flags: SYN }));
      assert(first !== null, "sent on");
      const pod = { ...answering(f, first), slot: PODS };
      this.send(pod, segmentOf(protocol, pod, { flags: SYN | ACK }));
      this.send(client, segmentOf(protocol, client, { flags: ACK }));
      this.flows.push({ protocol, client, pod });
    }
  }

  /** Whether the kernel has the flow's session now. */
  isRepeated(flow: Flow): boolean {
    return this.#numberOf(flow) > 0;
  }

  /** Words of `memory.flows` that say by which hop a repeated flow's client's and pod's packets leave. */
  hopWords(flow: Flow): [original: number, reply: number] {
    const number = this.first + this.#numberOf(flow) - 1;
    return [number, number + offloadSessionsOf(this.memory)].map((each) =>
      each * layout.FLOW_WORDS + layout.FLOW_KIND
    ) as [number, number];
  }

  /** SESSION_OFFLOAD; 0: it has no session. */
  #numberOf({ protocol, client }: Flow): number {
    const { world } = this;
    const table = this.family.ip === 4 ? world.sessions4 : world.sessions6;
    table.key.set([
      ...addressWords(client.src),
      ...addressWords(client.dst),
      client.srcPort << 16 | client.dstPort,
    ]);
    const entry = table.findOriginal(protocol, world.processor.now);
    return entry >= 0 ? table.words[entry + SESSION_OFFLOAD] : 0;
  }

  /** What the datapath makes of the frame; null unless it is sent on. */
  run(frame: Uint8Array, slot: number): Uint8Array | null {
    return this.world.run(frame, slot) === VERDICT_TX ? this.world.result() : null;
  }

  /** The same as if no link had a limit. */
  runUncut(frame: Uint8Array, slot: number): Uint8Array | null {
    const { routes } = this.world.spec;
    const limits = routes.map(({ mtu }) => mtu);
    routes.forEach((route) => route.mtu = 9000);
    this.world.publish();
    const result = this.run(frame, slot);
    routes.forEach((route, i) => route.mtu = limits[i]);
    this.world.publish();
    return result;
  }

  send(side: Side, segment: Segment): Uint8Array | null {
    return this.run(buildFrame({ src: side.src, dst: side.dst }, segment), side.slot);
  }
}

export function segmentOf(
  protocol: number,
  { srcPort, dstPort }: Pick<Side, "srcPort" | "dstPort">,
  { flags = ACK, payload = new Uint8Array(9) as Uint8Array, checksum = "right" as Checksum } = {},
): Segment {
  if (protocol === TCP) return tcp({ srcPort, dstPort, flags, payload, checksum });
  if (protocol === UDP) return udp({ srcPort, dstPort, payload, checksum });
  return sctp({ srcPort, dstPort, checksum: checksum === "none" ? "half" : checksum });
}

/** The tuple that answers the frame's. */
function answering(f: Family, frame: Uint8Array): Omit<Side, "slot"> {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const [at, bytes, l4] = f.ip === 4 ? [26, 4, 34] : [22, 16, 54];
  const address = (from: number) => {
    if (bytes === 4) return frame.slice(from, from + 4).join(".");
    return Array.from({ length: 8 }, (_, i) => view.getUint16(from + 2 * i).toString(16)).join(":");
  };
  return {
    src: address(at + bytes),
    dst: address(at),
    srcPort: view.getUint16(l4 + 2),
    dstPort: view.getUint16(l4),
  };
}

export function randomPacket(random: Random, node: RepeatingNode): Packet {
  const flow = random.pick(node.flows);
  const { protocol, client, pod } = flow;
  const side = random.below(2) === 0 ? client : pod;
  const ipFields: IpFields = {
    src: side.src,
    dst: side.dst,
    id: random.below(65536),
    tos: random.below(256),
  };
  const oddity = random.below(14);
  if (oddity === 0) ipFields.ttl = random.below(3);
  else ipFields.ttl = 2 + random.below(254);
  if (oddity === 1) ipFields.headerChecksum = "wrong";
  if (oddity === 2 && node.family.ip === 4) ipFields.options = random.bytes(1 + random.below(40));
  if (oddity === 2 && node.family.ip === 6) ipFields.extensions = [destinationOptions(8)];
  if (oddity === 3) ipFields.moreFragments = true;
  ipFields.dontFragment = random.below(2) === 0;
  const checksum: Checksum = random.pick(["right", "right", "right", "wrong", "half", "none"]);
  const flags = oddity === 4 ? random.below(256) : random.pick([ACK, ACK | 8, ACK | 0x20, ACK | 0xc0, 0]);
  const payload = random.bytes(
    oddity === 5 ? 1400 + random.below(100) : random.below(random.pick([4, 64, 1200])),
  );
  const vlan = oddity === 6 ? { vlan: random.below(4096) } : {};
  const frame = buildFrame(ipFields, segmentOf(protocol, side, { flags, payload, checksum }), vlan);
  // One in 65,536 finished checksums looks half done, and is left to the worker like those.
  const halfDone = buildFrame(
    ipFields,
    segmentOf(protocol, side, { flags, payload, checksum: "half" }),
    vlan,
  );
  const looksHalfDone = halfDone.every((byte, i) => byte === frame[i]);
  const sound = oddity === 1 || oddity > 6 || (oddity === 4 && (flags & MOVING) === 0);
  const whole = oddity !== 5 || frame.length - 14 <= 1500;
  const plain = (sound || oddity === 5) && whole && !looksHalfDone &&
    !(checksum === "none" && protocol !== UDP);
  return { frame, slot: side.slot, plain, flow };
}

/** Cut, lengthened, or with some bytes changed. */
export function spoilt(random: Random, frame: Uint8Array): Uint8Array {
  const out = frame.slice(0, random.below(3) === 0 ? 34 + random.below(frame.length - 33) : frame.length);
  for (let changes = random.below(3); changes > 0; changes--) {
    out[6 + random.below(Math.min(out.length, 80) - 6)] ^= 1 << random.below(8);
  }
  const longer = new Uint8Array(out.length + (random.below(3) === 0 ? random.below(40) : 0));
  longer.set(out);
  return longer;
}
