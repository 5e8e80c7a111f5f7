/**
 * The desired state of the node and the commands that change it: globals, attached interfaces, VIPs with
 * their pods.
 *
 * Rule: `apply` looks at the whole command first and changes something only when nothing can fail any
 * more; a ConfigError leaves the state as it was. Pure: what the kernel knows comes in by `Checks`.
 *
 * What it decides where the contract leaves a choice:
 * - A VIP that exists with other options is an error that says to delete it first: changing, say, its type in
 *   place would strand its pods and sessions.
 * - `ku pod` on a pod that is there sets its weight; with the weight it has, or none, it is a duplicate.
 * - VIPs "any 80" and "tcp 80" of one prefix may stand side by side; the one that names the protocol wins.
 * - A node port belongs to one VIP per protocol and client family: a dual-stack service is two VIPs with one
 *   node port.
 */

import {
  type Change,
  type Command,
  type Conf,
  ConfigError,
  DEFAULT_BUCKETS,
  DEFAULT_NAT46_PREFIX,
  DEFAULT_OFFLOAD_SESSIONS,
  DEFAULT_TCP_TIMEOUT_SECONDS,
  DEFAULT_TIMEOUT_SECONDS,
  DEFAULT_WEIGHT,
  type InterfaceSpec,
  MAX_PODS_PER_VIP,
  MAX_VIPS,
  optionOf,
  type PodParams,
  VIP_OPTIONS,
  type VipKey,
  vipKeyText,
  type VipParams,
  type VipSelector,
  type VipSpec,
  type VipState,
} from "./model.ts";
import { type Checks, planConf, planInterface, planSetInterface } from "./plan.ts";
import { checkWeight } from "./rules.ts";
import { forget, listed, remember } from "./vip_list.ts";
import {
  checkPodAddresses,
  checkSelector,
  checkVip,
  checkVipKey,
  clientFamily,
  noPod,
  shareProtocol,
} from "./vip_rules.ts";

export type { Checks };

/** A command of a batch failed; nothing of the batch was done. `index` is its position. */
export class BatchError extends ConfigError {
  override name = "BatchError";
  constructor(readonly index: number, cause: ConfigError) {
    super(cause.what, cause.value, cause.remedy);
  }
}

export function defaultConf(): Conf {
  return {
    buckets: DEFAULT_BUCKETS,
    timeout: DEFAULT_TIMEOUT_SECONDS,
    tcpTimeout: DEFAULT_TCP_TIMEOUT_SECONDS,
    ip4SrcAddress: null,
    ip6SrcAddress: null,
    nat46Prefix: DEFAULT_NAT46_PREFIX,
    offload: true,
    offloadSessions: DEFAULT_OFFLOAD_SESSIONS,
  };
}

export class ConfigState {
  conf: Conf = defaultConf();
  /** By name, in the order of attaching. */
  interfaces: Map<string, InterfaceSpec> = new Map();
  /** By `vipKeyText`, in the order of adding. */
  vips: Map<string, VipState> = new Map();
  /** Counts the commands that changed something. */
  revision = 0;
  // The VIPs of each prefix and of each node port: without them, adding n VIPs would take n² steps.
  #byPrefix: Map<string, Set<VipState>> = new Map();
  #byNodePort: Map<number, Set<VipState>> = new Map();
  /** While a batch is under way: steps that take back what it did, in the order in which it did them. */
  #undo: { steps: (() => void)[]; deletes: boolean; revision: number } | null = null;

  constructor(readonly checks: Checks = {}) {}

  /** A deep copy; changing either leaves the other alone. */
  clone(): ConfigState {
    const copy = new ConfigState(this.checks);
    copy.conf = { ...this.conf };
    copy.revision = this.revision;
    for (const [name, spec] of this.interfaces) copy.interfaces.set(name, { ...spec });
    for (const vip of this.vips.values()) {
      const pods = new Map([...vip.pods].map(([address, pod]) => [address, { ...pod }]));
      copy.#insert({ ...vip, pods });
    }
    return copy;
  }

  /** Takes over everything from `other`, which must not be used any more. */
  replaceWith(other: ConfigState): void {
    this.conf = other.conf;
    this.interfaces = other.interfaces;
    this.vips = other.vips;
    this.revision = other.revision;
    this.#byPrefix = other.#byPrefix;
    this.#byNodePort = other.#byNodePort;
  }

  /** Adds a whole VIP as it is, which is not there yet; its `revision` is kept. Throws a ConfigError as `ku vip` would. */
  adopt(vip: VipState): void {
    this.#checkRoom(vip);
    this.#insert(vip);
  }

