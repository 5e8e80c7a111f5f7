/**
 * No flow has two sessions, with real threads: two workers are given the first packets of the same flows at the same moments, and
 * afterwards each flow is in at most one of their tables; its next packet finds or begins the one session.
 */

import { assert, assertEquals } from "@std/assert";
import { SESSION_ORIGINAL, SessionTable } from "../../../mod/table/session.ts";
import type { RacerOrder, RacerTables } from "./workers_racer.ts";

const FLOWS = 200 * 32;

Deno.test("two threads never both keep a session of one flow", async () => {
  const racers = [0, 1].map(() =>
    new Worker(new URL("./workers_racer.ts", import.meta.url), { type: "module" })
  );
  const answer = <T>(index: number) =>
    new Promise<T>((resolve) => racers[index].onmessage = ({ data }) => resolve(data));
  const made = [answer<RacerTables>(0), answer<RacerTables>(1)];
  racers.forEach((racer, index) => racer.postMessage({ kind: "make", index }));
  const tables = await Promise.all(made);
  const barrier = new SharedArrayBuffer(8);
  const done = [answer<number>(0), answer<number>(1)];
  racers.forEach((racer, index) => {
    const order: RacerOrder = { kind: "race", other: tables[1 - index], barrier, flows: FLOWS };
    racer.postMessage(order);
  });
  const yielded = await Promise.all(done);
  racers.forEach((racer) => racer.terminate());

  const found = new Map<string, number>();
  for (const buffer of tables) {
    const table = new SessionTable(buffer);
    table.forEach(1000, (entry) => {
      const at = entry + SESSION_ORIGINAL;
      const tuple = `${table.words.subarray(at, at + 3)}`;
      found.set(tuple, (found.get(tuple) ?? 0) + 1);
    });
  }
  assertEquals([...found.values()].filter((count) => count !== 1), [], "sessions of one flow in both tables");
  assertEquals(found.size, FLOWS, "every flow has one in the end");
  assert(yielded[0] + yielded[1] > 0, "they never met: the test tests little");
});
