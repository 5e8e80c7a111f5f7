/**
 * A small node to run the datapath in: interfaces, routes, services and pods told in a few words, the tables built from them, and a
 * piece of packet memory. Used by the tests and the bench of the datapath; needs no privilege.
 */

import { Processor, type Tables } from "../../mod/datapath/processor.ts";
import { Counters, NODE_COUNTERS, SERVICE_COUNTERS } from "../../mod/metrics/counters.ts";
import { FRAGMENT_PLACES, FragmentTable } from "../../mod/table/fragment.ts";
import { AffinityTable } from "../../mod/table/affinity.ts";
import { AdjacencyTable } from "../../mod/table/adjacency.ts";
import { IF_PRESENT, InterfaceTable } from "../../mod/table/interface.ts";
import { Mailbox } from "../../mod/table/mailbox.ts";
import { fillMaglev } from "../../mod/table/maglev.ts";
import type { OffloadTable } from "../../mod/table/offload.ts";
import { type MatchEntry, MatchTable } from "../../mod/table/match.ts";
import { OverflowTable } from "../../mod/table/overflow.ts";
import { POD_ACTIVE, POD_DRAINING, PodTable } from "../../mod/table/pod.ts";
import { ROUTE_LOCAL, type RouteEntry, RouteTable } from "../../mod/table/route.ts";
import { SERVICE_HOST_VIP, SERVICE_IN_USE, SERVICE_SOURCES, ServiceTable } from "../../mod/table/service.ts";
import { type SourcePrefix, sourcesWords, writeSources } from "../../mod/table/sources.ts";
import type { MemorySource } from "../../mod/table/memory.ts";
import { SessionTable } from "../../mod/table/session.ts";

/** Bytes of an address in text, 4 or 16. IPv6 may have one "::". */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [head, tail] = text.split("::");
  const words = (part: string | undefined) => part ? part.split(":").map((word) => parseInt(word, 16)) : [];
  const left = words(head);
  const right = words(tail);
  const all = [...left, ...new Array(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((word) => [word >>> 8, word & 0xff]));
}

/** Sixteen bytes, IPv4 as ::ffff:a.b.c.d. */
export function mappedBytes(text: string): Uint8Array {
  const bytes = addressBytes(text);
  if (bytes.length === 16) return bytes;
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes]);
}

/** Big-endian words of an address: one or four. */
export function addressWords(text: string): number[] {
  const view = new DataView(addressBytes(text).buffer);
  return Array.from({ length: view.byteLength / 4 }, (_, i) => view.getInt32(4 * i));
}

export interface InterfaceSpec {
  slot: number;
  flags?: number;
  mtu?: number;
  ip4?: string;
  ip6?: string;
}

export interface RouteSpec {
  prefix: string;
  /** Egress slot; -1 = an interface that is not attached, "local" = an address of the node. */
  slot: number | "local";
  /** The neighbor's last MAC byte; null = not resolved. */
  neighbor?: number | null;
  mtu?: number;
}

export interface PodSpec {
  address: string;
  weight?: number;
  removed?: boolean;
}

export interface ServiceSpec {
  vip: string;
  protocol?: number;
  port?: number;
  targetPort?: number;
  nodePort?: number;
  type?: number;
  flags?: number;
  newLen?: number;
  stickySeconds?: number;
  /** Prefixes that clients must be in. */
  sources?: string[];
  pods: PodSpec[];
}

export interface WorldSpec {
  interfaces: InterfaceSpec[];
  routes: RouteSpec[];
  services: ServiceSpec[];
  buckets?: number;
  ip4SrcAddress?: string;
  ip6SrcAddress?: string;
  nat46Prefix?: string;
  frames?: number;
  /** Where the session tables' memory comes from. */
  memory?: MemorySource;
  /** Which of how many workers this is, and what the others report to it. */
  workerIndex?: number;
  workerCount?: number;
  inboxes?: Mailbox[];
}

