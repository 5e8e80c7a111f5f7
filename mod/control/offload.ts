/**
 * What the kernel repeats, from the control plane's side: how much memory each worker has for it, whether it is on, and what it came to.
 *
 * Rule: workers begin and end flows (mod/datapath/offload.ts); here only the whole is switched: by the epoch, one store that ends all of
 * them in the kernel, before the workers have taken their sessions back.
 *
 * @module
 */

import { SystemError } from "../../ffi/errno.ts";
import { addressOf, type Mapping } from "../../ffi/memory.ts";
import { type Conf, ConfigError, MAX_OFFLOAD_SESSIONS } from "../config/model.ts";
import { OFFLOAD_HOPS } from "../table/offload_layout.ts";
import {
  bytesOf,
  hasFin,
  mapParts,
  mendOffload,
  type OffloadMemory,
  type OffloadParts,
  packetsOf,
  prepareOffload,
  setOffloadEpoch,
} from "../table/offload_memory.ts";
import { SESSION_NOTE_FIN_ORIGINAL, SESSION_NOTE_FIN_REPLY } from "../table/session.ts";
import type { Offloaded, OffloadPlan, SharedMemory, WorkerReport } from "../worker/messages.ts";
import { nowSeconds } from "../worker/clock.ts";
import type { LinkCounts, OffloadMaps } from "../xdp/offload_maps.ts";
import type { Steering } from "../xdp/steering.ts";
import type { KernelCounts, OffloadMisses, ShowOffload } from "./protocol.ts";
import type { WorkerHandle } from "./worker_handle.ts";

const SEED_WORDS = 8;
/** Entries of a bucket of a session table, and tables of a worker: one a family. */
const BUCKET_SESSIONS = 4;
const SESSION_TABLES = 2;

/** A worker's share of the memory, though its tables may hold fewer: short connections keep their places for seconds after their end. */
const LEAST_SHARE = 1 << 16;

/**
 * Sessions that memory is made for: as many as are configured, but no more than the workers' tables can hold, or LEAST_SHARE.
 */
export function offloadRoom({ offloadSessions, buckets }: Conf, workerCount: number): number {
  const tables = SESSION_TABLES * BUCKET_SESSIONS * buckets;
  const share = Math.min(Math.ceil(offloadSessions / workerCount), Math.max(tables, LEAST_SHARE));
  return Math.min(share, Math.floor(MAX_OFFLOAD_SESSIONS / workerCount)) * workerCount;
}

export class Offload {
  readonly #steering: Steering;
  readonly #maps: OffloadMaps;
  #memory: OffloadMemory;
  readonly #workerCount: number;
  #conf: Conf;
  /** Sessions begun when somebody last asked, and when that was. */
  #asked = { begun: 0, seconds: nowSeconds() };

  /** The steering programs' memory is unused so far, or with what an earlier ku left. */
  constructor(steering: Steering, workerCount: number, conf: Conf) {
    const maps = steering.offload;
    this.#steering = steering;
    this.#maps = maps;
    this.#memory = wordsOf(maps.mappings);
    this.#workerCount = workerCount;
    this.#conf = conf;
  }

