/*
 * eventfd(2): how one thread ends another's poll(2). The number is the process's, so any thread may signal it.
 */

import { checkErrno } from "./errno.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, libc } from "./libc.ts";

const COUNT_BYTES = 8n;
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);
const count = new Uint8Array(8);

/** A new event, not signalled. Throws SystemError. */
export function createEventFd(): number {
  return checkErrno(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "create", "an eventfd");
}

/** Makes `fd` readable until it is drained. Signals add up. */
export function signalEventFd(fd: number): void {
  libc.write(fd, ONE, COUNT_BYTES); // fails only when 2^64 - 2 signals are waiting
}

/** Takes all signals. True if there was one. */
export function drainEventFd(fd: number): boolean {
  return libc.read(fd, count, COUNT_BYTES) === 8;
}

/** Closes any file descriptor. */
export function closeFd(fd: number): void {
  libc.close(fd);
}
