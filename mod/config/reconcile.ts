/**
 * From the state that is to the one a document describes: the next state, and what changes on the way. What a document does not change
 * keeps its revision, and with it its tables, sessions and counters.
 *
 * What a document leaves out:
 * - A section (`conf`, `interfaces`, `vips`) that is not there stays as it is, so that a file of VIPs serves nodes with different
 *   interfaces and an empty file is no order to delete everything. `vips: []` is one.
 * - In a section that is there, what is left out goes: VIPs, interfaces; parameters of `conf` have their default again. With `prune`
 *   false it stays. A VIP that is in the document is whole in either case, its pods included.
 */

import { atKey, confOf, type Sections, sectionsOf, stateOf } from "./file.ts";
import {
  type Change,
  type Conf,
  ConfigError,
  type InterfaceSpec,
  optionOf,
  VIP_OPTIONS,
  type VipSpec,
  type VipState,
} from "./model.ts";
import { planConf } from "./plan.ts";
import { ConfigState, defaultConf, keyOf } from "./state.ts";

export interface Reconciled {
  next: ConfigState;
  changes: Change[];
  /** What an import did not bring because the configuration has it otherwise. */
  left: Left[];
}

export interface Left {
  vip: string;
  /** The Service that wanted it. */
  service: string;
  what: string;
  why: string;
}

/** Options whose change ends a VIP's sessions: they lead somewhere else now. */
const SESSION_OPTIONS: readonly (keyof VipSpec)[] = ["targetPort", "type"];

/** What `document` makes of `current`, which stays as it is. Throws a ConfigError that names the key's path. */
export function reconcile(current: ConfigState, document: unknown, prune: boolean): Reconciled {
  const { interfaceExists } = current.checks;
  const exists = (name: string) => current.interfaces.has(name) || (interfaceExists?.(name) ?? true);
  const sections = sectionsOf(document);
  const wanted = stateOf(document, { interfaceExists: exists });
  const next = new ConfigState(current.checks);
  next.revision = current.revision;
  const changes = [
    ...reconcileConf(current, sections, prune, next),
    ...reconcileInterfaces(current, sections.interfaces === null ? null : wanted, prune, next),
    ...reconcileVips(current, sections.vips === null ? null : wanted, prune, next),
  ];
  return { next, changes, left: [] };
}

/**
 * What an import makes of `current`: the VIPs of `document`, all of which name the Service they come from, replace those that do. Whatever
 * was configured otherwise stays as it is, and goes first where both want the same.
 */
export function reconcileImport(current: ConfigState, document: unknown): Reconciled {
  const imported = stateOf({ vips: sectionsOf(document).vips ?? [] });
  const wanted = new ConfigState();
  const left: Left[] = [];
  for (const vip of current.vips.values()) if (vip.service === null) wanted.adopt(vip);
  [...imported.vips.entries()].forEach(([key, vip], index) => {
    if (vip.service === null) throw new ConfigError(`vips[${index}].service`, "missing", "give a text");
    const leave = (what: string, why: string) => left.push({ vip: key, service: vip.service!, what, why });
    if (wanted.vips.has(key)) return leave(`VIP ${key}`, "is configured otherwise and stays as it is");
    try {
      wanted.adopt(vip);
    } catch (error) {
      if (!(error instanceof ConfigError) || error.what !== "node_port") throw error;
      leave(`node port ${vip.nodePort} of VIP ${key}`, error.remedy.replace(/: .*/, ""));
      wanted.adopt({ ...vip, nodePort: null });
    }
  });
  const next = new ConfigState(current.checks);
  next.revision = current.revision;
  next.conf = { ...current.conf };
  next.interfaces = new Map(current.interfaces);
  return { next, changes: reconcileVips(current, wanted, true, next), left };
}

function reconcileConf(
  current: ConfigState,
  sections: Sections,
  prune: boolean,
  next: ConfigState,
): Change[] {
  const before = current.conf;
  const after = sections.conf === null ? before : planConf(prune ? defaultConf() : before, confOf(sections));
  next.conf = { ...after };
  const names = Object.keys(after) as (keyof Conf)[];
  if (names.every((name) => before[name] === after[name])) return [];
  next.revision++;
  return [{ kind: "conf", before, after: { ...after } }];
}

