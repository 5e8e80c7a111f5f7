/**
 * What the datapath benches work on: a node with services, flows that it knows, and their packets in bursts.
 *
 * Packets come in bursts of 64, as a worker takes them from a ring, eight bursts to a run, each packet in a frame of its own. Frames are
 * filled before and not timed: as after a NIC or the kernel wrote them, they are in a cache, and not rewritten. The flow of each packet is
 * drawn at random. Frames lie an odd number of cache lines apart, so that 512 of them have room in the cache as the 64 of a real burst do
 * (a power of two apart they would all claim the same few sets).
 */

import { PRESENT_LINE_MEMORY } from "../../ffi/memory.ts";
import { burst as theBurst } from "../../mod/datapath/burst.ts";
import { VERDICT_TX } from "../../mod/datapath/processor.ts";
import { IF_NAT4_IN, IF_NAT6_IN } from "../../mod/table/interface.ts";
import { SERVICE_NAT46, SERVICE_NAT64 } from "../../mod/table/service.ts";
import { SESSION_STATE_ESTABLISHED } from "../../mod/table/session.ts";
import {
  checksumApply,
  checksumUpdate32,
  differenceSum16,
  differenceSum32,
} from "../../mod/wire/checksum.ts";
import { buildFrame, pattern, tcp, udp } from "../../tests/packets/builder.ts";
import { Random } from "../../tests/packets/random.ts";
import { FRAME_BYTES, HEADROOM, type ServiceSpec, World } from "../../tests/packets/world.ts";

const { ats, lengths, slots } = theBurst;
export const BURST = 64;
export const BATCH = 8 * BURST;
export const UPLINK = 1;
export const PODS = 2;
/** From one frame to the next: 29 lines. */
const STEP = 29 * 64;

export type Mode = "nat44" | "nat66" | "nat46" | "nat64";

export interface Shape {
  mode: Mode;
  protocol: "udp" | "tcp";
  /** Of a frame without its checksum sequence, which nobody but the NIC sees: 60 is what is called a 64-byte packet. */
  frameBytes: number;
  flows: number;
  services: number;
  /** From the pod to the client. */
  reply?: boolean;
  halfDone?: boolean;
}

const is6 = (mode: Mode) => mode === "nat66" || mode === "nat64";

function vipOf({ mode }: Shape, service: number): string {
  return is6(mode) ? `2001:db8:96::${service.toString(16)}` : `10.96.${service >> 8}.${service & 255}`;
}

function podOf({ mode }: Shape, pod: number): string {
  const four = mode === "nat44" || mode === "nat64";
  return four ? `10.244.${pod >> 8}.${pod & 255}` : `2001:db8:244::${pod.toString(16)}`;
}

/** A node with the shape's services, four pods each; it has room for four times the flows. */
export function worldOf(shape: Shape): World {
  const services: ServiceSpec[] = [];
  const type = { nat44: undefined, nat66: undefined, nat46: SERVICE_NAT46, nat64: SERVICE_NAT64 }[shape.mode];
  const protocol = shape.protocol === "udp" ? 17 : 6;
  for (let i = 0; i < shape.services; i++) {
    const pods = [1, 2, 3, 4].map((n) => ({ address: podOf(shape, 4 * i + n) }));
    services.push({ vip: vipOf(shape, i + 1), protocol, port: 80, targetPort: 8080, type, pods });
  }
  return new World({
    interfaces: [
      { slot: UPLINK, ip4: "192.0.2.1", ip6: "2001:db8:2::1" },
      { slot: PODS, flags: IF_NAT4_IN | IF_NAT6_IN, ip4: "10.243.0.1", ip6: "2001:db8:243::1" },
    ],
    routes: [
      { prefix: "10.244.0.0/16", slot: PODS },
      { prefix: "0.0.0.0/0", slot: UPLINK },
      { prefix: "2001:db8:244::/48", slot: PODS },
      { prefix: "::/0", slot: UPLINK },
    ],
    services,
    buckets: 1 << Math.max(10, Math.ceil(Math.log2(shape.flows))),
    frames: Math.ceil((BATCH + 1) * STEP / FRAME_BYTES),
    memory: PRESENT_LINE_MEMORY,
  });
}

/** A known node, its flows and a batch of their packets. */
export class Traffic {
  readonly world: World;
  readonly slot: number;
  /** Of the packets of the batch. */
  frameBytes: number;
  readonly #shape: Shape;
  readonly #random = new Random(7);
  readonly #stored: Uint8Array;
  readonly #stride: number;
  #next = 0;

  /** `known`: the flows have sessions. Otherwise every packet of a batch begins one, and all are forgotten when the flows are through. */
  constructor(shape: Shape, known = true) {
    this.#shape = shape;
    this.world = worldOf(shape);
    this.slot = shape.reply ? PODS : UPLINK;
    this.frameBytes = shape.frameBytes;
    this.#stride = (shape.frameBytes + 20 + 63) & ~63; // a reply may be longer by the difference of the IP headers
    this.#stored = new Uint8Array(shape.flows * this.#stride);
    this.#build();
    if (known) this.#start();
  }

  /** Fills the frames of the batch with packets of random flows. */
  fill(): void {
    this.#fillWith(() => this.#random.below(this.#shape.flows));
  }

  /** Fills them with flows in their order. */
  fillInOrder(): void {
    if (this.#next + BATCH > this.#shape.flows) {
      this.world.sessions4.clear();
      this.#next = 0;
    }
    this.#fillWith(() => this.#next++);
  }

