/**
 * An AF_XDP socket on one queue of one interface: its four rings, and the system call that makes the kernel transmit.
 *
 * Every socket registers the worker's packet memory for itself, instead of naming another socket's registration
 * (XDP_SHARED_UMEM). The frames are the same bytes either way and pass between sockets by address; but like this a
 * socket closes without the others (a shared registration keeps the first one bound), and each binds in its own way:
 * a NIC zero-copy beside a veth that copies, which one shared registration does not allow (net/xdp/xsk_buff_pool.c
 * xp_assign_dev_shared). It costs the kernel another list of the pages.
 *
 * libxdp loads no program for it (ku's steering puts the socket into its map); one without an RX ring needs none, and
 * leaves the interface's offloads alone.
 *
 * References: Documentation/networking/af_xdp.rst; net/xdp/xsk.c; libxdp lib/libxdp/xsk.c.
 *
 * @module
 */

import { checkNegative, EAGAIN, EBUSY, EINTR, ENOBUFS, errnoName, lastErrno } from "../../ffi/errno.ts";
import {
  ADDRESS_WORDS,
  DESCRIPTOR_WORDS,
  RING_BYTES,
  SOCKET_CONFIG_BIND_FLAGS,
  SOCKET_CONFIG_BYTES,
  SOCKET_CONFIG_LIBXDP_FLAGS,
  SOCKET_CONFIG_RX_SIZE,
  SOCKET_CONFIG_TX_SIZE,
  SOL_XDP,
  UMEM_CONFIG_BYTES,
  UMEM_CONFIG_COMPLETION_SIZE,
  UMEM_CONFIG_FILL_SIZE,
  UMEM_CONFIG_FRAME_BYTES,
  XDP_COPY,
  XDP_MAX_TX_SKB_BUDGET,
  XDP_OPTIONS,
  XDP_OPTIONS_ZEROCOPY,
  XDP_STATISTICS,
  XDP_STATISTICS_BYTES,
  XDP_STATISTICS_FILL_RING_EMPTY,
  XDP_STATISTICS_RX_DROPPED,
  XDP_STATISTICS_RX_RING_FULL,
  XDP_USE_NEED_WAKEUP,
  XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD,
} from "../../ffi/if_xdp.ts";
import { libc, MSG_DONTWAIT, SO_SNDBUFFORCE, SOL_SOCKET } from "../../ffi/libc.ts";
import { libxdp } from "../../ffi/libxdp.ts";
import { cString, pointerTo } from "../../ffi/memory.ts";
import { CompletionRing, FillRing, plainRingMemory, ringMemoryOf, RxRing, TxRing } from "./ring.ts";
import type { Umem } from "./umem.ts";

/** Where and how to open a socket. */
export interface XskSocketOptions {
  interfaceName: string;
  /** Queue of the interface, for receiving and transmitting. One socket at a time may have it. */
  queue: number;
  /** False: transmit only. */
  receive: boolean;
  /** Entries of each ring; a power of two. */
  ringSize: number;
  /** Entries of the rings for receiving, a power of two; default `ringSize`. */
  receiveRingSize?: number;
  /** Let the driver use the frames directly if it can. A transmit-only socket should not: drivers then want a program. */
  zeroCopy: boolean;
}

/** Counts of packets this socket did not get. */
export interface XskStatistics {
  /** Too long for a frame, or a broken descriptor. */
  rxDropped: number;
  rxRingFull: number;
  fillRingEmpty: number;
}

/** Frames that one `send` transmits in copy mode at least (net/xdp/xsk.c TX_BATCH_SIZE). */
const SEND_BATCH = 32;
const NOTHING = 0n;
const BUSY_WAITS = 50;
const BUSY_WAIT_MS = 10;
const RING_STRUCTS = { rx: 0, tx: 1, fill: 2, completion: 3 } as const;

/** An open, bound socket. */
export class XskSocket {
  readonly interfaceName: string;
  readonly queue: number;
  /** For poll(2) and the steering map. */
  readonly fd: number;
  readonly zeroCopy: boolean;
  /** Stays empty if the socket does not receive. */
  readonly rx: RxRing;
  readonly tx: TxRing;
  readonly fill: FillRing;
  readonly completion: CompletionRing;
  readonly #socket: Deno.PointerObject;
  readonly #umem: Deno.PointerObject;
  readonly #maxSends: number;
  /** libxdp keeps pointers into this for as long as the socket lives. */
  readonly #structs: ArrayBuffer;