/** Bytes from one frame to the next, and from a frame's memory to where a received packet starts in it. */
export const FRAME_BYTES = 4096;
export const HEADROOM = 256;

const SEED = Uint32Array.of(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);

export class World {
  readonly spec: WorldSpec;
  readonly memory: Uint8Array;
  readonly view: DataView;
  readonly counters: Counters;
  readonly sessions4: SessionTable;
  readonly sessions6: SessionTable;
  readonly overflow4 = OverflowTable.create(256, 1, SEED);
  readonly overflow6 = OverflowTable.create(256, 4, SEED);
  readonly affinity = AffinityTable.create(1024);
  readonly processor: Processor;
  generation = 0;
  /** The tables that run. */
  tables!: Tables;

  /** `offload`, for a kernel or a test that looks at what is repeated, and the counters it adds to; `othersAffinity`, of other workers. */
  constructor(
    spec: WorldSpec,
    offload: ((counters: Counters) => OffloadTable) | null = null,
    othersAffinity: readonly AffinityTable[] = [],
  ) {
    this.spec = spec;
    this.memory = new Uint8Array(FRAME_BYTES * (spec.frames ?? 4));
    this.view = new DataView(this.memory.buffer);
    const pods = spec.services.reduce((sum, service) => sum + service.pods.length, 0);
    this.counters = Counters.create(spec.services.length + 8, pods + 64, spec.memory);
    const flows = offload === null ? null : offload(this.counters);
    const table = (addressWords: 1 | 4) =>
      new SessionTable(
        SessionTable.create(spec.buckets ?? 64, addressWords, SEED, spec.memory).buffer,
        null,
        flows,
      );
    this.sessions4 = table(1);
    this.sessions6 = table(4);
    this.processor = new Processor({
      frames: this.memory,
      counters: this.counters,
      sessions4: this.sessions4,
      sessions6: this.sessions6,
      overflow4: this.overflow4,
      fragments: new FragmentTable(FRAGMENT_PLACES, SEED),
      overflow6: this.overflow6,
      offload: flows ?? undefined,
      workerIndex: spec.workerIndex,
      workerCount: spec.workerCount,
      inboxes: spec.inboxes,
      affinity: this.affinity,
      othersAffinity,
    });
    this.processor.now = 1000;
    this.publish();
  }

  /** Builds the tables of `spec` as it is now, and has the processor run on them. */
  publish(): void {
    const { spec } = this;
    const { match, services, pods, slots } = buildServices(spec.services);
    const { routes, adjacencies } = buildRoutes(spec.routes);
    this.tables = {
      generation: ++this.generation,
      match,
      services,
      pods,
      slots,
      routes,
      adjacencies,
      interfaces: buildInterfaces(spec.interfaces),
      settings: {
        ip4SrcAddress: spec.ip4SrcAddress ? addressWords(spec.ip4SrcAddress)[0] : 0,
        ip6SrcAddress: spec.ip6SrcAddress ? addressWords(spec.ip6SrcAddress) : [0, 0, 0, 0],
        nat46Prefix: addressWords(spec.nat46Prefix ?? "64:ff9b:1::"),
      },
    };
    this.processor.setTables(this.tables);
  }

  /** Puts `frame` into frame memory number `index`; returns the byte it starts at. */
  place(frame: Uint8Array, index = 0): number {
    const at = index * FRAME_BYTES + HEADROOM;
    this.memory.set(frame, at);
    return at;
  }

  /** Runs one frame; returns the verdict. Its result is `result()`. */
  run(frame: Uint8Array, inSlot: number): number {
    const at = this.place(frame);
    return this.processor.process(at, frame.length, inSlot, FRAME_BYTES);
  }

  /** A copy of the frame that the last verdict speaks of. */
  result(): Uint8Array {
    const { outAt, outLength } = this.processor;
    return this.memory.slice(outAt, outAt + outLength);
  }

