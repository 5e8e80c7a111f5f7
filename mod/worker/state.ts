/**
 * What a worker owns, and what the control plane's requests do to it. Runs on the event loop only, never inside a burst.
 *
 * @module
 */

import { signalEventFd } from "../../ffi/event_fd.ts";
import { Counters } from "../metrics/counters.ts";
import { Processor, type SessionViews, type Tables } from "../datapath/processor.ts";
import { SessionFilter } from "../table/filter.ts";
import { AffinityTable } from "../table/affinity.ts";
import { Mailbox } from "../table/mailbox.ts";
import { OffloadTable } from "../table/offload.ts";
import { OverflowTable } from "../table/overflow.ts";
import { SESSION_OFFLOAD, SESSION_POD, SESSION_SERVICE, SessionTable } from "../table/session.ts";
import { moveSessions } from "../table/session_move.ts";
import {
  recordWords,
  toldOf,
  unpackAffinity,
  unpackNotes,
  unpackSessions,
} from "../table/session_records.ts";
import { XskSocket } from "../xdp/socket.ts";
import { Umem } from "../xdp/umem.ts";
import { BurstContext, flushAll } from "./burst.ts";
import { nowSeconds } from "./clock.ts";
import { FramePool, ringSizeFor } from "./frame_pool.ts";
import type {
  FlushRequest,
  Migrated,
  MigrateRequest,
  OffloadPlan,
  OpenPortRequest,
  PortOpened,
  RestoreRequest,
  SessionBuffers,
  StageRequest,
  StartRequest,
  Suspended,
  TapRequest,
  WorkerReport,
  WorkerRequest,
} from "./messages.ts";
import { OffloadTotals } from "./offload_totals.ts";
import { Port } from "./port.ts";
import { viewTables } from "./tables.ts";
import { Tap } from "./tap.ts";
import { POOL_RESERVE, refill } from "./refill.ts";
import { viewFilter, viewOffload, viewShare } from "./views.ts";

export class WorkerState {
  readonly words: Int32Array;
  readonly wakeFd: number;
  readonly context: BurstContext;
  /** The generation that runs. */
  generation = 0;
  stopped = false;
  /** Another process has the kernel's flows. */
  suspended = false;

  readonly #index: number;
  readonly #umem: Umem;
  readonly #ringSize: number;
  readonly #counters: Counters;
  readonly #filter: SessionFilter;
  readonly #offload: OffloadTable;
  readonly #totals: OffloadTotals;
  readonly #overflow4: OverflowTable;
  readonly #overflow6: OverflowTable;
  readonly #affinity: AffinityTable;
  /** Mailboxes to the other workers, in their order, and the descriptors that wake them. */
  readonly #outboxes: Mailbox[];
  readonly #otherWakeFds: number[];
  /** The tables of all workers that the own ones are among. */
  #buffers: SessionBuffers;
  #sessions4: SessionTable;
  #sessions6: SessionTable;
  #sweep4 = 0;
  #sweep6 = 0;
  #sweepNotes4 = 0;
  #sweepNotes6 = 0;
  /** Sessions that the kernel may repeat, by configuration. */
  #offloadLimit: number;
  #staged: Tables | null = null;
  /** What an earlier process was told of flows whose sessions it has handed over. */
  readonly #handed = new Map<number, Float64Array>();

