/** FragmentTable against a slow model, byte by byte; its bounds, and who is forgotten. */

import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  ACCEPT_DUPLICATE,
  ACCEPT_LIMIT,
  ACCEPT_OVERLAP,
  ACCEPT_PASS,
  FRAGMENT_PLACES,
  FRAGMENT_REFUSED,
  FRAGMENT_SECONDS,
  FRAGMENT_SENT,
  FRAGMENT_STATE,
  FragmentTable,
  MAX_FRAGMENTS,
} from "../../../mod/table/fragment.ts";
import { property, type Random } from "../../packets/random.ts";

const SEED = Uint32Array.of(1, 2, 3, 4);

function setKey(table: FragmentTable, identification: number, protocol = 17): void {
  table.key.set([0, 0, 0xffff, 0x0a010102, 0, 0, 0xffff, 0x0a600001, identification, protocol]);
}

/** Begins a datagram that is sent on. */
function begin(table: FragmentTable, identification: number, bytes: number, now = 0): number {
  setKey(table, identification);
  const entry = table.begin(now, bytes);
  if (entry >= 0) table.words[entry + FRAGMENT_STATE] = FRAGMENT_SENT;
  return entry;
}

/** A datagram, told byte by byte. */
class Model {
  readonly seen = new Set<number>();
  total = -1;
  broken = false;

  constructor(readonly begun: number, public touched: number) {}

  get isComplete(): boolean {
    return this.total >= 0 && this.seen.size === this.total;
  }

  accept(offset: number, bytes: number, more: boolean): number {
    if (this.broken) return ACCEPT_OVERLAP;
    const end = offset + bytes;
    if (end > 65_535) return ACCEPT_LIMIT;
    const own = Array.from({ length: bytes }, (_, i) => offset + i);
    const known = own.filter((byte) => this.seen.has(byte)).length;
    const beyond = this.total >= 0 && (more ? end > this.total : end !== this.total);
    const short = !more && [...this.seen].some((byte) => byte >= end);
    if (beyond || short || (known > 0 && known < bytes)) {
      this.broken = true;
      return ACCEPT_OVERLAP;
    }
    if (known === bytes) return ACCEPT_DUPLICATE;
    for (const byte of own) this.seen.add(byte);
    if (!more) this.total = end;
    return ACCEPT_PASS;
  }
}

function randomStep(random: Random, table: FragmentTable, models: Map<number, Model>, now: number): void {
  const id = random.below(20);
  const offset = random.below(3) === 0 ? 0 : 8 * random.below(random.below(10) === 0 ? 8192 : 40);
  const more = random.below(4) > 0;
  const bytes = more ? 8 * (1 + random.below(20)) : 1 + random.below(160);
  let model = models.get(id);
  const hasRested = model !== undefined && now - model.touched >= 2;
  if (model !== undefined && now - model.begun > FRAGMENT_SECONDS) model = undefined;
  if (model?.isComplete && hasRested) model = undefined;
  if (offset === 0 && more) {
    const over = model === undefined || model.isComplete || hasRested;
    const entry = begin(table, id, bytes, now);
    assertEquals(entry >= 0, over);
    if (over) models.set(id, model = new Model(now, now));
    model!.accept(0, bytes, true);
  } else {
    setKey(table, id);
    const entry = table.find(now);
    assertEquals(entry >= 0, model !== undefined);
    if (model === undefined) return;
    assertEquals(table.accept(entry, offset, bytes, more, now), model.accept(offset, bytes, more));
  }
  model!.touched = now;
}

Deno.test("FragmentTable agrees with a model that tells every byte", () => {
  property((random) => {
    for (let round = 0; round < 100; round++) {
      const table = new FragmentTable(FRAGMENT_PLACES, SEED);
      const models = new Map<number, Model>();
      let now = 0;
      for (let step = 0; step < 300; step++) {
        if (random.below(20) === 0) now += random.below(4) === 0 ? random.below(40) : random.below(3);
        randomStep(random, table, models, now);
      }
    }
  });
});

Deno.test("FragmentTable: every word of the key counts", () => {
  const table = new FragmentTable(64, SEED);
  setKey(table, 7);
  const entry = table.begin(0, 8);
  assertEquals(table.words[entry + FRAGMENT_STATE], FRAGMENT_REFUSED, "until somebody knows better");
  for (let word = 0; word < table.key.length; word++) {
    setKey(table, 7);
    assertEquals(table.find(0), entry);
    table.key[word] ^= 1;
    assertEquals(table.find(0), -1, `word ${word}`);
  }
});

