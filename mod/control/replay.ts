/**
 * The datapath over the packets of a capture file: no kernel, no root, and the same result every time.
 *
 * The node it plays has one way in, on which clients and pods alike may be (so packets of pods are answers), one way out, and default routes
 * by it. Time is that of the packets. Hash keys are fixed; which pod serves a flow is as on any node with the same services.
 *
 * @module
 */

import { parseAddress } from "../config/address.ts";
import type { ConfigState } from "../config/state.ts";
import {
  HEADROOM_BYTES,
  Processor,
  type Tables,
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PIECES,
  VERDICT_TX,
} from "../datapath/processor.ts";
import { Counters, NODE_COUNTERS } from "../metrics/counters.ts";
import { AdjacencyTable } from "../table/adjacency.ts";
import { FRAGMENT_PLACES, FragmentTable } from "../table/fragment.ts";
import { IF_NAT4_IN, IF_NAT6_IN, IF_PRESENT, InterfaceTable } from "../table/interface.ts";
import { OverflowTable } from "../table/overflow.ts";
import { RouteTable } from "../table/route.ts";
import { SessionTable } from "../table/session.ts";
import { HELD_FRAMES, HOLD_MS } from "../worker/held_frames.ts";
import { viewTables } from "../worker/tables.ts";
import type { CapturedPacket } from "./pcap.ts";
import { type Retired, ServiceTables } from "./service_tables.ts";
import { writeTimeouts } from "./session_memory.ts";
import { settingsOf } from "./settings.ts";

