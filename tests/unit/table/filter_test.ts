/** The session filter: its hash against a slow model, and that it counts exactly the sessions and notes there are, whatever happens to them. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { addressOf, mapMemory } from "../../../ffi/memory.ts";
import { FILTER_BYTES, SessionFilter } from "../../../mod/table/filter.ts";
import { HASH_KEY_WORDS } from "../../../mod/table/hash.ts";
import { OverflowTable } from "../../../mod/table/overflow.ts";
import { SESSION_KIND, SESSION_LAST_SEEN, SessionTable } from "../../../mod/table/session.ts";
import { moveSessions } from "../../../mod/table/session_move.ts";
import { type Answer, counterModel } from "../../packets/filter_model.ts";
import { property, type Random } from "../../packets/random.ts";
import type { AdderOrder } from "./filter_adder.ts";
import { SEED } from "./session_model.ts";

const COUNTERS_AT = 1024;

function newFilter(seed: Uint32Array = SEED): SessionFilter {
  return SessionFilter.create(new Int32Array(FILTER_BYTES / 4), seed);
}

function countersOf(filter: SessionFilter): Int32Array {
  return filter.words.subarray(COUNTERS_AT);
}

/** A tuple of a table as the model wants it. */
function answerOf(protocol: number, tuple: ArrayLike<number>, at: number, addressWords: 1 | 4): Answer {
  const address = (from: number) => {
    const view = new DataView(new ArrayBuffer(16));
    if (addressWords === 1) view.setUint16(10, 0xffff);
    for (let i = 0; i < addressWords; i++) view.setInt32(16 - 4 * addressWords + 4 * i, tuple[from + i]);
    return new Uint8Array(view.buffer);
  };
  const ports = tuple[at + 2 * addressWords];
  return {
    protocol,
    source: address(at),
    destination: address(at + addressWords),
    sourcePort: ports >>> 16,
    destinationPort: ports & 0xffff,
  };
}

Deno.test("SessionFilter counts a tuple where the slow model says, in either width", () => {
  property((random) => {
    for (let round = 0; round < 100; round++) {
      const filter = newFilter(Uint32Array.from({ length: 4 }, () => random.int32()));
      const counters = countersOf(filter);
      for (const addressWords of [1, 4] as const) {
        for (let i = 0; i < 20; i++) {
          const tuple = Int32Array.from({ length: 2 * addressWords + 1 }, () => random.int32());
          const protocol = random.below(4) === 0 ? 58 : random.below(256);
          const counter = counterModel(filter.words, answerOf(protocol, tuple, 0, addressWords));
          filter.count(protocol, tuple, 0, addressWords, 1);
          assertEquals([counters[counter], filter.holds(protocol, tuple, 0, addressWords)], [1, true]);
          filter.count(protocol, tuple, 0, addressWords, -1);
          assertEquals([counters[counter], filter.holds(protocol, tuple, 0, addressWords)], [0, false]);
        }
      }
    }
  });
});

Deno.test("SessionFilter: known counters under a known key", () => {
  const filter = newFilter();
  const counters = countersOf(filter);
  const counterOf = (protocol: number, tuple: number[]) => {
    filter.count(protocol, Int32Array.from(tuple), 0, tuple.length === 3 ? 1 : 4, 1);
    const counter = counters.indexOf(1);
    counters[counter] = 0;
    return counter;
  };
  const six = [0xfd000002, 0, 0, 2, 0xfd000001, 0, 0, 2, 8080 << 16 | 40_000];
  assertEquals([
    counterOf(6, [0x0a020102, 0x0a010102, 8080 << 16 | 40_000]),
    counterOf(17, [0x0a020102, 0x0a010102, 8080 << 16 | 40_000]),
    counterOf(1, [0x0a020102, 0x0a010102, 77]),
    counterOf(6, six),
    counterOf(132, six),
  ], KNOWN);
});
const KNOWN = [11_083, 548_440, 942_155, 576_144, 78_593];

