/*
 * poll(2) over a list of descriptors that seldom changes. Waiting allocates nothing.
 */

import { checkErrno, EINTR, lastErrno } from "./errno.ts";
import { libc, POLLIN } from "./libc.ts";

// struct pollfd, poll.h
const POLLFD_FD = 0; // int
const POLLFD_EVENTS = 4; // short
const POLLFD_REVENTS = 6; // short
const POLLFD_BYTES = 8;

/** Descriptors to wait for. */
export class PollSet {
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  #count = 0n;

  /** Waits for input on each of `fds` from now on; `events(i)` counts in this order. */
  set(fds: readonly number[]): void {
    this.#bytes = new Uint8Array(fds.length * POLLFD_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#count = BigInt(fds.length);
    fds.forEach((fd, i) => {
      this.#view.setInt32(i * POLLFD_BYTES + POLLFD_FD, fd, true);
      this.#view.setInt16(i * POLLFD_BYTES + POLLFD_EVENTS, POLLIN, true);
    });
  }

  /** Blocks this thread until one is ready, or `timeoutMs` (-1: for ever; 0: not at all). How many are ready. */
  wait(timeoutMs: number): number {
    const ready = libc.poll(this.#bytes, this.#count, timeoutMs);
    if (ready >= 0) return ready;
    return lastErrno() === EINTR ? 0 : checkErrno(ready, "poll", `${this.#count} descriptors`);
  }

  /** POLL* bits that the last `wait` found for the i-th descriptor. */
  events(i: number): number {
    return this.#view.getInt16(i * POLLFD_BYTES + POLLFD_REVENTS, true);
  }
}
