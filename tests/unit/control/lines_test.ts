/** Cutting a stream into lines, however it is chopped. */

import { assertEquals, assertThrows } from "@std/assert";
import { LineSplitter, LineTooLongError } from "../../../mod/control/lines.ts";
import { Random } from "../config/random.ts";

Deno.test("LineSplitter gives the lines of a text however it is cut into chunks", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const random = new Random(seed);
    const bytes = random.bytes(random.below(200)).map((byte) => byte < 40 ? 10 : byte);
    const lines = new LineSplitter(1000);
    const found: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(50);
      // The buffer is used again for the next chunk, as the readers do.
      const chunk = bytes.slice(at, at + size);
      for (const line of lines.push(chunk)) found.push(String(line));
      chunk.fill(0);
      at += size;
    }
    found.push(String(lines.rest()));
    const expected: string[] = [];
    let start = 0;
    for (let at = 0; at <= bytes.length; at++) {
      if (at < bytes.length && bytes[at] !== 10) continue;
      expected.push(String(bytes.slice(start, at)));
      start = at + 1;
    }
    assertEquals(found, expected, `seed ${seed}`);
  }
});

Deno.test("LineSplitter refuses a line over the bound, in one piece or in many, and takes one that fits", () => {
  const bytes = new Uint8Array(8).fill(65);
  assertThrows(() => [...new LineSplitter(7).push(bytes)], LineTooLongError);
  const lines = new LineSplitter(20);
  assertEquals([...lines.push(bytes), ...lines.push(bytes)], []);
  assertThrows(() => [...lines.push(bytes)], LineTooLongError);
  const fits = new LineSplitter(8);
  assertEquals([...fits.push(bytes), ...fits.push(new Uint8Array([10]))].map((line) => line.length), [8]);
});
