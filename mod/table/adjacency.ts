/**
 * Adjacencies: how a packet leaves. One row for each pair of egress interface and next hop: slot, MACs, MTU.
 *
 * Rule: written by the control plane, then only read by workers. An adjacency whose interface is not attached (slot -1) or whose
 * neighbor is not resolved means: punt.
 */

export const ADJ_SLOT = 0; // egress slot, -1 = not an attached interface
export const ADJ_OUT = 1; // the slot again if the neighbor is resolved: packets can leave; else -1
export const ADJ_MACS = 2; // 3 words: destination and source MAC as they stand in a frame, big-endian
export const ADJ_MTU = 5; // bytes of IP packet
export const ADJ_STRIDE = 8;

export class AdjacencyTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly capacity: number;

  static bytesFor(count: number): number {
    return 4 * ADJ_STRIDE * count;
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.capacity = (this.words.length / ADJ_STRIDE) | 0;
  }

  /** One column (ADJ_…) of an adjacency. */
  get(adjacency: number, column: number): number {
    return this.words[adjacency * ADJ_STRIDE + column];
  }

  /** `dstMac`: the neighbor's 6 bytes, null = not resolved; `srcMac`: the egress interface's. */
  set(
    adjacency: number,
    slot: number,
    dstMac: Uint8Array | null,
    srcMac: Uint8Array,
    mtuBytes: number,
  ): void {
    const at = adjacency * ADJ_STRIDE;
    const srcHigh = macHighOf(srcMac);
    this.words[at + ADJ_SLOT] = slot;
    this.words[at + ADJ_OUT] = dstMac === null ? -1 : slot;
    this.words[at + ADJ_MACS] = dstMac === null ? 0 : macHighOf(dstMac);
    this.words[at + ADJ_MACS + 1] = ((dstMac === null ? 0 : macLowOf(dstMac)) << 16) | (srcHigh >>> 16);
    this.words[at + ADJ_MACS + 2] = (srcHigh << 16) | macLowOf(srcMac);
    this.words[at + ADJ_MTU] = mtuBytes;
  }
}

/** First four bytes of a MAC as int32: the form of the tables and of mod/wire. */
export function macHighOf(mac: Uint8Array): number {
  return (mac[0] << 24) | (mac[1] << 16) | (mac[2] << 8) | mac[3];
}

/** Last two bytes of a MAC as u16. */
export function macLowOf(mac: Uint8Array): number {
  return (mac[4] << 8) | mac[5];
}
