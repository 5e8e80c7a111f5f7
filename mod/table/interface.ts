/**
 * Interfaces by slot: what the datapath must know about where a packet came from and where it goes.
 *
 * Rule: written by the control plane before the generation is published, then only read. Slot 0 is the pair ku0/ku1.
 */

import { macHighOf, macLowOf } from "./adjacency.ts";

export const IF_FLAGS = 0; // IF_NAT4_IN | IF_NAT6_IN | IF_PRESENT | IF_XDP_OUT
export const IF_MTU = 1; // bytes of IP packet
export const IF_MAC_HIGH = 2; // first four bytes, int32
export const IF_MAC_LOW = 3; // last two bytes, u16
export const IF_IP4 = 4; // primary address, int32; 0 = none
export const IF_IFINDEX = 5;
export const IF_IP6 = 8; // primary global address, 4 words; all 0 = none
export const IF_STRIDE = 16;

export const IF_NAT4_IN = 1;
export const IF_NAT6_IN = 2;
export const IF_PRESENT = 4;
/** Takes frames that an XDP program redirects to it. */
export const IF_XDP_OUT = 8;

/** One interface. */
export interface InterfaceRow {
  flags: number;
  mtuBytes: number;
  /** 6 bytes. */
  mac: Uint8Array;
  /** 4 bytes, or null. */
  ip4: Uint8Array | null;
  /** 16 bytes, or null. */
  ip6: Uint8Array | null;
  ifindex: number;
}

export class InterfaceTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly capacity: number;

  static bytesFor(count: number): number {
    return 4 * IF_STRIDE * count;
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.capacity = (this.words.length / IF_STRIDE) | 0;
  }

  /** One column (IF_…) of an interface. */
  get(slot: number, column: number): number {
    return this.words[slot * IF_STRIDE + column];
  }

  /** Flags of a slot; 0 for slots beyond the table. */
  flags(slot: number): number {
    return slot < this.capacity ? this.words[slot * IF_STRIDE + IF_FLAGS] : 0;
  }

  set(slot: number, row: InterfaceRow): void {
    const at = slot * IF_STRIDE;
    const words = this.words;
    words[at + IF_MTU] = row.mtuBytes;
    words[at + IF_MAC_HIGH] = macHighOf(row.mac);
    words[at + IF_MAC_LOW] = macLowOf(row.mac);
    words[at + IF_IP4] = row.ip4 === null ? 0 : macHighOf(row.ip4);
    words[at + IF_IFINDEX] = row.ifindex;
    for (let i = 0; i < 4; i++) {
      words[at + IF_IP6 + i] = row.ip6 === null ? 0 : macHighOf(row.ip6.subarray(4 * i));
    }
    words[at + IF_FLAGS] = row.flags;
  }

  clear(slot: number): void {
    this.words.fill(0, slot * IF_STRIDE, (slot + 1) * IF_STRIDE);
  }
}
