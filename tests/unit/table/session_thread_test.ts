/** A session table read by one thread while another writes it: what `readReply` returns was one whole session. */

import { assert } from "@std/assert";
import { SESSION_ORIGINAL, SESSION_SERVICE, SessionTable } from "../../../mod/table/session.ts";
import { SEED } from "./session_model.ts";
import { derivedWord, replyWord, type WriterOrder } from "./session_pattern.ts";

const SESSIONS = 3; // few, so that the one looked for is often the one being replaced
const LOOKUPS = 400_000;

/** The round that an original tuple was written in, or -1 if its words are not of one round. */
function roundOf(n: number, original: Int32Array, service: number): number {
  // The service is written after the insert: it is of this round, or still 0.
  for (const round of [service, ...(service === 0 ? candidates(n, original[0]) : [])]) {
    if (original.every((word, i) => word === derivedWord(n, round, i))) return round;
  }
  return -1;
}

/** derivedWord is a bijection of the round: undo it for word 0. */
function candidates(n: number, word: number): number[] {
  return [Math.imul(word ^ Math.imul(n, 31), INVERSE)];
}

/** Inverse of 0x85ebca6b modulo 2^32, by Newton's iteration. */
const INVERSE = (() => {
  let inverse = 1;
  for (let i = 0; i < 6; i++) inverse = Math.imul(inverse, 2 - Math.imul(0x85ebca6b, inverse));
  return inverse;
})();

for (const addressWords of [1, 4] as const) {
  Deno.test(`SessionTable.readReply returns whole sessions while another thread replaces them (A = ${addressWords})`, async () => {
    const table = SessionTable.create(16, addressWords, SEED);
    const flag = new SharedArrayBuffer(4);
    const writer = new Worker(new URL("./session_writer.ts", import.meta.url), { type: "module" });
    const stopped = new Promise((resolve) => writer.onmessage = resolve);
    const order: WriterOrder = { buffer: table.buffer as SharedArrayBuffer, sessions: SESSIONS, flag };
    writer.postMessage(order);
    while (table.used() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const copy = new Int32Array(table.stride);
    let found = 0;
    let torn = 0;
    const rounds = new Set<number>();
    for (let i = 0; i < LOOKUPS; i++) {
      const n = i % SESSIONS;
      for (let word = 0; word < table.key.length; word++) table.key[word] = replyWord(n, word);
      if (table.readReply(17, 1000, copy) < 0) continue;
      found++;
      const round = roundOf(n, copy.subarray(SESSION_ORIGINAL, table.replyAt), copy[SESSION_SERVICE]);
      if (round < 0) torn++;
      else rounds.add(round);
    }
    Atomics.store(new Int32Array(flag), 0, 1);
    await stopped;
    writer.terminate();
    assert(torn === 0, `${torn} of ${found} were torn`);
    assert(found > 100 && rounds.size > 10, `${found} found in ${rounds.size} rounds: the test tests little`);
  });
}
