/* Ring arithmetic on plain memory, with indices about to wrap. */

import { assertEquals } from "@std/assert";
import { ADDRESS_WORDS, DESCRIPTOR_WORDS } from "../../../ffi/if_xdp.ts";
import {
  CompletionRing,
  FillRing,
  plainRingMemory,
  type RingMemory,
  RxRing,
  TxRing,
} from "../../../mod/xdp/ring.ts";
import { property, type Random } from "../../packets/random.ts";

const SIZE = 8;

/** A ring whose indices have counted up to `start` already: near the wrap, where mistakes show. */
function memoryAt(start: number, entryWords: number): RingMemory {
  const memory = plainRingMemory(SIZE, entryWords);
  memory.producer[0] = memory.consumer[0] = start;
  return memory;
}

Deno.test("FillRing.reserve promises what is free, and submit hands over what was written", () => {
  for (const start of [0, 5, 0x7ffffffd, -3]) {
    const memory = memoryAt(start, ADDRESS_WORDS);
    const fill = new FillRing(memory);
    assertEquals(fill.reserve(100), SIZE);
    assertEquals(fill.reserve(3), 3, "reserving takes nothing");
    for (let i = 0; i < 6; i++) fill.write(i, i * 4096);
    assertEquals(fill.reserve(100), 2, "but writing does");
    assertEquals(memory.producer[0], start, "not handed over yet");
    fill.submit(6);
    assertEquals(memory.producer[0], (start + 6) | 0);
    assertEquals(fill.outstanding(), 6);
    assertEquals([...fill.left()], [0, 1, 2, 3, 4, 5].map((i) => i * 4096));
    memory.consumer[0] = (start + 4) | 0;
    assertEquals(fill.reserve(100), 6);
    assertEquals([...fill.left()], [4 * 4096, 5 * 4096]);
  }
});

Deno.test("ProducerRing.submit of less than was written forgets the rest", () => {
  const tx = new TxRing(memoryAt(-1, DESCRIPTOR_WORDS));
  for (let i = 0; i < 5; i++) tx.write(i, i, 60);
  tx.submit(2);
  assertEquals(tx.reserve(100), SIZE - 2);
  assertEquals([...tx.left()], [0, 1]);
});

Deno.test("ProducerRing.needsWakeup follows the kernel's flag", () => {
  const memory = plainRingMemory(SIZE, DESCRIPTOR_WORDS);
  const tx = new TxRing(memory);
  assertEquals(tx.needsWakeup(), false);
  memory.flags[0] = 1;
  assertEquals(tx.needsWakeup(), true);
});

Deno.test("RxRing reads addresses above 2 GiB as they are, and leaves descriptors' other words alone", () => {
  const memory = memoryAt(7, DESCRIPTOR_WORDS);
  memory.words.set([0x8000_0100 | 0, 0, 1514, 0], 7 * DESCRIPTOR_WORDS);
  memory.producer[0] = 8;
  const rx = new RxRing(memory);
  assertEquals(rx.peek(64), 1);
  assertEquals([rx.frameAddr(0), rx.lengthBytes(0)], [0x8000_0100, 1514]);
  const tx = new TxRing(memoryAt(0, DESCRIPTOR_WORDS));
  tx.write(0, 0x8000_0100, 60);
  tx.submit(1);
  assertEquals([...tx.left()], [0x8000_0100]);
});

Deno.test("ConsumerRing.peek shows at most what was asked for, and release gives places back", () => {
  const memory = memoryAt(-2, ADDRESS_WORDS);
  const completion = new CompletionRing(memory);
  assertEquals(completion.peek(4), 0);
  for (let i = 0; i < 5; i++) memory.words[((-2 + i) & (SIZE - 1)) * ADDRESS_WORDS] = i * 2048;
  memory.producer[0] = 3;
  assertEquals(completion.peek(4), 4);
  assertEquals([0, 1, 2, 3].map((i) => completion.frameAddr(i)), [0, 2048, 4096, 6144]);
  completion.release(4);
  assertEquals(memory.consumer[0], 2);
  assertEquals(completion.peek(4), 1);
  assertEquals(completion.frameAddr(0), 8192);
});

Deno.test("writeAll and readAll do what write and the readers do, entry by entry", () => {
  const addrs = Int32Array.from({ length: SIZE }, (_, i) => i * 2048 + 256);
  const lengths = Int32Array.from({ length: SIZE }, (_, i) => 60 + i);
  const memory = memoryAt(-3, DESCRIPTOR_WORDS);
  const tx = new TxRing(memory), rx = new RxRing(memory);
  tx.write(0, addrs[0], lengths[0]);
  tx.writeAll(1, addrs, lengths, 1, 6);
  assertEquals(tx.reserve(SIZE), SIZE - 6, "what is written takes room");
  tx.submit(6);
  assertEquals(rx.peek(SIZE), 6);
  const [gotAddrs, gotLengths] = [new Int32Array(6), new Int32Array(6)];
  rx.readAll(6, gotAddrs, gotLengths);
  assertEquals([gotAddrs, gotLengths], [addrs.slice(0, 6), lengths.slice(0, 6)]);

  const words = memoryAt(-2, ADDRESS_WORDS);
  const fill = new FillRing(words), completion = new CompletionRing(words);
  fill.writeAll(addrs, 5, 4); // the last four of the first five, last one first
  assertEquals(fill.reserve(SIZE), SIZE - 4);
  fill.submit(4);
  assertEquals(completion.peek(SIZE), 4);
  const frames = new Int32Array(6).fill(-1);
  completion.readAll(4, -2048, frames, 1);
  assertEquals([...frames], [-1, 4 * 2048, 3 * 2048, 2 * 2048, 2048, -1]);
});

Deno.test("TxRing and RxRing over one memory pass every packet once and in order", () => {
  property((random) => passesInOrder(random, 0x7fffff00));
  property((random) => passesInOrder(random, -0x100));
});

function passesInOrder(random: Random, start: number): void {
  const memory = memoryAt(start, DESCRIPTOR_WORDS);
  const tx = new TxRing(memory), rx = new RxRing(memory);
  let sent = 0, received = 0;
  for (let round = 0; round < 2000; round++) {
    const count = tx.reserve(random.below(SIZE + 3));
    for (let i = 0; i < count; i++) tx.write(i, sent + i, (sent + i) & 0x7ff);
    tx.submit(count);
    sent += count;
    const ready = rx.peek(1 + random.below(SIZE + 3));
    for (let i = 0; i < ready; i++) {
      assertEquals([rx.frameAddr(i), rx.lengthBytes(i)], [received + i, (received + i) & 0x7ff]);
    }
    rx.release(ready);
    received += ready;
    assertEquals(tx.outstanding(), sent - received);
  }
}
