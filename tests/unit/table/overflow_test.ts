/** The memory of untracked flows: newest wins, exact comparison, and notes grow old. */

import { assertEquals, assertThrows } from "@std/assert";
import { OverflowTable } from "../../../mod/table/overflow.ts";
import {
  SESSION_LAST_SEEN,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_REPLY4,
  SESSION_REPLY6,
  SESSION_SERVICE,
} from "../../../mod/table/session.ts";
import { property } from "../../packets/random.ts";

const SEED = Uint32Array.of(1, 2, 3, 4);
const NOW = 1000;

for (const addressWords of [1, 4] as const) {
  const width = 2 * addressWords + 1;

  Deno.test(`OverflowTable finds the last note of a place and nothing else, as a slow model does (${width} words)`, () => {
    property((random) => {
      const places = 16;
      const table = OverflowTable.create(places, addressWords, SEED);
      const byEntry = new Map<
        number,
        { protocol: number; reply: number[]; original: number[]; at: number }
      >();
      let now = NOW;
      let replaced = 0;
      for (let step = 0; step < 20_000; step++) {
        const tuple = () => Array.from({ length: width }, () => random.below(3));
        const protocol = [0, 6, 17, 255][random.below(4)];
        const reply = tuple();
        table.key.set(reply);
        if (random.below(3) === 0) {
          const original = tuple();
          table.original.set(original);
          const entry = table.note(protocol, step, step + 1, now);
          if (byEntry.has(entry)) replaced++;
          byEntry.set(entry, { protocol, reply, original, at: now });
          continue;
        }
        const known = [...byEntry].find(([, note]) =>
          note.protocol === protocol && `${note.reply}` === `${reply}`
        );
        const valid = known !== undefined && now - known[1].at <= 40;
        const found = table.find(protocol, now);
        assertEquals(found, valid ? known[0] : -1);
        if (valid) {
          const original = table.words.subarray(found + SESSION_ORIGINAL, found + SESSION_ORIGINAL + width);
          assertEquals([...original], known[1].original);
        }
        if (random.below(20) === 0) now += random.below(30);
      }
      assertEquals([byEntry.size, replaced > 1000], [places, true]);
    });
  });

  Deno.test(`OverflowTable entries have the layout of a session (${width} words)`, () => {
    const table = OverflowTable.create(16, addressWords, SEED);
    assertEquals(table.replyAt, addressWords === 1 ? SESSION_REPLY4 : SESSION_REPLY6);
    const reply = Array.from({ length: width }, (_, i) => i + 1);
    table.key.set(reply);
    table.original.fill(77);
    const entry = table.note(17, 5, 6, NOW);
    const { words } = table;
    assertEquals([
      words[entry + SESSION_SERVICE],
      words[entry + SESSION_POD],
      words[entry + SESSION_LAST_SEEN],
    ], [5, 6, NOW]);
    assertEquals([...words.subarray(entry + table.replyAt, entry + table.stride)], reply);
  });
}

Deno.test("OverflowTable: a note is valid for its timeout, and a new packet of the flow renews it", () => {
  const table = OverflowTable.create(16, 1, SEED);
  table.setTimeout(10);
  table.key.set([1, 2, 3]);
  const entry = table.note(17, 0, 0, NOW);
  assertEquals([table.find(17, NOW + 10), table.find(17, NOW + 11)], [entry, -1]);
  table.note(17, 0, 0, NOW + 10);
  assertEquals(table.find(17, NOW + 20), entry);
  table.clear();
  assertEquals(table.find(17, NOW + 20), -1);
});

Deno.test("OverflowTable: a set keeps four notes, and gives up the one whose client was silent for longest", () => {
  const table = OverflowTable.create(4, 1, SEED);
  const note = (n: number, now: number) => {
    table.key.set([n, 2, 3]);
    table.note(17, n, 0, now);
  };
  const known = (n: number, now: number) => {
    table.key.set([n, 2, 3]);
    return table.find(17, now) >= 0;
  };
  for (let n = 0; n < 4; n++) note(n, NOW + n);
  note(0, NOW + 5);
  assertEquals([0, 1, 2, 3].map((n) => known(n, NOW + 5)), [true, true, true, true]);
  note(4, NOW + 6);
  assertEquals([0, 1, 2, 3, 4].map((n) => known(n, NOW + 6)), [true, false, true, true, true]);
});

Deno.test("OverflowTable: another view of the buffer finds the same; bad sizes and foreign buffers are refused", () => {
  const table = OverflowTable.create(16, 4, SEED);
  table.key.fill(9);
  const entry = table.note(6, 0, 0, NOW);
  const view = new OverflowTable(table.buffer);
  view.key.fill(9);
  assertEquals(view.find(6, NOW), entry);
  assertEquals(table.buffer.byteLength, OverflowTable.bytesFor(16, 4));
  for (const places of [0, 3, 2 ** 25]) assertThrows(() => OverflowTable.create(places, 1, SEED), RangeError);
  assertThrows(() => new OverflowTable(new ArrayBuffer(4096)), TypeError);
});
