/** A thread of filter_test.ts: counts one tuple up three times and down twice, again and again, at the same time as another one. */

import { pointerTo, viewOf } from "../../../ffi/memory.ts";
import { FILTER_BYTES, SessionFilter } from "../../../mod/table/filter.ts";

export interface AdderOrder {
  /** The filter's memory. */
  address: bigint;
  /** How many threads are about to begin. */
  ready: SharedArrayBuffer;
  rounds: number;
}

const TUPLE = Int32Array.of(1, 2, 3);

function add({ address, ready, rounds }: AdderOrder): void {
  const filter = new SessionFilter(new Int32Array(viewOf(pointerTo(address), FILTER_BYTES)));
  const arrived = new Int32Array(ready);
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < 2);
  for (let round = 0; round < rounds; round++) {
    for (const by of [1, 1, -1, 1, -1] as const) filter.count(17, TUPLE, 0, 1, by);
  }
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<AdderOrder>) => void;
  postMessage(message: null): void;
};

scope.onmessage = (event) => {
  add(event.data);
  scope.postMessage(null);
};