  private constructor(
    options: XskSocketOptions,
    umem: Deno.PointerObject,
    socket: Deno.PointerObject,
    structs: ArrayBuffer,
  ) {
    this.interfaceName = options.interfaceName;
    this.queue = options.queue;
    this.#umem = umem;
    this.#socket = socket;
    this.#structs = structs;
    this.fd = libxdp().xsk_socket__fd(socket);
    const memory = (ring: keyof typeof RING_STRUCTS, entryWords: number) =>
      ringMemoryOf(new DataView(structs, RING_STRUCTS[ring] * RING_BYTES, RING_BYTES), entryWords);
    this.rx = new RxRing(
      options.receive ? memory("rx", DESCRIPTOR_WORDS) : plainRingMemory(1, DESCRIPTOR_WORDS),
    );
    this.tx = new TxRing(memory("tx", DESCRIPTOR_WORDS));
    this.fill = new FillRing(memory("fill", ADDRESS_WORDS));
    this.completion = new CompletionRing(memory("completion", ADDRESS_WORDS));
    this.#maxSends = Math.ceil(options.ringSize / SEND_BATCH) + 1;
    this.zeroCopy = (this.#option(XDP_OPTIONS, 4).getUint32(0, true) & XDP_OPTIONS_ZEROCOPY) !== 0;
    this.#tune(options.ringSize);
  }

  /** Opens and binds a socket over `umem`. Throws SystemError. */
  static open(umem: Umem, options: XskSocketOptions): XskSocket {
    const { interfaceName, queue, receive, ringSize } = options;
    const object = `to "${interfaceName}" queue ${queue}`;
    const structs = new ArrayBuffer(4 * RING_BYTES);
    const struct_ = (ring: keyof typeof RING_STRUCTS) =>
      new Uint8Array(structs, RING_STRUCTS[ring] * RING_BYTES, RING_BYTES);
    const out = new BigUint64Array(1);
    const fill = struct_("fill");
    const completion = struct_("completion");
    const umemResult = libxdp().xsk_umem__create(
      out,
      umem.pointer,
      BigInt(umem.frameCount * umem.frameBytes),
      fill,
      completion,
      umemConfig(
        receive ? options.receiveRingSize ?? ringSize : SEND_BATCH,
        ringSize,
        umem.frameBytes,
      ),
    );
    checkNegative(umemResult, "register packet memory for an AF_XDP socket", object, "see `dmesg`");
    const umemPointer = pointerTo(out[0]);
    const create = () =>
      libxdp().xsk_socket__create_shared(
        out,
        cString(interfaceName),
        queue,
        umemPointer,
        receive ? struct_("rx") : null,
        struct_("tx"),
        fill,
        completion,
        socketConfig(options),
      );
    let result = create();
    // The kernel frees the queue of a closed socket a little later (xsk_buff_pool.c xp_release_deferred).
    for (let waits = 0; result === -EBUSY && waits < BUSY_WAITS; waits++) {
      libc.poll(new Uint8Array(0), NOTHING, BUSY_WAIT_MS);
      result = create();
    }
    if (result < 0) libxdp().xsk_umem__delete(umemPointer);
    checkNegative(result, "bind AF_XDP socket", object, remedyFor(-result, interfaceName, queue));
    return new XskSocket(options, umemPointer, pointerTo(out[0]), structs);
  }

  /**
   * Makes the kernel take what was submitted to the TX ring. 0, or the errno that stopped it with packets left in the
   * ring: EAGAIN, EBUSY and ENOBUFS pass (try again after the next burst), ENETDOWN lasts as long as the link is down.
   */
  kick(): number {
    if (this.zeroCopy && !this.tx.needsWakeup()) return 0;
    let left = this.tx.outstanding();
    // In copy mode the packets leave during the call, a batch at a time, EAGAIN saying that there are more.
    for (let sends = 0; left > 0 && sends < this.#maxSends; sends++) {
      const result = libc.send(this.fd, null, NOTHING, MSG_DONTWAIT);
      const errno = result < 0 ? lastErrno() : 0;
      if (this.zeroCopy && errno === 0) return 0; // the driver transmits, and completes, later
      const before = left;
      left = this.tx.outstanding();
      if (left === 0) return 0;
      if (errno !== 0 && errno !== EAGAIN && errno !== EBUSY && errno !== ENOBUFS && errno !== EINTR) {
        return errno;
      }
      if (left === before && errno !== EINTR) return errno === 0 ? EAGAIN : errno; // the device takes no more now
    }
    return left === 0 ? 0 : EAGAIN;
  }

  /** What the kernel counted. */
  statistics(): XskStatistics {
    const counts = this.#option(XDP_STATISTICS, XDP_STATISTICS_BYTES);
    return {
      rxDropped: Number(counts.getBigUint64(XDP_STATISTICS_RX_DROPPED, true)),
      rxRingFull: Number(counts.getBigUint64(XDP_STATISTICS_RX_RING_FULL, true)),
      fillRingEmpty: Number(counts.getBigUint64(XDP_STATISTICS_FILL_RING_EMPTY, true)),
    };
  }

  /**
   * Closes the socket; the kernel takes it out of the steering map. Its rings are gone then: returns the UMEM addresses
   * that were in them, which are the caller's again (of frames, or of packets inside frames).
   */
  close(): number[] {
    const left = [...this.fill.left(), ...this.tx.left()];
    for (const ring of [this.rx, this.completion]) {
      for (let count = ring.peek(ring.size); count > 0; count = ring.peek(ring.size)) {
        for (let i = 0; i < count; i++) left.push(ring.frameAddr(i));
        ring.release(count);
      }
    }
    libxdp().xsk_socket__delete(this.#socket);
    const result = libxdp().xsk_umem__delete(this.#umem);
    if (result < 0) throw new Error(`xsk_umem__delete: ${errnoName(-result)}`); // a socket left over it: our fault
    new Uint8Array(this.#structs).fill(0);
    return left;
  }

  /** Optional: less calls for a burst, and a send buffer that a full ring fits into. */
  #tune(ringSize: number): void {
    const set = (level: number, name: number, value: number) =>
      libc.setsockopt(this.fd, level, name, new Uint8Array(Uint32Array.of(value).buffer), 4);
    set(SOL_XDP, XDP_MAX_TX_SKB_BUDGET, ringSize); // refused before Linux 6.17: batches of 32 then
    set(SOL_SOCKET, SO_SNDBUFFORCE, ringSize * 4096);
  }

  #option(name: number, lengthBytes: number): DataView {
    const value = new Uint8Array(lengthBytes);
    libc.getsockopt(this.fd, SOL_XDP, name, value, new Uint8Array(Uint32Array.of(lengthBytes).buffer));
    return new DataView(value.buffer);
  }
}

function umemConfig(fillSize: number, completionSize: number, frameBytes: number): Uint8Array<ArrayBuffer> {
  const config = new DataView(new ArrayBuffer(UMEM_CONFIG_BYTES));
  config.setUint32(UMEM_CONFIG_FILL_SIZE, fillSize, true);
  config.setUint32(UMEM_CONFIG_COMPLETION_SIZE, completionSize, true);
  config.setUint32(UMEM_CONFIG_FRAME_BYTES, frameBytes, true);
  return new Uint8Array(config.buffer);
}

function socketConfig(options: XskSocketOptions): Uint8Array<ArrayBuffer> {
  const config = new DataView(new ArrayBuffer(SOCKET_CONFIG_BYTES));
  config.setUint32(SOCKET_CONFIG_RX_SIZE, options.receiveRingSize ?? options.ringSize, true);
  config.setUint32(SOCKET_CONFIG_TX_SIZE, options.ringSize, true);
  config.setUint32(SOCKET_CONFIG_LIBXDP_FLAGS, XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD, true);
  // Without XDP_COPY the kernel tries zero-copy first, and copies where the driver has none.
  config.setUint16(SOCKET_CONFIG_BIND_FLAGS, XDP_USE_NEED_WAKEUP | (options.zeroCopy ? 0 : XDP_COPY), true);
  return new Uint8Array(config.buffer);
}

function remedyFor(errno: number, interfaceName: string, queue: number): string {
  switch (errnoName(errno)) {
    case "EBUSY":
      return "another AF_XDP socket has this queue: stop its program";
    case "EINVAL":
      return `"${interfaceName}" may have no queue ${queue}`;
    case "ENODEV":
      return "name an interface that exists";
    case "EAFNOSUPPORT":
      return "the kernel needs CONFIG_XDP_SOCKETS";
    default:
      return "";
  }
}
