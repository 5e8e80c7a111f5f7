/**
 * Which keys the steering maps need for the configured VIPs and pods, and how they wait for their moment: what goes is handed to
 * the kernel before the workers change, what comes after, so that no packet is taken that nobody could handle.
 *
 * @module
 */

import { mappedLength, parseAddress, parsePrefix } from "../config/address.ts";
import { PROTOCOL_NUMBERS, protocolNumbers, type VipSpec } from "../config/model.ts";
import {
  keyText,
  nodePortAddress,
  PLEN_HOST,
  PLEN_NODE_PORT,
  type SteeringKey,
} from "../xdp/steering_keys.ts";

/** The keys of ku_match that a VIP needs. */
export function vipKeys(vip: VipSpec): SteeringKey[] {
  const prefix = parsePrefix(vip.prefix)!;
  const prefixLength = mappedLength(prefix);
  const keys: SteeringKey[] = [];
  for (const protocol of protocolsOf(vip)) {
    keys.push({ address: prefix.bytes, prefixLength, protocol, port: vip.port ?? 0 });
    if (vip.nodePort === null) continue;
    const address = nodePortAddress(prefix.family);
    keys.push({ address, prefixLength: PLEN_NODE_PORT, protocol, port: vip.nodePort });
  }
  return keys;
}

/** The keys of ku_pods that a pod of a VIP needs: its answers are ku's. */
export function podKeys(vip: VipSpec, address: string): SteeringKey[] {
  const { bytes } = parseAddress(address)!;
  const port = vip.targetPort ?? 0;
  return protocolsOf(vip).map((protocol) => ({ address: bytes, prefixLength: PLEN_HOST, protocol, port }));
}

/** IP protocol numbers in keys and match entries: 0 stands for all. */
export function protocolsOf(vip: Pick<VipSpec, "prefix" | "protocol" | "port">): number[] {
  if (vip.port === null) return [vip.protocol === null ? 0 : PROTOCOL_NUMBERS[vip.protocol]];
  return protocolNumbers(vip);
}

/** Additions and removals that have not been handed over; one of each for the same key cancel out. */
export class PendingKeys {
  readonly #net = new Map<string, { key: SteeringKey; count: number }>();

  add(keys: readonly SteeringKey[]): void {
    for (const key of keys) this.#count(key, 1);
  }

  remove(keys: readonly SteeringKey[]): void {
    for (const key of keys) this.#count(key, -1);
  }

  /** Keys to take out of the map, each as often as it occurs. */
  takeRemoved(): SteeringKey[] {
    return this.#take((count) => -count);
  }

  /** Keys to put into the map, each as often as it occurs. */
  takeAdded(): SteeringKey[] {
    return this.#take((count) => count);
  }

  #count(key: SteeringKey, by: number): void {
    const text = keyText(key);
    const entry = this.#net.get(text);
    if (entry === undefined) this.#net.set(text, { key, count: by });
    else entry.count += by;
  }

  #take(times: (count: number) => number): SteeringKey[] {
    const keys: SteeringKey[] = [];
    for (const [text, { key, count }] of this.#net) {
      if (times(count) < 0) continue;
      for (let i = times(count); i > 0; i--) keys.push(key);
      this.#net.delete(text);
    }
    return keys;
  }
}
