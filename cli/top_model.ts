/**
 * What `ku top` shows, from two looks at the daemon's counters: rates, their recent past, order. Pure.
 */

import type { ShowKu, ShowNodeCounter, ShowVipVerbose } from "../mod/control/protocol.ts";

/** One look. */
export interface Look {
  atMs: number;
  ku: ShowKu;
  vips: readonly ShowVipVerbose[];
  counters: readonly ShowNodeCounter[];
}

/** What can be asked of a VIP, a pod, or all: each per second, but for the sessions. */
export interface Rates {
  packets: number;
  bits: number;
  newSessions: number;
  /** Packets that found no pod. */
  unserved: number;
  sessions: number;
}

export interface Row extends Rates {
  /** Stays the same from look to look. */
  key: string;
  /** The cells before the rates. */
  name: string[];
  /** Packets a second in recent looks, oldest first. */
  history: readonly number[];
}

export interface VipRow extends Row {
  pods: Row[];
}

export interface Model {
  ku: ShowKu;
  total: Row;
  vips: VipRow[];
  /** Node counters that moved since ku top runs, with their rate. */
  counters: { node: string; reason: string; count: number; rate: number; history: readonly number[] }[];
}

export const SORT_KEYS = ["packets", "bits", "newSessions", "sessions", "unserved", "name"] as const;
export type SortKey = typeof SORT_KEYS[number];

const HISTORY_LOOKS = 60;

interface Counts {
  packets: number;
  bytes: number;
  newSessions: number;
  unserved: number;
}

/** Keeps the last look and the past of every rate. */
export class Rater {
  #before: Look | null = null;
  readonly #history = new Map<string, number[]>();

  /** The model of a look. The first one has no rates yet. */
  look(now: Look): Model {
    const before = this.#before ?? now;
    const seconds = Math.max((now.atMs - before.atMs) / 1000, 0.001);
    const old = new Map(before.vips.map((vip) => [keyOf(vip), vip]));
    const first = this.#before === null;
    const rated = (
      key: string,
      name: string[],
      is: Counts,
      was: Counts | undefined,
      sessions: number,
    ): Row => {
      // What was not there before began at 0 when it was added.
      const rate = (pick: (counts: Counts) => number) =>
        first ? 0 : Math.max(0, pick(is) - (was === undefined ? 0 : pick(was))) / seconds;
      const packets = rate((counts) => counts.packets);
      return {
        key,
        name,
        packets,
        bits: 8 * rate((counts) => counts.bytes),
        newSessions: rate((counts) => counts.newSessions),
        unserved: rate((counts) => counts.unserved),
        sessions,
        history: this.#remember(key, packets, first),
      };
    };
    const vips = now.vips.map((vip): VipRow => {
      const key = keyOf(vip);
      const was = old.get(key);
      const pods = vip.pods.map((pod): Row => {
        const podWas = was?.pods.find((each) => each.address === pod.address);
        const name = [pod.address, String(pod.weight), pod.state];
        return rated(
          `${key} ${pod.address}`,
          name,
          podCounts(pod),
          podWas && podCounts(podWas),
          pod.sessions,
        );
      });
      const sessions = vip.pods.reduce((sum, pod) => sum + pod.sessions, 0);
      const name = [vip.prefix, vip.protocol ?? "any", String(vip.port ?? "any"), String(vip.podCount)];
      return { ...rated(key, name, vipCounts(vip), was && vipCounts(was), sessions), pods };
    });
    const sessions = now.ku.workers.reduce((sum, worker) => sum + worker.sessions.used, 0);
    const total = rated("", [], sumCounts(now.vips), sumCounts(before.vips), sessions);
    const counters = this.#counters(now, before, seconds, first);
    this.#before = now;
    return { ku: now.ku, total, vips, counters };
  }

  #counters(now: Look, before: Look, seconds: number, first: boolean): Model["counters"] {
    return now.counters.flatMap(({ node, reason, count }, index) => {
      // Counters that were cleared begin anew.
      const rate = Math.max(0, count - (before.counters[index]?.count ?? 0)) / seconds;
      const history = this.#remember(`counter ${node} ${reason}`, rate, first);
      return count === 0 ? [] : [{ node, reason, count, rate, history }];
    });
  }

  #remember(key: string, value: number, first: boolean): readonly number[] {
    const history = this.#history.get(key) ?? [];
    if (!first) history.push(value);
    if (history.length > HISTORY_LOOKS) history.shift();
    this.#history.set(key, history);
    return history;
  }
}

function keyOf({ prefix, protocol, port }: ShowVipVerbose): string {
  return `${prefix} ${protocol} ${port}`;
}

function vipCounts({ counters }: ShowVipVerbose): Counts {
  const { firstPacket, nextPacket, untracked, noServer, replyPackets, bytes, replyBytes } = counters;
  return {
    packets: firstPacket + nextPacket + untracked + noServer + replyPackets,
    bytes: bytes + replyBytes,
    newSessions: firstPacket,
    unserved: noServer,
  };
}

function podCounts(pod: ShowVipVerbose["pods"][number]): Counts {
  const { packets, bytes, replyPackets, replyBytes, newSessions } = pod;
  return { packets: packets + replyPackets, bytes: bytes + replyBytes, newSessions, unserved: 0 };
}

function sumCounts(vips: readonly ShowVipVerbose[]): Counts {
  const sum: Counts = { packets: 0, bytes: 0, newSessions: 0, unserved: 0 };
  for (const vip of vips) {
    const counts = vipCounts(vip);
    sum.packets += counts.packets;
    sum.bytes += counts.bytes;
    sum.newSessions += counts.newSessions;
    sum.unserved += counts.unserved;
  }
  return sum;
}

/** Largest first; names in order. Equal ones stay in the order of their names. */
export function sorted<R extends Row>(rows: readonly R[], by: SortKey): R[] {
  const byName = (a: R, b: R): number => a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
  return [...rows].sort((a, b) => by === "name" ? byName(a, b) : b[by] - a[by] || byName(a, b));
}
