/** The pool of free frames: nothing is lost, nothing is given out twice. */

import { assertEquals, assertThrows } from "@std/assert";
import { FramePool, NO_FRAME } from "../../../mod/worker/frame_pool.ts";

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
