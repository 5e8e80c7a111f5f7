/**
 * The daemon that comes (`ku run --upgrade`): gets everything from the one that leaves (handing.ts).
 *
 * Rule: until `take` nothing of the old one is touched, so whatever fails before costs nothing; what fails between `take` and `done` ends
 * this process, and the old one sees that and goes on.
 *
 * @module
 */

import { reconcile } from "../config/reconcile.ts";
import { loadConfig } from "../config/file.ts";
import { ConfigError } from "../config/model.ts";
import { type Checks, ConfigState } from "../config/state.ts";
import { INTERFACE_COUNTERS, NODE_COUNTERS, POD_COUNTERS, SERVICE_COUNTERS } from "../metrics/counters.ts";
import { findPair } from "../netlink/pair.ts";
import type { RequestSocket } from "../netlink/request.ts";
import { SESSION_OFFLOAD, SESSION_POD, SESSION_SERVICE } from "../table/session.ts";
import { AFFINITY_POD, AFFINITY_SERVICE, AFFINITY_WORDS, recordWords } from "../table/session_records.ts";
import type { HandedRecords, OffloadCounts } from "../worker/messages.ts";
import {
  type Handover,
  HANDOVER_FORMAT,
  type HandoverOffer,
  handoverPath,
  readHandover,
  unknownFormat,
} from "./handover.ts";
import { NamespaceLock, SUCCESSOR_NAME } from "./namespace_lock.ts";
import type { Offload } from "./offload.ts";
import { RPC_METHOD_NOT_FOUND } from "./protocol.ts";
import { DaemonConnection, RpcError } from "./rpc_client.ts";
import type { Retired, ServiceTables } from "./service_tables.ts";
import type { WorkerHandle } from "./worker_handle.ts";

export class Upgrade {
  /** What the old daemon runs with. */
  readonly offer: HandoverOffer;
  readonly #socketPath: string;
  readonly #connection: DaemonConnection;
  readonly #listener: Deno.UnixListener;
  #predecessor: Deno.UnixConn | null = null;
  #handover: Handover | null = null;
  #takenAt = 0;

  private constructor(
    socketPath: string,
    connection: DaemonConnection,
    listener: Deno.UnixListener,
    offer: HandoverOffer,
  ) {
    this.#socketPath = socketPath;
    this.#connection = connection;
    this.#listener = listener;
    this.offer = offer;
  }

  /** Asks the daemon at `socketPath`. Throws a ConfigError when there is none, or none that can hand over. */
  static async begin(socketPath: string): Promise<Upgrade> {
    const connection = await DaemonConnection.connect(socketPath);
    let listener: Deno.UnixListener | null = null;
    try {
      listener = listen();
      const offer = await connection.call("handOver", { format: HANDOVER_FORMAT, commit: false });
      return new Upgrade(socketPath, connection, listener, offer!);
    } catch (error) {
      listener?.close();
      connection.close();
      if (!(error instanceof RpcError)) throw error;
      if (error.code === RPC_METHOD_NOT_FOUND) throw unknownFormat("none");
      throw new ConfigError("upgrade", socketPath, `the daemon refuses: ${error.message}`);
    }
  }

  /** The old daemon's configuration. */
  state(checks: Checks): ConfigState {
    const state = new ConfigState(checks);
    // An interface that is not there waits for its return, as it does in the old one.
    state.replaceWith(loadConfig(JSON.stringify(this.offer.document), "the running daemon"));
    return state;
  }

  /** Throws a ConfigError when the pair, which cannot be made anew under the old daemon, has too few queues. */
  checkPair(requests: RequestSocket, workers: number): void {
    const pair = findPair(requests);
    if (pair === null) return;
    const { ku0, ku1 } = pair;
    const queues = Math.min(ku0.rxQueueCount, ku0.txQueueCount, ku1.rxQueueCount, ku1.txQueueCount);
    if (workers <= queues) return;
    const remedy =
      `are more than the ${queues} that ku0 was made for: use "ku stop --keep" and then "ku run"`;
    throw new ConfigError("workers", String(workers), remedy);
  }