  #fillWith(next: () => number): void {
    const { memory } = this.world;
    for (let i = 0; i < BATCH; i++) {
      const from = next() * this.#stride;
      memory.set(this.#stored.subarray(from, from + this.frameBytes), i * STEP + HEADROOM);
    }
  }

  /** Fills the burst's arrays for burst number `burst` of the batch. */
  receive(burst: number): void {
    for (let i = 0; i < BURST; i++) {
      ats[i] = (burst * BURST + i) * STEP + HEADROOM;
      lengths[i] = this.frameBytes;
      slots[i] = this.slot;
    }
  }

  /** Processes the batch in TypeScript; returns how many packets were sent. */
  run(): number {
    const { processor } = this.world;
    let sent = 0;
    for (let burst = 0; burst < BATCH / BURST; burst++) {
      this.receive(burst);
      processor.lookAhead(BURST);
      for (let i = 0; i < BURST;) {
        const known = processor.forward(i, BURST);
        sent += known - i;
        i = known;
        if (i === BURST) break;
        const at = ats[i++];
        if (processor.decide(at, this.frameBytes, this.slot, at + STEP - HEADROOM) === VERDICT_TX) sent++;
      }
    }
    return sent;
  }

  /** The frames of the batch as they lie. */
  get frames(): Uint8Array {
    return this.world.memory.subarray(0, BATCH * STEP);
  }

  #build(): void {
    const shape = this.#shape;
    const view = new DataView(this.#stored.buffer);
    const payload = pattern(
      shape.frameBytes - 14 - (is6(shape.mode) ? 40 : 20) - (shape.protocol === "tcp" ? 20 : 8),
    );
    const build = shape.protocol === "tcp" ? tcp : udp;
    const client = is6(shape.mode) ? "2001:db8:c::1" : "198.18.0.1";
    const checksum = shape.halfDone ? "half" : "right";
    const templates = Array.from({ length: Math.min(shape.services, shape.flows) }, (_, i) => {
      const segment = build({ srcPort: 1024, dstPort: 80, payload, checksum });
      return buildFrame({ src: client, dst: vipOf(shape, i + 1) }, segment);
    });
    for (let i = 0; i < shape.flows; i++) {
      this.#stored.set(templates[i % templates.length], i * this.#stride);
      this.#setClient(
        view,
        i * this.#stride,
        this.#random.int32() & 0x1ffff,
        1024 + this.#random.below(60_000),
      );
    }
  }

  /** Another client's address and port in the frame at `at`, its checksums kept right. */
  #setClient(view: DataView, at: number, low: number, port: number): void {
    const { mode, protocol, halfDone } = this.#shape;
    const sourceAt = at + (is6(mode) ? 34 : 26);
    const l4 = at + (is6(mode) ? 54 : 34);
    const checksumAt = l4 + (protocol === "udp" ? 6 : 16);
    const before = view.getInt32(sourceAt);
    const after = (before & ~0x1ffff) | low;
    if (!is6(mode)) view.setUint16(at + 24, checksumUpdate32(view.getUint16(at + 24), before, after));
    const field = view.getUint16(checksumAt);
    let difference = differenceSum32(before, after);
    if (halfDone) { // the sum itself stands there, and knows no ports
      view.setUint16(checksumAt, ~checksumApply(~field & 0xffff, difference) & 0xffff);
    } else {
      difference += differenceSum16(view.getUint16(l4), port);
      view.setUint16(checksumAt, checksumApply(field, difference) || (protocol === "udp" ? 0xffff : 0));
    }
    view.setInt32(sourceAt, after);
    view.setUint16(l4, port);
  }

  /**
   * Makes every flow known by its first packet; and, for replies, puts the pod's answer in its place. Of those (less than one in a hundred)
   * whose bucket is full, another flow is taken again: they are no part of the known path.
   */
  #start(): void {
    const { world } = this;
    const sessions = this.#shape.mode === "nat44" ? world.sessions4 : world.sessions6;
    const shape = this.#shape;
    let length = shape.frameBytes;
    for (let i = 0; i < shape.flows; i++) {
      const at = i * this.#stride;
      const used = sessions.used();
      if (world.run(this.#stored.subarray(at, at + shape.frameBytes), UPLINK) !== VERDICT_TX) {
        throw new Error(`flow ${i} of ${JSON.stringify(shape)} was not sent`);
      }
      if (sessions.used() === used) {
        this.#stored.copyWithin(at, 0, this.#stride);
        continue;
      }
      if (!shape.reply) continue;
      const result = world.result();
      length = result.length;
      this.#stored.set(turned(result), at);
    }
    if (sessions.used() < 0.95 * shape.flows) {
      throw new Error(`${sessions.used()} sessions for ${JSON.stringify(shape)}`);
    }
    this.frameBytes = length;
    if (shape.protocol === "udp") return;
    for (const table of [world.sessions4, world.sessions6]) {
      table.forEach(world.processor.now, (entry) => table.setState(entry, SESSION_STATE_ESTABLISHED));
    }
  }
}

/** A frame with addresses and ports turned round, which leaves its checksums right. */
function turned(frame: Uint8Array): Uint8Array {
  const six = frame[12] === 0x86;
  const [source, bytes, l4] = six ? [22, 16, 54] : [26, 4, 34];
  const out = frame.slice();
  out.set(frame.subarray(source, source + bytes), source + bytes);
  out.set(frame.subarray(source + bytes, source + 2 * bytes), source);
  out.set(frame.subarray(l4, l4 + 2), l4 + 2);
  out.set(frame.subarray(l4 + 2, l4 + 4), l4);
  return out;
}
