/** Frames for the kernel: the tag and the addresses that ku0's program reads. */

import { assertEquals } from "@std/assert";
import { addressToHost, PUNT_TAG_BYTES, PUNT_TAG_EGRESS, pushPuntTag } from "../../../mod/worker/punt.ts";

const FRAME = [0xaa, 1, 2, 3, 4, 5, 0xbb, 6, 7, 8, 9, 10, 0x08, 0x00, 0x45, 0x00];

function frameAt(at: number): DataView {
  const bytes = new Uint8Array(64).fill(0xa5);
  bytes.set(FRAME, at);
  return new DataView(bytes.buffer);
}

function bytesOf(view: DataView, at: number, length: number): number[] {
  return [...new Uint8Array(view.buffer, at, length)];
}

Deno.test("pushPuntTag() puts an 802.1Q tag behind the MACs and moves nothing behind it", () => {
  const view = frameAt(16);
  const start = pushPuntTag(view, 16, 7 | PUNT_TAG_EGRESS);
  assertEquals(start, 16 - PUNT_TAG_BYTES);
  assertEquals(bytesOf(view, start, 20), [...FRAME.slice(0, 12), 0x81, 0x00, 0x20, 0x07, ...FRAME.slice(12)]);
  assertEquals(bytesOf(view, start - 4, 4), [0xa5, 0xa5, 0xa5, 0xa5], "nothing before it is written");
});

Deno.test("addressToHost() writes ku0's MAC as destination and ku1's as source, nothing else", () => {
  const view = frameAt(16);
  addressToHost(view, 16);
  const macs = [0x02, 0x6b, 0x75, 0, 0, 0, 0x02, 0x6b, 0x75, 1, 0, 0];
  assertEquals(bytesOf(view, 16, 16), [...macs, ...FRAME.slice(12)]);
});
