/**
 * What can be said of one Service or Node by itself: its name, families, addresses and affinity, and why kube-proxy would not program it.
 */

import type { Node, Service } from "kubernetes-types/core/v1.d.ts";
import { type Family, formatPrefix, parseAddress, parsePrefix } from "../config/address.ts";
import { DEFAULT_NEW_LEN, MAX_NEW_LEN } from "../config/model.ts";
import type { Objects } from "./objects.ts";

/** Labels whose Services and slices kube-proxy leaves to others. */
const OTHER_PROXY = "service.kubernetes.io/service-proxy-name";
const HEADLESS = "service.kubernetes.io/headless";
/** core/v1 DefaultClientIPServiceAffinitySeconds. */
const DEFAULT_AFFINITY_SECONDS = 10_800;
/** Slots for each pod that balance well; below it the new-connection table is made longer. */
const SLOTS_PER_POD = 10;

export function reasonToSkip({ metadata, spec }: Service): { what: string; why: string } | null {
  const labels = metadata?.labels ?? {};
  if (labels[OTHER_PROXY] !== undefined) {
    return { what: `label ${OTHER_PROXY}`, why: `left to ${labels[OTHER_PROXY]}` };
  }
  if (spec === undefined) return { what: "no spec", why: "there is nothing to program" };
  if (spec.type === "ExternalName") return { what: "type ExternalName", why: "a matter of DNS alone" };
  if (spec.clusterIP === "None" || labels[HEADLESS] !== undefined) {
    return { what: "headless", why: "clients reach its pods themselves, by DNS" };
  }
  if (!spec.clusterIP) return { what: "no cluster IP", why: "it has none yet" };
  return null;
}

export function clusterAddresses({ spec }: Service): string[] {
  return spec?.clusterIPs?.length ? spec.clusterIPs : [spec!.clusterIP!];
}

/** In the order of the cluster IPs: kube-proxy serves external addresses in these families too. */
export function familiesOf(service: Service): Family[] {
  return [...new Set(clusterAddresses(service).map(familyOf).filter((family) => family !== null))];
}

export function familyOf(address: string): Family | null {
  return parseAddress(address)?.family ?? null;
}

export function prefixOf(address: string): string {
  return formatPrefix(parsePrefix(address)!);
}

export function affinityOf({ spec }: Service): { srcIpSticky?: true; stickyTimeout?: number } {
  if (spec?.sessionAffinity !== "ClientIP") return {};
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS;
  return { srcIpSticky: true, stickyTimeout: seconds };
}

export function slotsFor(pods: number): number {
  let slots = DEFAULT_NEW_LEN;
  while (slots < pods * SLOTS_PER_POD && slots < MAX_NEW_LEN) slots *= 2;
  return slots;
}

export function nameOf({ metadata }: { metadata?: { namespace?: string; name?: string } }): string {
  return `${metadata?.namespace ?? "default"}/${metadata?.name}`;
}

/** Addresses at which clients reach a node. */
export function addressesOf(node: Node | undefined): string[] {
  const types = ["InternalIP", "ExternalIP"];
  return (node?.status?.addresses ?? []).filter(({ type }) => types.includes(type)).map(({ address }) =>
    address
  );
}

/** Whether the input tells nodes apart and this one is not among them. */
export function isElsewhere({ slices, nodes }: Objects, node: string): boolean {
  const names = slices.flatMap(({ endpoints }) => (endpoints ?? []).map(({ nodeName }) => nodeName));
  const others = [...names, ...nodes.map(({ metadata }) => metadata?.name)].filter((name) =>
    name !== undefined
  );
  return others.length > 0 && !others.includes(node);
}