Deno.test("SessionFilter counts an IPv4 tuple and its mapped form in the same place", () => {
  property((random) => {
    const filter = newFilter();
    for (let i = 0; i < 1000; i++) {
      const [source, destination, ports] = [random.int32(), random.int32(), random.int32()];
      const protocol = random.below(256);
      filter.count(protocol, Int32Array.of(source, destination, ports), 0, 1, 1);
      const mapped = Int32Array.of(9, 0, 0, 0xffff, source, 0, 0, 0xffff, destination, ports);
      assert(filter.holds(protocol, mapped, 1, 4));
      filter.count(protocol, mapped, 1, 4, -1);
    }
    assert(countersOf(filter).every((count) => count === 0));
  });
});

Deno.test("SessionFilter takes ICMPv6 for ICMP: a session between the families knows one of them", () => {
  const filter = newFilter();
  const tuple = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  filter.count(1, tuple, 0, 4, 1);
  assertEquals([1, 6, 17, 58].map((protocol) => filter.holds(protocol, tuple, 0, 4)), [
    true,
    false,
    false,
    true,
  ]);
});

Deno.test("SessionFilter: a view of the wrong size is refused; keys differ with the seed", () => {
  assertThrows(() => new SessionFilter(new Int32Array(1024)), TypeError);
  const keyOf = (seed: Uint32Array) => [...newFilter(seed).words.subarray(0, HASH_KEY_WORDS)];
  assertNotEquals(keyOf(SEED), keyOf(Uint32Array.of(1, 2, 3, 4)));
});

/** Two workers' tables and notes of one width under one filter, and random things that happen to them. */
class Life {
  now = 1000;
  readonly tables: SessionTable[] = [];
  readonly overflow: OverflowTable;
  readonly #sweeps = [0, 0, 0];

  constructor(readonly random: Random, readonly filter: SessionFilter, readonly addressWords: 1 | 4) {
    for (let i = 0; i < 2; i++) this.tables.push(this.#table(8));
    this.overflow = new OverflowTable(OverflowTable.create(16, addressWords, SEED).buffer, filter);
  }

  #table(buckets: number): SessionTable {
    return new SessionTable(SessionTable.create(buckets, this.addressWords, SEED).buffer, this.filter);
  }

