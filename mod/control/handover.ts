/**
 * What one daemon hands to the next, in a file beside the socket: a line of JSON, then the records of every worker as int32 words of this
 * machine (mod/table/session_records.ts, mod/worker/messages.ts HandedRecords), in the order that the line names.
 *
 * Rule: ids of services and pods are the old daemon's, and mean something by the names in the line only. Whoever does not know
 * HANDOVER_FORMAT takes nothing.
 *
 * @module
 */

import type { ConfigDocument } from "../config/document.ts";
import { ConfigError, vipKeyText } from "../config/model.ts";
import {
  INTERFACE_COUNTERS,
  NODE_COUNTERS,
  type NodeCounter,
  POD_COUNTERS,
  SERVICE_COUNTERS,
} from "../metrics/counters.ts";
import { packAffinity, packNotes, packSessions } from "../table/session_records.ts";
import type { AffinityTable } from "../table/affinity.ts";
import type { HandedRecords, OffloadCounts } from "../worker/messages.ts";
import type { Attachments } from "./attachments.ts";
import type { ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import type { WorkerHandle } from "./worker_handle.ts";

/** Raised when anything in the file, or its records, comes to mean something else. */
export const HANDOVER_FORMAT = 2;

/** What the daemon that leaves says of itself before anything is done. */
export interface HandoverOffer {
  ku: string;
  workers: number;
  document: ConfigDocument;
}

interface HandedPod {
  address: string;
  id: number;
  /** Its connections may go on, it gets no new ones. */
  removed: boolean;
  counts: number[];
}

export interface HandedService {
  /** `vipKeyText`. */
  key: string;
  id: number;
  counts: number[];
  pods: HandedPod[];
}

export interface HandedInterface {
  name: string;
  /** What the kernel repeats leaves by it, and is counted under it. */
  slot: number;
  counts: number[];
}

/** By name: another version may have more, or in another order. */
export interface HandedNodeCount extends Pick<NodeCounter, "node" | "reason"> {
  count: number;
}

/** Everything. */
export interface Handover {
  document: ConfigDocument;
  services: HandedService[];
  interfaces: HandedInterface[];
  nodeCounts: HandedNodeCount[];
  offload: OffloadCounts;
  workers: HandedRecords[];
}

const SECTIONS = ["sessions4", "sessions6", "notes4", "notes6", "affinity"] as const;

/** Where the file is. */
export function handoverPath(socketPath: string): string {
  return `${socketPath}.handover`;
}

/** The records of worker `index`, whose flows begin with number `firstFlow` and were told of as `told` says. */
export function packWorker(
  sessions: SessionMemory,
  affinity: AffinityTable,
  index: number,
  firstFlow: number,
  told: Float64Array,
  now: number,
): HandedRecords {
  return {
    sessions4: packSessions(sessions.four[index], now, firstFlow, told),
    sessions6: packSessions(sessions.six[index], now, firstFlow, told),
    notes4: packNotes(sessions.overflow4[index], now),
    notes6: packNotes(sessions.overflow6[index], now),
    affinity: packAffinity(affinity),
  };
}

/** Services and pods with what all workers have counted. */
export function packServices(services: ServiceTables, workers: readonly WorkerHandle[]): HandedService[] {
  return [...services.records.values()].map(({ id, vip, pods }) => ({
    key: vipKeyText(vip),
    id,
    counts: sums(workers, "service", id, SERVICE_COUNTERS),
    pods: [...pods.values()].map(({ id, address, removed }) => ({
      address,
      id,
      removed,
      counts: sums(workers, "pod", id, POD_COUNTERS),
    })),
  }));
}

/** Interfaces, those that are not there at the moment too, likewise. */
export function packInterfaces(
  attachments: Attachments,
  workers: readonly WorkerHandle[],
): HandedInterface[] {
  return attachments.list().map(({ name, slot }) => ({
    name,
    slot,
    counts: sums(workers, "interface", slot, INTERFACE_COUNTERS),
  }));
}

/** Node counters, all workers. */
export function packNodeCounts(workers: readonly WorkerHandle[]): HandedNodeCount[] {
  return NODE_COUNTERS.map(({ node, reason }, index) => ({
    node,
    reason,
    count: workers.reduce((total, { counters }) => total + counters.node[index], 0),
  }));
}

/** Row `row` of one kind of counters, all workers. */
function sums(
  workers: readonly WorkerHandle[],
  of: "service" | "pod" | "interface",
  row: number,
  columns: number,
): number[] {
  return Array.from(
    { length: columns },
    (_, column) => workers.reduce((total, { counters }) => total + counters[of][row * columns + column], 0),
  );
}

/** Writes the file, readable by its owner only. */
export async function writeHandover(path: string, handover: Handover): Promise<void> {
  const { workers, ...rest } = handover;
  const lengths = workers.map((records) => SECTIONS.map((name) => records[name].length));
  const line = JSON.stringify({ format: HANDOVER_FORMAT, ...rest, lengths }) + "\n";
  await Deno.remove(path).catch(() => {});
  const file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  try {
    const write = async (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    };
    await write(new TextEncoder().encode(line));
    for (const records of workers) {
      for (const name of SECTIONS) {
        const { buffer, byteOffset, byteLength } = records[name];
        await write(new Uint8Array(buffer, byteOffset, byteLength));
      }
    }
  } finally {
    file.close();
  }
}

/** Reads the file and removes it. Throws a ConfigError for one that it does not know, or that is not whole. */
export async function readHandover(path: string): Promise<Handover> {
  const bytes = await Deno.readFile(path);
  await Deno.remove(path);
  const end = bytes.indexOf(10);
  const { format, lengths, ...rest } = parseLine(path, bytes.subarray(0, end));
  if (format !== HANDOVER_FORMAT) throw unknownFormat(format);
  const wordCount = lengths.flat().reduce((sum, length) => sum + length, 0);
  if (bytes.length !== end + 1 + 4 * wordCount) throw notWhole(path);
  const words = new Int32Array(bytes.slice(end + 1).buffer);
  let at = 0;
  const take = (length: number) => words.subarray(at, at += length);
  const workers = lengths.map((of) =>
    Object.fromEntries(SECTIONS.map((name, section) => [name, take(of[section])])) as unknown as HandedRecords
  );
  return { ...rest, workers };
}

type HandoverLine = Omit<Handover, "workers"> & { format: number; lengths: number[][] };

function parseLine(path: string, line: Uint8Array): HandoverLine {
  try {
    return JSON.parse(new TextDecoder().decode(line));
  } catch {
    throw notWhole(path);
  }
}

function notWhole(path: string): ConfigError {
  return new ConfigError("handover", path, "is not whole: see whether the disk is full, and try again");
}

/** For the daemon that is asked as well as for the one that asks. */
export function unknownFormat(format: unknown): ConfigError {
  return new ConfigError(
    "handover format",
    String(format),
    `is not ${HANDOVER_FORMAT}: use "ku stop --keep" and then "ku run"`,
  );
}
