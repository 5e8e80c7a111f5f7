/**
 * UMEM: the packet memory of one worker, cut into frames. All sockets of the worker share it, so a frame received on
 * one interface leaves by another without a copy.
 *
 * A frame is known by the byte offset of its start. Which frames are free is the worker's business; this is only the
 * memory and its views, made once.
 *
 * References: Documentation/networking/af_xdp.rst (UMEM).
 *
 * @module
 */

import { libc, RLIMIT_MEMLOCK } from "../../ffi/libc.ts";
import { mapMemory, type Mapping } from "../../ffi/memory.ts";

/** The kernel's smallest frame (net/xdp/xdp_umem.c XDP_UMEM_MIN_CHUNK_SIZE); the largest is a page. */
const MIN_FRAME_BYTES = 2048;
const PAGE_BYTES = 4096;
/** Addresses are kept in 32 bits, signed in places. */
const MAX_BYTES = 0x8000_0000;

let lockLimitRaised = false;

/** The kernel counts registered memory as locked. Without the privilege to lift the limit, registering will tell. */
function raiseLockLimit(): void {
  if (lockLimitRaised) return;
  const infinity = 0xffff_ffff_ffff_ffffn;
  libc.setrlimit(RLIMIT_MEMLOCK, new Uint8Array(BigUint64Array.of(infinity, infinity).buffer));
  lockLimitRaised = true;
}

/** Packet memory. */
export class Umem {
  /** All frames, one after the other. */
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly frameCount: number;
  readonly frameBytes: number;
  readonly #mapping: Mapping;

  private constructor(frameCount: number, frameBytes: number) {
    this.frameCount = frameCount;
    this.frameBytes = frameBytes;
    this.#mapping = mapMemory(frameCount * frameBytes);
    this.buffer = this.#mapping.buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
  }

  /** `frameCount` frames of `frameBytes` (2048 or 4096) bytes, zero. Throws SystemError when there is no memory. */
  static create(frameCount: number, frameBytes = PAGE_BYTES): Umem {
    if (frameBytes !== MIN_FRAME_BYTES && frameBytes !== PAGE_BYTES) {
      throw new RangeError(`Frames are ${MIN_FRAME_BYTES} or ${PAGE_BYTES} bytes, not ${frameBytes}`);
    }
    const lengthBytes = frameCount * frameBytes;
    if (!Number.isInteger(frameCount) || frameCount < 1 || lengthBytes > MAX_BYTES) {
      throw new RangeError(`${frameCount} frames of ${frameBytes} bytes are not between one and 2 GiB`);
    }
    if (lengthBytes % PAGE_BYTES !== 0) throw new RangeError("Packet memory is a whole number of pages");
    raiseLockLimit();
    return new Umem(frameCount, frameBytes);
  }

  /** The first byte, for registering. */
  get pointer(): Deno.PointerObject {
    return this.#mapping.pointer;
  }

  /** Gives the memory back. Every socket over it is closed, and no view of it is used afterwards. */
  close(): void {
    this.#mapping.unmap();
  }
}