  #tuple(): number[] {
    const address = () =>
      [this.random.below(2), 0, 0xffff, 0x0a000000 + this.random.below(6)].slice(4 - this.addressWords);
    return [...address(), ...address(), (this.random.below(6) << 16) | this.random.below(2)];
  }

  step(): void {
    const { random, now, overflow } = this;
    const which = random.below(2);
    const table = this.tables[which];
    const protocol = [0, 6, 17][random.below(3)];
    const choice = random.below(1000);
    if (choice < 500) {
      table.key.set(this.#tuple());
      table.replyKey.set(this.#tuple());
      const entry = table.insert(protocol, now);
      if (entry >= 0) table.setState(entry, random.below(4));
      else {
        overflow.key.set(table.replyKey);
        overflow.original.set(table.key);
        overflow.note(protocol, 1, 2, now);
      }
    } else if (choice < 600) {
      table.key.set(this.#tuple());
      const entry = table.findOriginal(protocol, now);
      if (entry >= 0 && random.below(2) === 0) table.remove(entry);
      else if (entry >= 0) table.words[entry + SESSION_LAST_SEEN] = now;
    } else if (choice < 800) this.now += random.below(20);
    else if (choice < 950) {
      this.#sweeps[which] = table.sweep(this.#sweeps[which], 5, now);
      this.#sweeps[2] = overflow.sweep(this.#sweeps[2], 3, now);
    } else if (choice < 980) {
      table.forEach(now, (entry) => {
        if (random.below(2) === 0) table.remove(entry);
      });
    } else if (choice < 995) {
      const next = this.#table(2 << random.below(4));
      moveSessions(table, next, now);
      if (random.below(2) === 0) table.clear(); // of no consequence any more
      this.tables[which] = next;
      this.#sweeps[which] = 0;
    } else if (choice < 998) table.clear();
    else overflow.clear();
  }

  /** How often the model says each counter is used. */
  expected(): Map<number, number> {
    const counts = new Map<number, number>();
    const add = (words: Int32Array, entry: number, replyAt: number) => {
      const kind = words[entry + SESSION_KIND];
      if (kind === 0) return;
      const answer = answerOf(kind >>> 24, words, entry + replyAt, this.addressWords);
      const counter = counterModel(this.filter.words, answer);
      counts.set(counter, (counts.get(counter) ?? 0) + 1);
    };
    for (const table of [...this.tables, this.overflow]) {
      const entries = table instanceof SessionTable ? table.capacity : table.places;
      const first = table instanceof SessionTable
        ? table.entriesAt
        : table.words.length - entries * table.stride;
      for (let i = 0; i < entries; i++) add(table.words, first + i * table.stride, table.replyAt);
    }
    return counts;
  }

  check(): number {
    const counts = new Map<number, number>();
    countersOf(this.filter).forEach((count, counter) => count !== 0 && counts.set(counter, count));
    const byCounter = (a: [number, number], b: [number, number]) => a[0] - b[0];
    assertEquals([...counts].sort(byCounter), [...this.expected()].sort(byCounter));
    return counts.size;
  }
}

for (const addressWords of [1, 4] as const) {
  Deno.test(`SessionFilter counts what there is after random inserts, removals, expiry, sweeps, moves and notes, and zero in the end (A = ${addressWords})`, () => {
    property((random) => {
      const life = new Life(random, newFilter(), addressWords);
      let most = 0;
      for (let step = 0; step < 60_000; step++) {
        life.step();
        if (step % 500 === 0) most = Math.max(most, life.check());
      }
      assert(most > 20, `never more than ${most} counters in use: the test tests nothing`);
      // Everything grows old, and one round of sweeping ends it.
      life.now += 8000;
      for (const table of life.tables) table.sweep(0, table.capacity, life.now);
      life.overflow.sweep(0, life.overflow.places, life.now);
      assertEquals(life.check(), 0);
    });
  });
}

/** A filter that looks after each change whether `kept` are still counted. */
class Watched extends SessionFilter {
  kept: { protocol: number; reply: Int32Array }[] = [];
  looks = 0;

  override count(protocol: number, tuple: Int32Array, at: number, addressWords: 1 | 4, by: 1 | -1): void {
    super.count(protocol, tuple, at, addressWords, by);
    this.looks++;
    for (const { protocol, reply } of this.kept) {
      assert(this.holds(protocol, reply, 0, addressWords), "a live session looks ended");
    }
  }
}

Deno.test("moveSessions: the filter holds every session all the while, and none that did not fit in the end", () => {
  const filter = new Watched(newFilter().words);
  const old = new SessionTable(SessionTable.create(64, 1, SEED).buffer, filter);
  for (let n = 0; n < 100; n++) {
    old.key.set([n, 1, 1]);
    old.replyKey.set([2, n, 3]);
    assert(old.insert(17, 1000) >= 0);
  }
  const larger = new SessionTable(SessionTable.create(128, 1, SEED).buffer, filter);
  filter.kept = Array.from({ length: 100 }, (_, n) => ({ protocol: 17, reply: Int32Array.of(2, n, 3) }));
  filter.looks = 0;
  assertEquals([moveSessions(old, larger, 1010), filter.looks], [0, 200]);
  filter.kept = [];
  const smaller = new SessionTable(SessionTable.create(4, 1, SEED).buffer, filter);
  const lost = moveSessions(larger, smaller, 1010);
  assertEquals([lost + smaller.used(), lost >= 84], [100, true]);
  assertEquals(countersOf(filter).reduce((sum, count) => sum + count, 0), smaller.used());
});

Deno.test("SessionFilter: threads that count at once by address lose nothing, in memory that JavaScript does not know to be shared", async () => {
  const memory = mapMemory(FILTER_BYTES);
  const filter = SessionFilter.create(new Int32Array(memory.buffer), SEED);
  const ready = new Int32Array(new SharedArrayBuffer(4));
  const order: AdderOrder = { address: addressOf(memory.pointer), ready: ready.buffer, rounds: 300_000 };
  const workers = [0, 1].map(() =>
    new Worker(new URL("./filter_adder.ts", import.meta.url), { type: "module" })
  );
  const ended = workers.map((worker) => new Promise((resolve) => worker.onmessage = resolve));
  for (const worker of workers) worker.postMessage(order);
  await Promise.all(ended);
  for (const worker of workers) worker.terminate();
  const counts = countersOf(filter).filter((count) => count !== 0);
  assertEquals([...counts], [2 * order.rounds]);
  memory.unmap();
});
