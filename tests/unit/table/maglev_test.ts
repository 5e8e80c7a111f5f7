/** Maglev tables: balance, weights, disruption, and that only the set of pods counts. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { fillMaglev, MAGLEV_EMPTY, type MaglevPod } from "../../../mod/table/maglev.ts";
import { property, type Random } from "../../packets/random.ts";

function pod(id: number, last: number, weight = 1): MaglevPod {
  const address = new Uint8Array(16);
  address.set([0xff, 0xff, 10, 244, last >> 8, last & 0xff], 10);
  return { id, address, weight };
}

function pods(count: number, weight = 1): MaglevPod[] {
  return Array.from({ length: count }, (_, i) => pod(i, i + 2, weight));
}

function randomPods(random: Random, count: number): MaglevPod[] {
  return Array.from({ length: count }, (_, id) => ({ id, address: random.bytes(16), weight: 1 }));
}

function fill(length: number, list: MaglevPod[]): Uint32Array {
  const slots = new Uint32Array(length);
  const shares = fillMaglev(slots, list);
  assertEquals(shares, counts(slots, list), "what it says of the slots is in them");
  return slots;
}

function counts(slots: Uint32Array, list: MaglevPod[]): number[] {
  const found = new Map<number, number>();
  for (const id of slots) found.set(id, (found.get(id) ?? 0) + 1);
  return list.map(({ id }) => found.get(id) ?? 0);
}

function changed(a: Uint32Array, b: Uint32Array): number {
  return a.reduce((sum, id, i) => sum + (id === b[i] ? 0 : 1), 0);
}

Deno.test("fillMaglev: every slot names a pod, and counts of equal pods differ by at most one", () => {
  property((random) => {
    for (const length of [1, 2, 64, 1024, 16384]) {
      for (const count of [1, 2, 3, 7, 100]) {
        for (const list of [pods(count), randomPods(random, count)]) {
          const slots = fill(length, list);
          const each = counts(slots, list);
          assertEquals(each.reduce((a, b) => a + b), length);
          assert(Math.max(...each) - Math.min(...each) <= 1, `${length} slots, ${count} pods`);
        }
      }
    }
  });
});

Deno.test("fillMaglev: removing one of 100 pods on 16,384 slots changes at most 1/100 + 1 % of them, whichever it is", () => {
  const list = pods(100);
  const before = fill(16384, list);
  let worst = 0;
  for (let gone = 0; gone < 100; gone++) {
    const after = fill(16384, list.filter(({ id }) => id !== gone));
    assert(!after.includes(gone));
    worst = Math.max(worst, changed(before, after) / 16384);
  }
  assert(worst <= 0.02, `${(100 * worst).toFixed(2)} % changed`);
  assert(worst > 0.0099, "nothing changed: the test tests nothing");
});

Deno.test("fillMaglev: little changes beyond the pod's own share, for all sizes and adding as well as removing", () => {
  property((random) => {
    for (
      const [length, count, beyond] of [[1024, 4, 0.06], [1024, 3, 0.06], [16384, 10, 0.02], [
        65536,
        100,
        0.01,
      ]]
    ) {
      const list = randomPods(random, count);
      const all = fill(length, list);
      const less = fill(length, list.slice(1));
      const share = changed(all, less) / length;
      assert(share >= 1 / count - 0.001 && share <= 1 / count + beyond, `${length}, ${count}: ${share}`);
    }
  });
});

Deno.test("fillMaglev: the table depends on the set of pods alone, not on their order or their ids", () => {
  property((random) => {
    const list = randomPods(random, 20).map((one, i) => ({ ...one, weight: 1 + i % 5 }));
    const before = fill(4096, list);
    for (let round = 0; round < 10; round++) {
      const shuffled = random.shuffle([...list]).map((one, i) => ({ ...one, id: 1000 + i }));
      const oldId = new Map(
        shuffled.map((one) => [one.id, list.find(({ address }) => address === one.address)!.id]),
      );
      const after = fill(4096, shuffled).map((id) => oldId.get(id)!);
      assertEquals(after, before);
    }
  });
});

Deno.test("fillMaglev: slots are in proportion to weights, and weight 0 gets none", () => {
  const list = [1, 2, 3, 10, 100, 0].map((weight, id) => pod(id, id + 2, weight));
  const each = counts(fill(16384, list), list);
  const total = 116;
  list.forEach(({ weight }, id) => {
    const expected = 16384 * weight / total;
    assert(
      Math.abs(each[id] - expected) < 1,
      `weight ${weight}: ${each[id]}, expected ${expected.toFixed(1)}`,
    );
  });
  assertEquals(each[5], 0);
});

Deno.test("fillMaglev: a changed weight moves little beyond what it must", () => {
  const list = pods(10, 10);
  const before = fill(16384, list);
  for (const weight of [0, 1, 5, 9, 11, 20, 100]) {
    const after = fill(16384, list.map((one) => one.id === 3 ? { ...one, weight } : one));
    const must = Math.abs(counts(after, list)[3] - counts(before, list)[3]) / 16384;
    const share = changed(before, after) / 16384;
    assert(
      share >= must && share <= 1.25 * must + 0.01,
      `weight ${weight}: ${share} changed, ${must} had to`,
    );
  }
});

Deno.test("fillMaglev: more pods than slots: every slot has a pod, none has two", () => {
  const list = pods(100);
  const each = counts(fill(64, list), list);
  assertEquals([Math.max(...each), each.filter((count) => count === 1).length], [1, 64]);
});

Deno.test("fillMaglev: weights that are all the same make the table of weight 1", () => {
  assertEquals(fill(1024, pods(5, 100)), fill(1024, pods(5, 1)));
});

Deno.test("fillMaglev: a pod's port is part of who it is", () => {
  const twins = [{ ...pod(1, 2), port: 80 }, { ...pod(2, 2), port: 81 }];
  const each = counts(fill(1024, twins), twins);
  assertEquals(each, [512, 512]);
  assert(changed(fill(64, [twins[0], pod(3, 9)]), fill(64, [{ ...twins[1], id: 1 }, pod(3, 9)])) > 0);
});

Deno.test("fillMaglev: no pod, or none with a weight, leaves the table empty", () => {
  assertEquals(fill(64, []), new Uint32Array(64).fill(MAGLEV_EMPTY));
  assertEquals(fill(64, pods(3, 0)), new Uint32Array(64).fill(MAGLEV_EMPTY));
});

Deno.test("fillMaglev: the table is the same in every version: nodes agree while they are upgraded", () => {
  const slots = fill(1024, [pod(0, 2), pod(1, 3), pod(2, 4, 3)]);
  assertEquals(slots.reduce((hash, id) => (Math.imul(hash, 31) + id) | 0, 0), 567327417);
});

Deno.test("fillMaglev: lengths that are no power of two are refused", () => {
  for (const length of [0, 3, 1000]) assertThrows(() => fill(length, pods(2)), RangeError);
});
