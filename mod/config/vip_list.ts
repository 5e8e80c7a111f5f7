/** VIPs found by what several of them may share, a prefix or a node port; and several of them named in an error. */

import { type VipKey, vipKeyText, type VipState } from "./model.ts";

/** How many VIPs an error names before it only counts them. */
const MAX_LISTED = 8;

export function listed(vips: readonly VipKey[]): string {
  const names = vips.slice(0, MAX_LISTED).map(vipKeyText).join("; ");
  return vips.length > MAX_LISTED ? `${names}; and ${vips.length - MAX_LISTED} more` : names;
}

export function remember<K>(index: Map<K, Set<VipState>>, key: K, vip: VipState): void {
  const set = index.get(key);
  if (set) set.add(vip);
  else index.set(key, new Set([vip]));
}

export function forget<K>(index: Map<K, Set<VipState>>, key: K, vip: VipState): void {
  const set = index.get(key);
  set?.delete(vip);
  if (set?.size === 0) index.delete(key);
}
