/* Memory outside of the heap, what waits on descriptors, and where libraries come from. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { SystemError } from "../../../ffi/errno.ts";
import { closeFd, createEventFd, drainEventFd, signalEventFd } from "../../../ffi/event_fd.ts";
import { libc, MFD_CLOEXEC } from "../../../ffi/libc.ts";
import { libraryOrigins, openLibrary } from "../../../ffi/library.ts";
import {
  addressOf,
  bufferAddress,
  cString,
  fromCString,
  mapMemory,
  mapShared,
  pointerTo,
  viewOf,
} from "../../../ffi/memory.ts";
import { PollSet } from "../../../ffi/poll.ts";

const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

Deno.test("mapMemory gives zero bytes, aligned to a huge page when it is large", () => {
  for (const lengthBytes of [4096, HUGE_PAGE_BYTES, 3 * HUGE_PAGE_BYTES + 4096]) {
    const mapping = mapMemory(lengthBytes);
    const words = new Uint32Array(mapping.buffer);
    assertEquals(mapping.buffer.byteLength, lengthBytes);
    assert(words.every((word) => word === 0));
    words[words.length - 1] = 7;
    const again = new Uint32Array(viewOf(mapping.pointer, lengthBytes));
    assertEquals(again.at(-1), 7);
    const align = BigInt(lengthBytes < HUGE_PAGE_BYTES ? 4096 : HUGE_PAGE_BYTES);
    assertEquals(addressOf(mapping.pointer) % align, 0n);
    mapping.unmap();
  }
});

Deno.test("mapShared gives all that map a file the same memory", () => {
  const fd = libc.memfd_create(cString("shared"), MFD_CLOEXEC);
  assertEquals(libc.write(fd, new Uint8Array(8192).fill(3), 8192n), 8192);
  const one = mapShared(fd, 8192, "shared"), other = mapShared(fd, 8192, "shared");
  const view = new Int32Array(other.buffer);
  assertEquals([view.length, view[2047]], [2048, 0x03030303]);
  Atomics.add(new Int32Array(one.buffer), 2047, 1);
  assertEquals(view[2047], 0x03030304);
  for (const mapping of [one, other]) mapping.unmap();
  closeFd(fd);
  assertThrows(() => mapShared(fd, 8192, "nothing"), SystemError, "map memory of nothing: EBADF");
});

Deno.test("bufferAddress and pointerTo lead back to the bytes", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  assertEquals(new Uint8Array(viewOf(pointerTo(bufferAddress(bytes)), 4)), bytes);
});

Deno.test("cString ends with zero and fromCString stops there", () => {
  assertEquals(cString("é"), Uint8Array.of(0xc3, 0xa9, 0));
  assertEquals(fromCString(cString("é")), "é");
  assertEquals(fromCString(Uint8Array.of(107, 117)), "ku");
});

Deno.test("PollSet finds the signalled eventfd, and waits no longer than told", () => {
  const fds = [createEventFd(), createEventFd()];
  const set = new PollSet();
  assertEquals(set.wait(0), 0);
  set.set(fds);
  assertEquals(set.wait(1), 0);
  signalEventFd(fds[1]);
  signalEventFd(fds[1]);
  assertEquals(set.wait(-1), 1);
  assertEquals([set.events(0), set.events(1)], [0, 1]);
  assert(drainEventFd(fds[1]));
  assert(!drainEventFd(fds[1]));
  assertEquals(set.wait(0), 0);
  fds.forEach(closeFd);
});

// What is loaded stays, so Deno's look for leaks is off.
const keepsLibraries = { sanitizeResources: false };
Deno.test("openLibrary says where libraries came from", keepsLibraries, () => {
  const { zlibVersion } = openLibrary("libz.so.1", { zlibVersion: { parameters: [], result: "pointer" } });
  assert(zlibVersion() !== null);
  const origin = libraryOrigins().find(({ name }) => name === "libz.so.1");
  assert(origin !== undefined && (origin.path !== null) === (origin.origin === "node"));
});
