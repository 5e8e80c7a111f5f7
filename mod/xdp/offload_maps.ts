/**
 * The maps of the steering programs by which they repeat sessions: memory that workers write (mod/table/offload.ts), the interfaces
 * that flows leave by, and why packets were left to the rings.
 *
 * References: ffi/bpf/maps.h; kernel/bpf/devmap.c.
 *
 * @module
 */

import type { Mapping } from "../../ffi/memory.ts";
import type { BpfMap } from "./bpf_map.ts";
import type { BpfObject } from "./bpf_object.ts";

/** Sessions there is room for, unless another number is asked for: 2.6 MiB, and 2 MiB of hops. */
export const LEAST_OFFLOAD_SESSIONS = 8192;
// ffi/bpf/maps.h
const FLOW_BYTES = 64;
const ADDRESSES_BYTES = 64;
const NOTE_BYTES = 32;
const BUCKET_BYTES = 32;
const HOP_BYTES = 32;
const HOPS = 65536;
const FLOW_CONF_BYTES = 128;
const LINK_COUNT_BYTES = 32;
/** ku_flow.epoch; that of ku_flow_conf is word 0. ku_flow.hop is the upper half of a word. ku_hop.slot is word 0. */
const FLOW_EPOCH_WORD = 3;
const FLOW_HOP_WORD = 7;

/** Why a packet of a service went to the ring, in the order of maps.h's `enum ku_miss`. */
export const MISS_REASONS = [
  "unknown",
  "unusual",
  "flags",
  "expired",
  "ttl",
  "tooBig",
  "noWay",
  "checksum",
] as const;

/** A reason as JSON and metrics call it. */
export type MissReason = typeof MISS_REASONS[number];

/** Packets that came in by an interface and left by it; bytes are of whole frames. */
export interface LinkCounts {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/** The memory that workers share with the programs, by what mod/table/offload_layout.ts calls its parts. */
export interface OffloadMappings {
  readonly conf: Mapping;
  readonly hops: Mapping;
  readonly index: Mapping;
  readonly flows: Mapping;
  readonly addresses: Mapping;
  readonly notes: Mapping;
}

/** Entries of the maps whose size depends on how many sessions are to be repeated. */
export function offloadEntries(sessions: number): Record<string, number> {
  return {
    ku_flow_index: bucketsFor(sessions),
    ku_flows: 2 * sessions,
    ku_flows6: 2 * sessions,
    ku_flow_notes: 2 * sessions,
  };
}

/** A power of two, at least half as many as sessions: mod/table/offload_layout.ts offloadBucketsFor says the same. */
function bucketsFor(sessions: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(sessions)) - 1);
}

export class OffloadMaps {
  /** Sessions there is room for. */
  sessions: number;
  /** Whether an earlier ku's flows are in the memory. */
  readonly takenOver: boolean;
  /** All zero at first, unless it was taken over. Gone after `unmap`. */
  mappings: OffloadMappings;
  readonly #ways: readonly BpfMap[];
  readonly #misses: BpfMap;
  readonly #linkCounts: BpfMap;

  constructor(object: BpfObject, sessions: number, takenOver: boolean) {
    this.sessions = sessions;
    this.takenOver = takenOver;
    this.mappings = {
      conf: object.map("ku_flow_conf", 4, FLOW_CONF_BYTES).mapValues(1),
      hops: object.map("ku_hops", 4, HOP_BYTES).mapValues(HOPS),
      ...mapSessions(object, sessions),
    };
    this.#ways = ["ku_ways", "ku_ways_tc"].map((name) => object.map(name, 4, 4));
    this.#misses = object.map("ku_flow_misses", 4, 8);
    this.#linkCounts = object.map("ku_link_counts", 4, LINK_COUNT_BYTES);
  }

  /** Goes over to the memory of another object, which shares all but that. Returns what has been used so far, to be unmapped. */
  moveTo(object: BpfObject, sessions: number): Mapping[] {
    const { index, flows, addresses, notes } = this.mappings;
    this.mappings = { ...this.mappings, ...mapSessions(object, sessions) };
    this.sessions = sessions;
    return [index, flows, addresses, notes];
  }

  /** Flows may leave by `slot` from now on. */
  setWay(slot: number, interfaceIndex: number): void {
    for (const map of this.#ways) map.update(word(slot), word(interfaceIndex));
  }

  /** Slots that the flows there are leave by. */
  slots(): Set<number> {
    const epoch = new Int32Array(this.mappings.conf.buffer)[0];
    const flows = new Int32Array(this.mappings.flows.buffer);
    const hops = new Int32Array(this.mappings.hops.buffer);
    const slots = new Set<number>();
    for (let at = 0; at < flows.length; at += FLOW_BYTES / 4) {
      if (epoch === 0 || flows[at + FLOW_EPOCH_WORD] !== epoch) continue;
      slots.add(hops[(flows[at + FLOW_HOP_WORD] >>> 16) * HOP_BYTES / 4]);
    }
    slots.delete(0); // no slot: the worker has that direction
    return slots;
  }

  /** Not any more. */
  clearWay(slot: number): void {
    for (const map of this.#ways) map.delete(word(slot));
  }

  /** Packets of services left to the rings, by reason, all CPUs. */
  misses(): Record<MissReason, number> {
    const counts = MISS_REASONS.map((_, index) => {
      const values = this.#misses.lookupAll(word(index));
      return values.reduce((sum, value) => sum + Number(value), 0);
    });
    return Object.fromEntries(MISS_REASONS.map((reason, i) => [reason, counts[i]])) as Record<
      MissReason,
      number
    >;
  }

  /** What has been repeated of the packets of one interface, all CPUs. */
  linkCounts(slot: number): LinkCounts {
    const values = this.#linkCounts.lookupAll(word(slot));
    const sums = [0, 0, 0, 0];
    values.forEach((value, i) => sums[i % 4] += Number(value));
    const [rxPackets, rxBytes, txPackets, txBytes] = sums;
    return { rxPackets, rxBytes, txPackets, txBytes };
  }

  /** Another interface has the slot from now on. */
  clearLinkCounts(slot: number): void {
    this.#linkCounts.clearAll(word(slot));
  }

  /** Bytes of the shared memory. */
  get bytes(): number {
    return Object.values(this.mappings).reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  unmap(): void {
    for (const mapping of Object.values(this.mappings)) mapping.unmap();
  }
}

/** What there is of each session. */
function mapSessions(object: BpfObject, sessions: number): Omit<OffloadMappings, "conf" | "hops"> {
  return {
    index: object.map("ku_flow_index", 4, BUCKET_BYTES).mapValues(bucketsFor(sessions)),
    flows: object.map("ku_flows", 4, FLOW_BYTES).mapValues(2 * sessions),
    addresses: object.map("ku_flows6", 4, ADDRESSES_BYTES).mapValues(2 * sessions),
    notes: object.map("ku_flow_notes", 4, NOTE_BYTES).mapValues(2 * sessions),
  };
}

function word(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