function reconcileInterfaces(
  current: ConfigState,
  wanted: ConfigState | null,
  prune: boolean,
  next: ConfigState,
): Change[] {
  const changes: Change[] = [];
  for (const [name, spec] of current.interfaces) {
    const after = wanted === null ? spec : wanted.interfaces.get(name) ?? (prune ? null : spec);
    if (after === null) {
      changes.push({ kind: "interfaceRemoved", name });
      continue;
    }
    const same = sameInterface(spec, after);
    next.interfaces.set(name, same ? spec : after);
    if (!same) changes.push({ kind: "interfaceChanged", name });
  }
  for (const [name, spec] of wanted?.interfaces ?? []) {
    if (current.interfaces.has(name)) continue;
    next.interfaces.set(name, spec);
    changes.push({ kind: "interfaceAdded", name });
  }
  next.revision += changes.length;
  return changes;
}

function sameInterface(a: InterfaceSpec, b: InterfaceSpec): boolean {
  return a.mode === b.mode && a.nat4 === b.nat4 && a.nat6 === b.nat6;
}

function reconcileVips(
  current: ConfigState,
  wanted: ConfigState | null,
  prune: boolean,
  next: ConfigState,
): Change[] {
  if (wanted !== null && !prune) checkTogether(current, wanted);
  const changes: Change[] = [];
  for (const [key, vip] of current.vips) {
    const after = wanted === null ? vip : wanted.vips.get(key) ?? (prune ? null : vip);
    if (after === null) {
      changes.push({ kind: "vipRemoved", key: keyOf(vip) });
      next.revision++;
      continue;
    }
    const own = changesOf(vip, after);
    if (own.length > 0) next.revision++;
    next.adopt(own.length === 0 ? vip : { ...after, revision: next.revision });
    changes.push(...own);
  }
  for (const [key, vip] of wanted?.vips ?? []) {
    if (current.vips.has(key)) continue;
    next.revision++;
    next.adopt({ ...vip, revision: next.revision });
    const own = keyOf(vip);
    changes.push({ kind: "vipAdded", key: own });
    for (const address of vip.pods.keys()) changes.push({ kind: "podAdded", key: own, address });
  }
  return changes;
}

/** The VIPs that stay beside those of the document must go together with them. */
function checkTogether(current: ConfigState, wanted: ConfigState): void {
  const together = new ConfigState();
  for (const [key, vip] of current.vips) if (!wanted.vips.has(key)) together.adopt(vip);
  [...wanted.vips.values()].forEach((vip, index) => {
    try {
      together.adopt(vip);
    } catch (error) {
      throw error instanceof ConfigError ? atKey(error, `vips[${index}]`) : error;
    }
  });
}

/** From one state of a VIP to another; [] when they are the same. */
function changesOf(before: VipState, after: VipState): Change[] {
  const key = keyOf(before);
  const changes: Change[] = [];
  const changed = VIP_OPTIONS.filter((name) => optionOf(before, name) !== optionOf(after, name));
  if (changed.length > 0) changes.push({ kind: "vipChanged", key });
  if (changed.some((name) => SESSION_OPTIONS.includes(name))) changes.push({ kind: "flushVip", key });
  for (const address of before.pods.keys()) {
    if (!after.pods.has(address)) changes.push({ kind: "podRemoved", key, address });
  }
  for (const { address, weight } of after.pods.values()) {
    const present = before.pods.get(address);
    if (present === undefined) changes.push({ kind: "podAdded", key, address });
    else if (present.weight !== weight) changes.push({ kind: "podChanged", key, address });
  }
  return changes;
}

/** Key path of what a ConfigError of the running node is about: an interface that could not be attached. */
export function pathOfInterface(document: unknown, name: string): string | null {
  const index = (sectionsOf(document).interfaces ?? []).findIndex((item) =>
    typeof item === "object" && item !== null && "name" in item && item.name === name
  );
  return index < 0 ? null : `interfaces[${index}]`;
}