  constructor(start: StartRequest) {
    this.words = new Int32Array(start.control);
    this.wakeFd = start.wakeFd;
    this.#index = start.workerIndex;
    this.#ringSize = start.memory.ringSize;
    this.#umem = Umem.create(start.memory.frameCount, start.memory.frameBytes);
    this.#counters = new Counters(start.counters);
    this.#filter = viewFilter(start.filter);
    this.#overflow4 = new OverflowTable(start.overflow.four[this.#index], this.#filter);
    this.#overflow6 = new OverflowTable(start.overflow.six[this.#index], this.#filter);
    const others = <T>(of: readonly T[]) => of.filter((_, other) => other !== this.#index);
    const overflows = (buffers: SharedArrayBuffer[]) =>
      others(buffers).map((buffer) => new OverflowTable(buffer));
    this.#outboxes = others(start.mailboxes[this.#index]).map((buffer) => new Mailbox(buffer));
    this.#otherWakeFds = others(start.wakeFds);
    this.#affinity = new AffinityTable(start.affinity[this.#index]);
    this.#buffers = start.sessions;
    this.#offload = viewOffload(start, this.#counters);
    this.#totals = new OffloadTotals(this.#offload);
    this.#offloadLimit = this.#offload.limit;
    this.#sessions4 = new SessionTable(start.sessions.four[this.#index], this.#filter, this.#offload);
    this.#sessions6 = new SessionTable(start.sessions.six[this.#index], this.#filter, this.#offload);
    const processor = new Processor({
      frames: this.#umem.buffer,
      counters: this.#counters,
      ...this.#views(start.sessions),
      overflow4: this.#overflow4,
      overflow6: this.#overflow6,
      othersOverflow4: overflows(start.overflow.four),
      othersOverflow6: overflows(start.overflow.six),
      inboxes: others(start.mailboxes.map((to) => to[this.#index])).map((buffer) => new Mailbox(buffer)),
      affinity: this.#affinity,
      othersAffinity: others(start.affinity).map((buffer) => new AffinityTable(buffer)),
      offload: this.#offload,
      workerIndex: this.#index,
      workerCount: start.sessions.four.length,
    });
    const pool = new FramePool(start.memory.frameCount, start.memory.frameBytes);
    this.context = new BurstContext(
      this.#umem.view,
      start.memory.frameBytes,
      pool,
      processor,
      this.#counters,
    );
  }

  /** Carries out one request. What it returns is the answer; what it throws, the error. */
  handle(request: Exclude<WorkerRequest, StartRequest>): unknown {
    switch (request.kind) {
      case "openPort":
        return this.#openPort(request);
      case "closePort":
        return this.#closePort(request.slot);
      case "stage":
        return this.#stage(request);
      case "watch":
        return this.#look(request.sessions, this.#buffers);
      case "settle":
        return this.#look(request.sessions);
      case "migrate":
        return this.#migrate(request);
      case "flush":
        return this.#flush(request);
      case "adoptOffload":
        return this.#adoptOffload();
      case "limitOffload":
        return this.#limitOffload(request.limit);
      case "moveOffload":
        return this.#moveOffload(request.plan);
      case "report":
        return this.#report();
      case "tap":
        return this.#tap(request);
      case "suspend":
        return this.#suspend();
      case "resume":
        return this.#resume();
      case "restore":
        return this.#restore(request);
      case "stop":
        return this.#stop();
    }
  }

  /** Runs the tables that were staged last. */
  runStaged(): void {
    if (this.#staged === null) return;
    this.context.processor.setTables(this.#staged);
    this.context.processor.reviseOffload();
    this.context.interfaces = this.#staged.interfaces;
    this.generation = this.#staged.generation;
  }

  /** Frees what has expired in `share` (0 … 1) of the tables. */
  sweep(now: number, share: number): void {
    const count = (entries: number) => Math.ceil(entries * share);
    this.#sweep4 = this.#sessions4.sweep(this.#sweep4, count(this.#sessions4.capacity), now);
    this.#sweep6 = this.#sessions6.sweep(this.#sweep6, count(this.#sessions6.capacity), now);
    this.#sweepNotes4 = this.#overflow4.sweep(this.#sweepNotes4, count(this.#overflow4.places), now);
    this.#sweepNotes6 = this.#overflow6.sweep(this.#sweepNotes6, count(this.#overflow6.places), now);
  }

  #openPort(request: OpenPortRequest): PortOpened {
    const socket = XskSocket.open(this.#umem, {
      interfaceName: request.interfaceName,
      queue: request.queue,
      receive: request.receive,
      ringSize: this.#ringSize,
      receiveRingSize: this.#receiveRingSize(request),
      zeroCopy: request.bind === "auto",
    });
    const port = new Port(request.slot, socket, request.receive);
    this.context.add(port);
    if (request.receive) {
      for (let before = -1; before !== this.context.pool.count;) {
        before = this.context.pool.count;
        refill(this.context.pool, port);
      }
    }
    return { fd: socket.fd, zeroCopy: socket.zeroCopy };
  }

  /** A ring that receives holds frames whether packets come or not, so all of them together must fit into the pool. */
  #receiveRingSize({ receive }: OpenPortRequest): number {
    if (!receive) return this.#ringSize;
    const { pool, receivers } = this.context;
    const promised = receivers.reduce((sum, port) => sum + port.socket.fill.size, POOL_RESERVE);
    const size = ringSizeFor(pool.capacity - promised, this.#ringSize);
    if (size === 0) throw new Error("no packet memory is left for another receiving ring: use mode tc");
    return size;
  }

  #closePort(slot: number): null {
    flushAll(this.context);
    const frameMask = ~(this.#umem.frameBytes - 1);
    for (const port of this.context.remove(slot)) {
      for (const addr of port.socket.close()) this.context.pool.put(addr & frameMask);
    }
    return null;
  }

  #stage(request: StageRequest): null {
    this.#staged = viewTables(request);
    return null;
  }

  #migrate(request: MigrateRequest): Migrated {
    const next4 = new SessionTable(request.sessions.four[this.#index], this.#filter, this.#offload);
    const next6 = new SessionTable(request.sessions.six[this.#index], this.#filter, this.#offload);
    const now = nowSeconds();
    const lost = moveSessions(this.#sessions4, next4, now, this.#overflow4) +
      moveSessions(this.#sessions6, next6, now, this.#overflow6);
    this.#sessions4 = next4;
    this.#sessions6 = next6;
    this.#look(request.sessions, this.#buffers);
    this.#buffers = request.sessions;
    this.#sweep4 = 0;
    this.#sweep6 = 0;
    return { moved: next4.used() + next6.used(), lost };
  }

  /** Looks for others' sessions in these tables, in the order given. */
  #look(...buffers: SessionBuffers[]): null {
    this.context.processor.setSessions(this.#views(...buffers));
    return null;
  }

  /** The own tables, and views of the others' for reading, with the mailboxes that belong to them. */
  #views(...buffers: SessionBuffers[]): SessionViews {
    const others = (of: SharedArrayBuffer[]) =>
      of.filter((_, other) => other !== this.#index).map((buffer) => new SessionTable(buffer));
    return {
      sessions4: this.#sessions4,
      sessions6: this.#sessions6,
      others4: buffers.flatMap(({ four }) => others(four)),
      others6: buffers.flatMap(({ six }) => others(six)),
      outboxes: buffers.flatMap(() => this.#outboxes),
    };
  }

  /** Wakes the workers whose mailboxes ask for it. */
  wakeOthers(): void {
    this.#outboxes.forEach((box, other) => {
      if (!box.wakes) return;
      box.wakes = false;
      signalEventFd(this.#otherWakeFds[other]);
    });
  }

  #flush(request: FlushRequest): number {
    const services = request.services === null ? null : new Set(request.services);
    const pods = request.pods === null ? null : new Set(request.pods);
    let count = 0;
    for (const table of [this.#sessions4, this.#sessions6]) {
      table.forEach(nowSeconds(), (entry) => {
        if (services !== null && !services.has(table.words[entry + SESSION_SERVICE])) return;
        if (pods !== null && !pods.has(table.words[entry + SESSION_POD])) return;
        table.remove(entry);
        count++;
      });
    }
    if (request.retired) this.#offload.disown((service) => services?.has(service) ?? false);
    return count;
  }

  /** While somebody looks on, every packet passes here: the kernel repeats nothing. */
  #tap({ buffer, ranges }: TapRequest): null {
    const { frames } = this.context;
    this.context.tap = buffer === null ? null : new Tap(buffer, frames, this.#counters.node, ranges);
    return this.#limitOffload(this.#offloadLimit);
  }

  #limitOffload(limit: number): null {
    this.#offloadLimit = limit;
    this.#offload.limit = this.context.tap === null ? limit : 0;
    if (!this.#offload.isOn || this.#offload.used > this.#offload.limit) {
      this.context.processor.withdrawOffload();
    }
    return null;
  }

  #moveOffload(plan: OffloadPlan): null {
    this.context.processor.withdrawOffload();
    this.#offload.moveTo(viewShare(plan));
    return this.#limitOffload(plan.limit);
  }

  #adoptOffload(): number {
    this.context.processor.now = nowSeconds();
    const used = this.context.processor.adoptOffload(this.#handed);
    this.#totals.adopted();
    return used;
  }

  #suspend(): Suspended {
    for (const port of [...this.context.ports]) this.#closePort(port.slot);
    this.context.processor.now = nowSeconds();
    this.context.processor.followOffload(0, this.#offload.capacity);
    this.suspended = true;
    return { told: this.#offload.toldOfAll(), offload: this.#totals.counts };
  }

  #resume(): null {
    this.suspended = false;
    this.context.processor.withdrawOffload();
    return null;
  }

  #restore(request: RestoreRequest): number {
    const now = nowSeconds();
    let lost = 0;
    for (
      const { packed, table, overflow, notes } of [
        {
          packed: request.sessions4,
          table: this.#sessions4,
          overflow: this.#overflow4,
          notes: request.notes4,
        },
        {
          packed: request.sessions6,
          table: this.#sessions6,
          overflow: this.#overflow6,
          notes: request.notes6,
        },
      ]
    ) {
      unpackNotes(notes, overflow);
      lost += unpackSessions(packed, table, now, overflow);
      for (let at = 0; at < packed.length; at += recordWords(table.addressWords)) {
        const flow = packed[at + SESSION_OFFLOAD] - 1;
        if (flow >= 0) this.#handed.set(flow, toldOf(packed, at, table.addressWords));
      }
    }
    unpackAffinity(request.affinity, this.#affinity);
    this.#totals.continueFrom(request.offload);
    return lost;
  }

  #report(): WorkerReport {
    const { pool, ports, processor } = this.context;
    processor.now = nowSeconds();
    if (!this.suspended) processor.followOffload(0, this.#offload.capacity);
    return {
      offload: { used: this.#offload.used, ...this.#totals.counts },
      frames: pool.capacity,
      freeFrames: pool.count,
      ports: ports.map(({ slot, socket, receives, outstanding }) => ({
        slot,
        queue: socket.queue,
        receive: receives,
        zeroCopy: socket.zeroCopy,
        outstanding,
        ...socket.statistics(),
      })),
    };
  }

  #stop(): null {
    for (const port of [...this.context.ports]) this.#closePort(port.slot);
    this.stopped = true;
    return null;
  }
}