  /** The old daemon closes its sockets and hands everything over. From here on there is no way back but to end. Returns the lock. */
  async take(state: ConfigState): Promise<NamespaceLock> {
    const accepted = this.#listener.accept();
    this.#takenAt = performance.now();
    try {
      await this.#connection.call("handOver", { format: HANDOVER_FORMAT, commit: true });
    } catch (error) {
      accepted.catch(() => {});
      if (!(error instanceof RpcError)) throw error;
      throw new ConfigError("upgrade", this.#socketPath, `the daemon refuses: ${error.message}`);
    }
    this.#predecessor = await accepted;
    const lock = await NamespaceLock.succeed(this.#socketPath);
    this.#handover = await readHandover(handoverPath(this.#socketPath));
    const { document } = this.#handover;
    if (JSON.stringify(document) !== JSON.stringify(this.offer.document)) {
      state.replaceWith(reconcile(state, document, true).next);
    }
    return lock;
  }

  /**
   * Sessions, counters and notes into the workers, before their first packet. Returns how many sessions there were, and how many found no
   * room.
   */
  async restore(parts: {
    state: ConfigState;
    services: ServiceTables;
    offload: Offload;
    workers: readonly WorkerHandle[];
  }): Promise<{ sessions: number; lost: number }> {
    const { services, workers, offload, state } = parts;
    const handover = this.#handover!;
    this.#keepRemovedPods(state, services, handover);
    const ids = this.#restoreCounts(services, workers[0], handover);
    const shares = workers.map(() => emptyShare());
    let sessions = 0;
    handover.workers.forEach((records, index) => {
      const home = shares[index % workers.length];
      for (
        const [name, width] of [["sessions4", 1], ["sessions6", 4], ["notes4", 1], ["notes6", 4]] as const
      ) {
        const words = recordWords(width);
        for (let at = 0; at < records[name].length; at += words) {
          const record = records[name].subarray(at, at + words);
          if (!renumber(record, SESSION_SERVICE, SESSION_POD, ids)) continue;
          const flow = record[SESSION_OFFLOAD] - 1;
          const share = name.startsWith("sessions") && flow >= 0 ? shares[offload.workerOf(flow)] : home;
          (share ?? home)[name].push(record);
          if (name.startsWith("sessions")) sessions++;
        }
      }
      for (let at = 0; at < records.affinity.length; at += AFFINITY_WORDS) {
        const record = records.affinity.subarray(at, at + AFFINITY_WORDS);
        if (renumber(record, AFFINITY_SERVICE, AFFINITY_POD, ids)) home.affinity.push(record);
      }
    });
    const lost = await Promise.all(
      workers.map((worker, index) =>
        worker.request<number>({
          kind: "restore",
          ...joined(shares[index]),
          offload: index === 0 ? handover.offload : NOTHING_COUNTED,
        })
      ),
    );
    return { sessions, lost: lost.reduce((sum, count) => sum + count, 0) };
  }

  /** The slots that interfaces had, by name. */
  get slots(): Map<string, number> {
    return new Map(this.#handover!.interfaces.map(({ name, slot }) => [name, slot]));
  }

  /** Milliseconds since the old daemon took its last packet, at most. */
  get elapsedMs(): number {
    return performance.now() - this.#takenAt;
  }

  /** The old daemon may go. */
  async done(): Promise<void> {
    try {
      await this.#predecessor?.write(new TextEncoder().encode("done\n"));
    } catch {
      // It has died by itself: then this one is the daemon all the more.
    }
    this.close();
  }

  close(): void {
    this.#connection.close();
    for (const end of [this.#predecessor, this.#listener]) {
      try {
        end?.close();
      } catch {
        // Closed already.
      }
    }
    this.#predecessor = null;
  }

  /** Pods that were deleted and whose connections go on get ids as well. */
  #keepRemovedPods(state: ConfigState, services: ServiceTables, { services: handed }: Handover): void {
    const vips = new Map(state.vips);
    for (const { key, pods } of handed) {
      const vip = vips.get(key);
      const removed = pods.filter(({ address }) => vip !== undefined && !vip.pods.has(address));
      if (vip === undefined || removed.length === 0) continue;
      const more = removed.map(({ address }) => [address, { address, weight: 0 }] as const);
      // A revision that no VIP has: the next `sync` marks them as removed again.
      vips.set(key, { ...vip, pods: new Map([...vip.pods, ...more]), revision: -2 });
    }
    const retired: Retired = { services: [], pieces: [] };
    services.sync(vips, retired);
    services.release(retired, () => {});
  }

  /** What was counted goes on in the first worker. Returns the new ids by the old ones. */
  #restoreCounts(services: ServiceTables, { counters }: WorkerHandle, handover: Handover): Ids {
    const ids: Ids = { services: new Map(), pods: new Map() };
    for (const { key, id, counts, pods } of handover.services) {
      const record = services.records.get(key);
      if (record === undefined) continue;
      ids.services.set(id, record.id);
      counters.service.set(counts, record.id * SERVICE_COUNTERS);
      for (const pod of pods) {
        const own = record.pods.get(pod.address);
        if (own === undefined) continue;
        ids.pods.set(pod.id, own.id);
        counters.pod.set(pod.counts, own.id * POD_COUNTERS);
      }
    }
    for (const { slot, counts } of handover.interfaces) {
      counters.interface.set(counts, slot * INTERFACE_COUNTERS);
    }
    for (const { node, reason, count } of handover.nodeCounts) {
      const index = NODE_COUNTERS.findIndex((one) => one.node === node && one.reason === reason);
      if (index >= 0) counters.node[index] = count;
    }
    return ids;
  }
}

interface Ids {
  services: Map<number, number>;
  pods: Map<number, number>;
}

const NOTHING_COUNTED: OffloadCounts = { begun: 0, refused: 0, packets: 0, bytes: 0 };

type Share = Record<keyof HandedRecords, Int32Array[]>;

function emptyShare(): Share {
  return { sessions4: [], sessions6: [], notes4: [], notes6: [], affinity: [] };
}

function joined(share: Share): HandedRecords {
  const join = (parts: Int32Array[]) => {
    const whole = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };
  return {
    sessions4: join(share.sessions4),
    sessions6: join(share.sessions6),
    notes4: join(share.notes4),
    notes6: join(share.notes6),
    affinity: join(share.affinity),
  };
}

/** Puts the new ids in the place of the old ones; false when there are none any more. */
function renumber(record: Int32Array, serviceAt: number, podAt: number, ids: Ids): boolean {
  const service = ids.services.get(record[serviceAt]);
  const pod = ids.pods.get(record[podAt]);
  if (service === undefined || pod === undefined) return false;
  record[serviceAt] = service;
  record[podAt] = pod;
  return true;
}

/** Where the old daemon finds this process; only one can be here at a time. */
function listen(): Deno.UnixListener {
  try {
    return Deno.listen({ transport: "unix", path: SUCCESSOR_NAME });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new ConfigError("upgrade", "another one", "is under way in this network namespace: wait for it");
  }
}
