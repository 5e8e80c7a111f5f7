/** The writer of overflow_thread_test.ts, in a thread of its own: renews one note as fast as it can, as a client's packets do. */

import { OverflowTable } from "../../../mod/table/overflow.ts";

export interface NoterOrder {
  buffer: SharedArrayBuffer;
  /** Word 0: 0 = go on, 1 = stop. Word 1: renewals so far. */
  flag: SharedArrayBuffer;
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<NoterOrder>) => void) | null;
  postMessage: (message: string) => void;
};
scope.onmessage = ({ data: { buffer, flag } }) => {
  const table = new OverflowTable(buffer);
  const words = new Int32Array(flag);
  table.key.fill(7);
  table.original.fill(9);
  while (Atomics.load(words, 0) === 0) {
    table.note(6, 1, 2, 1000);
    Atomics.add(words, 1, 1);
  }
  scope.postMessage("stopped");
};