  /** Makes the memory ready, before the first session: nobody but the programs may use it from now on. */
  ready(): void {
    if (this.#maps.takenOver && mendOffload(this.#memory) !== 0) return; // which goes on; see `adopt`
    prepareOffload(this.#memory, newSeed());
    if (this.#conf.offload) setOffloadEpoch(this.#memory, newEpoch());
  }

  /** Begins anew after another process has used the memory: the workers, which were suspended, have all their sessions back. */
  async restart(workers: readonly WorkerHandle[]): Promise<void> {
    setOffloadEpoch(this.#memory, 0);
    await Promise.all(workers.map((worker) => worker.request({ kind: "resume" })));
    this.#memory.index.fill(0);
    if (this.#conf.offload) setOffloadEpoch(this.#memory, newEpoch());
  }

  /** Number of worker `index`'s first flow among those of all. */
  firstFlowOf(index: number): number {
    return index * this.#share;
  }

  /** The worker whose flow this is. */
  workerOf(flow: number): number {
    return Math.floor(flow / this.#share);
  }

  /**
   * Has the workers, which run the first generation, make sessions of what an earlier ku left. Returns how many; null when there was
   * nothing to take over.
   */
  async adopt(workers: readonly WorkerHandle[]): Promise<number | null> {
    if (!this.#maps.takenOver) return null;
    const counts = await Promise.all(
      workers.map((worker) => worker.request<number>({ kind: "adoptOffload" })),
    );
    if (!this.#conf.offload) await this.#switch(workers);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Memory of worker `index`. */
  plan(index: number): OffloadPlan {
    const count = this.#share;
    const hopCount = Math.floor(OFFLOAD_HOPS / this.#workerCount);
    return {
      memory: mapParts(this.#maps.mappings, shared),
      first: index * count,
      count,
      firstHop: index * hopCount,
      hopCount,
      limit: this.#limit,
      takenOver: this.#maps.takenOver,
    };
  }

  /** Bytes of the memory. */
  get bytes(): number {
    return this.#maps.bytes;
  }

  /**
   * Makes the memory that `conf` needs, if there is less: other maps, and programs loaded anew. Meanwhile, and until the next generation has
   * looked at them, all sessions run in their workers. Returns whether it did so, and the interfaces on which nothing is repeated any more.
   * Throws a ConfigError, with nothing changed, when the kernel has no room.
   */
  async makeRoom(conf: Conf, workers: readonly WorkerHandle[]): Promise<{ failed: string[] } | null> {
    const sessions = offloadRoom(conf, this.#workerCount);
    if (sessions <= this.#maps.sessions) return null;
    const epoch = setOffloadEpoch(this.#memory, 0);
    let resized: ReturnType<Steering["resizeOffload"]>;
    try {
      resized = this.#steering.resizeOffload(sessions);
    } catch (error) {
      setOffloadEpoch(this.#memory, epoch);
      if (!(error instanceof SystemError)) throw error;
      const remedy =
        `the kernel has no room for ${sessions} (${error.code}): give a lower number, or more memory`;
      throw new ConfigError("offload-sessions", String(conf.offloadSessions), remedy);
    }
    this.#memory = wordsOf(this.#maps.mappings);
    prepareOffload(this.#memory, newSeed());
    await Promise.all(
      workers.map((worker) => worker.request({ kind: "moveOffload", plan: this.plan(worker.index) })),
    );
    for (const mapping of resized.former) mapping.unmap();
    if (this.#conf.offload) setOffloadEpoch(this.#memory, newEpoch());
    return { failed: resized.failed };
  }

  /** Goes by `conf` from now on. When it resolves, the kernel repeats nothing that it should not. */
  async setConf(conf: Conf, workers: readonly WorkerHandle[]): Promise<void> {
    const { offload, offloadSessions } = this.#conf;
    this.#conf = conf;
    if (offload === conf.offload && offloadSessions === conf.offloadSessions) return;
    if (offload !== conf.offload) await this.#switch(workers);
    else await this.#tellLimit(workers);
  }

  async #switch(workers: readonly WorkerHandle[]): Promise<void> {
    setOffloadEpoch(this.#memory, this.#conf.offload ? newEpoch() : 0);
    await this.#tellLimit(workers);
  }

  async #tellLimit(workers: readonly WorkerHandle[]): Promise<void> {
    await Promise.all(workers.map((worker) => worker.request({ kind: "limitOffload", limit: this.#limit })));
  }

  /** Sessions that the kernel may repeat. */
  get capacity(): number {
    return this.#limit * this.#workerCount;
  }

  /** Packets of services that were left to the rings. */
  get misses(): OffloadMisses {
    return this.#maps.misses();
  }

  /** What the kernel has repeated of the packets of the interface that has the slot. */
  ofInterface(slot: number): LinkCounts {
    return this.#maps.linkCounts(slot);
  }

  /** `ku show offload`. */
  async show(workers: readonly WorkerHandle[]): Promise<ShowOffload> {
    const reports = await reportAll(workers);
    const sum = (pick: (of: Offloaded) => number) =>
      reports.reduce((total, { offload }) => total + pick(offload), 0);
    const begun = sum((of) => of.begun);
    const seconds = nowSeconds();
    const elapsed = seconds - this.#asked.seconds;
    const perSecond = Math.round((begun - this.#asked.begun) / Math.max(elapsed, 1));
    if (elapsed > 0) this.#asked = { begun, seconds };
    return {
      enabled: this.#conf.offload,
      capacity: this.capacity,
      used: sum((of) => of.used),
      installs: begun,
      installsPerSecond: perSecond,
      refused: sum((of) => of.refused),
      hits: sum((of) => of.packets),
      hitBytes: sum((of) => of.bytes),
      misses: this.misses,
    };
  }

  /** What the kernel has carried for the session whose SESSION_OFFLOAD is `offload`; null: it runs in the worker. */
  countsOf(worker: number, offload: number): KernelCounts | null {
    if (offload <= 0) return null;
    const flow = worker * this.#share + offload - 1;
    const reply = flow + this.#maps.sessions;
    return {
      packets: packetsOf(this.#memory, flow),
      bytes: bytesOf(this.#memory, flow),
      replyPackets: packetsOf(this.#memory, reply),
      replyBytes: bytesOf(this.#memory, reply),
    };
  }

  /** Which FINs of such a session the kernel has repeated, as the worker notes them, which it does within a second. */
  finsOf(worker: number, offload: number): number {
    if (offload <= 0) return 0;
    const flow = worker * this.#share + offload - 1;
    return (hasFin(this.#memory, flow) ? SESSION_NOTE_FIN_ORIGINAL : 0) |
      (hasFin(this.#memory, flow + this.#maps.sessions) ? SESSION_NOTE_FIN_REPLY : 0);
  }

  /** Flows of a worker. */
  get #share(): number {
    return Math.floor(this.#maps.sessions / this.#workerCount);
  }

  /** Sessions of a worker that the kernel may repeat. */
  get #limit(): number {
    return Math.min(Math.ceil(this.#conf.offloadSessions / this.#workerCount), this.#share);
  }
}

/** Brings the counters of all workers up to what the kernel has repeated, and asks for the state of their rings. */
export function reportAll(workers: readonly WorkerHandle[]): Promise<WorkerReport[]> {
  return Promise.all(workers.map((worker) => worker.request<WorkerReport>({ kind: "report" })));
}

function newSeed(): Uint32Array {
  return crypto.getRandomValues(new Uint32Array(SEED_WORDS));
}

/** Another one than any that a flow may have been left with. */
function newEpoch(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] >>> 1) | 1;
}

function shared({ pointer, buffer }: Mapping): SharedMemory {
  return { address: addressOf(pointer), lengthBytes: buffer.byteLength };
}

function wordsOf(mappings: OffloadParts<Mapping>): OffloadMemory {
  return mapParts(mappings, ({ buffer }) => new Int32Array(buffer));
}
