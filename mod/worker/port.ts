/**
 * One AF_XDP socket of a worker, with what the burst loop keeps about it.
 *
 * @module
 */

import type { XskSocket } from "../xdp/socket.ts";

export class Port {
  readonly slot: number;
  readonly socket: XskSocket;
  readonly receives: boolean;
  /** Frames written into the transmit ring and not submitted yet. */
  queued = 0;
  /** Frames submitted whose completion has not been seen. */
  outstanding = 0;

  constructor(slot: number, socket: XskSocket, receives: boolean) {
    this.slot = slot;
    this.socket = socket;
    this.receives = receives;
  }
}
