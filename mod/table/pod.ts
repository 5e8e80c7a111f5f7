/**
 * Pods: address and state of every pod id. One row for each pod of each service: a pod that serves two VIPs has two ids.
 *
 * Rule: written by the control plane before the generation is published, then only read. An id is not given again while a session
 * may still name it.
 */

export const POD_FLAGS = 0; // POD_ACTIVE | POD_DRAINING | POD_REMOVED; 0 = no such pod
export const POD_SERVICE = 1; // service id
export const POD_ADDRESS = 2; // 4 words, IPv4 as ::ffff:a.b.c.d
export const POD_ADDRESS4 = 5; // the last of them: the IPv4 address as int32
export const POD_STRIDE = 8;

export const POD_ACTIVE = 1;
export const POD_DRAINING = 2; // weight 0: sessions go on, no new flows
export const POD_REMOVED = 4; // deleted: TCP sessions go on, others are picked anew

export class PodTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly capacity: number;

  static bytesFor(count: number): number {
    return 4 * POD_STRIDE * count;
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.capacity = (this.words.length / POD_STRIDE) | 0;
  }

  flags(pod: number): number {
    return this.words[pod * POD_STRIDE + POD_FLAGS];
  }

  service(pod: number): number {
    return this.words[pod * POD_STRIDE + POD_SERVICE];
  }

  /** IPv4 address as int32. */
  address4(pod: number): number {
    return this.words[pod * POD_STRIDE + POD_ADDRESS4];
  }

  /** Word `index` (0…3) of the address as int32. */
  addressWord(pod: number, index: number): number {
    return this.words[pod * POD_STRIDE + POD_ADDRESS + index];
  }

  /** `address`: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  set(pod: number, flags: number, service: number, address: Uint8Array): void {
    const at = pod * POD_STRIDE;
    this.words[at + POD_FLAGS] = flags;
    this.words[at + POD_SERVICE] = service;
    // By hand: a DataView would take the array's bytes out of V8's heap, ten times the work of the row.
    for (let i = 0; i < 16; i += 4) {
      this.words[at + POD_ADDRESS + i / 4] = (address[i] << 24) | (address[i + 1] << 16) |
        (address[i + 2] << 8) |
        address[i + 3];
    }
  }

  setFlags(pod: number, flags: number): void {
    this.words[pod * POD_STRIDE + POD_FLAGS] = flags;
  }

  clear(pod: number): void {
    this.words.fill(0, pod * POD_STRIDE, (pod + 1) * POD_STRIDE);
  }
}