  /** Node counters that are not 0, by "node: reason". */
  nodeCounts(): Record<string, number> {
    const counts: Record<string, number> = {};
    NODE_COUNTERS.forEach(({ node, reason }, index) => {
      const value = this.counters.node[index];
      if (value !== 0) counts[`${node}: ${reason}`] = value;
    });
    return counts;
  }

  /** Counter `column` (SERVICE_…) of the service with this place in the spec. */
  serviceCount(service: number, column: number): number {
    return this.counters.service[service * SERVICE_COUNTERS + column];
  }
}

/** Workers of one node: each sees the others' sessions and reports to them; `offload` makes what each has the kernel repeat. */
export function worldsOfWorkers(
  count: number,
  spec: () => WorldSpec,
  offload: ((index: number, counters: Counters) => OffloadTable) | null = null,
): World[] {
  const indices = Array.from({ length: count }, (_, index) => index);
  const boxes = indices.map(() => indices.map(() => Mailbox.create(64)));
  const worlds = indices.map((workerIndex) => {
    const inboxes = indices.filter((from) => from !== workerIndex).map((from) => boxes[from][workerIndex]);
    const own = {
      ...spec(),
      workerIndex,
      workerCount: count,
      inboxes: inboxes.map(({ buffer }) => new Mailbox(buffer)),
    };
    return new World(own, offload && ((counters) => offload(workerIndex, counters)));
  });
  worlds.forEach((world, index) => {
    const others = worlds.filter((_, other) => other !== index);
    world.processor.setSessions({
      sessions4: world.sessions4,
      sessions6: world.sessions6,
      others4: others.map((other) => new SessionTable(other.sessions4.buffer)),
      others6: others.map((other) => new SessionTable(other.sessions6.buffer)),
      outboxes: indices.filter((to) => to !== index).map((to) => new Mailbox(boxes[index][to].buffer)),
    });
  });
  return worlds;
}

/** MAC of the node's interface `slot`: 02:00:00:00:<slot>:01. */
export function interfaceMac(slot: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, slot, 1);
}

/** MAC of a neighbor on the interface `slot`: 02:00:00:01:<slot>:<number>. */
export function neighborMac(slot: number, number: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 1, slot, number);
}

function buildInterfaces(specs: InterfaceSpec[]): InterfaceTable {
  const table = new InterfaceTable(new SharedArrayBuffer(InterfaceTable.bytesFor(64)));
  for (const spec of specs) {
    table.set(spec.slot, {
      flags: IF_PRESENT | (spec.flags ?? 0),
      mtuBytes: spec.mtu ?? 1500,
      mac: interfaceMac(spec.slot),
      ip4: spec.ip4 ? addressBytes(spec.ip4) : null,
      ip6: spec.ip6 ? addressBytes(spec.ip6) : null,
      ifindex: 100 + spec.slot,
    });
  }
  return table;
}

function buildRoutes(specs: RouteSpec[]): { routes: RouteTable; adjacencies: AdjacencyTable } {
  const adjacencies = new AdjacencyTable(new SharedArrayBuffer(AdjacencyTable.bytesFor(specs.length + 1)));
  const of4: RouteEntry[] = [];
  const of6: RouteEntry[] = [];
  specs.forEach(({ prefix, slot, neighbor = 1, mtu = 1500 }, index) => {
    const [text, length] = prefix.split("/");
    const address = addressBytes(text);
    const prefixLength = length === undefined ? 8 * address.length : Number(length);
    const adjacency = slot === "local" ? ROUTE_LOCAL : index;
    if (slot !== "local") {
      const mac = neighbor === null || slot < 0 ? null : neighborMac(slot, neighbor);
      adjacencies.set(index, slot, mac, interfaceMac(slot < 0 ? 0 : slot), mtu);
    }
    (address.length === 4 ? of4 : of6).push({ address, prefixLength, adjacency });
  });
  return { routes: RouteTable.build(of4, of6), adjacencies };
}

