/** Hashes of flows: spread, keyed independence, and values that every node must agree on. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  expandSeed,
  flowHash4,
  flowHash6,
  HASH_KEY_WORDS,
  keyedHash4,
  keyedHash6,
  mix32,
  sourceHash4,
  sourceHash6,
} from "../../../mod/table/hash.ts";
import { property, type Random } from "../../packets/random.ts";

function randomKey(random: Random): Int32Array {
  const key = new Int32Array(HASH_KEY_WORDS);
  expandSeed(Uint32Array.from({ length: 4 }, () => random.int32()), key, 0);
  return key;
}

/** Largest load and number of used buckets when `hashes` are thrown into 1024 buckets by `shift`ed bits. */
function spread(hashes: number[], shift: number): { most: number; used: number } {
  const loads = new Int32Array(1024);
  for (const hash of hashes) loads[(hash >>> shift) & 1023]++;
  return { most: Math.max(...loads), used: loads.filter((load) => load > 0).length };
}

/** 4096 values into 1024 buckets, mean 4: chance leaves 19 of them empty (e^-4) and seldom puts more than 16 into one. */
function assertSpread(name: string, hashes: number[]): void {
  for (const shift of [0, 10, 22]) {
    const { most, used } = spread(hashes, shift);
    assert(most <= 22 && used >= 975, `${name}, bits from ${shift}: most ${most}, used ${used}`);
  }
}

/** Structured tuples as they occur: source, destination, ports. */
const PATTERNS: Record<string, (i: number) => [number, number, number]> = {
  "sequential ports": (i) => [0x0a000009, 0x0a600001, ((1024 + i) << 16) | 80],
  "sequential clients": (i) => [0x0a000000 + i, 0x0a600001, (40000 << 16) | 80],
  "clients in steps of 256": (i) => [0x0a000000 + (i << 8), 0x0a600001, (40000 << 16) | 80],
  "clients in steps of 65536": (i) => [i << 16, 0x0a600001, (40000 << 16) | 80],
  "sequential destinations": (i) => [0x0a000009, 0x0a600000 + i, (40000 << 16) | 80],
  "sequential service ports": (i) => [0x0a000009, 0x0a600001, (40000 << 16) | (1 + i)],
  "clients and ports together": (i) => [0x0a000000 + (i & 63), 0x0a600001, ((1024 + (i >> 6)) << 16) | 80],
};

Deno.test("keyedHash4, flowHash4: structured tuples spread over buckets like random ones", () => {
  property((random) => {
    for (const [name, tuple] of Object.entries(PATTERNS)) {
      const all = Array.from({ length: 4096 }, (_, i) => tuple(i));
      for (let round = 0; round < 20; round++) {
        const key = randomKey(random);
        assertSpread(`keyed, ${name}`, all.map(([s, d, p]) => keyedHash4(key, 0, 17, s, d, p)));
      }
      assertSpread(`flow, ${name}`, all.map(([s, d, p]) => flowHash4(17, s, d, p)));
    }
    assertSpread("sticky", Array.from({ length: 4096 }, (_, i) => sourceHash4(0x0a000000 + i)));
  });
});

Deno.test("keyedHash6, flowHash6: structured tuples spread over buckets like random ones", () => {
  property((random) => {
    const key = randomKey(random);
    for (let word = 0; word < 9; word++) {
      for (const shift of [0, 8, 16, 20]) {
        const all = Array.from({ length: 4096 }, (_, i) => {
          const tuple = Int32Array.of(0x20010db8, 0, 0, 9, 0x20010db8, 1, 0, 1, (40000 << 16) | 80);
          tuple[word] ^= i << shift;
          return tuple;
        });
        assertSpread(
          `keyed, word ${word}, shift ${shift}`,
          all.map((tuple) => keyedHash6(key, 0, 6, tuple, 0)),
        );
        assertSpread(`flow, word ${word}, shift ${shift}`, all.map((tuple) => flowHash6(6, tuple, 0)));
        if (word < 4) assertSpread(`sticky, word ${word}`, all.map((tuple) => sourceHash6(tuple, 0)));
      }
    }
  });
});

