/** Sessions to a smaller table: who stays behind, and that those are noted. */

import { assertEquals } from "@std/assert";
import { OverflowTable } from "../../../mod/table/overflow.ts";
import {
  SESSION_POD,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SessionTable,
} from "../../../mod/table/session.ts";
import { moveSessions } from "../../../mod/table/session_move.ts";

const SEED = Uint32Array.of(1, 2, 3, 4);
const TCP = 6;
const CLIENT = 0x0a010102, VIP = 0x0a600001, POD = 0x0a020102;
const NOW = 100;

/** Session `n` of client port 1000 + n. */
function insert(table: SessionTable, n: number, state: number): void {
  table.key.set([CLIENT, VIP, ((1000 + n) << 16) | 80]);
  table.replyKey.set([POD, CLIENT, (8080 << 16) | (1000 + n)]);
  const entry = table.insert(TCP, NOW);
  table.setState(entry, state);
  table.words[entry + SESSION_POD] = n;
}

Deno.test("moveSessions() keeps the established where there is not room for all, and notes the rest", () => {
  const old = SessionTable.create(64, 1, SEED);
  const next = SessionTable.create(1, 1, SEED); // four sessions
  const overflow = OverflowTable.create(1024, 1, SEED, false);
  // The closing ones come first, in whatever order the table holds them.
  for (let n = 0; n < 8; n++) insert(old, n, n < 4 ? SESSION_STATE_CLOSING : SESSION_STATE_ESTABLISHED);

  assertEquals(moveSessions(old, next, NOW, overflow), 4);
  const kept: number[] = [];
  next.forEach(NOW, (entry) => kept.push(next.words[entry + SESSION_POD]));
  assertEquals(kept.toSorted(), [4, 5, 6, 7]);
  for (let n = 0; n < 8; n++) {
    overflow.key.set([POD, CLIENT, (8080 << 16) | (1000 + n)]);
    const note = overflow.find(TCP, NOW);
    assertEquals(note >= 0, n < 4, `session ${n}`);
    if (note >= 0) assertEquals(overflow.words[note + SESSION_POD], n);
  }
});
