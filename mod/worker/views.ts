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
import type { OffloadMemory } from "../table/offload_memory.ts";
import type { OffloadPlan, SharedMemory, StartRequest } from "./messages.ts";

/** The filter that all workers share. */
export function viewFilter({ address, lengthBytes }: SharedMemory): SessionFilter {
  return new SessionFilter(new Int32Array(viewOf(pointerTo(address), lengthBytes)));
}

/** This worker's part of the flows that the steering programs repeat. */
export function viewOffload({ offload, workerIndex }: StartRequest, counters: Counters): OffloadTable {
  const { first, count, limit, takenOver } = offload;
  const counter = new FlowCounters(counters);
  const table = new OffloadTable(offloadMemory(offload), first, count, workerIndex, counter, takenOver);
  table.limit = limit;
  return table;
}

/** The memory of a plan. */
export function offloadMemory({ conf, index, flows }: OffloadPlan): OffloadMemory {
  const words = ({ address, lengthBytes }: SharedMemory) =>
    new Int32Array(viewOf(pointerTo(address), lengthBytes));
  return { conf: words(conf), index: words(index), flows: words(flows) };
}
