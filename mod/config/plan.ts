/**
 * What `conf`, `interface` and `set interface` come to, before anything changes: functions from the present
 * value and a command's parameters to the next value. Errors are ConfigErrors.
 */

import {
  type Conf,
  ConfigError,
  type ConfParams,
  type InterfaceParams,
  type InterfaceSpec,
} from "./model.ts";
import { MAX_BUCKETS_LOG2, MAX_INTERFACES, MAX_OFFLOAD_SESSIONS, type SetInterfaceParams } from "./model.ts";
import { checkAddressOf, checkBuckets, checkInterfaceName, checkMode, checkNat46Prefix } from "./rules.ts";
import { checkRange, checkTimeout } from "./rules.ts";

/** What the state cannot know by itself. */
export interface Checks {
  /** Whether the node has an interface of this name; asked before one is attached. */
  interfaceExists?(name: string): boolean;
}

type Interfaces = ReadonlyMap<string, InterfaceSpec>;

/** The globals after `params`; keys that are absent stay. */
export function planConf(conf: Conf, params: ConfParams): Conf {
  const next = { ...conf };
  if (params.buckets !== undefined && params.bucketsLog2 !== undefined) {
    throw new ConfigError("buckets-log2", String(params.bucketsLog2), "give either buckets or buckets-log2");
  }
  if (params.buckets !== undefined) next.buckets = checkBuckets(params.buckets);
  if (params.bucketsLog2 !== undefined) {
    next.buckets = 1 << checkRange("buckets-log2", params.bucketsLog2, 0, MAX_BUCKETS_LOG2);
  }
  if (params.timeout !== undefined) next.timeout = checkTimeout("timeout", params.timeout);
  if (params.tcpTimeout !== undefined) next.tcpTimeout = checkTimeout("tcp-timeout", params.tcpTimeout);
  if (params.ip4SrcAddress !== undefined) {
    next.ip4SrcAddress = params.ip4SrcAddress && checkAddressOf("ip4-src-address", params.ip4SrcAddress, 4);
  }
  if (params.ip6SrcAddress !== undefined) {
    next.ip6SrcAddress = params.ip6SrcAddress && checkAddressOf("ip6-src-address", params.ip6SrcAddress, 6);
  }
  if (params.nat46Prefix !== undefined) next.nat46Prefix = checkNat46Prefix(params.nat46Prefix);
  if (params.offload !== undefined) next.offload = params.offload;
  if (params.offloadSessions !== undefined) {
    next.offloadSessions = checkRange("offload-sessions", params.offloadSessions, 1, MAX_OFFLOAD_SESSIONS);
  }
  return next;
}

/** The interface after `params`, null: it goes. */
export function planInterface(
  interfaces: Interfaces,
  params: InterfaceParams,
  checks: Checks,
): InterfaceSpec | null {
  const name = checkInterfaceName(params.name);
  const mode = params.mode === undefined ? undefined : checkMode(params.mode);
  const present = interfaces.get(name);
  if (params.del) {
    if (!present) throw notAttached(name);
    return null;
  }
  if (!present) return attach(interfaces, name, mode ?? "auto", checks);
  if (mode === undefined || mode === present.mode) {
    throw new ConfigError(
      "interface",
      name,
      `is attached already (mode ${present.mode}): give another mode or "del"`,
    );
  }
  return { ...present, mode };
}

/** The interface after `set interface nat4|nat6 in`, which attaches it if need be. */
export function planSetInterface(
  interfaces: Interfaces,
  params: SetInterfaceParams,
  checks: Checks,
): InterfaceSpec {
  const name = checkInterfaceName(params.name);
  const { feature } = params;
  const present = interfaces.get(name);
  if (params.del) {
    if (!present) throw notAttached(name);
    if (!present[feature]) {
      throw new ConfigError("interface", name, `has no ${feature} in: nothing to delete`);
    }
    return { ...present, [feature]: false };
  }
  if (present?.[feature]) {
    throw new ConfigError("interface", name, `has ${feature} in already: nothing to do`);
  }
  return { ...present ?? attach(interfaces, name, "auto", checks), [feature]: true };
}

function notAttached(name: string): ConfigError {
  return new ConfigError("interface", name, `is not attached: "ku show interface" lists those that are`);
}

function attach(
  interfaces: Interfaces,
  name: string,
  mode: InterfaceSpec["mode"],
  checks: Checks,
): InterfaceSpec {
  if (checks.interfaceExists && !checks.interfaceExists(name)) {
    throw new ConfigError("interface", name, `is unknown on this node: "ip link" lists those that are there`);
  }
  if (interfaces.size >= MAX_INTERFACES) {
    throw new ConfigError("interface", name, `is one too many: at most ${MAX_INTERFACES} can be attached`);
  }
  return { name, mode, nat4: false, nat6: false };
}
