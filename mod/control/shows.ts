/**
 * What the `show` commands answer: read from the state, the workers' counters and their session tables, without stopping
 * anything.
 *
 * @module
 */

import type { ConfigState } from "../config/state.ts";
import { VERSION } from "../config/version.ts";
import * as counters from "../metrics/counters.ts";
import { nowSeconds } from "../worker/clock.ts";
import { SESSION_POD, type SessionTable } from "../table/session.ts";
import type { Attachments } from "./attachments.ts";
import type { ShowInterface, ShowKu, ShowNodeCounter, ShowPod, ShowVip, ShowVipVerbose } from "./protocol.ts";
import type { Offload } from "./offload.ts";
import type { Publisher } from "./publisher.ts";
import type { PodRecord, ServiceRecord, ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import type { WorkerHandle } from "./worker_handle.ts";

export interface ShowParts {
  state: ConfigState;
  services: ServiceTables;
  attachments: Attachments;
  publisher: Publisher;
  sessions: SessionMemory;
  offload: Offload;
  workers: readonly WorkerHandle[];
  startedSeconds: number;
}

export function showKu(parts: ShowParts): ShowKu {
  const { state, workers, sessions } = parts;
  let pods = 0;
  for (const vip of state.vips.values()) pods += vip.pods.size;
  const now = nowSeconds();
  return {
    version: VERSION,
    pid: Deno.pid,
    uptimeSeconds: now - parts.startedSeconds,
    generation: parts.publisher.generation,
    conf: { ...state.conf },
    interfaces: state.interfaces.size,
    vips: state.vips.size,
    pods,
    workers: workers.map((_, index) => ({
      worker: index,
      timeoutSeconds: state.conf.timeout,
      sessions: {
        used: live(sessions.four[index], now) + live(sessions.six[index], now),
        capacity: sessions.four[index].capacity + sessions.six[index].capacity,
      },
    })),
    memoryBytes: memoryBytes(parts),
  };
}

/** Packet memory, tables, sessions and counters. */
function memoryBytes({ workers, sessions, offload, publisher }: ShowParts): number {
  const ofWorkers = workers.reduce((sum, worker) => sum + worker.memoryBytes, 0);
  return ofWorkers + sessions.bytes + offload.bytes + publisher.bytes;
}

/** Live sessions of every table, and how many fit. */
export function sessionLoads({ sessions }: Pick<ShowParts, "sessions">) {
  const now = nowSeconds();
  return ([["ip4", sessions.four], ["ip6", sessions.six]] as const).flatMap(([family, tables]) =>
    tables.map((table, worker) => ({ worker, family, used: live(table, now), capacity: table.capacity }))
  );
}

function live(table: SessionTable, now: number): number {
  let count = 0;
  if (table.used() > 0) table.forEach(now, () => count++);
  return count;
}

export function showVips(parts: ShowParts): ShowVip[] {
  return [...parts.services.records.values()].map(vipOf);
}

function vipOf({ vip }: ServiceRecord): ShowVip {
  const { pods, revision: _, ...options } = vip;
  return { ...options, podCount: pods.size };
}

export function showVipsVerbose(parts: ShowParts): ShowVipVerbose[] {
  const sessions = sessionsByPod(parts);
  return [...parts.services.records.values()].map((record) => ({
    ...vipOf(record),
    counters: {
      nextPacket: ofService(parts, record.id, counters.SERVICE_NEXT_PACKET),
      firstPacket: ofService(parts, record.id, counters.SERVICE_FIRST_PACKET),
      untracked: ofService(parts, record.id, counters.SERVICE_UNTRACKED),
      noServer: ofService(parts, record.id, counters.SERVICE_NO_SERVER),
      replyPackets: ofService(parts, record.id, counters.SERVICE_REPLY_PACKETS),
      bytes: ofService(parts, record.id, counters.SERVICE_BYTES),
      replyBytes: ofService(parts, record.id, counters.SERVICE_REPLY_BYTES),
    },
    pods: podsOf(parts, record, sessions),
  }));
}

/** Pods in order of address; removed ones appear as long as sessions live on them. */
function podsOf(parts: ShowParts, record: ServiceRecord, sessions: Map<number, number>): ShowPod[] {
  const shown = [...record.pods.values()].filter((pod) => !pod.removed || sessions.has(pod.id));
  shown.sort((a, b) => Number(a.removed) - Number(b.removed) || compareBytes(a.bytes, b.bytes));
  return shown.map((pod) => ({
    address: pod.address,
    weight: pod.weight,
    buckets: pod.slots,
    sessions: sessions.get(pod.id) ?? 0,
    state: stateOf(pod),
    newSessions: ofPod(parts, pod.id, counters.POD_FIRST_PACKET),
    packets: ofPod(parts, pod.id, counters.POD_PACKETS),
    bytes: ofPod(parts, pod.id, counters.POD_BYTES),
    replyPackets: ofPod(parts, pod.id, counters.POD_REPLY_PACKETS),
    replyBytes: ofPod(parts, pod.id, counters.POD_REPLY_BYTES),
  }));
}

function stateOf(pod: PodRecord): ShowPod["state"] {
  return pod.removed ? "removed" : pod.weight === 0 ? "draining" : "active";
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

function ofService({ workers }: ShowParts, id: number, column: number): number {
  return workers.reduce((sum, { counters: own }) => {
    return sum + own.service[id * counters.SERVICE_COUNTERS + column];
  }, 0);
}

function ofPod({ workers }: ShowParts, id: number, column: number): number {
  return workers.reduce((sum, { counters: own }) => sum + own.pod[id * counters.POD_COUNTERS + column], 0);
}

/** Live sessions by pod id, all workers. */
export function sessionsByPod({ sessions }: Pick<ShowParts, "sessions">): Map<number, number> {
  const now = nowSeconds();
  const byPod = new Map<number, number>();
  for (const table of [...sessions.four, ...sessions.six]) {
    if (table.used() === 0) continue;
    table.forEach(now, (entry) => {
      const pod = table.words[entry + SESSION_POD];
      byPod.set(pod, (byPod.get(pod) ?? 0) + 1);
    });
  }
  return byPod;
}

export function showNodeCounters({ workers }: ShowParts): ShowNodeCounter[] {
  return counters.NODE_COUNTERS.map(({ node, reason }, index) => ({
    count: workers.reduce((sum, { counters: own }) => sum + own.node[index], 0),
    node,
    reason,
  }));
}

export function showInterfaces({ attachments, workers, offload }: ShowParts): ShowInterface[] {
  return attachments.list().map((attachment) => {
    const { name, slot, spec, link } = attachment;
    const at = slot * counters.INTERFACE_COUNTERS;
    const of = (column: number) =>
      workers.reduce((sum, { counters: own }) => sum + (own.interface[at + column] ?? 0), 0);
    return {
      name,
      mode: spec.mode,
      activeMode: attachment.mode,
      reason: attachment.reason,
      nat4: spec.nat4 ? "in" as const : null,
      nat6: spec.nat6 ? "in" as const : null,
      ifindex: link?.index ?? null,
      slot,
      mac: link?.mac == null ? null : macText(link.mac),
      mtuBytes: link?.mtuBytes ?? null,
      up: link?.up ?? false,
      queues: attachment.queues,
      queueWorkers: [...attachment.queueWorkers],
      rxQueues: attachment.rxQueues,
      txQueues: attachment.txQueues,
      rxPackets: of(counters.INTERFACE_RX_PACKETS),
      rxBytes: of(counters.INTERFACE_RX_BYTES),
      txPackets: of(counters.INTERFACE_TX_PACKETS),
      txBytes: of(counters.INTERFACE_TX_BYTES),
      punts: of(counters.INTERFACE_PUNTS),
      drops: of(counters.INTERFACE_DROPS),
      kernel: offload.ofInterface(slot),
    };
  });
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
