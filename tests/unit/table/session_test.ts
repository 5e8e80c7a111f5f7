/** Session table: against a slow model, and its promises one by one. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { repliesAtFor } from "../../../mod/table/session_layout.ts";
import {
  SESSION_FULL,
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_REPLY_TAKEN,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SESSION_STATE_TRANSITORY,
  SessionTable,
} from "../../../mod/table/session.ts";
import { property } from "../../packets/random.ts";
import { Model, SEED, TIMEOUTS } from "./session_model.ts";

const NOW = 1000;

function put(table: SessionTable, original: number[], reply: number[], now = NOW): number {
  table.key.set(original);
  table.replyKey.set(reply);
  return table.insert(17, now);
}

for (const addressWords of [1, 4] as const) {
  const width = addressWords === 1 ? "IPv4" : "IPv6";

  Deno.test(`SessionTable agrees with a Map under random operations (${width})`, () => {
    property((random) => {
      for (const [buckets, pool] of [[1, 3], [4, 5], [16, 8], [128, 12], [512, 40]]) {
        const model = new Model(random, buckets, addressWords);
        for (let step = 0; step < 12_000; step++) {
          const choice = random.below(100);
          if (choice < 45) model.insert(pool);
          else if (choice < 75) model.find(pool);
          else if (choice < 85) model.touch();
          else if (choice < 94) model.remove();
          else if (choice < 98) model.now += random.below(30);
          else if (choice < 99) model.sweep();
          else model.checkAll();
          if (step % 3000 === 2999) {
            model.migrate(Math.max(1, buckets >> random.below(3)) * (1 + random.below(2)));
          }
        }
        model.sweep();
        model.checkAll();
        assert(model.taken > 0, "no reply tuple was ever taken: the test tests nothing");
        if (buckets <= 16) assert(model.refused > 0, "no bucket was ever full: the test tests nothing");
        if (buckets <= 16) assert(model.evicted > 0, "no connection made room: the test tests nothing");
      }
    });
  });

  Deno.test(`SessionTable fills every entry of a bucket, and reuses an expired one first (${width})`, () => {
    const table = SessionTable.create(1, addressWords, SEED);
    const tuple = (n: number) => new Array<number>(2 * addressWords + 1).fill(n);
    const entries = [1, 2, 3, 4].map((n) => put(table, tuple(n), tuple(-n), NOW + n));
    assertEquals(new Set(entries).size, 4);
    assertEquals(put(table, tuple(5), tuple(-5), NOW + 5), SESSION_FULL);
    assertEquals(table.used(), 4);
    const later = NOW + 2 + table.timeouts[0] + 1; // 1 and 2 are expired, 3 and 4 are not
    assertEquals(
      new Set([put(table, tuple(5), tuple(-5), later), put(table, tuple(6), tuple(-6), later)]),
      new Set(entries.slice(0, 2)),
    );
    assertEquals(put(table, tuple(7), tuple(-7), later), SESSION_FULL);
    for (const n of [3, 4, 5, 6]) {
      table.key.set(tuple(-n));
      assert(table.findReply(17, later) >= 0, `reply of ${n}`);
    }
    for (const n of [1, 2]) {
      table.key.set(tuple(-n));
      assertEquals(table.findReply(17, NOW), -1); // at a time when it would not be expired: its slot is gone
    }
  });

  Deno.test(`SessionTable gives up the connection closed longest ago when a bucket is full, and nothing that lives (${width})`, () => {
    const closedInKernel = new Set<number>(), ended: number[] = [];
    const ending = {
      isClosed: (flow: number) => closedInKernel.has(flow),
      end: (flow: number) => void ended.push(flow),
      rename: () => {},
    };
    const table = new SessionTable(SessionTable.create(1, addressWords, SEED).buffer, null, ending);
    const tuple = (n: number) => new Array<number>(2 * addressWords + 1).fill(n);
    const put = (n: number, protocol: number) => {
      table.key.set(tuple(n));
      table.replyKey.set(tuple(-n));
      return table.insert(protocol, NOW + n);
    };
    const entries = [1, 2, 3, 4].map((n) => put(n, n === 1 ? 17 : 6));
    table.setState(entries[0], SESSION_STATE_CLOSING); // of UDP it says nothing
    table.setState(entries[1], SESSION_STATE_TRANSITORY);
    table.setState(entries[2], SESSION_STATE_ESTABLISHED);
    table.words[entries[3] + SESSION_OFFLOAD] = 7 + 1;
    assertEquals(put(5, 6), SESSION_FULL, "nothing is closed");
    assertEquals([table.used(), ended], [4, []]);

    closedInKernel.add(7);
    assertEquals(put(5, 6), entries[3], "one that the kernel has seen closed");
    assertEquals(ended, [7], "and does not repeat any more");
    for (const entry of entries.slice(2)) table.setState(entry, SESSION_STATE_CLOSING);
    assertEquals(put(6, 17), SESSION_FULL, "an RST may be a forged one, or one FIN be missing");
    for (const entry of entries.slice(2)) table.words[entry + SESSION_NOTE] = 3;
    assertEquals(put(6, 17), entries[2], "3 has been silent for longer than 5");
    table.words[entries[3] + SESSION_NOTE] = 1;
    assertEquals(put(14, 17), SESSION_FULL, "9 s after 5");
    assertEquals(put(15, 17), entries[3]);
    assertEquals(put(16, 17), SESSION_FULL);
    for (const n of [1, 2, 6, 15]) {
      table.key.set(tuple(-n));
      assert(table.findReply(n === 2 ? 6 : 17, NOW + 16) >= 0, `reply of ${n}`);
    }
    table.key.set(tuple(-3));
    assertEquals(table.findReply(6, NOW + 16), -1);
  });

  Deno.test(`SessionTable compares every word of a tuple, and the protocol (${width})`, () => {
    const table = SessionTable.create(1, addressWords, SEED);
    const original = Array.from({ length: 2 * addressWords + 1 }, (_, i) => i + 1);
    const reply = original.map((word) => word + 100);
    const entry = put(table, original, reply);
    for (const [tuple, find] of [[original, "findOriginal"], [reply, "findReply"]] as const) {
      table.key.set(tuple);
      assertEquals(table[find](17, NOW), entry);
      assertEquals(table[find](6, NOW), -1);
      table.words[entry] ^= 1 << 24;
      assertEquals(table[find](17, NOW), -1, `${find}, protocol`);
      table.words[entry] ^= 1 << 24;
      for (let word = 0; word < tuple.length; word++) {
        // Changed in memory, so that hash, tag and slot still lead to the entry and only the comparison can refuse it.
        const at = entry + (find === "findOriginal" ? SESSION_ORIGINAL : table.replyAt) + word;
        table.key.set(tuple);
        table.words[at] ^= 1 << word;
        assertEquals(table[find](17, NOW), -1, `${find}, word ${word}`);
        table.words[at] ^= 1 << word;
        assertEquals(table[find](17, NOW), entry);
      }
    }
  });
}

Deno.test("SessionTable finds no look-alike: entries are compared where all tags and homes agree", () => {
  // With one bucket and the tag bits of every entry made equal, only the comparison of tuples is left.
  const table = SessionTable.create(1, 1, SEED);
  const entries = [1, 2, 3, 4].map((n) => put(table, [n, n, n], [-n, -n, -n]));
  const tagsWord = 64;
  for (let n = 1; n <= 4; n++) {
    const alone = SessionTable.create(1, 1, SEED);
    put(alone, [n, n, n], [-n, -n, -n]);
    table.words[tagsWord] = Math.imul(alone.words[tagsWord] >>> 24, 0x01010101);
    for (let other = 1; other <= 4; other++) {
      assertEquals(table.findOriginal4(17, other, other, other, NOW), other === n ? entries[n - 1] : -1);
    }
  }
});

Deno.test("SessionTable.insert replaces an older session of the same original tuple, its reply slot included", () => {
  const table = SessionTable.create(64, 1, SEED);
  put(table, [1, 2, 3], [4, 5, 6]);
  const entry = put(table, [1, 2, 3], [7, 8, 9]);
  assertEquals(table.used(), 1);
  assertEquals(table.findReply4(17, 4, 5, 6, NOW), -1);
  assertEquals(table.findReply4(17, 7, 8, 9, NOW), entry);
  assertEquals(put(table, [1, 2, 3], [7, 8, 9]), entry);
  assertEquals(table.used(), 1);
});

Deno.test("SessionTable.insert refuses a reply tuple that is taken, changes nothing, and takes it when its holder expired", () => {
  const table = SessionTable.create(64, 1, SEED);
  const holder = put(table, [1, 2, 3], [4, 5, 6]);
  const before = table.words.slice();
  assertEquals(put(table, [1, 2, 99], [4, 5, 6]), SESSION_REPLY_TAKEN);
  assertEquals(table.words, before);
  const later = NOW + 41;
  const entry = put(table, [1, 2, 99], [4, 5, 6], later);
  assert(entry >= 0);
  assertEquals(table.findReply4(17, 4, 5, 6, later), entry);
  assertEquals(table.findOriginal4(17, 1, 2, 3, NOW), -1);
  assertEquals(table.used(), 1);
  assert(holder >= 0);
});

Deno.test("SessionTable.insert accepts the same tuples under another protocol", () => {
  const table = SessionTable.create(64, 1, SEED);
  table.key.set([1, 2, 3]);
  table.replyKey.set([4, 5, 6]);
  assertNotEquals(table.insert(6, NOW), table.insert(17, NOW));
  assertEquals(table.used(), 2);
});

Deno.test("SessionTable: a session lives exactly its state's timeout, counted from its last packet", () => {
  const table = SessionTable.create(64, 1, SEED);
  table.timeouts.set(TIMEOUTS);
  const entry = put(table, [1, 2, 3], [4, 5, 6]);
  for (let state = 0; state < 4; state++) {
    table.setState(entry, state);
    assertEquals(table.findOriginal4(17, 1, 2, 3, NOW + TIMEOUTS[state]), entry);
    assertEquals(table.findReply4(17, 4, 5, 6, NOW + TIMEOUTS[state] + 1), -1);
  }
  table.words[entry + SESSION_LAST_SEEN] = NOW + 5000;
  assertEquals(table.findOriginal4(17, 1, 2, 3, NOW + 5000 + TIMEOUTS[3]), entry);
});

Deno.test("SessionTable.remove of a free entry does nothing", () => {
  const table = SessionTable.create(4, 1, SEED);
  const entry = put(table, [1, 2, 3], [4, 5, 6]);
  table.remove(entry);
  table.remove(entry);
  assertEquals(table.used(), 0);
});

Deno.test("SessionTable.clear frees everything and keeps timeouts and key", () => {
  const table = SessionTable.create(16, 1, SEED);
  table.timeouts[0] = 77;
  for (let n = 0; n < 30; n++) put(table, [n, 2, 3], [n, 5, 6]);
  table.clear();
  assertEquals([table.used(), table.timeouts[0]], [0, 77]);
  assertEquals(table.findReply4(17, 1, 5, 6, NOW), -1);
  assert(put(table, [1, 2, 3], [1, 5, 6]) >= 0);
});

Deno.test("SessionTable: reply lines stay without gaps when full ones are emptied in any order", () => {
  property((random) => {
    const table = SessionTable.create(2, 1, SEED); // 8 entries, 16 reply slots: one line
    const live = new Map<number, number>();
    for (let step = 0; step < 20_000; step++) {
      const n = random.below(12);
      if (live.has(n)) {
        table.remove(live.get(n)!);
        live.delete(n);
      } else {
        const entry = put(table, [n, 1, 1], [random.below(2) === 0 ? n : n + 100, 2, 2]);
        if (entry >= 0) live.set(n, entry);
      }
      const line = repliesAtFor(2, 0);
      const slots = table.words.subarray(line, line + 16);
      assertEquals(slots.filter((slot) => slot !== 0).length, live.size);
      slots.forEach((slot, at) => {
        for (let walk = slot >>> 28; slot !== 0 && walk !== at; walk = (walk + 1) & 15) {
          assertNotEquals(slots[walk], 0, "a gap between a slot and its home");
        }
      });
    }
  });
});

Deno.test("SessionTable: bytes a session stay within 64 (IPv4) and 160 (IPv6), both directions", () => {
  for (const buckets of [64, 1024, 1 << 18]) {
    assert(SessionTable.bytesFor(buckets, 1) / (4 * buckets) <= 64);
    assert(SessionTable.bytesFor(buckets, 4) / (4 * buckets) <= 160);
    assertEquals(SessionTable.create(buckets, 1, SEED).buffer.byteLength, SessionTable.bytesFor(buckets, 1));
  }
});

Deno.test("SessionTable: another view of the buffer sees the same sessions and has scratch of its own", () => {
  const table = SessionTable.create(64, 4, SEED);
  const tuple = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const entry = put(table, tuple, tuple.map((word) => word + 10));
  const view = new SessionTable(table.buffer);
  view.key.set(tuple);
  assertEquals([view.findOriginal(17, NOW), view.used(), view.capacity], [entry, 1, 256]);
  assertEquals(view.readReply(17, NOW, new Int32Array(view.stride)), -1);
  table.setState(entry, SESSION_STATE_ESTABLISHED);
  assertEquals(view.state(entry), SESSION_STATE_ESTABLISHED);
});

Deno.test("SessionTable.create refuses bucket counts that are no power of two, and short seeds", () => {
  for (const buckets of [0, 3, 1000, 2 ** 23, -4, 1.5]) {
    assertThrows(() => SessionTable.create(buckets, 1, SEED), RangeError);
  }
  assertThrows(() => SessionTable.create(64, 1, SEED.subarray(0, 3)), RangeError);
  assertThrows(() => new SessionTable(new ArrayBuffer(4096)), TypeError);
});

Deno.test("SessionTable: sequential clients and ports fill buckets like random ones, under any seed", () => {
  property((random) => {
    for (let round = 0; round < 12; round++) {
      const seed = Uint32Array.from({ length: 4 }, () => random.int32());
      const table = SessionTable.create(4096, 1, seed);
      let refused = 0;
      for (let n = 0; n < 8192; n++) { // half of the capacity
        const client = 0x0a000000 + (n >>> (round % 14));
        const ports = ((1024 + n) << 16) | 53;
        if (put(table, [client, 0x0a600001, ports], [0x0af40001, client, (53 << 16) | (1024 + n)]) < 0) {
          refused++;
        }
      }
      // Poisson with mean 2 refuses 3.6 % of them on average (sum over k > 4 of (k - 4)·P(k), divided by 2).
      assert(refused < 0.055 * 8192, `${refused} of 8192 refused`);
    }
  });
});
