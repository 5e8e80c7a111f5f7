/**
 * Hashes of flows: unkeyed ones, the same on every node, for the choice of a pod; keyed ones for the buckets of the session tables.
 *
 * Rule: tuples are int32 words (addresses as in the header, ports as source << 16 | destination); results are int32, all 32 bits
 * usable.
 *
 * The keyed hash. Whoever sends packets chooses the tuples, so nobody without the seed may be able to find tuples that share a
 * bucket. Chains of multiply and xorshift with public constants fail at that even when a seed is xored in: flipping the top bit of a
 * word flips known bits of the state whatever the seed is, the next word takes them back, and such pairs collide under every seed.
 * Here every 16-bit half m of the tuple (and the protocol) has a secret odd multiplier k of its own, and the sum is Σ k·m mod 2^32
 * (multilinear hashing): nothing a sender knows says what a change of m does to it.
 *
 * Two tuples whose halves differ by d have the same sum only if Σ k·d = 0 mod 2^32. With 2^t the largest power of two in all the d, at
 * most 1 in 2^(31 - t) seeds makes that so; t ≤ 15, and tuples that differ by such high powers alone are few (64 in IPv4 for t = 15, one
 * bit in each half). Two tuples that differ in a single half never collide, since k is odd: the ports of a client are all apart.
 * mix32 then spreads the sum: a bijection, so it adds no collisions, and every bit serves as bucket or tag. One multiplication is
 * not enough there (equal steps showed in the upper bits), nor are products of two secret halves in place of the sum (UMAC's NH,
 * half the multiplications): one half that comes out as 0 makes the other one disappear, and all of a client's flows met in one
 * bucket under 1 in 65,536 seeds.
 * The multiplications do not wait for each other, which makes this faster than a chain as well.
 *
 * References: Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer arithmetic without primes"
 * (1996); Lemire and Kaser, "Strongly universal string hashing is fast" (2013); mix32 is the finalizer of MurmurHash3.
 */

/** Words of key material for the keyed hashes: a multiplier for the protocol, two for each word of the longest tuple. */
export const HASH_KEY_WORDS = 19;

/** Spreads 32 bits over all 32 bits: a bijection in which every input bit changes about half of the output bits. */
export function mix32(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}

/** A constant of this module, which V8 folds into the code; the exported name it would read from memory. */
const mix = mix32;

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
  for (let i = 0; i < HASH_KEY_WORDS; i++) key[at + i] = next() | 1;
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
  const sum = (Math.imul(key[at], protocol) +
    Math.imul(key[at + 1], source & 0xffff) + Math.imul(key[at + 2], source >>> 16) +
    Math.imul(key[at + 3], destination & 0xffff) + Math.imul(key[at + 4], destination >>> 16) +
    Math.imul(key[at + 5], ports & 0xffff) + Math.imul(key[at + 6], ports >>> 16)) | 0;
  return mix(sum);
}

/** Keyed hash of an IPv6 tuple, nine words of `tuple` from `from`: source, destination, ports. */
export function keyedHash6(
  key: Int32Array,
  at: number,
  protocol: number,
  tuple: Int32Array,
  from: number,
): number {
  const a = tuple[from];
  const b = tuple[from + 1];
  const c = tuple[from + 2];
  const d = tuple[from + 3];
  const e = tuple[from + 4];
  const f = tuple[from + 5];
  const g = tuple[from + 6];
  const h = tuple[from + 7];
  const i = tuple[from + 8];
  const sum = (Math.imul(key[at], protocol) +
    Math.imul(key[at + 1], a & 0xffff) + Math.imul(key[at + 2], a >>> 16) +
    Math.imul(key[at + 3], b & 0xffff) + Math.imul(key[at + 4], b >>> 16) +
    Math.imul(key[at + 5], c & 0xffff) + Math.imul(key[at + 6], c >>> 16) +
    Math.imul(key[at + 7], d & 0xffff) + Math.imul(key[at + 8], d >>> 16) +
    Math.imul(key[at + 9], e & 0xffff) + Math.imul(key[at + 10], e >>> 16) +
    Math.imul(key[at + 11], f & 0xffff) + Math.imul(key[at + 12], f >>> 16) +
    Math.imul(key[at + 13], g & 0xffff) + Math.imul(key[at + 14], g >>> 16) +
    Math.imul(key[at + 15], h & 0xffff) + Math.imul(key[at + 16], h >>> 16) +
    Math.imul(key[at + 17], i & 0xffff) + Math.imul(key[at + 18], i >>> 16)) | 0;
  return mix(sum);
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
