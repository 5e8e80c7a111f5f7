/**
 * The new-connection table of a service: every slot names a pod, pods hold slots in proportion to their weight, and adding or
 * removing one of n pods moves few slots beyond its own share.
 *
 * Rule: the table depends on the set of (address, port, weight) alone, never on the order in which pods came, on their ids or on
 * anything drawn at random, so that every node computes the same one. The length is a power of two (the paper: a prime); with an odd
 * skip, offset + j·skip still visits every slot.
 *
 * Weights: pods take turns in rounds; in each a pod earns its weight and claims one slot for every `heaviest weight` it has earned. Equal weights: one
 * slot a round each, counts differ by at most one. Weight 0 gets none.
 *
 * References: Eisenbud et al., "Maglev" (NSDI 2016) §3.4; katran's MaglevHashV2 (weights by turns).
 */

import { mix32 } from "./hash.ts";

/** Value of every slot when no pod has a weight. */
export const MAGLEV_EMPTY = 0xffffffff;

/** Shortest and longest table. */
export const MAGLEV_MIN_SLOTS = 1;
export const MAGLEV_MAX_SLOTS = 1 << 24;

export interface MaglevPod {
  /** What the slots will hold: below MAGLEV_EMPTY. */
  id: number;
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  address: Uint8Array;
  port?: number;
  /** 0 (no new flows) … 100. */
  weight: number;
}

/** Unkeyed hash of a pod, different for each `salt`. */
function hashPod(pod: MaglevPod, salt: number): number {
  let hash = salt;
  for (let i = 0; i < 16; i += 4) {
    const a = pod.address;
    hash = mix32(hash ^ ((a[i] << 24) | (a[i + 1] << 16) | (a[i + 2] << 8) | a[i + 3]));
  }
  return mix32(hash ^ (pod.port ?? 0));
}

function comparePods(a: MaglevPod, b: MaglevPod): number {
  for (let i = 0; i < 16; i++) {
    if (a.address[i] !== b.address[i]) return a.address[i] - b.address[i];
  }
  return (a.port ?? 0) - (b.port ?? 0) || a.weight - b.weight;
}

/** Fills `slots` (its length a power of two) with pod ids. */
export function fillMaglev(slots: Uint32Array, pods: readonly MaglevPod[]): void {
  const length = slots.length;
  if (length < MAGLEV_MIN_SLOTS || length > MAGLEV_MAX_SLOTS || (length & (length - 1)) !== 0) {
    throw new RangeError(`Maglev table length must be a power of two: ${length}`);
  }
  slots.fill(MAGLEV_EMPTY);
  const active = pods.filter((pod) => pod.weight > 0).sort(comparePods);
  if (active.length === 0) return;
  const next = new Int32Array(active.length);
  const skip = new Int32Array(active.length);
  const weight = new Int32Array(active.length);
  const ids = new Uint32Array(active.length);
  for (let i = 0; i < active.length; i++) {
    next[i] = hashPod(active[i], 0x6b75) & (length - 1);
    skip[i] = hashPod(active[i], 0x736b6970) | 1;
    weight[i] = active[i].weight;
    ids[i] = active[i].id;
  }
  takeTurns(slots, next, skip, weight, ids);
}

function takeTurns(
  slots: Uint32Array,
  next: Int32Array,
  skip: Int32Array,
  weight: Int32Array,
  ids: Uint32Array,
): void {
  const mask = slots.length - 1;
  const heaviest = weight.reduce((a, b) => Math.max(a, b));
  const earned = new Int32Array(weight.length);
  for (let left = slots.length; left > 0;) {
    for (let i = 0; i < weight.length && left > 0; i++) {
      earned[i] += weight[i];
      if (earned[i] < heaviest) continue;
      earned[i] -= heaviest;
      let at = next[i];
      while (slots[at] !== MAGLEV_EMPTY) at = (at + skip[i]) & mask;
      slots[at] = ids[i];
      next[i] = (at + skip[i]) & mask;
      left--;
    }
  }
}
