/** A note that its writer renews is found by other threads all the while: an answer that missed it would leave with the pod's address. */

import { assert, assertEquals } from "@std/assert";
import { OverflowTable } from "../../../mod/table/overflow.ts";
import type { NoterOrder } from "./overflow_writer.ts";

const LOOKS = 300_000;

Deno.test("OverflowTable.copy never misses a note while another thread renews it", async () => {
  const table = OverflowTable.create(16, 4, Uint32Array.of(1, 2, 3, 4));
  const flag = new SharedArrayBuffer(8);
  const writer = new Worker(new URL("./overflow_writer.ts", import.meta.url), { type: "module" });
  const stopped = new Promise((resolve) => writer.onmessage = resolve);
  writer.postMessage({ buffer: table.buffer as SharedArrayBuffer, flag } satisfies NoterOrder);
  const words = new Int32Array(flag);
  while (Atomics.load(words, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const copy = new Int32Array(24);
  table.key.fill(7);
  let missed = 0;
  for (let i = 0; i < LOOKS; i++) if (!table.copy(6, 1000, copy)) missed++;
  Atomics.store(words, 0, 1);
  await stopped;
  writer.terminate();
  assertEquals(missed, 0);
  assert(Atomics.load(words, 1) > 1000, "the writer hardly ran: the test tests little");
});
