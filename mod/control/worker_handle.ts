/**
 * The control plane's end of one worker: requests with answers, the shared words, and the eventfd that wakes the worker
 * out of poll(2).
 *
 * A worker in its burst loop does not read messages, so every request first raises WORD_SENT and then writes the
 * eventfd; the worker leaves the loop at the next burst boundary, handles what has come, and goes back.
 *
 * @module
 */

import {
  CONTROL_WORDS_BYTES,
  WORD_ACTIVE_GENERATION,
  WORD_FREE_FRAMES,
  WORD_SENT,
} from "../worker/control_words.ts";
import type {
  MemoryPlan,
  OffloadPlan,
  SessionBuffers,
  SharedMemory,
  Unresolved,
  WorkerMessage,
  WorkerReply,
  WorkerRequest,
} from "../worker/messages.ts";
import { Counters, INTERFACE_COUNTERS, POD_COUNTERS, SERVICE_COUNTERS } from "../metrics/counters.ts";
import { FRAGMENT_PLACES, FragmentTable } from "../table/fragment.ts";
import { signalEventFd } from "../../ffi/event_fd.ts";

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

export interface WorkerStart {
  memory: MemoryPlan;
  sessions: SessionBuffers;
  overflow: SessionBuffers;
  mailboxes: SharedArrayBuffer[][];
  /** An eventfd for each worker. They may write to each other's as long as any of them runs. */
  wakeFds: number[];
  affinity: SharedArrayBuffer[];
  filter: SharedMemory;
  offload: OffloadPlan;
  counters: SharedArrayBuffer;
}

export class WorkerHandle {
  readonly index: number;
  /** What the worker counts; it alone writes, but for ids and slots that nobody uses (`clearCounters`, `clearInterface`). */
  readonly counters: Counters;
  /** Packet memory, counters, datagrams in fragments. */
  readonly memoryBytes: number;
  /** Called when packets are punted for want of a neighbor. */
  onUnresolved: (what: Unresolved) => void = () => {};
  readonly #worker: Worker;
  readonly #words: Int32Array;
  readonly #wakeFd: number;
  readonly #pending = new Map<number, Pending>();
  /** Who waits for the worker to run a generation. */
  #awaiting: { generation: number; resolve: () => void }[] = [];
  /** The generation that the worker said it runs. */
  #running = 0;
  #nextId = 1;
  #ended = false;

  private constructor(
    index: number,
    worker: Worker,
    control: SharedArrayBuffer,
    wakeFd: number,
    plan: WorkerStart,
  ) {
    this.index = index;
    this.counters = new Counters(plan.counters);
    this.memoryBytes = plan.memory.frameCount * plan.memory.frameBytes + plan.counters.byteLength +
      FragmentTable.bytesFor(FRAGMENT_PLACES);
    this.#worker = worker;
    this.#words = new Int32Array(control);
    this.#wakeFd = wakeFd;
  }

  /** Starts worker `index`. `onFatal` is called when it dies by itself; nothing else it was asked is answered then. */
  static async start(
    index: number,
    plan: WorkerStart,
    onFatal: (reason: string) => void,
  ): Promise<WorkerHandle> {
    const control = new SharedArrayBuffer(CONTROL_WORDS_BYTES);
    const wakeFd = plan.wakeFds[index];
    const worker = new Worker(new URL("../worker/worker.ts", import.meta.url), {
      type: "module",
      name: `ku-worker-${index}`,
    });
    const handle = new WorkerHandle(index, worker, control, wakeFd, plan);
    const fail = (reason: string) => {
      if (handle.#ended) return;
      handle.#ended = true;
      for (const pending of handle.#pending.values()) pending.reject(new Error(reason));
      handle.#pending.clear();
      handle.#release();
      onFatal(reason);
    };
    worker.onmessage = (event: MessageEvent<WorkerReply>) => {
      const reply = event.data;
      if ("unresolved" in reply) return handle.onUnresolved(reply.unresolved);
      if ("running" in reply) {
        handle.#running = reply.running;
        return handle.#release();
      }
      if ("fatal" in reply) return fail(`worker ${index} : ${reply.fatal}`);
      const pending = handle.#pending.get(reply.id);
      handle.#pending.delete(reply.id);
      if ("error" in reply) pending?.reject(new Error(reply.error));
      else pending?.resolve(reply.result);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      fail(`worker ${index} : ${event.message}`);
    };
    await handle.request({ kind: "start", workerIndex: index, control, wakeFd, ...plan });
    return handle;
  }

  /** Sends a request; resolves with its answer, rejects with the worker's error. */
  request<T = void>(request: WorkerRequest): Promise<T> {
    if (this.#ended) return Promise.reject(new Error(`worker ${this.index} : has ended`));
    const id = this.#nextId++;
    const message: WorkerMessage = { ...request, id };
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
      Atomics.add(this.#words, WORD_SENT, 1);
      this.#worker.postMessage(message);
      signalEventFd(this.#wakeFd);
    });
  }

  /** One atomic store: from its next burst on the worker runs `generation`, which it has been given before. */
  activate(generation: number): void {
    Atomics.store(this.#words, WORD_ACTIVE_GENERATION, generation);
    signalEventFd(this.#wakeFd);
  }

  /** Resolves when the worker has passed a burst boundary with `generation`, or has ended. */
  running(generation: number): Promise<void> {
    if (this.#hasReached(generation)) return Promise.resolve();
    return new Promise((resolve) => this.#awaiting.push({ generation, resolve }));
  }

  #hasReached(generation: number): boolean {
    return this.#ended || ((this.#running - generation) | 0) >= 0;
  }

  #release(): void {
    const reached = this.#awaiting.filter(({ generation }) => this.#hasReached(generation));
    this.#awaiting = this.#awaiting.filter(({ generation }) => !this.#hasReached(generation));
    for (const { resolve } of reached) resolve();
  }

  /** Sets the counters of ids to zero that are in no table any more. */
  clearCounters(services: readonly number[], pods: readonly number[]): void {
    for (const id of services) {
      this.counters.service.fill(0, id * SERVICE_COUNTERS, (id + 1) * SERVICE_COUNTERS);
    }
    for (const id of pods) this.counters.pod.fill(0, id * POD_COUNTERS, (id + 1) * POD_COUNTERS);
  }

  /** The slot has no interface yet; its next one begins at nothing. */
  clearInterface(slot: number): void {
    this.counters.interface.fill(0, slot * INTERFACE_COUNTERS, (slot + 1) * INTERFACE_COUNTERS);
  }

  /** Free frames in the worker's UMEM when it last said so. */
  get freeFrames(): number {
    return Atomics.load(this.#words, WORD_FREE_FRAMES);
  }

  /** Closes the worker's sockets and ends it. */
  async stop(): Promise<void> {
    if (!this.#ended) {
      await this.request({ kind: "stop" }).catch(() => {});
      this.#ended = true;
    }
    this.#worker.terminate();
  }
}