function buildServices(specs: ServiceSpec[]): {
  match: MatchTable;
  services: ServiceTable;
  pods: PodTable;
  slots: Uint32Array;
} {
  const podCount = specs.reduce((sum, spec) => sum + spec.pods.length, 0);
  const services = new ServiceTable(new SharedArrayBuffer(ServiceTable.bytesFor(specs.length + 1)));
  const pods = new PodTable(new SharedArrayBuffer(PodTable.bytesFor(podCount + 1)));
  const wordsOf = ({ sources = [] }: ServiceSpec) => sources.length > 0 ? sourcesWords(sources.length) : 0;
  const slotCount = specs.reduce((sum, spec) => sum + (spec.newLen ?? 64) + wordsOf(spec), 0);
  const slots = new Uint32Array(new SharedArrayBuffer(4 * Math.max(slotCount, 1)));
  const entries: MatchEntry[] = [];
  let slotsAt = 0;
  let podId = 0;
  specs.forEach((spec, serviceId) => {
    const newLen = spec.newLen ?? 64;
    const ids = spec.pods.map(() => podId++);
    const live = spec.pods.map((pod, i) => ({ pod, id: ids[i] })).filter(({ pod }) => !pod.removed);
    spec.pods.forEach((pod, i) => {
      const flags = pod.removed ? 4 : pod.weight === 0 ? POD_DRAINING : POD_ACTIVE;
      pods.set(ids[i], flags, serviceId, mappedBytes(pod.address));
    });
    fillMaglev(
      slots.subarray(slotsAt, slotsAt + newLen),
      live.map(({ pod, id }) => ({ id, address: mappedBytes(pod.address), weight: pod.weight ?? 1 })),
    );
    const prefixed = spec.vip.includes("/");
    services.set(serviceId, {
      flags: SERVICE_IN_USE | (prefixed ? 0 : SERVICE_HOST_VIP) | (spec.flags ?? 0) |
        (spec.sources === undefined ? 0 : SERVICE_SOURCES),
      type: spec.type ?? (spec.vip.includes(":") ? 1 : 0),
      targetPort: spec.targetPort ?? 0,
      slotsAt,
      slotsMask: newLen - 1,
      podCount: live.length,
      stickySeconds: spec.stickySeconds ?? 0,
      sourcesAt: slotsAt + newLen,
    });
    slotsAt += newLen;
    writeSources(slots.subarray(slotsAt, slotsAt + wordsOf(spec)), (spec.sources ?? []).map(prefixOf));
    slotsAt += wordsOf(spec);
    entries.push(...matchEntries(spec, serviceId));
  });
  return { match: MatchTable.build(entries), services, pods, slots };
}

function prefixOf(text: string): SourcePrefix {
  const [address, length] = text.split("/");
  const bits = 8 * addressBytes(address).length;
  return { bytes: mappedBytes(address), length: 128 - bits + Number(length ?? bits) };
}

function matchEntries(spec: ServiceSpec, serviceId: number): MatchEntry[] {
  const [text, length] = spec.vip.split("/");
  const bytes = addressBytes(text);
  const prefixLength = (bytes.length === 4 ? 96 : 0) + Number(length ?? 8 * bytes.length);
  const address = mappedBytes(text);
  const protocols = spec.protocol !== undefined ? [spec.protocol] : spec.port ? [6, 17, 132] : [0];
  const entries = protocols.map((protocol) => ({
    address,
    prefixLength,
    protocol,
    port: spec.port ?? 0,
    serviceId,
  }));
  entries.push({ address, prefixLength, protocol: 255, port: 0, serviceId });
  if (spec.nodePort) {
    for (const protocol of protocols) {
      entries.push({ address, prefixLength: 255, protocol, port: spec.nodePort, serviceId });
    }
  }
  return entries;
}
