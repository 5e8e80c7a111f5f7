/**
 * Services: what the datapath must know about a VIP once it matched. A row of int32 words for each service id.
 *
 * Rule: written by the control plane before the generation is published, then only read. Numbers in the arena of Maglev slots are
 * word offsets and masks, so that picking is one masked read.
 */

export const SERVICE_FLAGS = 0; // SERVICE_IN_USE | …
export const SERVICE_TYPE = 1; // SERVICE_NAT44 …
export const SERVICE_TARGET_PORT = 2; // 0 = the port is kept
export const SERVICE_SLOTS_AT = 3; // offset of the first Maglev slot in the arena
export const SERVICE_SLOTS_MASK = 4; // number of slots - 1
export const SERVICE_POD_COUNT = 5; // pods that take new flows
export const SERVICE_STICKY_SECONDS = 6; // how long a client stays on its pod, with SERVICE_STICKY; 0 = no end
export const SERVICE_SOURCES_AT = 7; // offset of the clients' prefixes in the arena (sources.ts), with SERVICE_SOURCES
export const SERVICE_STRIDE = 8;

export const SERVICE_IN_USE = 1;
export const SERVICE_STICKY = 2; // pods chosen by the client's address alone
export const SERVICE_MASQUERADE = 4; // client's address replaced by the node's
export const SERVICE_HOST_VIP = 8; // the prefix is one address: echo is answered
export const SERVICE_SOURCES = 16; // clients in certain prefixes only

export const SERVICE_NAT44 = 0;
export const SERVICE_NAT66 = 1;
export const SERVICE_NAT46 = 2; // VIP v4, pods v6
export const SERVICE_NAT64 = 3; // VIP v6, pods v4

/** One service in words. */
export interface ServiceRow {
  flags: number;
  type: number;
  targetPort: number;
  slotsAt: number;
  slotsMask: number;
  podCount: number;
  stickySeconds: number;
  sourcesAt: number;
}

export class ServiceTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly capacity: number;

  static bytesFor(count: number): number {
    return 4 * SERVICE_STRIDE * count;
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.capacity = (this.words.length / SERVICE_STRIDE) | 0;
  }

  /** One column (SERVICE_…) of a service. */
  get(service: number, column: number): number {
    return this.words[service * SERVICE_STRIDE + column];
  }

  set(service: number, row: ServiceRow): void {
    const at = service * SERVICE_STRIDE;
    this.words[at + SERVICE_FLAGS] = row.flags;
    this.words[at + SERVICE_TYPE] = row.type;
    this.words[at + SERVICE_TARGET_PORT] = row.targetPort;
    this.words[at + SERVICE_SLOTS_AT] = row.slotsAt;
    this.words[at + SERVICE_SLOTS_MASK] = row.slotsMask;
    this.words[at + SERVICE_POD_COUNT] = row.podCount;
    this.words[at + SERVICE_STICKY_SECONDS] = row.stickySeconds;
    this.words[at + SERVICE_SOURCES_AT] = row.sourcesAt;
  }

  clear(service: number): void {
    this.words.fill(0, service * SERVICE_STRIDE, (service + 1) * SERVICE_STRIDE);
  }
}

/** Pod id in the Maglev slot that `hash` selects, or -1 if the service has no pod for new flows. `slots` is the arena. */
export function pickPod(services: ServiceTable, slots: Uint32Array, service: number, hash: number): number {
  const at = service * SERVICE_STRIDE;
  const words = services.words;
  return slots[words[at + SERVICE_SLOTS_AT] + (hash & words[at + SERVICE_SLOTS_MASK])] | 0; // MAGLEV_EMPTY | 0 = -1
}
