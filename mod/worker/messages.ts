/**
 * What the control plane and a worker say to each other. Every request carries an `id` and is answered once, in order.
 * Memory is shared, never copied: tables, sessions and counters travel as SharedArrayBuffers, what is the kernel's too by its address.
 *
 * @module
 */

import type { OffloadParts } from "../table/offload_memory.ts";
import type { TapRange } from "./tap_filter.ts";

/** Sizes of a worker's packet memory, fixed for its life. */
export interface MemoryPlan {
  /** Frames in the worker's UMEM. */
  frameCount: number;
  /** Bytes of one frame, a power of two. */
  frameBytes: number;
  /** Descriptors in each ring of a socket, a power of two. */
  ringSize: number;
}

/** The session tables of every worker, by worker index. */
export interface SessionBuffers {
  four: SharedArrayBuffer[];
  six: SharedArrayBuffer[];
}

/** Memory of the process that is the kernel's too; it stays there as long as the worker lives. */
export interface SharedMemory {
  address: bigint;
  lengthBytes: number;
}

/** The flows that the steering programs repeat (mod/table/offload.ts), in the process's memory. */
export interface OffloadPlan {
  memory: OffloadParts<SharedMemory>;
  /** This worker's flows, the first and how many, and those there may be at a time; its rows of hops. */
  first: number;
  count: number;
  limit: number;
  firstHop: number;
  hopCount: number;
  /** An earlier ku's flows are there: AdoptOffloadRequest comes, and none is begun before. */
  takenOver: boolean;
}

export interface StartRequest {
  kind: "start";
  workerIndex: number;
  /** See `control_words.ts`. */
  control: SharedArrayBuffer;
  /** eventfd(2) that ends the worker's poll(2). */
  wakeFd: number;
  memory: MemoryPlan;
  sessions: SessionBuffers;
  /** The untracked flows of every worker, by worker index. */
  overflow: SessionBuffers;
  /** `mailboxes[from][to]`: what worker `from` reports to worker `to`. */
  mailboxes: SharedArrayBuffer[][];
  /** The wakeFd of every worker, by worker index. */
  wakeFds: number[];
  /** Clients' pods of every worker, by worker index. */
  affinity: SharedArrayBuffer[];
  /** The session filter (mod/table/filter.ts). */
  filter: SharedMemory;
  offload: OffloadPlan;
  counters: SharedArrayBuffer;
}

/** Opens this worker's AF_XDP socket on one interface. Answered with {@link PortOpened}. */
export interface OpenPortRequest {
  kind: "openPort";
  slot: number;
  interfaceName: string;
  /** RX queue of the interface; also the one transmitted on. */
  queue: number;
  /** False for a transmit-only socket. */
  receive: boolean;
  /** The socket's way of binding. */
  bind: "auto" | "copy";
}

export interface PortOpened {
  fd: number;
  zeroCopy: boolean;
}

export interface ClosePortRequest {
  kind: "closePort";
  slot: number;
}

/** Plain numbers of the configuration that the datapath reads; IPv6 as four big-endian words. */
export interface SettingsMessage {
  ip4SrcAddress: number;
  ip6SrcAddress: [number, number, number, number];
  nat46Prefix: [number, number, number, number];
}

/** The tables of one generation, to be used once WORD_ACTIVE_GENERATION says so. */
export interface StageRequest {
  kind: "stage";
  generation: number;
  match: SharedArrayBuffer;
  services: SharedArrayBuffer;
  pods: SharedArrayBuffer;
  slots: SharedArrayBuffer;
  routes: SharedArrayBuffer;
  adjacencies: SharedArrayBuffer;
  interfaces: SharedArrayBuffer;
  settings: SettingsMessage;
}

/**
 * New session tables for every worker, in three steps, each of which all workers have taken before the next begins: `watch`, looks for
 * others' sessions in the new tables too; `migrate`, carries its own sessions over; `settle`, looks in the new tables only. So a session
 * is seen by all at any time.
 */
export interface WatchRequest {
  kind: "watch" | "settle";
  sessions: SessionBuffers;
}

/** The second of the three steps. Answered with {@link Migrated}. */
export interface MigrateRequest {
  kind: "migrate";
  sessions: SessionBuffers;
}

export interface Migrated {
  moved: number;
  /** Sessions whose bucket was full in the new table. */
  lost: number;
}

