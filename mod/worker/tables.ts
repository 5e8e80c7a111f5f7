/** The tables of a generation, seen through the buffers they were staged in. */

import type { Tables } from "../datapath/processor.ts";
import { AdjacencyTable } from "../table/adjacency.ts";
import { InterfaceTable } from "../table/interface.ts";
import { MatchTable } from "../table/match.ts";
import { PodTable } from "../table/pod.ts";
import { RouteTable } from "../table/route.ts";
import { ServiceTable } from "../table/service.ts";
import type { StageRequest } from "./messages.ts";

/** Views only: whoever asks reads what the workers read. */
export function viewTables(request: Omit<StageRequest, "kind">): Tables {
  return {
    generation: request.generation,
    match: new MatchTable(request.match),
    services: new ServiceTable(request.services),
    pods: new PodTable(request.pods),
    slots: new Uint32Array(request.slots),
    routes: new RouteTable(request.routes),
    adjacencies: new AdjacencyTable(request.adjacencies),
    interfaces: new InterfaceTable(request.interfaces),
    settings: request.settings,
  };
}
