/**
 * From configured VIPs to the tables the datapath reads: service rows, pod rows, Maglev slots, the match table, and the
 * keys of the steering maps. Only what changed is made anew; ids stay the same for as long as a session may name them.
 *
 * A VIP whose options change keeps its id, and so its counters and, if they still lead to the same place, its sessions.
 *
 * A deleted pod keeps its id, its row (marked removed) and its steering key until its last TCP session has ended
 * (`forgetPods`), and gets them back if it is added again before. A deleted VIP's ids are given out again after its
 * sessions are gone (`release`).
 *
 * @module
 */

import { mappedLength, parseAddress, parsePrefix, type Prefix } from "../config/address.ts";
import { ConfigError, vipKeyText, type VipState, type VipType } from "../config/model.ts";
import { fillMaglev } from "../table/maglev.ts";
import { MATCH_NODE_PORT, type MatchEntry, MatchTable } from "../table/match.ts";
import { POD_ACTIVE, POD_DRAINING, POD_REMOVED, PodTable } from "../table/pod.ts";
import * as service from "../table/service.ts";
import { sourcesWords, writeSources } from "../table/sources.ts";
import { IdPool } from "./id_pool.ts";
import { SlotArena } from "./slot_arena.ts";
import { PendingKeys, podKeys, protocolsOf, vipKeys } from "./steering_keys.ts";

/** Ids that can be in use at once: what counters and tables are laid out for. */
export const MAX_SERVICE_IDS = 65_536;
export const MAX_POD_IDS = 262_144;

const MATCH_PROTOCOL_ANY = 255;
const TYPES: Record<VipType, number> = {
  nat44: service.SERVICE_NAT44,
  nat66: service.SERVICE_NAT66,
  nat46: service.SERVICE_NAT46,
  nat64: service.SERVICE_NAT64,
};

/** Of ten thousand services: what can be worked out again, as their keys in the steering maps can, is not kept. */
export interface PodRecord {
  id: number;
  address: string;
  bytes: Uint8Array;
  weight: number;
  removed: boolean;
  /** Maglev slots that lead to it. */
  slots: number;
}

export interface ServiceRecord {
  id: number;
  vip: VipState;
  /** The VIP's, read once. */
  prefix: Prefix;
  revision: number;
  slotsAt: number;
  slotsLength: number;
  /** Its piece of prefixes of clients; length 0: none. */
  sourcesAt: number;
  sourcesLength: number;
  /** By address, removed ones included. */
  pods: Map<string, PodRecord>;
  matches: MatchEntry[];
}

/** What a `sync` took out of use, to be given back when no worker and no session uses it any more. */
export interface Retired {
  services: ServiceRecord[];
  pieces: { at: number; length: number }[];
}

/** The buffers of one generation, as far as they come from VIPs. */
export interface ServiceBuffers {
  match: SharedArrayBuffer;
  services: SharedArrayBuffer;
  pods: SharedArrayBuffer;
  slots: SharedArrayBuffer;
}

export class ServiceTables {
  readonly records = new Map<string, ServiceRecord>();
  readonly matchKeys = new PendingKeys();
  readonly podKeys = new PendingKeys();
  readonly #serviceIds = new IdPool(0, MAX_SERVICE_IDS);
  readonly #podIds = new IdPool(0, MAX_POD_IDS);
  readonly #arena = new SlotArena();
  #services = new service.ServiceTable(new SharedArrayBuffer(service.ServiceTable.bytesFor(64)));
  #pods = new PodTable(new SharedArrayBuffer(PodTable.bytesFor(256)));
  #match = MatchTable.build([]);
  #buffers: ServiceBuffers | null = null;

  /** Throws a ConfigError if `vips` needs more pod ids than there are; the caller asks before it applies. */
  static checkRoom(vips: Iterable<VipState>): void {
    let pods = 0;
    for (const vip of vips) pods += vip.pods.size;
    if (pods > MAX_POD_IDS) {
      throw new ConfigError("pods", String(pods), `are too many on one node: at most ${MAX_POD_IDS}`);
    }
  }