  /** Carries out one command, or throws a ConfigError and changes nothing. [] when there was nothing to change. */
  apply(command: Command): Change[] {
    switch (command.method) {
      case "conf":
        return this.#setConf(planConf(this.conf, command.params));
      case "interface":
        return this.#setInterface(
          command.params.name,
          planInterface(this.interfaces, command.params, this.checks),
        );
      case "setInterface":
        return this.#setInterface(
          command.params.name,
          planSetInterface(this.interfaces, command.params, this.checks),
        );
      case "vip":
        return command.params.del ? this.#deleteVip(command.params) : this.#addVip(command.params);
      case "pod":
        return command.params.del ? this.#deletePods(command.params) : this.#addPods(command.params);
      case "flushVip":
        return [{ kind: "flushVip", key: keyOf(this.selectVip(command.params)) }];
    }
  }

  /**
   * All commands or none: throws a BatchError and changes nothing when one of them fails. It takes steps back instead of working on a
   * copy: a copy of 10,000 VIPs costs more than the 50 ms in which one changed pod is to be seen.
   */
  applyAll(commands: readonly Command[]): Change[] {
    const { revision } = this;
    const steps: (() => void)[] = [];
    this.#undo = { steps, deletes: false, revision };
    const changes: Change[] = [];
    try {
      commands.forEach((command, index) => {
        try {
          changes.push(...this.apply(command));
        } catch (error) {
          throw error instanceof ConfigError ? new BatchError(index, error) : error;
        }
      });
      return changes;
    } catch (error) {
      for (const step of steps.reverse()) step();
      this.revision = revision;
      throw error;
    } finally {
      this.#undo = null;
    }
  }

  /** The VIP a selector means (see VipSelector); throws when there is none, or several. */
  selectVip(selector: VipSelector): VipState {
    const named = selector.protocol !== undefined || selector.port !== undefined;
    const { prefix, protocol = null, port = null } = selector;
    // In canonical words, as in files that ku has written: ten thousand VIPs' pods need not be read as addresses again.
    const direct = named ? this.vips.get(vipKeyText({ prefix, protocol, port })) : undefined;
    if (direct?.protocol === protocol && direct.port === port) return direct;
    const { key, shown } = checkSelector(selector);
    const exact = this.vips.get(vipKeyText(key));
    // "port 80" alone would be the key of "any 80" and "tcp 80": what was typed for `ku vip` wins.
    if (named && exact && sameKey(exact, key)) return exact;
    const all = [...this.#byPrefix.get(key.prefix) ?? []];
    const fits = all.filter((vip) =>
      (selector.protocol === undefined || selector.protocol === vip.protocol) &&
      (selector.port === undefined || selector.port === vip.port)
    );
    if (fits.length === 1) return fits[0];
    if (fits.length > 1) {
      throw new ConfigError("vip", shown, `is ambiguous: give protocol and port of one of ${listed(fits)}`);
    }
    throw new ConfigError(
      "vip",
      shown,
      all.length > 0
        ? `is not there: that prefix has ${listed(all)}`
        : `is not there: add it with "ku vip" first`,
    );
  }

  #setConf(after: Conf): Change[] {
    const before = this.conf;
    const names = Object.keys(after) as (keyof Conf)[];
    if (names.every((name) => before[name] === after[name])) return [];
    this.#undo?.steps.push(() => this.conf = before);
    this.conf = after;
    this.revision++;
    return [{ kind: "conf", before, after: { ...after } }];
  }

  #setInterface(name: string, spec: InterfaceSpec | null): Change[] {
    const known = this.interfaces.has(name);
    if (this.#undo !== null) {
      const before = this.interfaces;
      this.#undo.steps.push(() => this.interfaces = before);
      this.interfaces = new Map(before);
    }
    this.revision++;
    if (spec === null) {
      this.interfaces.delete(name);
      return [{ kind: "interfaceRemoved", name }];
    }
    this.interfaces.set(name, spec);
    return [{ kind: known ? "interfaceChanged" : "interfaceAdded", name }];
  }

  #addVip(params: VipParams): Change[] {
    const spec = checkVip(params);
    const shown = vipKeyText(spec);
    const present = this.vips.get(shown);
    if (present) {
      const same = sameOptions(present, spec);
      throw new ConfigError(
        "vip",
        shown,
        same ? "is there already: nothing to do" : "is there with other options: delete it first",
      );
    }
    this.#checkRoom(spec);
    this.revision++;
    const vip = { ...spec, revision: this.revision };
    this.#insert(vip, shown);
    this.#undo?.steps.push(() => this.#remove(vip));
    return [{ kind: "vipAdded", key: keyOf(spec) }];
  }

  /** One VIP more, and its node port, are to be had. */
  #checkRoom(spec: VipSpec): void {
    if (this.vips.size >= MAX_VIPS) {
      throw new ConfigError("vip", vipKeyText(spec), `is one too many: at most ${MAX_VIPS}`);
    }
    if (spec.nodePort === null) return;
    for (const other of this.#byNodePort.get(spec.nodePort) ?? []) {
      if (clientFamily(other.type) === clientFamily(spec.type) && shareProtocol(other, spec)) {
        throw new ConfigError(
          "node_port",
          String(spec.nodePort),
          `is taken by VIP ${vipKeyText(other)}: give another port`,
        );
      }
    }
  }

  #deleteVip(params: VipParams): Change[] {
    const key = checkVipKey(params);
    const shown = vipKeyText(key);
    const vip = this.vips.get(shown);
    if (!vip) {
      const others = [...this.#byPrefix.get(key.prefix) ?? []];
      throw new ConfigError(
        "vip",
        shown,
        others.length > 0
          ? `is not there: that prefix has ${listed(others)}`
          : "is not there: nothing to delete",
      );
    }
    this.revision++;
    if (this.#undo !== null && !this.#undo.deletes) {
      // From here on in a copy: there is no other way to give a VIP its place in the order back.
      const before = this.vips;
      this.vips = new Map(before);
      this.#undo.deletes = true;
      this.#undo.steps.push(() => this.vips = before);
    }
    this.#remove(vip);
    this.#undo?.steps.push(() => this.#insert(vip));
    return [{ kind: "vipRemoved", key: keyOf(vip) }];
  }

  #addPods(params: PodParams): Change[] {
    const vip = this.selectVip(params.vip);
    const addresses = checkPodAddresses(vip, params.addresses);
    const weight = params.weight === undefined ? undefined : checkWeight(params.weight);
    // With flush and without del, a pod has to be there, and naming the weight it has is no mistake.
    for (const address of addresses) {
      const present = vip.pods.get(address);
      if (params.flush && !present) throw noPod(vip, address);
      if (!params.flush && present && (weight === undefined || weight === present.weight)) {
        throw new ConfigError(
          "pod",
          address,
          `is there already in VIP ${vipKeyText(vip)} with weight ${present.weight}: give another weight`,
        );
      }
    }
    const added = addresses.filter((address) => !vip.pods.has(address)).length;
    if (vip.pods.size + added > MAX_PODS_PER_VIP) {
      throw new ConfigError(
        "pod",
        addresses[0],
        `is too many for VIP ${vipKeyText(vip)}: at most ${MAX_PODS_PER_VIP}`,
      );
    }
    return this.#setPods(vip, addresses, weight, params.flush ?? false);
  }

  #setPods(
    vip: VipState,
    addresses: readonly string[],
    weight: number | undefined,
    flush: boolean,
  ): Change[] {
    const key = keyOf(vip);
    const changes: Change[] = [];
    this.#keepPods(vip);
    for (const address of addresses) {
      const present = vip.pods.get(address);
      const next = weight ?? present?.weight ?? DEFAULT_WEIGHT;
      if (present?.weight !== next) {
        vip.pods.set(address, { address, weight: next });
        changes.push({ kind: present ? "podChanged" : "podAdded", key, address });
      }
    }
    if (changes.length > 0) this.#touch(vip);
    if (flush) changes.push(...addresses.map((address): Change => ({ kind: "flushPod", key, address })));
    return changes;
  }

  #deletePods(params: PodParams): Change[] {
    const vip = this.selectVip(params.vip);
    const addresses = checkPodAddresses(vip, params.addresses);
    const missing = addresses.find((address) => !vip.pods.has(address));
    if (missing !== undefined) throw noPod(vip, missing);
    const key = keyOf(vip);
    const changes: Change[] = [];
    this.#keepPods(vip);
    for (const address of addresses) {
      vip.pods.delete(address);
      changes.push({ kind: "podRemoved", key, address });
      if (params.flush) changes.push({ kind: "flushPod", key, address });
    }
    this.#touch(vip);
    return changes;
  }

  #touch(vip: VipState): void {
    this.revision++;
    vip.revision = this.revision;
  }

  /** Before its pods change. */
  #keepPods(vip: VipState): void {
    // One that was made or changed in this batch goes, or has its pods back, by an earlier step.
    if (this.#undo === null || vip.revision > this.#undo.revision) return;
    const before = { pods: new Map(vip.pods), revision: vip.revision };
    this.#undo.steps.push(() => Object.assign(vip, before));
  }

  #remove(vip: VipState): void {
    this.vips.delete(vipKeyText(vip));
    forget(this.#byPrefix, vip.prefix, vip);
    if (vip.nodePort !== null) forget(this.#byNodePort, vip.nodePort, vip);
  }

  #insert(vip: VipState, key = vipKeyText(vip)): void {
    this.vips.set(key, vip);
    remember(this.#byPrefix, vip.prefix, vip);
    if (vip.nodePort !== null) remember(this.#byNodePort, vip.nodePort, vip);
  }
}

/** The key alone, safe to keep: nothing of the VIP's state hangs on it. */
export function keyOf({ prefix, protocol, port }: VipKey): VipKey {
  return { prefix, protocol, port };
}

function sameKey(a: VipKey, b: VipKey): boolean {
  return a.prefix === b.prefix && a.protocol === b.protocol && a.port === b.port;
}

function sameOptions(a: VipSpec, b: VipSpec): boolean {
  return VIP_OPTIONS.every((name) => optionOf(a, name) === optionOf(b, name));
}
