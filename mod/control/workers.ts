/**
 * The workers of a daemon: how many, their start, and their sockets on the pair.
 *
 * @module
 */

import { LINE_MEMORY } from "../../ffi/memory.ts";
import type { ConfigState } from "../config/state.ts";
import { Counters } from "../metrics/counters.ts";
import { KU1, setPairQueues } from "../netlink/pair.ts";
import type { PortOpened } from "../worker/messages.ts";
import { queuesOf, type Steering } from "../xdp/steering.ts";
import type { Offload } from "./offload.ts";
import { MAX_POD_IDS, MAX_SERVICE_IDS } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** Packet memory of a worker: 64 MiB. Rings of 2048 take a burst of some 2 ms at 1 M packets/s. */
const MEMORY = { frameCount: 16_384, frameBytes: 4096, ringSize: 2048 };

/** As many as the interfaces have RX queues, at most the cores. */
export function defaultWorkers(state: ConfigState): number {
  let queues = 1;
  for (const name of state.interfaces.keys()) queues = Math.max(queues, queuesOf(name).rx);
  return Math.min(queues, navigator.hardwareConcurrency);
}

/** Queues that the pair is made with, for `workers` and for those that a later daemon may have beside the pair's being used. */
export function pairRoom(workers: number): number {
  return Math.max(workers, navigator.hardwareConcurrency);
}

/** One for each of `wakeFds`, into `workers` as they come, so that whoever stops them knows those that run when one cannot start. */
export async function startWorkers(
  workers: WorkerHandle[],
  wakeFds: number[],
  parts: { sessions: SessionMemory; offload: Offload; onFatal: (reason: string) => void },
): Promise<void> {
  const { sessions, offload, onFatal } = parts;
  for (let index = 0; index < wakeFds.length; index++) {
    const plan = {
      memory: MEMORY,
      sessions: sessions.buffers,
      overflow: sessions.overflowBuffers,
      mailboxes: sessions.mailboxes,
      wakeFds,
      affinity: sessions.affinity,
      filter: sessions.filter,
      offload: offload.plan(index),
      counters: Counters.create(MAX_SERVICE_IDS, MAX_POD_IDS, LINE_MEMORY).buffer as SharedArrayBuffer,
    };
    workers.push(await WorkerHandle.start(index, plan, onFatal));
  }
}

/**
 * Slot 0: worker i receives on queue i of ku1. Where the kernel does not take the pair's other queues out of use (the sockets of another
 * daemon may just be closing), queue q is worker q's, modulo their number: what comes by a queue without a socket is lost.
 */
export async function openPortsOfPair(workers: readonly WorkerHandle[], steering: Steering): Promise<void> {
  setPairQueues(workers.length);
  const { rx } = queuesOf(KU1);
  for (let queue = 0; queue < Math.max(rx, workers.length); queue++) {
    const { fd } = await workers[queue % workers.length].request<PortOpened>({
      kind: "openPort",
      slot: 0,
      interfaceName: KU1,
      queue,
      receive: true,
      bind: "copy",
    });
    steering.setSocket(0, queue, fd);
  }
}
