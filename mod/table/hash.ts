/**
 * Hashes of flows: unkeyed ones, the same on every node, for the choice of a pod; keyed ones for the buckets of the session tables.
 *
 * Rule: tuples are int32 words (addresses as in the header, ports as source << 16 | destination); results are int32, all 32 bits
 * usable.
 *
 * The keyed hash. Whoever sends packets chooses the tuples, so nobody without the seed may be able to find tuples that share a
 * bucket. Chains of multiply and xorshift with public constants fail at that even when a seed is xored in: flipping the top bit of a
 * word flips known bits of the state whatever the seed is, the next word takes them back, and such pairs collide under every seed.
 * Here the secrets enter the multiplication itself, as in UMAC's NH: each word w of the tuple has a secret word k, s = w + k, and the
 * sum is Σ (low half of s)·(high half of s) mod 2^32, plus the protocol. Of two tuples that differ, one word differs. If its low halves do, then for every low
 * half of k the equation "the sums differ by δ" is linear in the high half of s with a factor below 2^16, and no more than two high
 * halves of k solve it (two, because s may wrap); likewise with the halves exchanged. So under at most 1 in 2^15 seeds any
 * two chosen tuples have the same sum, and nothing a sender can choose does better. The sum is then spread by an xorshift-multiply bijection, which adds no
 * collisions and makes every bit serve as bucket or tag. The multiplications do not wait for each other, which is faster than a
 * chain as well.
 *
 * References: Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: fast and secure message authentication" (CRYPTO '99) §4 (NH); the
 * finalizers have the shape of MurmurHash3's fmix32.
 */

/** Words of key material for the keyed hashes: one for each word of the longest tuple. */
export const HASH_KEY_WORDS = 9;

/** Spreads 32 bits over all 32 bits: a bijection in which every input bit changes about half of the output bits. */
export function mix32(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}

/**
 * Fills `key` (HASH_KEY_WORDS words from `at`) from a random seed of at least four words. The expansion is an sfc32 generator: its
 * output is never shown to a sender, so it has to be well mixed, not unpredictable from its own output.
 */
export function expandSeed(seed: Uint32Array, key: Int32Array, at: number): void {
  let a = 0x9e3779b9 | 0, b = 0x243f6a88, c = 0xb7e15162 | 0, counter = 1;
  const next = () => {
    const out = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + out) | 0;
    return out;
  };
  for (let i = 0; i < seed.length; i++) {
    a ^= seed[i];
    for (let round = 0; round < 12; round++) next();
  }
  for (let i = 0; i < HASH_KEY_WORDS; i++) key[at + i] = next();
}

/** Keyed hash of an IPv4 tuple; `key` holds an expanded seed from word `at`. */
export function keyedHash4(
  key: Int32Array,
  at: number,
  protocol: number,
  source: number,
  destination: number,
  ports: number,
): number {
  const a = (source + key[at]) | 0;
  const b = (destination + key[at + 1]) | 0;
  const c = (ports + key[at + 2]) | 0;
  let sum = (Math.imul(a & 0xffff, a >>> 16) + Math.imul(b & 0xffff, b >>> 16) +
    Math.imul(c & 0xffff, c >>> 16) + protocol) | 0;
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  return sum ^ (sum >>> 15);
}

/** Keyed hash of an IPv6 tuple, nine words of `tuple` from `from`: source, destination, ports. */
export function keyedHash6(
  key: Int32Array,
  at: number,
  protocol: number,
  tuple: Int32Array,
  from: number,
): number {
  const a = (tuple[from] + key[at]) | 0;
  const b = (tuple[from + 1] + key[at + 1]) | 0;
  const c = (tuple[from + 2] + key[at + 2]) | 0;
  const d = (tuple[from + 3] + key[at + 3]) | 0;
  const e = (tuple[from + 4] + key[at + 4]) | 0;
  const f = (tuple[from + 5] + key[at + 5]) | 0;
  const g = (tuple[from + 6] + key[at + 6]) | 0;
  const h = (tuple[from + 7] + key[at + 7]) | 0;
  const i = (tuple[from + 8] + key[at + 8]) | 0;
  let sum = (Math.imul(a & 0xffff, a >>> 16) + Math.imul(b & 0xffff, b >>> 16) +
    Math.imul(c & 0xffff, c >>> 16) + Math.imul(d & 0xffff, d >>> 16) + Math.imul(e & 0xffff, e >>> 16) +
    Math.imul(f & 0xffff, f >>> 16) + Math.imul(g & 0xffff, g >>> 16) + Math.imul(h & 0xffff, h >>> 16) +
    Math.imul(i & 0xffff, i >>> 16) + protocol) | 0;
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  return sum ^ (sum >>> 15);
}

/** Unkeyed hash of an IPv4 tuple for the choice of a Maglev slot. */
export function flowHash4(protocol: number, source: number, destination: number, ports: number): number {
  let hash = Math.imul(source ^ (source >>> 15), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 13) ^ destination, 0x85ebca77);
  hash = Math.imul(hash ^ (hash >>> 15) ^ ports, 0xc2b2ae3d);
  return mix32(hash ^ (hash >>> 14) ^ protocol);
}

/** Unkeyed hash of an IPv6 tuple: nine words of `tuple` from `from`. */
export function flowHash6(protocol: number, tuple: Int32Array, from: number): number {
  let hash = 0x27d4eb2f;
  for (let i = 0; i < 9; i++) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ tuple[from + i], 0x9e3779b1);
  }
  return mix32(hash ^ (hash >>> 14) ^ protocol);
}

/** Unkeyed hash of an IPv4 client alone, for `src_ip_sticky`. */
export function sourceHash4(source: number): number {
  return mix32(Math.imul(source ^ (source >>> 15), 0x9e3779b1));
}

/** Unkeyed hash of an IPv6 client alone, for `src_ip_sticky`: four words of `tuple` from `from`. */
export function sourceHash6(tuple: Int32Array, from: number): number {
  let hash = 0x27d4eb2f;
  for (let i = 0; i < 4; i++) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ tuple[from + i], 0x9e3779b1);
  }
  return mix32(hash);
}
