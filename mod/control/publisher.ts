/**
 * Generations: any change builds new tables beside the running ones, gives them to every worker, and activates them by one
 * atomic store per worker; what the old ones used is freed when every worker has passed a burst boundary.
 *
 * Order, so that no packet is steered to ku that its tables do not know and none is missed: keys that go leave the
 * steering maps first, then the workers change, then keys that come enter the maps.
 *
 * Rule: one publication at a time; calls that come meanwhile share the next one.
 *
 * @module
 */

import type { ConfigState } from "../config/state.ts";
import type { Adjacency } from "../netlink/next_hops.ts";
import type { Link } from "../netlink/messages.ts";
import type { Mirror } from "../netlink/mirror.ts";
import type { Tables } from "../datapath/processor.ts";
import type { StageRequest } from "../worker/messages.ts";
import { viewTables } from "../worker/tables.ts";
import type { Steering } from "../xdp/steering.ts";
import type { Attachments } from "./attachments.ts";
import type { HostRoutes } from "./host_routes.ts";
import { buildRouteTables, nodeAddresses, type RouteTables } from "./route_tables.ts";
import type { Retired, ServiceTables } from "./service_tables.ts";
import { settingsOf } from "./settings.ts";
import type { WorkerHandle } from "./worker_handle.ts";

export interface PublisherParts {
  state: ConfigState;
  services: ServiceTables;
  attachments: Attachments;
  mirror: Mirror;
  steering: Steering;
  workers: readonly WorkerHandle[];
  ku0: Link;
  hostRoutes: HostRoutes;
}

export class Publisher {
  readonly #parts: PublisherParts;
  #generation = 0;
  #routes: RouteTables | null = null;
  #staged: StageRequest | null = null;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  /** Called once, when the workers run the next generation, and before what is new in it is steered to them. */
  onNext: (() => Promise<void>) | null = null;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** Number of the generation that the workers run. */
  get generation(): number {
    return this.#generation;
  }

  /** What the workers run, for reading; null before the first publication. */
  tables(): Tables | null {
    return this.#staged === null ? null : viewTables(this.#staged);
  }

  /** How packets leave, as last published. */
  get adjacencies(): readonly Adjacency[] {
    return this.#routes?.adjacencies ?? [];
  }

  /** Routes, neighbors, links or attachments have changed: the next publication makes their tables anew. */
  networkChanged(): void {
    this.#routes = null;
  }

  /** Bytes of the published tables. */
  get bytes(): number {
    const buffers = this.#routes?.buffers;
    const network = buffers === undefined
      ? 0
      : buffers.routes.byteLength + buffers.adjacencies.byteLength + buffers.interfaces.byteLength;
    return network + this.#parts.services.bytes;
  }

  /** Resolves when every worker runs tables that hold all that was changed before this call. */
  publish(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#publish().finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    // One is under way and may have read the state already: wait for one that begins after it.
    this.#next ??= this.#running.catch(() => {}).then(() => {
      this.#next = null;
      return this.publish();
    });
    return this.#next;
  }

  async #publish(): Promise<void> {
    const { state, services, attachments, mirror, steering, workers, ku0, hostRoutes } = this.#parts;
    const retired: Retired = { services: [], pieces: [] };
    const vipsChanged = services.sync(state.vips, retired);
    steering.match.remove(services.matchKeys.takeRemoved());
    steering.pods.remove(services.podKeys.takeRemoved());
    this.#routes ??= buildRouteTables(mirror, attachments.slotted(), ku0);

    const generation = this.#generation + 1;
    const stage: StageRequest = {
      kind: "stage",
      generation,
      ...services.publish(),
      ...this.#routes.buffers,
      settings: settingsOf(state.conf),
    };
    await Promise.all(workers.map((worker) => worker.request(stage)));
    for (const worker of workers) worker.activate(generation);
    await Promise.all(workers.map((worker) => worker.running(generation)));
    this.#generation = generation;
    this.#staged = stage;
    const { onNext } = this;
    this.onNext = null;
    await onNext?.();

    // What comes is steered from now on.
    steering.match.add(services.matchKeys.takeAdded());
    steering.pods.add(services.podKeys.takeAdded());
    steering.setLocals(nodeAddresses(mirror));
    if (vipsChanged) hostRoutes.sync(routedPrefixes(state));
    attachments.activate();
    await this.#free(retired);
  }

  /** Ends the sessions of deleted services, then gives their ids and slots free. */
  async #free(retired: Retired): Promise<void> {
    const { services, workers } = this.#parts;
    if (retired.services.length > 0) {
      const ids = retired.services.map((record) => record.id);
      await Promise.all(
        workers.map((worker) => worker.request({ kind: "flush", services: ids, pods: null, retired: true })),
      );
    }
    services.release(retired, (serviceIds, podIds) => {
      for (const worker of workers) worker.clearCounters(serviceIds, podIds);
    });
  }
}

/**
 * Prefixes that the node's own sockets reach by ku0: all but a pod's own address, which the node has a way to, for its other ports.
 */
function routedPrefixes(state: ConfigState): Set<string> {
  const prefixes = new Set([...state.vips.values()].map((vip) => vip.prefix));
  for (const vip of state.vips.values()) {
    for (const address of vip.pods.keys()) prefixes.delete(`${address}/${address.includes(":") ? 128 : 32}`);
  }
  return prefixes;
}
