/** The pool of free frames: nothing is lost, nothing is given out twice. */

import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { ADDRESS_WORDS } from "../../../ffi/if_xdp.ts";
import { CompletionRing, FillRing, plainRingMemory } from "../../../mod/xdp/ring.ts";
import { FramePool, NO_FRAME, ringSizeFor } from "../../../mod/worker/frame_pool.ts";

Deno.test("FramePool gives out every frame once, from the lowest on, and then NO_FRAME", () => {
  const pool = new FramePool(4, 2048);
  assertEquals([pool.take(), pool.take(), pool.take(), pool.take()], [0, 2048, 4096, 6144]);
  assertEquals(pool.take(), NO_FRAME);
  assertEquals([pool.count, pool.capacity], [0, 4]);
});

Deno.test("FramePool gives a returned frame out again", () => {
  const pool = new FramePool(2, 4096);
  pool.take();
  const second = pool.take();
  pool.put(second);
  assertEquals(pool.count, 1);
  assertEquals(pool.take(), second);
});

Deno.test("FramePool refuses memory beyond 2 GiB, whose offsets would not fit", () => {
  assertThrows(() => new FramePool(1 << 20, 4096), RangeError);
});

Deno.test("ringSizeFor shares the frames: the first rings large, more than thirty-five in all, and then none", () => {
  const sizes: number[] = [];
  let frames = 16_384 - 1024;
  for (let size = ringSizeFor(frames, 2048); size > 0; size = ringSizeFor(frames, 2048)) {
    assertEquals(Number.isInteger(Math.log2(size)) && size <= frames, true, `${size} of ${frames}`);
    sizes.push(size);
    frames -= size;
  }
  assertEquals([sizes.slice(0, 3), sizes.at(-1)], [[2048, 2048, 1024], 32]);
  assertGreater(sizes.length, 35);
  assertEquals(sizes, sizes.toSorted((a, b) => b - a));
});

Deno.test("FramePool fills a ring with its frames and takes them back from one, none lost and none twice", () => {
  const pool = new FramePool(8, 2048);
  const memory = plainRingMemory(8, ADDRESS_WORDS);
  const fill = new FillRing(memory), completion = new CompletionRing(memory);
  pool.fill(fill, 5);
  fill.submit(5);
  assertEquals([pool.count, fill.outstanding()], [3, 5]);
  assertEquals(completion.peek(8), 5);
  pool.putCompleted(completion, 5, -2048);
  completion.release(5);
  const all = Array.from({ length: 8 }, () => pool.take()).sort((a, b) => a - b);
  assertEquals([all, pool.take()], [[0, 1, 2, 3, 4, 5, 6, 7].map((i) => i * 2048), NO_FRAME]);
});
