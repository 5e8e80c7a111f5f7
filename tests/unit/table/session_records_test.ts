/** Sessions as records: what is packed of one table is found in another one, of other size and seed. */

import { assertEquals } from "@std/assert";
import { AffinityTable } from "../../../mod/table/affinity.ts";
import { OverflowTable } from "../../../mod/table/overflow.ts";
import {
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SessionTable,
} from "../../../mod/table/session.ts";
import {
  AFFINITY_WORDS,
  packAffinity,
  packNotes,
  packSessions,
  recordWords,
  toldOf,
  unpackAffinity,
  unpackNotes,
  unpackSessions,
} from "../../../mod/table/session_records.ts";

const TCP = 6;
const NOW = 1000;

function seed(first: number): Uint32Array {
  return Uint32Array.of(first, 2, 3, 4);
}

function fill(table: SessionTable, index: number): number {
  for (let i = 0; i < table.key.length; i++) {
    table.key[i] = index * 100 + i;
    table.replyKey[i] = -(index * 100 + i);
  }
  return table.insert(TCP, NOW);
}

for (const width of [1, 4] as const) {
  Deno.test(`packSessions and unpackSessions carry a session over, ${width} words of address`, () => {
    const from = SessionTable.create(64, width, seed(1));
    const to = SessionTable.create(16, width, seed(9));
    const overflow = OverflowTable.create(16, width, seed(5));
    const told = new Float64Array(40);
    for (let index = 1; index <= 8; index++) {
      const entry = fill(from, index);
      from.setState(entry, SESSION_STATE_ESTABLISHED);
      from.words[entry + SESSION_SERVICE] = index;
      from.words[entry + SESSION_POD] = 2 * index;
      from.words[entry + SESSION_NOTE] = 0x12345600 | index;
      from.words[entry + SESSION_LAST_SEEN] = NOW - index;
      from.words[entry + SESSION_OFFLOAD] = index % 2 === 0 ? index : -NOW;
      told.set([index, 2 ** 40 + index, 3, 4], 4 * (index - 1));
    }
    const packed = packSessions(from, NOW, 500, told);
    assertEquals(packed.length, 8 * recordWords(width));
    for (let at = 0; at < packed.length; at += recordWords(width)) {
      const index = packed[at + SESSION_SERVICE];
      assertEquals(packed[at + SESSION_OFFLOAD], index % 2 === 0 ? 500 + index : 0);
      assertEquals(
        [...toldOf(packed, at, width)],
        index % 2 === 0 ? [index, 2 ** 40 + index, 3, 4] : [0, 0, 0, 0],
      );
    }
    assertEquals(unpackSessions(packed, to, NOW, overflow), 0);
    assertEquals(to.used(), 8);
    for (let index = 1; index <= 8; index++) {
      for (let i = 0; i < to.key.length; i++) to.key[i] = -(index * 100 + i);
      const entry = to.findReply(TCP, NOW);
      const { words } = to;
      assertEquals(to.state(entry), SESSION_STATE_ESTABLISHED);
      assertEquals(words[entry + SESSION_SERVICE], index);
      assertEquals(words[entry + SESSION_POD], 2 * index);
      assertEquals(words[entry + SESSION_NOTE], index, "notes, and no generation's stamp");
      assertEquals(words[entry + SESSION_LAST_SEEN], NOW - index);
      assertEquals(words[entry + SESSION_OFFLOAD], 0);
    }
  });
}

Deno.test("unpackSessions notes what finds no room, and takes the lasting ones first", () => {
  const from = SessionTable.create(8, 1, seed(1));
  const to = SessionTable.create(1, 1, seed(9));
  const overflow = OverflowTable.create(16, 1, seed(5));
  for (let index = 1; index <= 8; index++) {
    from.setState(fill(from, index), index <= 4 ? SESSION_STATE_CLOSING : SESSION_STATE_ESTABLISHED);
  }
  const told = new Float64Array(0);
  assertEquals(unpackSessions(packSessions(from, NOW, 0, told), to, NOW, overflow), 4);
  const states: number[] = [];
  to.forEach(NOW, (entry) => states.push(to.state(entry)));
  assertEquals(states, Array(4).fill(SESSION_STATE_ESTABLISHED));
  let notes = 0;
  overflow.forEach(NOW, () => notes++);
  assertEquals(notes, 4);
});

Deno.test("packNotes and unpackNotes carry notes of untracked flows over, without those that are too old", () => {
  const from = OverflowTable.create(16, 1, seed(1));
  const to = OverflowTable.create(32, 1, seed(2));
  for (const [index, seen] of [[1, NOW], [2, NOW - 10], [3, NOW - 100]]) {
    from.key.set([index, 2, 3]);
    from.original.set([4, 5, index]);
    from.note(17, 7, 8, seen);
  }
  unpackNotes(packNotes(from, NOW), to);
  for (const [index, seen] of [[1, NOW], [2, NOW - 10]]) {
    to.key.set([index, 2, 3]);
    const entry = to.find(17, NOW);
    assertEquals([...to.words.subarray(entry + 6, entry + 9)], [4, 5, index]);
    assertEquals(to.words[entry + SESSION_LAST_SEEN], seen);
    assertEquals([to.words[entry + SESSION_SERVICE], to.words[entry + SESSION_POD]], [7, 8]);
  }
  to.key.set([3, 2, 3]);
  assertEquals(to.find(17, NOW), -1);
});

Deno.test("clients' pods are the same in a table that got another one's records", () => {
  const [from, to] = [AffinityTable.create(64), AffinityTable.create(64)];
  const client = (n: number) => Int32Array.of(0, 0, 0xffff, n);
  for (let n = 0; n < 12; n++) from.note(n % 3, client(n), 100 + n, 1000 + n);
  const packed = packAffinity(from);
  assertEquals(packed.length, 12 * AFFINITY_WORDS);
  unpackAffinity(packed, to);
  for (let n = 0; n < 12; n++) {
    assertEquals(to.find(n % 3, client(n), 1000 + n, 0), 100 + n);
    assertEquals(to.find(n % 3, client(n), 1001 + n, 0), -1, "the second goes with it");
  }
});
