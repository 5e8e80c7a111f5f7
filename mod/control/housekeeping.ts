/**
 * What happens without anybody asking: the kernel's network changes are followed, deleted pods are forgotten when their
 * last session has ended, and the kernel is told which neighbors are in use.
 *
 * @module
 */

import { interfaceName } from "../../ffi/if.ts";
import { type Link, neighborUsable } from "../netlink/messages.ts";
import { type Adjacency, neighborKey } from "../netlink/next_hops.ts";
import { useNeighbors } from "../netlink/links.ts";
import type { ChangeKind, Mirror } from "../netlink/mirror.ts";
import type { RequestSocket } from "../netlink/request.ts";
import { ownProgramsOn } from "../xdp/steering.ts";
import type { Unresolved } from "../worker/messages.ts";
import type { Attachments } from "./attachments.ts";
import type { Engine } from "./engine.ts";
import type { HostRoutes } from "./host_routes.ts";
import type { Log } from "./log.ts";
import type { Publisher } from "./publisher.ts";
import type { ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import { sessionsByPod } from "./shows.ts";
import type { WorkerHandle } from "./worker_handle.ts";

/** How often the interfaces are asked for their queues: what comes by a queue that has no socket is lost to the VIPs. */
const FOLLOW_QUEUES_MS = 1000;
/** How often deleted pods are looked at. */
const FORGET_PODS_MS = 5000;
/** How often the kernel is asked which interfaces take frames from XDP programs, if one is steered by such. */
const FOLLOW_TAKERS_MS = 1000;
/**
 * How often neighbors that packets go to are named to the kernel. It would find them stale otherwise, for it does not see the
 * packets, and never notice that one has gone (net/core/neighbour.c: REACHABLE lasts about 30 s).
 */
const USE_NEIGHBORS_MS = 20_000;

export interface HousekeepingParts {
  services: ServiceTables;
  attachments: Attachments;
  publisher: Publisher;
  sessions: SessionMemory;
  workers: readonly WorkerHandle[];
  mirror: Mirror;
  requests: RequestSocket;
  engine: Engine;
  hostRoutes: HostRoutes;
  pair: { ku0: Link; ku1: Link };
  /** Called when ku cannot go on. */
  onLost: (reason: string) => void;
  log: Log;
}

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #timers: number[];
  readonly #unfollow: () => void;
  #stopped = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#unfollow = parts.mirror.onChange((kinds) => {
      this.#do("following the network", () => this.#follow(kinds));
    });
    for (const worker of parts.workers) worker.onUnresolved = (what) => this.#resolve(what);
    this.#timers = [
      setInterval(() => this.#do("forgetting pods", () => this.#forgetPods()), FORGET_PODS_MS),
      setInterval(
        () => this.#do("following queues", () => this.#parts.attachments.followQueues()),
        FOLLOW_QUEUES_MS,
      ),
      setInterval(() => this.#do("looking at interfaces", () => this.#followTakers()), FOLLOW_TAKERS_MS),
      setInterval(() => this.#do("refreshing neighbors", () => this.#useNeighbors()), USE_NEIGHBORS_MS),
    ];
  }

  /** Ends it; what is under way is waited for. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unfollow();
    for (const timer of this.#timers) clearInterval(timer);
    await this.#parts.engine.exclusive(() => Promise.resolve());
  }

  #do(what: string, task: () => Promise<void>): void {
    const { engine, log } = this.#parts;
    engine.exclusive(async () => {
      if (!this.#stopped) await task();
    }).catch((error: Error) => log.error(`${what} : ${error.message}`));
  }

  async #follow(kinds: ReadonlySet<ChangeKind>): Promise<void> {
    const { attachments, publisher, hostRoutes, mirror } = this.#parts;
    if (kinds.has("links")) {
      this.#checkPair();
      if (await attachments.followGone()) {
        publisher.networkChanged();
        await publisher.publish();
      }
      await attachments.follow();
    }
    // A host route that has gone is no reason to make tables.
    if (kinds.size > 1 || !kinds.has("own routes")) {
      publisher.networkChanged();
      await publisher.publish();
    }
    if (["links", "routes", "own routes"].some((kind) => kinds.has(kind as ChangeKind))) {
      hostRoutes.restore(mirror.routes);
    }
  }

  /**
   * Without the pair nothing passes any more, and it cannot be made anew under the workers: better to end, and be started again. Asks the
   * kernel, for the mirror may lag behind what ku itself has just done.
   */
  #checkPair(): void {
    const { pair, onLost } = this.#parts;
    for (const { index, name } of [pair.ku0, pair.ku1]) {
      if (interfaceName(index) !== name) {
        return onLost(`${name} : was removed by somebody else, start ku again`);
      }
    }
    if (!ownProgramsOn(pair.ku1.index).includes("ku_ring")) {
      onLost(`${pair.ku1.name} : its XDP program was removed by somebody else, start ku again`);
    }
  }

  /** A veth whose other end lost its XDP program or GRO drops what XDP sends it, and rtnetlink does not tell. */
  async #followTakers(): Promise<void> {
    const { attachments, publisher } = this.#parts;
    if (!attachments.takersChanged()) return;
    publisher.networkChanged();
    await publisher.publish();
  }

  async #forgetPods(): Promise<void> {
    const { services, publisher, workers } = this.#parts;
    const removed = services.removedPods();
    if (removed.size === 0) return;
    for (const pod of sessionsByPod(this.#parts).keys()) removed.delete(pod);
    const gone = services.forgetPods(removed);
    if (gone.length === 0) return;
    await publisher.publish();
    for (const worker of workers) worker.clearCounters([], gone);
    services.releasePods(gone);
  }

  /**
   * Has the kernel look for a neighbor that packets want. It would do so for the punted packets themselves, if it forwards them: but a
   * firewall may drop what it forwards, or forwarding may be off, while ku's own way needs neither.
   */
  #resolve({ generation, adjacency, address }: Unresolved): void {
    const { publisher, requests, log } = this.#parts;
    const hop = generation === publisher.generation ? publisher.adjacencies[adjacency] : undefined;
    if (hop === undefined || hop.slot < 0 || this.#stopped) return;
    const [failure] = useNeighbors(requests, [{ ifindex: hop.ifindex, address: hop.nextHop ?? address }]);
    if (failure !== null) log.debug(`looking for a neighbor : ${failure.message}`);
  }

  /** Pods and gateways that ku sends to without the kernel's seeing it. */
  #useNeighbors(): Promise<void> {
    const { publisher, mirror, requests, log } = this.#parts;
    const used = publisher.adjacencies.filter((adjacency) => this.#isUsed(adjacency, mirror));
    const neighbors = used.map(({ ifindex, nextHop }) => ({ ifindex, address: nextHop! }));
    const failures = useNeighbors(requests, neighbors).filter((result) => result !== null);
    if (failures.length > 0) log.debug(`refreshing neighbors : ${failures[0]!.message}`);
    return Promise.resolve();
  }

  #isUsed({ slot, nextHop, ifindex }: Adjacency, mirror: Mirror): boolean {
    if (slot < 0 || nextHop === null) return false;
    const neighbor = mirror.neighbors.get(neighborKey(ifindex, nextHop));
    return neighbor !== undefined && neighborUsable(neighbor);
  }
}
