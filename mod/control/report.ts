/**
 * What a change of the configuration means to those who use the node: options from and to, pods, the share of new clients that get
 * another pod, and what becomes of sessions.
 *
 * @module
 */

import { parseAddress } from "../config/address.ts";
import {
  type Change,
  type InterfaceSpec,
  optionOf,
  VIP_OPTIONS,
  type VipKey,
  vipKeyText,
  type VipState,
} from "../config/model.ts";
import type { Reconciled } from "../config/reconcile.ts";
import type { ConfigState } from "../config/state.ts";
import { fillMaglev } from "../table/maglev.ts";
import { SESSION_POD } from "../table/session.ts";
import { nowSeconds } from "../worker/clock.ts";
import type { Action, ApplyResult, Difference, VipReport } from "./protocol.ts";
import type { Publisher } from "./publisher.ts";
import type { ServiceRecord, ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";

interface Parts {
  state: ConfigState;
  services: ServiceTables;
  sessions: SessionMemory;
  publisher: Publisher;
}

/** Live sessions of a pod. */
interface Live {
  tcp: number;
  other: number;
}

const TCP = 6;
/** Ids in a table that is only thought of, for pods that have none yet; real ones are below. */
const NEW_POD_IDS = 0x4000_0000;

/** What leads from `parts.state` to the next state. Without `consequences`, slots and sessions are not counted and all 0. */
export function reportChanges(
  parts: Parts,
  { next, changes, left }: Reconciled,
  consequences: boolean,
): ApplyResult {
  const { state, publisher } = parts;
  const live = consequences ? liveByPod(parts.sessions) : new Map<number, Live>();
  const interfaces = reportInterfaces(state, next, changes);
  const vips = keysOf(changes).map((key) => {
    const report = reportVip(state.vips.get(key), next.vips.get(key));
    const record = parts.services.records.get(key);
    if (consequences && record !== undefined) {
      addConsequences(report, parts.services, record, next.vips.get(key), live);
    }
    return report;
  });
  const order: readonly Action[] = ["removed", "changed", "added"];
  vips.sort((a, b) => order.indexOf(a.action) - order.indexOf(b.action));
  return {
    generation: publisher.generation,
    conf: differences(state.conf, next.conf, Object.keys(next.conf) as (keyof typeof next.conf)[]),
    interfaces,
    vips,
    unchanged: {
      interfaces: next.interfaces.size - interfaces.filter(({ action }) => action !== "removed").length,
      vips: next.vips.size - vips.filter(({ action }) => action !== "removed").length,
    },
    left: [...left],
  };
}

/** The VIPs that changes are about, each once. */
function keysOf(changes: readonly Change[]): string[] {
  const keys = new Set<string>();
  let last: VipKey | null = null;
  for (const change of changes) {
    if (!("key" in change) || change.key === last) continue; // those of one VIP stand together
    last = change.key;
    keys.add(vipKeyText(last));
  }
  return [...keys];
}

function reportInterfaces(state: ConfigState, next: ConfigState, changes: readonly Change[]) {
  const names = changes.flatMap((change) => "name" in change ? [change.name] : []);
  return names.map((name) => {
    const before = state.interfaces.get(name);
    const after = next.interfaces.get(name);
    const options: readonly (keyof InterfaceSpec)[] = ["mode", "nat4", "nat6"];
    return {
      action: actionOf(before, after),
      name,
      differences: before && after ? differences(before, after, options) : [],
    };
  });
}

function actionOf(before: unknown, after: unknown): Action {
  return before === undefined ? "added" : after === undefined ? "removed" : "changed";
}

function differences<T, K extends keyof T & string>(before: T, after: T, names: readonly K[]): Difference[] {
  return names.filter((name) => before[name] !== after[name]).map((name) => ({
    name,
    before: before[name] as Difference["before"],
    after: after[name] as Difference["after"],
  }));
}

function optionsOf(vip: VipState): Record<typeof VIP_OPTIONS[number], Difference["before"]> {
  return Object.fromEntries(VIP_OPTIONS.map((name) => [name, optionOf(vip, name)])) as ReturnType<
    typeof optionsOf
  >;
}

function reportVip(before: VipState | undefined, after: VipState | undefined): VipReport {
  const { prefix, protocol, port } = (before ?? after) as VipKey;
  const podsBefore = before?.pods ?? new Map<string, never>();
  const podsAfter = after?.pods ?? new Map<string, never>();
  return {
    action: actionOf(before, after),
    prefix,
    protocol,
    port,
    differences: before && after ? differences(optionsOf(before), optionsOf(after), VIP_OPTIONS) : [],
    podsAdded: [...podsAfter.keys()].filter((address) => !podsBefore.has(address)),
    podsRemoved: [...podsBefore.keys()].filter((address) => !podsAfter.has(address)),
    podsChanged: [...podsAfter.values()].flatMap(({ address, weight }) => {
      const present = podsBefore.get(address);
      return present === undefined || present.weight === weight
        ? []
        : [{ address, before: present.weight, after: weight }];
    }),
    slots: { moved: 0, total: after?.newLen ?? before?.newLen ?? 0 },
    sessions: { ended: 0, moved: 0, draining: 0 },
  };
}

function addConsequences(
  report: VipReport,
  services: ServiceTables,
  record: ServiceRecord,
  after: VipState | undefined,
  live: ReadonlyMap<number, Live>,
): void {
  const slots = services.slotsOf(record);
  report.slots = after === undefined
    ? { moved: slots.length, total: slots.length }
    : movedSlots(slots, slotsAfter(record, after));
  const redirected = report.differences.some(({ name }) => name === "targetPort" || name === "type");
  for (const pod of record.pods.values()) {
    const { tcp, other } = live.get(pod.id) ?? { tcp: 0, other: 0 };
    if (after === undefined || redirected) {
      report.sessions.ended += tcp + other;
    } else if (report.podsRemoved.includes(pod.address)) {
      report.sessions.draining += tcp;
      report.sessions.moved += other;
    }
  }
}

/** The table that `vip` would get. */
function slotsAfter(record: ServiceRecord, vip: VipState): Uint32Array {
  const slots = new Uint32Array(vip.newLen);
  const pods = [...vip.pods.values()].map(({ address, weight }, index) => ({
    id: record.pods.get(address)?.id ?? NEW_POD_IDS + index,
    address: parseAddress(address)!.bytes,
    weight,
  }));
  fillMaglev(slots, pods);
  return slots;
}

/** Of all hashes, told apart as finely as the longer table does, those that lead to another pod. */
function movedSlots(before: Uint32Array, after: Uint32Array): { moved: number; total: number } {
  const total = Math.max(before.length, after.length);
  let moved = 0;
  for (let hash = 0; hash < total; hash++) {
    if (before[hash & (before.length - 1)] !== after[hash & (after.length - 1)]) moved++;
  }
  return { moved, total };
}

function liveByPod(sessions: SessionMemory): Map<number, Live> {
  const now = nowSeconds();
  const byPod = new Map<number, Live>();
  for (const table of [...sessions.four, ...sessions.six]) {
    if (table.used() === 0) continue;
    table.forEach(now, (entry) => {
      const pod = table.words[entry + SESSION_POD];
      const live = byPod.get(pod) ?? { tcp: 0, other: 0 };
      if (table.protocol(entry) === TCP) live.tcp++;
      else live.other++;
      byPod.set(pod, live);
    });
  }
  return byPod;
}
