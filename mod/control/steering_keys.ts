/**
 * Which keys the steering maps need for the configured VIPs and pods, and how they wait for their moment: what goes is handed to
 * the kernel before the workers change, what comes after, so that no packet is taken that nobody could handle.
 *
 * @module
 */

import { mappedLength, type Prefix } from "../config/address.ts";
import { PROTOCOL_NUMBERS, protocolNumbers, type VipSpec } from "../config/model.ts";
import {
  keyText,
  nodePortAddress,
  PLEN_HOST,
  PLEN_NODE_PORT,
  type SteeringKey,
} from "../xdp/steering_keys.ts";

/** The keys of ku_match that a VIP needs; `prefix` is the VIP's. */
export function vipKeys(vip: VipSpec, prefix: Prefix): SteeringKey[] {
  const { nodePort } = vip;
  const protocols = protocolsOf(vip);
  const prefixLength = mappedLength(prefix);
  const own = protocols.map((protocol) => ({
    address: prefix.bytes,
    prefixLength,
    protocol,
    port: vip.port ?? 0,
  }));
  if (nodePort === null) return own;
  const address = nodePortAddress(prefix.family);
  return [
    ...own,
    ...protocols.map((protocol) => ({ address, prefixLength: PLEN_NODE_PORT, protocol, port: nodePort })),
  ];
}

/** The keys of ku_pods that a pod of a VIP needs, by its 16 bytes of address: its answers are ku's. `protocols` are the VIP's. */
export function podKeys(
  vip: VipSpec,
  address: Uint8Array,
  protocols: readonly number[] = protocolsOf(vip),
): SteeringKey[] {
  const port = vip.targetPort ?? 0;
  return protocols.map((protocol) => ({ address, prefixLength: PLEN_HOST, protocol, port }));
}

/** IP protocol numbers in keys and match entries: 0 stands for all. */
export function protocolsOf(vip: Pick<VipSpec, "prefix" | "protocol" | "port">): number[] {
  if (vip.port === null) return [vip.protocol === null ? 0 : PROTOCOL_NUMBERS[vip.protocol]];
  return protocolNumbers(vip);
}

/** Additions and removals that have not been handed over; one of each for the same key cancel out. */
export class PendingKeys {
  #added: SteeringKey[] = [];
  #removed: SteeringKey[] = [];

  add(keys: readonly SteeringKey[]): void {
    for (const key of keys) this.#added.push(key);
  }

  remove(keys: readonly SteeringKey[]): void {
    for (const key of keys) this.#removed.push(key);
  }

  /** Keys to take out of the map, each as often as it occurs. */
  takeRemoved(): SteeringKey[] {
    this.#settle();
    const keys = this.#removed;
    this.#removed = [];
    return keys;
  }

  /** Keys to put into the map, each as often as it occurs. */
  takeAdded(): SteeringKey[] {
    this.#settle();
    const keys = this.#added;
    this.#added = [];
    return keys;
  }

  /** Leaves what does not cancel out. Only now: mostly there are but the ones or the others, and nothing to compare. */
  #settle(): void {
    if (this.#added.length === 0 || this.#removed.length === 0) return;
    const counts = new Map<string, number>();
    for (const key of this.#removed) {
      const text = keyText(key);
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    /** Whether one of the key's removals is left, which is then used up. */
    const use = (key: SteeringKey): boolean => {
      const text = keyText(key);
      const count = counts.get(text) ?? 0;
      if (count > 0) counts.set(text, count - 1);
      return count > 0;
    };
    this.#added = this.#added.filter((key) => !use(key));
    this.#removed = this.#removed.filter(use);
  }
}
