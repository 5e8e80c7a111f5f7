/**
 * Frames for the kernel to receive into.
 *
 * @module
 */

import { BURST_PACKETS } from "../datapath/burst.ts";
import type { FramePool } from "./frame_pool.ts";
import type { Port } from "./port.ts";

/** Frames that fill rings leave in the pool, so that transmitting never waits for receiving. */
export const POOL_RESERVE = 1024;
/** Frames put into a fill ring at a time, at most. */
const REFILL = 4 * BURST_PACKETS;

/** Stocks the port's fill ring from the pool, leaving the pool its reserve. */
export function refill(pool: FramePool, port: Port): void {
  const fill = port.socket.fill;
  let count = fill.reserve(REFILL);
  if (count > pool.count - POOL_RESERVE) count = pool.count - POOL_RESERVE;
  if (count <= 0) return;
  pool.fill(fill, count);
  fill.submit(count);
}
