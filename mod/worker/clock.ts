/**
 * Seconds, the same in every thread of the process and for its whole life: CLOCK_MONOTONIC, so that ages survive a change of the
 * wall clock. Read once per burst; the system call is made once, after that the runtime's own monotonic clock is added.
 *
 * @module
 */

import { monotonicSeconds } from "../../ffi/clock.ts";

const offsetSeconds = monotonicSeconds() - performance.now() / 1000;

/** Whole seconds since the machine started; below 2^31. */
export function nowSeconds(): number {
  return Math.floor(offsetSeconds + performance.now() / 1000) | 0;
}