const FRAME_BYTES = 1 << 17;
const AT = 4096;
const MAX_PACKET_BYTES = 65_535 + 18;
const SLOT_IN = 1;
const SLOT_OUT = 2;
const OVERFLOW_PLACES = 1024;
const SEED = Uint32Array.of(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
const MTU_BYTES = 1500;
const OUT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const NEIGHBOR_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
// Of documentation's ranges: RFC 5737, RFC 3849.
const NODE_IP4 = "192.0.2.1";
const NODE_IP6 = "2001:db8::1";

/** What became of a packet. A packet may leave as several. */
export interface Replayed {
  verdict: "sent" | "kernel" | "dropped";
  packet: CapturedPacket;
  /** As it leaves; null: dropped. */
  bytes: Uint8Array | null;
  /** "node: reason" of everything it was counted under. */
  reasons: string[];
}

interface Held {
  packet: CapturedPacket;
  tag: number;
}

export class Replay {
  readonly counters: Counters;
  readonly #frames = new Uint8Array(2 * FRAME_BYTES);
  readonly #processor: Processor;
  readonly #take: (replayed: Replayed) => void;
  #held: Held[] = [];
  #firstFragments = 0;
  #startUs: number | null = null;

  /** `take` is given every packet when it has been decided about. */
  constructor(state: ConfigState, take: (replayed: Replayed) => void) {
    const services = new ServiceTables();
    const retired: Retired = { services: [], pieces: [] };
    services.sync(state.vips, retired);
    const tables = tablesOf(state, services);
    this.counters = Counters.create(tables.services.capacity, tables.pods.capacity);
    const sessions = (width: 1 | 4) => {
      const table = SessionTable.create(state.conf.buckets, width, SEED);
      writeTimeouts(table, state.conf);
      return table;
    };
    this.#processor = new Processor({
      frames: this.#frames,
      counters: this.counters,
      sessions4: sessions(1),
      sessions6: sessions(4),
      overflow4: OverflowTable.create(OVERFLOW_PLACES, 1, SEED),
      overflow6: OverflowTable.create(OVERFLOW_PLACES, 4, SEED),
      fragments: new FragmentTable(FRAGMENT_PLACES, SEED),
    });
    this.#processor.setTables(tables);
    this.#take = take;
  }

  /** The next packet. */
  add(packet: CapturedPacket): void {
    this.#startUs ??= packet.timeUs;
    this.#processor.now = 1 + Math.max(0, Math.floor((packet.timeUs - this.#startUs) / 1e6));
    this.#release(packet.timeUs);
    this.#processor.holdRoom = HELD_FRAMES - this.#held.length;
    this.#process(packet);
  }

  /** What still waits for a first fragment goes to the kernel. */
  end(): void {
    this.#release(Infinity);
  }

  /** Counts other than 0. */
  get counted(): { count: number; node: string; reason: string }[] {
    return NODE_COUNTERS.map(({ node, reason }, index) => ({
      count: this.counters.node[index],
      node,
      reason,
    }))
      .filter(({ count }) => count > 0);
  }

  #process(packet: CapturedPacket): void {
    const processor = this.#processor;
    const before = this.counters.node.slice();
    const bytes = packet.bytes.subarray(0, MAX_PACKET_BYTES);
    this.#frames.set(bytes, AT);
    const verdict = processor.process(AT, bytes.length, SLOT_IN, FRAME_BYTES);
    if (verdict === VERDICT_HOLD) {
      this.#held.push({ packet, tag: processor.fragmentTag });
      return;
    }
    const reasons = NODE_COUNTERS.flatMap(({ node, reason }, index) =>
      this.counters.node[index] === before[index] ? [] : [`${node}: ${reason}`]
    );
    if (verdict === VERDICT_PIECES) this.#takePieces(packet, reasons);
    else this.#settle(packet, verdict, reasons);
    if (processor.firstFragments !== this.#firstFragments) this.#releaseBehind();
  }

  #takePieces(packet: CapturedPacket, reasons: string[]): void {
    for (let left = this.#processor.piecesLeft; left > 0; left--) {
      const verdict = this.#processor.nextPiece(left === 1 ? HEADROOM_BYTES : FRAME_BYTES + HEADROOM_BYTES);
      this.#settle(packet, verdict, reasons);
    }
  }

  #settle(packet: CapturedPacket, verdict: number, reasons: string[]): void {
    const { outAt, outLength } = this.#processor;
    const bytes = verdict === VERDICT_DROP ? null : this.#frames.slice(outAt, outAt + outLength);
    const word = verdict === VERDICT_TX ? "sent" : bytes === null ? "dropped" : "kernel";
    this.#take({ verdict: word, packet, bytes, reasons });
  }

  /** Fragments that waited for the first one that has just been processed. */
  #releaseBehind(): void {
    const tag = this.#processor.fragmentTag;
    this.#firstFragments = this.#processor.firstFragments;
    const waiting = this.#held.filter((held) => held.tag === tag);
    this.#held = this.#held.filter((held) => held.tag !== tag);
    for (const { packet } of waiting) this.#process(packet);
  }

  /** Those that have waited long enough at `timeUs`. */
  #release(timeUs: number): void {
    const over = this.#held.filter(({ packet }) => timeUs - packet.timeUs >= HOLD_MS * 1000);
    this.#held = this.#held.filter(({ packet }) => timeUs - packet.timeUs < HOLD_MS * 1000);
    this.#processor.holdRoom = 0;
    for (const { packet } of over) this.#process(packet);
  }
}

/** The tables of the node that is played. */
function tablesOf(state: ConfigState, services: ServiceTables): Tables {
  const adjacencies = new AdjacencyTable(new SharedArrayBuffer(AdjacencyTable.bytesFor(1)));
  adjacencies.set(0, SLOT_OUT, NEIGHBOR_MAC, OUT_MAC, MTU_BYTES);
  const interfaces = new InterfaceTable(new SharedArrayBuffer(InterfaceTable.bytesFor(SLOT_OUT + 1)));
  for (const slot of [SLOT_IN, SLOT_OUT]) {
    interfaces.set(slot, {
      flags: IF_PRESENT | IF_NAT4_IN | IF_NAT6_IN,
      mtuBytes: MTU_BYTES,
      mac: OUT_MAC,
      ip4: parseAddress(NODE_IP4)!.bytes.subarray(12),
      ip6: parseAddress(NODE_IP6)!.bytes,
      ifindex: slot,
    });
  }
  const everything = (bytes: number) => [{ address: new Uint8Array(bytes), prefixLength: 0, adjacency: 0 }];
  return viewTables({
    generation: 1,
    ...services.publish(),
    routes: RouteTable.build(everything(4), everything(16)).buffer,
    adjacencies: adjacencies.buffer,
    interfaces: interfaces.buffer,
    settings: settingsOf(state.conf),
  });
}
