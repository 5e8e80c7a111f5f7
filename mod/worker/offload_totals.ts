/**
 * What the kernel has repeated for a worker, with what was counted before it by an earlier process whose sessions it was handed.
 *
 * @module
 */

import type { OffloadTable } from "../table/offload.ts";
import type { OffloadCounts } from "./messages.ts";

export class OffloadTotals {
  readonly #table: OffloadTable;
  #before: OffloadCounts = { begun: 0, refused: 0, packets: 0, bytes: 0 };
  #continues = false;

  constructor(table: OffloadTable) {
    this.#table = table;
  }

  /** Goes on from there. */
  continueFrom(counts: OffloadCounts): void {
    this.#before = { ...counts };
    this.#continues = true;
  }

  /** All that the table has begun so far was there already. */
  adopted(): void {
    if (this.#continues) this.#before.begun -= this.#table.begun;
  }

  get counts(): OffloadCounts {
    const { begun, refused, packets, bytes } = this.#table;
    return {
      begun: this.#before.begun + begun,
      refused: this.#before.refused + refused,
      packets: this.#before.packets + packets,
      bytes: this.#before.bytes + bytes,
    };
  }
}
