/*
 * Memory outside the JavaScript heap: mappings, and views of what C gives a pointer to.
 *
 * Rule: a view is made once and kept. NB: nothing stops a view from being used after its memory is gone, and that is a
 * crash, not an exception: whoever unmaps drops the views first.
 *
 * ku runs on little-endian 64-bit Linux (x86-64, arm64); struct fields are read and written as such here.
 *
 * References: mmap(2), madvise(2).
 */

import { lastErrno, SystemError } from "./errno.ts";
import {
  libc,
  MADV_HUGEPAGE,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "./libc.ts";

if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
  throw new Error("ku needs a little-endian machine");
}

const MAP_FAILED = 0xffffffffffffffffn;
const PAGE_BYTES = 4096;
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** Mapped memory. */
export interface Mapping {
  /** Its first byte; aligned to a page, and to a huge page when `mapMemory` made it and it is at least that long. */
  readonly pointer: Deno.PointerObject;
  /** All of it. */
  readonly buffer: ArrayBuffer;
  /** Gives it back to the kernel. No view of `buffer` may be used afterwards. */
  unmap(): void;
}

/** `lengthBytes` zero bytes, on huge pages where the kernel has them, all present already. Throws SystemError. */
export function mapMemory(lengthBytes: number): Mapping {
  const isHuge = lengthBytes >= HUGE_PAGE_BYTES;
  const mappedBytes = BigInt(lengthBytes + (isHuge ? HUGE_PAGE_BYTES : 0));
  const start = libc.mmap(null, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
  const startAddress = addressOf(start);
  if (start === null || startAddress === MAP_FAILED) {
    throw new SystemError("map memory of", lastErrno(), `${lengthBytes} bytes`, "ask for less");
  }
  const align = BigInt(HUGE_PAGE_BYTES);
  const pointer = isHuge ? pointerTo((startAddress + align - 1n) / align * align) : start;
  if (isHuge) libc.madvise(pointer, BigInt(lengthBytes), MADV_HUGEPAGE); // a wish; may be refused
  libc.madvise(pointer, BigInt(lengthBytes), MADV_POPULATE_WRITE); // likewise: else the first touch does it
  return {
    pointer,
    buffer: viewOf(pointer, lengthBytes),
    unmap: () => void libc.munmap(start, mappedBytes),
  };
}

/** The first `lengthBytes` bytes of what `fd` stands for, shared with all that map it. Throws SystemError, which names `name`. */
export function mapShared(fd: number, lengthBytes: number, name: string): Mapping {
  const mappedBytes = BigInt(lengthBytes);
  const pointer = libc.mmap(null, mappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0n);
  if (pointer === null || addressOf(pointer) === MAP_FAILED) {
    throw new SystemError("map memory of", lastErrno(), name);
  }
  return {
    pointer,
    buffer: viewOf(pointer, lengthBytes),
    unmap: () => void libc.munmap(pointer, mappedBytes),
  };
}

/** The `lengthBytes` bytes from `pointer` on, as an ArrayBuffer. No copy. */
export function viewOf(pointer: Deno.PointerObject, lengthBytes: number): ArrayBuffer {
  return Deno.UnsafePointerView.getArrayBuffer(pointer, lengthBytes);
}

/** Numeric address of a pointer; 0 for NULL. */
export function addressOf(pointer: Deno.PointerValue): bigint {
  return BigInt(Deno.UnsafePointer.value(pointer));
}

/** Pointer to a numeric address, which must not be 0. */
export function pointerTo(address: bigint): Deno.PointerObject {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new TypeError("NULL pointer");
  return pointer;
}

/** Address of a buffer's first byte, to be stored in a struct. The caller keeps the buffer alive meanwhile. */
export function bufferAddress(bytes: Uint8Array<ArrayBuffer>): bigint {
  return addressOf(Deno.UnsafePointer.of(bytes));
}

/**
 * A SharedArrayBuffer of zeros, on huge pages where it is long enough and the kernel has them: random accesses then miss the TLB less.
 * `present`: all of it at once, not at the first touch, which for a huge page may take a millisecond.
 */
export function allocateShared(lengthBytes: number, present = false): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(lengthBytes);
  const start = sharedAddress(buffer);
  const page = BigInt(PAGE_BYTES);
  const first = (start + page - 1n) / page * page;
  const bytes = (start + BigInt(lengthBytes) - first) / page * page;
  if (bytes < BigInt(HUGE_PAGE_BYTES)) return buffer;
  libc.madvise(pointerTo(first), bytes, MADV_HUGEPAGE); // a wish
  if (present) libc.madvise(pointerTo(first), bytes, MADV_POPULATE_WRITE); // likewise: else the first touch does it
  return buffer;
}

/** How many bytes after the start of a 64-byte line of memory the buffer begins. */
export function lineOffsetOf(buffer: SharedArrayBuffer | ArrayBuffer): number {
  return Number(sharedAddress(buffer) & 63n);
}

/** For tables that care where lines of memory begin, and of which only a part may ever be used. */
export const LINE_MEMORY = { allocate: (bytes: number) => allocateShared(bytes), lineOffsetOf };

/** The same for those that packets fill: their memory is there before. */
export const PRESENT_LINE_MEMORY = { allocate: (bytes: number) => allocateShared(bytes, true), lineOffsetOf };

function sharedAddress(buffer: SharedArrayBuffer | ArrayBuffer): bigint {
  // The runtime takes views of shared memory here too; its declaration does not say so.
  return addressOf(Deno.UnsafePointer.of(new Uint8Array(buffer) as Uint8Array<ArrayBuffer>));
}

/** The text with its terminating zero byte. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text + "\0"));
}

/** Text up to the first zero byte, or all of it. */
export function fromCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.slice(0, end));
}