/** Ends sessions of a service, of one pod of it, or (both null) all. Answered with the number ended. */
export interface FlushRequest {
  kind: "flush";
  services: number[] | null;
  pods: number[] | null;
  /** The services are no more: nothing is counted for them any longer. */
  retired?: boolean;
}

/** What the kernel did for a worker, or its predecessors. */
export interface OffloadCounts {
  /** Sessions that it was given since the start, and that there was no room for. */
  begun: number;
  refused: number;
  /** What it has repeated since the start. */
  packets: number;
  bytes: number;
}

/** What it does. */
export interface Offloaded extends OffloadCounts {
  /** Sessions that it repeats now. */
  used: number;
}

/** Makes sessions of the flows that an earlier ku left, by the generation that runs. Answered with their number. */
export interface AdoptOffloadRequest {
  kind: "adoptOffload";
}

/** How many sessions the kernel may repeat from now on; those beyond, or all while the epoch is 0, come back to the worker. */
export interface LimitOffloadRequest {
  kind: "limitOffload";
  limit: number;
}

/** Other memory for flows: the sessions that the kernel repeats come back to the worker first. */
export interface MoveOffloadRequest {
  kind: "moveOffload";
  plan: OffloadPlan;
}

/** Asks for the state of packet memory and rings, with the counters brought up to what the kernel has repeated. Answered with {@link WorkerReport}. */
export interface ReportRequest {
  kind: "report";
}

export interface WorkerReport {
  /** Frames in the UMEM, and how many of them are in the pool. */
  frames: number;
  freeFrames: number;
  ports: PortReport[];
  offload: Offloaded;
}

/** One socket. What the kernel counted are packets, but for the times it found the fill ring empty. */
export interface PortReport {
  slot: number;
  queue: number;
  receive: boolean;
  zeroCopy: boolean;
  /** Frames handed to the kernel to send, and not given back yet. */
  outstanding: number;
  rxDropped: number;
  rxRingFull: number;
  fillRingEmpty: number;
}

/** Has packets recorded in `buffer` (tap.ts), those of `ranges` or, null, all; no buffer ends it. */
export interface TapRequest {
  kind: "tap";
  buffer: SharedArrayBuffer | null;
  ranges: readonly TapRange[] | null;
}

/**
 * Closes every socket and leaves the kernel's flows alone from now on, for another process takes them. Answered with {@link Suspended}.
 */
export interface SuspendRequest {
  kind: "suspend";
}

export interface Suspended {
  /** What the worker's counters have been told of its flows (OffloadTable.toldOfAll). */
  told: Float64Array;
  offload: OffloadCounts;
}

/** The other one did not: all sessions are the worker's again, and flows may be begun. */
export interface ResumeRequest {
  kind: "resume";
}

/** Sessions, notes of untracked flows and affinity of an earlier process, before the first packet. Answered with how many sessions found no room. */
export interface RestoreRequest extends HandedRecords {
  kind: "restore";
  /** What was counted goes on. */
  offload: OffloadCounts;
}

/** As mod/table/session_records.ts packs them. */
export interface HandedRecords {
  sessions4: Int32Array;
  sessions6: Int32Array;
  notes4: Int32Array;
  notes6: Int32Array;
  affinity: Int32Array;
}

/** Closes every socket and ends the worker. */
export interface StopRequest {
  kind: "stop";
}

export type WorkerRequest =
  | StartRequest
  | OpenPortRequest
  | ClosePortRequest
  | StageRequest
  | WatchRequest
  | MigrateRequest
  | FlushRequest
  | AdoptOffloadRequest
  | LimitOffloadRequest
  | MoveOffloadRequest
  | ReportRequest
  | TapRequest
  | SuspendRequest
  | ResumeRequest
  | RestoreRequest
  | StopRequest;

export type WorkerMessage = WorkerRequest & { id: number };

/** Packets were punted because the neighbor they go to is not known. */
export interface Unresolved {
  /** What `adjacency` counts in. */
  generation: number;
  adjacency: number;
  /** Destination of such a packet: 4 or 16 bytes. */
  address: Uint8Array;
}

/** `running`: the worker has passed a burst boundary and reads the tables of this generation only. */
export type WorkerReply =
  | { id: number; result: unknown }
  | { id: number; error: string }
  | { running: number }
  | { unresolved: Unresolved }
  | { fatal: string };
