/**
 * Who watches packets: traces and captures. While anybody does, every worker has a tap (mod/worker/tap.ts); its records are read here many times
 * a second and handed to each watcher. Nobody watching costs nothing.
 *
 * @module
 */

import { NODE_COUNTERS, type NodeCounter } from "../metrics/counters.ts";
import { createTapBuffer, TapReader, type TapRecord } from "../worker/tap.ts";
import type { TapRange } from "../worker/tap_filter.ts";
import type { WorkerHandle } from "./worker_handle.ts";

/** A worker's ring holds 1024 records: enough for 50,000 packets/s at this pace. */
const READ_MS = 20;

/** A record with its worker and the reasons by name. */
export interface Seen extends TapRecord {
  worker: number;
  reasons: NodeCounter[];
}

export interface Watcher {
  /** The addresses whose packets it wants; null: every packet. It may be shown others, which another watcher wants. */
  readonly ranges: readonly TapRange[] | null;
  see(seen: Seen): void;
  /** Called once a look, after its records; false: has seen enough. */
  goesOn(): boolean;
}

export class Taps {
  readonly #workers: readonly WorkerHandle[];
  readonly #watchers = new Set<Watcher>();
  #buffers: SharedArrayBuffer[] = [];
  #readers: TapReader[] = [];
  #timer: number | null = null;
  /** Starting and ending, one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(workers: readonly WorkerHandle[]) {
    this.#workers = workers;
  }

  /** Records that the present watchers missed because packets came too fast. */
  get lost(): number {
    return this.#readers.reduce((sum, reader) => sum + reader.lost, 0);
  }

  /** From when this resolves on, `watcher` sees every packet that it wants. */
  add(watcher: Watcher): Promise<void> {
    return this.#inOrder(async () => {
      this.#watchers.add(watcher);
      if (this.#timer === null) this.#start();
      await this.#tell();
    });
  }

  remove(watcher: Watcher): Promise<void> {
    return this.#inOrder(async () => {
      this.#read();
      this.#watchers.delete(watcher);
      if (this.#timer === null) return;
      if (this.#watchers.size === 0) this.#stop();
      await this.#tell();
    });
  }

  #inOrder(task: () => Promise<void>): Promise<void> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }

  #start(): void {
    this.#buffers = this.#workers.map(createTapBuffer);
    this.#readers = this.#buffers.map((buffer) => new TapReader(buffer));
    this.#timer = setInterval(() => this.#look(), READ_MS);
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#buffers = [];
    this.#readers = [];
  }

  /** Has the workers keep what the present watchers want. The ring goes on where it is. */
  async #tell(): Promise<void> {
    const all = [...this.#watchers].map(({ ranges }) => ranges);
    const ranges = all.includes(null) ? null : all.flatMap((each) => each ?? []);
    await Promise.all(
      this.#workers.map((worker, index) =>
        worker.request({ kind: "tap", buffer: this.#buffers[index] ?? null, ranges })
      ),
    );
  }

  #look(): void {
    this.#read();
    for (const watcher of this.#watchers) if (!watcher.goesOn()) void this.remove(watcher).catch(() => {});
  }

  #read(): void {
    for (const [worker, reader] of this.#readers.entries()) {
      for (const record of reader.take()) {
        const seen = { ...record, worker, reasons: record.counted.map((index) => NODE_COUNTERS[index]) };
        for (const watcher of this.#watchers) watcher.see(seen);
      }
    }
  }
}