Deno.test("FragmentTable.accept: as many fragments as the longest datagram has at the least MTU, and no byte beyond 65,535", () => {
  const table = new FragmentTable(64, SEED);
  const entry = begin(table, 1, 8);
  for (let n = 1; n < MAX_FRAGMENTS; n++) assertEquals(table.accept(entry, 8 * n, 8, true, 0), ACCEPT_PASS);
  assertEquals(table.accept(entry, 8 * MAX_FRAGMENTS, 8, true, 0), ACCEPT_LIMIT);
  const other = begin(table, 2, 8);
  assertEquals(table.accept(other, 65_528, 8, true, 0), ACCEPT_LIMIT);
  assertEquals(table.accept(other, 65_528, 8, false, 0), ACCEPT_LIMIT);
  assertEquals(table.accept(other, 65_528, 7, false, 0), ACCEPT_PASS);
});

Deno.test("FragmentTable: a complete datagram makes way for one of the same name, an incomplete one after a rest", () => {
  const table = new FragmentTable(64, SEED);
  const entry = begin(table, 1, 16);
  assertEquals(begin(table, 1, 16), -1, "a duplicate");
  assertEquals(table.accept(entry, 16, 3, false, 0), ACCEPT_PASS);
  assertEquals(begin(table, 1, 16), entry);
  assertEquals(table.accept(entry, 16, 3, false, 0), ACCEPT_PASS);
  assertEquals(begin(table, 1, 16), entry);
  assertEquals(begin(table, 1, 16, 1), -1);
  assertEquals(begin(table, 1, 16, 3), entry);
});

Deno.test("FragmentTable: a later fragment is a duplicate of what was complete a moment ago, and the beginning of another after a rest", () => {
  const table = new FragmentTable(64, SEED);
  const entry = begin(table, 1, 16);
  assertEquals(table.accept(entry, 16, 3, false, 0), ACCEPT_PASS);
  setKey(table, 1);
  assertEquals(table.find(1), entry);
  assertEquals(table.accept(entry, 16, 3, false, 1), ACCEPT_DUPLICATE);
  assertEquals(table.find(2), entry);
  assertEquals(table.find(3), -1);
  assertEquals(begin(table, 1, 16, 3), entry);
  assertEquals(table.accept(entry, 16, 3, false, 3), ACCEPT_PASS);
});

Deno.test("FragmentTable: in a full bucket the complete goes first, then what has rested longest", () => {
  const table = new FragmentTable(4, SEED);
  const entries = [1, 2, 3, 4].map((id) => begin(table, id, 8));
  assertEquals(new Set(entries).size, 4);
  setKey(table, 1);
  table.find(0);
  assertEquals(begin(table, 5, 8), entries[1]);
  table.accept(entries[3], 8, 8, false, 0);
  assertEquals(begin(table, 6, 8), entries[3]);
  assertEquals(begin(table, 7, 8), entries[2]);
  setKey(table, 1);
  assertEquals(table.find(0), entries[0]);
  assertEquals(begin(table, 8, 8, FRAGMENT_SECONDS), entries[1]);
});

Deno.test("FragmentTable: a datagram is there for FRAGMENT_SECONDS from its first fragment on", () => {
  const table = new FragmentTable(64, SEED);
  const entry = begin(table, 1, 8, 100);
  setKey(table, 1);
  assertEquals(table.find(100 + FRAGMENT_SECONDS), entry);
  assertEquals(table.find(101 + FRAGMENT_SECONDS), -1);
});

Deno.test("FragmentTable.begin: an empty fragment begins nothing", () => {
  const table = new FragmentTable(64, SEED);
  assertEquals(begin(table, 1, 0), -1);
  setKey(table, 1);
  assertEquals(table.find(0), -1);
});

Deno.test("FragmentTable: tags tell datagrams apart, and differ with the seed", () => {
  const tagsOf = (seed: Uint32Array) => {
    const table = new FragmentTable(64, seed);
    return Array.from({ length: 1000 }, (_, id) => {
      setKey(table, id);
      table.find(0);
      return table.tag;
    });
  };
  assertEquals(new Set(tagsOf(SEED)).size, 1000);
  assertNotEquals(tagsOf(SEED), tagsOf(Uint32Array.of(1, 2, 3, 5)));
});

Deno.test("FragmentTable refuses places that are no power of two", () => {
  for (const places of [0, 2, 3, 48, 1 << 17]) {
    assertThrows(() => new FragmentTable(places, SEED), RangeError);
  }
});