  /** Brings the tables to `vips`; what became free is added to `retired`. True if VIPs came or went. */
  sync(vips: ReadonlyMap<string, VipState>, retired: Retired): boolean {
    let matchChanged = false;
    for (const [key, record] of this.records) {
      if (vips.has(key)) continue;
      this.#retire(key, record, retired);
      matchChanged = true;
    }
    const changed = [...vips].filter(([key, vip]) => this.records.get(key)?.revision !== vip.revision);
    this.#arena.reserve(changed.reduce((sum, [, vip]) => sum + vip.newLen, 0));
    for (const [key, vip] of changed) {
      let record = this.records.get(key);
      if (record === undefined) {
        record = this.#create(vip);
        this.records.set(key, record);
        matchChanged = true;
      }
      if (this.#redirect(record, vip)) matchChanged = true;
      this.#update(record, vip, retired);
      this.#buffers = null;
    }
    if (!matchChanged) return false;
    // Of equal keys the last holds: a VIP that names its protocol comes after one that takes every protocol on the port.
    const records = [...this.records.values()];
    const general = (record: ServiceRecord) => record.vip.protocol === null && record.vip.port !== null;
    this.#match = MatchTable.build([
      ...records.filter(general).flatMap((record) => record.matches),
      ...records.filter((record) => !general(record)).flatMap((record) => record.matches),
    ]);
    this.#buffers = null;
    return true;
  }

  /** The tables as they are now: a copy that nobody writes any more. The same object until something changes. */
  publish(): ServiceBuffers {
    this.#buffers ??= {
      match: this.#match.buffer,
      services: this.#services.buffer.slice(0),
      pods: this.#pods.buffer.slice(0),
      slots: this.#arena.buffer,
    };
    return this.#buffers;
  }

  /** Gives back what `sync` retired; `clear` is told every id that is free now. */
  release(retired: Retired, clear: (services: number[], pods: number[]) => void): void {
    for (const { at, length } of retired.pieces) this.#arena.put(at, length);
    const services = retired.services.map((record) => record.id);
    const pods = retired.services.flatMap((record) => [...record.pods.values()].map((pod) => pod.id));
    clear(services, pods);
    for (const id of services) this.#serviceIds.put(id);
    for (const id of pods) this.#podIds.put(id);
  }

  /** The pod ids of a service's slots, as they are now. */
  slotsOf({ slotsAt, slotsLength }: ServiceRecord): Uint32Array {
    return this.#arena.piece(slotsAt, slotsLength);
  }

  /** Ids of deleted pods that are kept for their sessions. */
  removedPods(): Set<number> {
    const ids = new Set<number>();
    for (const record of this.records.values()) {
      for (const pod of record.pods.values()) if (pod.removed) ids.add(pod.id);
    }
    return ids;
  }

  /** Takes out removed pods that no session names any more. Returns their ids, to be given back by `releasePods`. */
  forgetPods(unused: ReadonlySet<number>): number[] {
    const gone: number[] = [];
    for (const record of this.records.values()) {
      for (const [address, pod] of record.pods) {
        if (!pod.removed || !unused.has(pod.id)) continue;
        record.pods.delete(address);
        this.podKeys.remove(podKeys(record.vip, pod.bytes));
        this.#pods.clear(pod.id);
        gone.push(pod.id);
      }
    }
    if (gone.length > 0) this.#buffers = null;
    return gone;
  }

  /** Makes ids that `forgetPods` returned available again, once no worker has them in its tables. */
  releasePods(ids: readonly number[]): void {
    for (const id of ids) this.#podIds.put(id);
  }

  /** Bytes of all tables. */
  get bytes(): number {
    const buffers = this.publish();
    return buffers.match.byteLength + buffers.services.byteLength + buffers.pods.byteLength +
      buffers.slots.byteLength;
  }

  #create(vip: VipState): ServiceRecord {
    const id = this.#serviceIds.take();
    if (id < 0) throw new ConfigError("vip", vipKeyText(vip), `is one too many: at most ${MAX_SERVICE_IDS}`);
    const prefix = parsePrefix(vip.prefix)!;
    this.matchKeys.add(vipKeys(vip, prefix));
    if (id >= this.#services.capacity) {
      this.#services = new service.ServiceTable(grown(this.#services.buffer));
    }
    return {
      id,
      vip,
      prefix,
      revision: -1,
      slotsAt: -1,
      slotsLength: vip.newLen,
      sourcesAt: 0,
      sourcesLength: 0,
      pods: new Map(),
      matches: matchEntries(vip, prefix, id),
    };
  }

  #retire(key: string, record: ServiceRecord, retired: Retired): void {
    this.records.delete(key);
    this.matchKeys.remove(vipKeys(record.vip, record.prefix));
    for (const pod of record.pods.values()) {
      this.podKeys.remove(podKeys(record.vip, pod.bytes));
      this.#pods.clear(pod.id);
    }
    this.#services.clear(record.id);
    retired.services.push(record);
    retired.pieces.push({ at: record.slotsAt, length: record.slotsLength });
    if (record.sourcesLength > 0) retired.pieces.push({ at: record.sourcesAt, length: record.sourcesLength });
  }

  /** Follows options that lead packets elsewhere: its node port, its pods' port. True if the match table must follow too. */
  #redirect(record: ServiceRecord, vip: VipState): boolean {
    const { targetPort, nodePort } = record.vip;
    if (targetPort !== vip.targetPort) {
      for (const pod of record.pods.values()) {
        this.podKeys.remove(podKeys(record.vip, pod.bytes));
        this.podKeys.add(podKeys(vip, pod.bytes));
      }
    }
    if (nodePort === vip.nodePort) return false;
    this.matchKeys.remove(vipKeys(record.vip, record.prefix));
    this.matchKeys.add(vipKeys(vip, record.prefix));
    record.matches = matchEntries(vip, record.prefix, record.id);
    return true;
  }

  #update(record: ServiceRecord, vip: VipState, retired: Retired): void {
    record.vip = vip;
    record.revision = vip.revision;
    for (const pod of record.pods.values()) pod.removed = !vip.pods.has(pod.address);
    const protocols = protocolsOf(vip);
    for (const { address, weight } of vip.pods.values()) {
      const pod = record.pods.get(address) ?? this.#addPod(record, vip, address, protocols);
      pod.weight = weight;
    }
    for (const pod of record.pods.values()) {
      const flags = pod.removed ? POD_REMOVED : pod.weight === 0 ? POD_DRAINING : POD_ACTIVE;
      this.#pods.set(pod.id, flags, record.id, pod.bytes);
    }
    const podCount = this.#fill(record, retired);
    this.#writeSources(record, retired);
    this.#services.set(record.id, {
      flags: service.SERVICE_IN_USE | (vip.srcIpSticky ? service.SERVICE_STICKY : 0) |
        (vip.masquerade ? service.SERVICE_MASQUERADE : 0) |
        (vip.sources.length > 0 ? service.SERVICE_SOURCES : 0) |
        (mappedLength(record.prefix) === 128 ? service.SERVICE_HOST_VIP : 0),
      type: TYPES[vip.type],
      targetPort: vip.targetPort ?? 0,
      slotsAt: record.slotsAt,
      slotsMask: record.slotsLength - 1,
      podCount,
      stickySeconds: vip.stickyTimeout ?? 0,
      sourcesAt: record.sourcesAt,
    });
  }

  #addPod(
    record: ServiceRecord,
    vip: VipState,
    address: string,
    protocols: readonly number[],
  ): PodRecord {
    const id = this.#podIds.take();
    if (id < 0) throw new ConfigError("pod", address, `is one too many on this node: at most ${MAX_POD_IDS}`);
    if (id >= this.#pods.capacity) this.#pods = new PodTable(grown(this.#pods.buffer));
    const { bytes } = parseAddress(address)!;
    this.podKeys.add(podKeys(vip, bytes, protocols));
    const pod: PodRecord = { id, address, bytes, weight: 0, removed: false, slots: 0 };
    record.pods.set(address, pod);
    return pod;
  }

  /** A new piece for the prefixes of clients; the old one may still be read. */
  #writeSources(record: ServiceRecord, retired: Retired): void {
    if (record.sourcesLength > 0) retired.pieces.push({ at: record.sourcesAt, length: record.sourcesLength });
    record.sourcesLength = 0;
    if (record.vip.sources.length === 0) return;
    const prefixes = record.vip.sources.map((text) => {
      const prefix = parsePrefix(text)!;
      return { bytes: prefix.bytes, length: mappedLength(prefix) };
    });
    record.sourcesLength = sourcesWords(prefixes.length);
    record.sourcesAt = this.#arena.take(record.sourcesLength);
    writeSources(this.#arena.piece(record.sourcesAt, record.sourcesLength), prefixes);
  }

  /** A new piece of slots; the old one may still be read. Returns how many pods have some. */
  #fill(record: ServiceRecord, retired: Retired): number {
    if (record.slotsAt >= 0) retired.pieces.push({ at: record.slotsAt, length: record.slotsLength });
    record.slotsLength = record.vip.newLen;
    record.slotsAt = this.#arena.take(record.slotsLength);
    const slots = this.#arena.piece(record.slotsAt, record.slotsLength);
    const pods: PodRecord[] = [];
    let podCount = 0;
    for (const pod of record.pods.values()) {
      pod.slots = 0;
      if (pod.removed) continue;
      pods.push(pod);
      if (pod.weight > 0) podCount++;
    }
    const shares = fillMaglev(
      slots,
      pods.map((pod) => ({ id: pod.id, address: pod.bytes, weight: pod.weight })),
    );
    pods.forEach((pod, i) => pod.slots = shares[i]);
    return podCount;
  }
}

/** What leads to a service: its protocols and ports, "any service here", and its node port. */
function matchEntries(vip: VipState, prefix: Prefix, serviceId: number): MatchEntry[] {
  const address = prefix.bytes;
  const prefixLength = mappedLength(prefix);
  const { port, nodePort } = vip;
  const protocols = protocolsOf(vip);
  const any = { address, prefixLength, protocol: MATCH_PROTOCOL_ANY, port: 0, serviceId };
  const own = protocols.map((protocol) => ({ address, prefixLength, protocol, port: port ?? 0, serviceId }));
  if (nodePort === null) return [any, ...own];
  const ofNode = { address, prefixLength: MATCH_NODE_PORT, port: nodePort, serviceId };
  return [any, ...own, ...protocols.map((protocol) => ({ ...ofNode, protocol }))];
}

/** A buffer of twice the length with the same beginning. */
function grown(buffer: SharedArrayBuffer): SharedArrayBuffer {
  const larger = new SharedArrayBuffer(buffer.byteLength * 2);
  new Uint8Array(larger).set(new Uint8Array(buffer));
  return larger;
}