Deno.test("keyedHash4: tuples that share a bucket under one seed spread under another", () => {
  property((random) => {
    const first = randomKey(random);
    const second = randomKey(random);
    const together: number[] = [];
    while (together.length < 4096) {
      const source = random.int32();
      if ((keyedHash4(first, 0, 17, source, 1, 2) & 63) === 5) {
        together.push(keyedHash4(second, 0, 17, source, 1, 2));
      }
    }
    assertSpread("together under the first seed", together);
  });
});

Deno.test("keyedHash4, keyedHash6: no difference of two words cancels under every seed", () => {
  property((random) => {
    const bits = [0x80000000, 0x80008000, 0x80000001, 0x00008000, 0x80010000, 0xffffffff, 0x40000000, 1];
    for (let word = 0; word < 3; word++) {
      for (const one of bits) {
        for (const other of [0, ...bits]) {
          let collisions = 0;
          for (let seed = 0; seed < 200; seed++) {
            const key = randomKey(random);
            const tuple = Int32Array.from({ length: 9 }, () => random.int32());
            const before6 = keyedHash6(key, 0, 17, tuple, 0);
            const before4 = keyedHash4(key, 0, 17, tuple[0], tuple[1], tuple[2]);
            tuple[word] ^= one;
            tuple[(word + 1) % 3] ^= other;
            if (keyedHash6(key, 0, 17, tuple, 0) === before6) collisions++;
            if (keyedHash4(key, 0, 17, tuple[0], tuple[1], tuple[2]) === before4) collisions++;
          }
          assert(
            collisions <= 2,
            `word ${word}, ${one.toString(16)}, ${other.toString(16)}: ${collisions} of 400`,
          );
        }
      }
    }
  });
});

Deno.test("keyedHash4 depends on every bit of tuple and protocol, keyedHash6 on every word", () => {
  property((random) => {
    const key = randomKey(random);
    const base = keyedHash4(key, 0, 17, 1, 2, 3);
    for (let bit = 0; bit < 32; bit++) {
      assertNotEquals(keyedHash4(key, 0, 17, 1 ^ (1 << bit), 2, 3), base);
      assertNotEquals(keyedHash4(key, 0, 17, 1, 2 ^ (1 << bit), 3), base);
      assertNotEquals(keyedHash4(key, 0, 17, 1, 2, 3 ^ (1 << bit)), base);
      if (bit < 8) assertNotEquals(keyedHash4(key, 0, 17 ^ (1 << bit), 1, 2, 3), base);
    }
    const tuple = Int32Array.from({ length: 12 }, () => random.int32());
    const base6 = keyedHash6(key, 0, 17, tuple, 2);
    tuple[0]++;
    tuple[11]++; // outside the nine words
    assertEquals(keyedHash6(key, 0, 17, tuple, 2), base6);
    for (let word = 2; word < 11; word++) {
      tuple[word] ^= 4;
      assertNotEquals(keyedHash6(key, 0, 17, tuple, 2), base6);
      tuple[word] ^= 4;
    }
  });
});

Deno.test("expandSeed: every word of the seed changes every word of the key", () => {
  const expand = (seed: number[]) => {
    const key = new Int32Array(HASH_KEY_WORDS);
    expandSeed(Uint32Array.from(seed), key, 0);
    return key;
  };
  const base = expand([1, 2, 3, 4]);
  for (let word = 0; word < 4; word++) {
    const changed = [1, 2, 3, 4];
    changed[word] ^= 0x80000000;
    expand(changed).forEach((value, i) => assertNotEquals(value, base[i], `word ${i}`));
  }
  assertEquals(expand([1, 2, 3, 4]), base);
});

Deno.test("flowHash4, flowHash6, sourceHash4, sourceHash6, mix32 keep their values: nodes of different versions agree", () => {
  const tuple = Int32Array.of(0x20010db8, 0, 0, 9, 0x20010db8, 1, 0, 1, (40000 << 16) | 80);
  assertEquals(
    [
      flowHash4(6, 0x0a000009, 0x0a600001, (40000 << 16) | 80),
      flowHash6(6, tuple, 0),
      sourceHash4(0x0a000009),
      sourceHash6(tuple, 0),
      mix32(1),
    ],
    [-567135796, 24206853, -1803679501, 2099455136, 1364076727],
  );
});
