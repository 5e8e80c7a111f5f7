/*
 * clock_gettime(2): the monotonic clock that all threads and processes of a machine share.
 */

import { checkErrno } from "./errno.ts";
import { CLOCK_MONOTONIC_COARSE, libc } from "./libc.ts";

const time = new Uint8Array(16); // struct timespec: i64 seconds, i64 nanoseconds

/** Seconds since the machine started, with a fraction of about 4 ms precision. */
export function monotonicSeconds(): number {
  checkErrno(libc.clock_gettime(CLOCK_MONOTONIC_COARSE, time), "read", "the monotonic clock");
  const view = new DataView(time.buffer);
  return Number(view.getBigInt64(0, true)) + Number(view.getBigInt64(8, true)) / 1e9;
}
