/**
 * Which pods a Service's traffic goes to, as kube-proxy chooses them (pkg/proxy/topology.go, `CategorizeEndpoints`; pkg/proxy/
 * endpointslicecache.go): those that are ready; if there is none, those that terminate and still serve; for local policy among the pods
 * of this node alone, with the same fallback of its own. Zone hints are followed where every ready endpoint has them and one is for this
 * node's zone.
 */

import type { EndpointConditions, EndpointSlice } from "kubernetes-types/discovery/v1.d.ts";
import type { Family } from "../config/address.ts";

/** This node, as far as it matters. */
export interface Place {
  node: string;
  /** Its zone (label topology.kubernetes.io/zone), null: not known. */
  zone: string | null;
}

export interface Endpoint {
  address: string;
  port: number;
  ready: boolean;
  serving: boolean;
  terminating: boolean;
  local: boolean;
  zones: readonly string[];
}

/** Pods for the two traffic policies. */
export interface Chosen {
  cluster: Endpoint[];
  local: Endpoint[];
}

/** The endpoints of one port of a Service in one family, each address once. `portName` is the Service port's name, "" for none. */
export function endpointsOf(
  slices: readonly EndpointSlice[],
  family: Family,
  portName: string,
  protocol: string,
  place: Place,
  publishNotReady: boolean,
): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const { addressType, ports, endpoints } of slices) {
    if (addressType !== `IPv${family}`) continue;
    for (const port of ports ?? []) {
      if ((port.name ?? "") !== portName || (port.protocol ?? "TCP") !== protocol || port.port == null) {
        continue;
      }
      for (const { addresses, conditions, nodeName, hints } of endpoints ?? []) {
        const [address] = addresses ?? [];
        // kube-proxy takes the first address only; the others are the same endpoint's.
        if (address === undefined || found.has(`${address} ${port.port}`)) continue;
        found.set(`${address} ${port.port}`, {
          address,
          port: port.port,
          ...stateOf(conditions ?? {}, publishNotReady),
          local: nodeName === place.node,
          zones: (hints?.forZones ?? []).map(({ name }) => name),
        });
      }
    }
  }
  return [...found.values()];
}

/** The three conditions; unknown ones as the API says they are to be understood. */
function stateOf({ ready: known, serving, terminating }: EndpointConditions, publishNotReady: boolean) {
  const ready = publishNotReady || (known ?? true);
  return { ready, serving: serving ?? ready, terminating: terminating ?? false };
}

/** Which of `all` get new connections. */
export function choose(all: readonly Endpoint[], place: Place): Chosen {
  const ready = all.filter((endpoint) => endpoint.ready);
  const near = inZone(ready, place.zone);
  return {
    cluster: orServing(near, all),
    local: orServing(ready.filter((endpoint) => endpoint.local), all.filter((endpoint) => endpoint.local)),
  };
}

function orServing(ready: Endpoint[], all: readonly Endpoint[]): Endpoint[] {
  return ready.length > 0 ? ready : all.filter(({ serving, terminating }) => serving && terminating);
}

/** The ready endpoints meant for a zone; all of them where the hints are incomplete or none is for it. */
function inZone(ready: Endpoint[], zone: string | null): Endpoint[] {
  if (zone === null || ready.some(({ zones }) => zones.length === 0)) return ready;
  const near = ready.filter(({ zones }) => zones.includes(zone));
  return near.length > 0 ? near : ready;
}

/** Whether hints would have been followed, had the node's zone been known. */
export function hasHints(all: readonly Endpoint[]): boolean {
  const ready = all.filter((endpoint) => endpoint.ready);
  return ready.length > 0 && ready.every(({ zones }) => zones.length > 0);
}
