/**
 * Views of memory that workers share with the kernel, which travels by its address.
 *
 * @module
 */

import { pointerTo, viewOf } from "../../ffi/memory.ts";
import { FlowCounters } from "../datapath/offload.ts";
import type { Counters } from "../metrics/counters.ts";
import { SessionFilter } from "../table/filter.ts";
import { OffloadTable } from "../table/offload.ts";
import { mapParts, type OffloadShare } from "../table/offload_memory.ts";
import type { OffloadPlan, SharedMemory, StartRequest } from "./messages.ts";

/** The filter that all workers share. */
export function viewFilter({ address, lengthBytes }: SharedMemory): SessionFilter {
  return new SessionFilter(new Int32Array(viewOf(pointerTo(address), lengthBytes)));
}

/** This worker's part of the flows that the steering programs repeat. */
export function viewOffload({ offload, workerIndex }: StartRequest, counters: Counters): OffloadTable {
  const counter = new FlowCounters(counters);
  const table = new OffloadTable(viewShare(offload), workerIndex, counter, offload.takenOver);
  table.limit = offload.limit;
  return table;
}

/** The share of a plan. */
export function viewShare({ memory, first, count, firstHop, hopCount }: OffloadPlan): OffloadShare {
  return {
    memory: mapParts(
      memory,
      ({ address, lengthBytes }) => new Int32Array(viewOf(pointerTo(address), lengthBytes)),
    ),
    first,
    count,
    firstHop,
    hopCount,
  };
}
