/** Clients' pods against a map that forgets nothing, as long as no bucket is full; and what goes when one is. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AffinityTable } from "../../../mod/table/affinity.ts";
import { property } from "../../packets/random.ts";

const tuple = (client: number): Int32Array => Int32Array.of(0, 0, 0xffff, client, 7, 7, 7, 7, 7);

Deno.test("AffinityTable finds what was noted last, for its service and client, until its time is over", () => {
  property((random) => {
    const table = AffinityTable.create(4096);
    const model = new Map<string, { pod: number; seen: number }>();
    let now = 1000;
    for (let round = 0; round < 3000; round++) {
      const service = random.below(5);
      const client = random.below(60);
      const key = `${service} ${client}`;
      now += random.below(3);
      if (random.below(2) === 0) {
        const pod = random.below(9);
        table.note(service, tuple(client), pod, now);
        model.set(key, { pod, seen: now });
      }
      const seconds = random.below(200);
      const noted = model.get(key);
      const wanted = noted === undefined || now - noted.seen > seconds ? -1 : noted.pod;
      assertEquals(new AffinityTable(table.buffer).find(service, tuple(client), now, seconds), wanted);
    }
  });
});

Deno.test("AffinityTable: a full bucket gives up the client that has been away longest", () => {
  const table = AffinityTable.create(4);
  assertEquals(table.capacity, 4);
  for (let client = 0; client < 4; client++) table.note(1, tuple(client), client, 100 + client);
  table.note(1, tuple(0), 0, 200);
  table.note(1, tuple(9), 9, 201);
  const left = [0, 1, 2, 3, 9].filter((client) => table.find(1, tuple(client), 201, 1000) === client);
  assertEquals(left, [0, 2, 3, 9]);
});

Deno.test("AffinityTable refuses sizes and buffers that are none", () => {
  for (const capacity of [0, 2, 5, 1000]) assertThrows(() => AffinityTable.create(capacity), RangeError);
  assertThrows(() => new AffinityTable(new SharedArrayBuffer(AffinityTable.bytesFor(4))), TypeError);
  assert(AffinityTable.create(8).buffer.byteLength === AffinityTable.bytesFor(8));
});
