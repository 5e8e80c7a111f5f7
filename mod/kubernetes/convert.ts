/**
 * Services into VIPs, as kube-proxy would program them on this node. For each port of a Service, in each of its families:
 *
 * - its cluster IP: the pods of the internal traffic policy;
 * - each external IP and load-balancer address: the pods of the external traffic policy, masqueraded when that is Cluster (the pod may be
 *   on another node, whose answer must come back through this one); load-balancer addresses with the Service's source ranges;
 * - its node port: with the first external address that has no source ranges (it has the same pods and masquerading), else as VIPs on the
 *   node's own addresses, else, when no Node object says what these are, with the cluster IP.
 *
 * Rule: what is not carried over is a note that names object, field and reason.
 *
 * References: kube-proxy's pkg/proxy/serviceport.go, servicechangetracker.go (what is skipped), nftables/proxier.go (masquerading).
 */

import type { Service, ServicePort } from "kubernetes-types/core/v1.d.ts";
import type { EndpointSlice } from "kubernetes-types/discovery/v1.d.ts";
import { type Family, formatPrefix, networkOf, parsePrefix } from "../config/address.ts";
import type { VipDocument } from "../config/document.ts";
import { ConfigError, DEFAULT_NEW_LEN, type Protocol, PROTOCOLS, vipKeyText } from "../config/model.ts";
import { checkAddress } from "../config/rules.ts";
import { choose, type Chosen, type Endpoint, endpointsOf, hasHints, type Place } from "./endpoints.ts";
import type { Note, Objects } from "./objects.ts";
import {
  addressesOf,
  affinityOf,
  clusterAddresses,
  familiesOf,
  familyOf,
  isElsewhere,
  nameOf,
  prefixOf,
  reasonToSkip,
  slotsFor,
} from "./service.ts";

export interface Converted {
  vips: VipDocument[];
  notes: Note[];
}

const SERVICE_NAME = "kubernetes.io/service-name";
const ZONE = "topology.kubernetes.io/zone";

/** The VIPs of `objects` on the node called `node`, in the order of namespaces and names. */
export function convert(objects: Objects, node: string): Converted {
  const own = objects.nodes.find(({ metadata }) => metadata?.name === node);
  const conversion = new Conversion(
    { node, zone: own?.metadata?.labels?.[ZONE] ?? null },
    addressesOf(own),
    objects.notes,
  );
  if (own === undefined && isElsewhere(objects, node)) {
    conversion.note(
      `Node ${node}`,
      "no Node and no endpoint has this name",
      "name this node with --node: local policies find no pod",
    );
  }
  const slices = slicesByService(objects.slices, conversion);
  const named = objects.services.map((service) => ({ service, name: nameOf(service) }));
  named.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  for (const { service, name } of named) conversion.addService(service, name, slices.get(name) ?? []);
  return { vips: [...conversion.vips.values()], notes: conversion.notes };
}

function slicesByService(
  slices: readonly EndpointSlice[],
  conversion: Conversion,
): Map<string, EndpointSlice[]> {
  const byService = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const { labels = {}, namespace = "default" } = slice.metadata ?? {};
    const object = `EndpointSlice ${nameOf(slice)}`;
    if (slice.addressType === "FQDN") {
      conversion.note(object, "addressType FQDN", "only addresses can be pods");
    } else if (labels[SERVICE_NAME] === undefined) {
      conversion.note(object, `no label ${SERVICE_NAME}`, "it belongs to no Service");
    } else {
      const key = `${namespace}/${labels[SERVICE_NAME]}`;
      byService.set(key, [...byService.get(key) ?? [], slice]);
    }
  }
  return byService;
}

/** One port of a Service in one family. */
interface PortOfFamily {
  service: Service;
  /** "Service default/web" */
  object: string;
  /** "default/web:http" */
  mark: string;
  port: ServicePort;
  protocol: Protocol;
  family: Family;
  targetPort: number;
  chosen: Chosen;
}

class Conversion {
  readonly vips = new Map<string, VipDocument>();
  readonly notes: Note[];

  constructor(readonly place: Place, readonly nodeAddresses: readonly string[], notes: readonly Note[]) {
    this.notes = [...notes];
  }

  note(object: string, what: string, why: string): void {
    if (this.notes.some((each) => each.object === object && each.what === what)) return;
    this.notes.push({ object, what, why });
  }

  addService(service: Service, name: string, slices: readonly EndpointSlice[]): void {
    const object = `Service ${name}`;
    const reason = reasonToSkip(service);
    if (reason !== null) return this.note(object, reason.what, reason.why);
    const { healthCheckNodePort, ports = [] } = service.spec!;
    if (healthCheckNodePort) {
      this.note(
        object,
        `spec.healthCheckNodePort ${healthCheckNodePort}`,
        "ku does not serve health checks of Services",
      );
    }
    for (const port of ports) {
      const protocol = PROTOCOLS.find((word) => word === (port.protocol ?? "TCP").toLowerCase());
      if (protocol === undefined) {
        this.note(object, `protocol ${port.protocol}`, "ku knows TCP, UDP and SCTP");
        continue;
      }
      const mark = `${name}:${port.name || port.port}`;
      for (const family of familiesOf(service)) {
        this.#addPort(service, object, mark, port, protocol, family, slices);
      }
    }
  }

  #addPort(
    service: Service,
    object: string,
    mark: string,
    port: ServicePort,
    protocol: Protocol,
    family: Family,
    slices: readonly EndpointSlice[],
  ): void {
    const name = port.name ?? "";
    const { publishNotReadyAddresses = false } = service.spec!;
    const all = endpointsOf(
      slices,
      family,
      name,
      protocol.toUpperCase(),
      this.place,
      publishNotReadyAddresses,
    )
      .filter(({ address }) => this.#isUsable(mark, "endpoint", address, family));
    if (this.place.zone === null && hasHints(all)) {
      this.note(
        object,
        "zone hints",
        `not followed: the Node ${this.place.node} with its zone is not in the input`,
      );
    }
    const chosen = choose(all, this.place);
    const targetPort = this.#targetPort(mark, port, [...new Set([...chosen.cluster, ...chosen.local])]);
    const same = (endpoint: Endpoint) => endpoint.port === targetPort;
    const own: PortOfFamily = {
      service,
      object,
      mark,
      port,
      protocol,
      family,
      targetPort,
      chosen: { cluster: chosen.cluster.filter(same), local: chosen.local.filter(same) },
    };
    const internal = service.spec!.internalTrafficPolicy === "Local" ? own.chosen.local : own.chosen.cluster;
    for (const address of clusterAddresses(service)) {
      if (familyOf(address) === family) this.#add(own, address, port.port, internal, {});
    }
    this.#addExternal(own);
  }

  /** ku has one target port for all pods of a VIP: the one most of them have. */
  #targetPort(mark: string, port: ServicePort, endpoints: readonly Endpoint[]): number {
    const counts = new Map<number, number>();
    for (const endpoint of endpoints) counts.set(endpoint.port, (counts.get(endpoint.port) ?? 0) + 1);
    if (counts.size === 0) return typeof port.targetPort === "number" ? port.targetPort : port.port;
    const [[most], ...others] = [...counts].sort(([a, many], [b, more]) => more - many || a - b);
    for (const [other] of others) {
      const left = endpoints.filter((endpoint) => endpoint.port === other).map(({ address }) => address);
      this.note(
        `Service ${mark}`,
        `pods on port ${other}: ${left.join(", ")}`,
        `left out: most are on ${most}, and a VIP has one target port`,
      );
    }
    return most;
  }

  #isUsable(mark: string, what: string, address: string, family: Family): boolean {
    try {
      return checkAddress(what, address).family === family;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.note(`Service ${mark}`, `${what} ${address}`, error.remedy);
      return false;
    }
  }

  /** External addresses and the node port. */
  #addExternal(own: PortOfFamily): void {
    const { service, object, port, family, chosen } = own;
    const local = service.spec!.externalTrafficPolicy === "Local";
    const pods = local ? chosen.local : chosen.cluster;
    const masquerade = local ? {} : { masquerade: true } as const;
    const sources = this.#sourcesOf(object, service, family);
    let nodePort = port.nodePort || undefined;
    const addresses = [
      ...(service.spec!.externalIPs ?? []).map((address) => ({ address, options: {} })),
      ...this.#ingressOf(object, service).map((address) => ({ address, options: sources })),
    ].filter(({ address }) => familyOf(address) === family);
    for (const { address, options } of addresses) {
      const open = Object.keys(options).length === 0;
      const added = this.#add(own, address, port.port, pods, {
        ...masquerade,
        ...options,
        ...(nodePort !== undefined && open ? { nodePort } : {}),
      });
      if (added && open) nodePort = undefined;
    }
    if (nodePort !== undefined) this.#addNodePort(own, nodePort, pods, masquerade);
  }

  #addNodePort(
    own: PortOfFamily,
    nodePort: number,
    pods: Endpoint[],
    masquerade: { masquerade?: true },
  ): void {
    const { service, object, port, family } = own;
    const addresses = this.nodeAddresses.filter((address) => familyOf(address) === family);
    for (const address of addresses) this.#add(own, address, nodePort, pods, masquerade);
    if (addresses.length > 0) return;
    const what = `nodePort ${nodePort} of IPv${family}`;
    const missing = `the Node ${this.place.node} with its IPv${family} addresses is not in the input`;
    const { internalTrafficPolicy = "Cluster", externalTrafficPolicy = "Cluster" } = service.spec!;
    const address = clusterAddresses(service).find((each) => familyOf(each) === family);
    const vip = address === undefined ? undefined : this.vips.get(keyText(own, address, port.port));
    if (vip === undefined || internalTrafficPolicy !== externalTrafficPolicy) {
      return this.note(object, what, `left out: ${missing}`);
    }
    vip.nodePort = nodePort;
    if (masquerade.masquerade && pods.some((pod) => !pod.local)) {
      vip.masquerade = true;
      this.note(object, what, `masquerades the cluster IP's clients too: ${missing}`);
    }
  }

  /** A VIP of the Service; false when its address and port belong to another already. */
  #add(
    own: PortOfFamily,
    address: string,
    port: number,
    endpoints: readonly Endpoint[],
    options: Partial<VipDocument>,
  ): boolean {
    const { object, mark, protocol, family, targetPort, service } = own;
    if (!this.#isUsable(mark, "address", address, family)) return false;
    const key = keyText(own, address, port);
    const present = this.vips.get(key);
    if (present !== undefined) {
      this.note(object, `${address} ${protocol} ${port}`, `left out: ${present.service} has it already`);
      return false;
    }
    const pods = [...new Set(endpoints.map((endpoint) => endpoint.address))].sort();
    const newLen = slotsFor(pods.length);
    this.vips.set(key, {
      prefix: prefixOf(address),
      protocol,
      port,
      ...(targetPort === port ? {} : { targetPort }),
      ...(newLen === DEFAULT_NEW_LEN ? {} : { newLen }),
      ...affinityOf(service),
      ...options,
      service: mark,
      pods,
    });
    return true;
  }

  /** Load-balancer addresses that this node has to answer for. */
  #ingressOf(object: string, service: Service): string[] {
    if (service.spec!.type !== "LoadBalancer") return [];
    const addresses: string[] = [];
    for (const { ip, hostname, ...rest } of service.status?.loadBalancer?.ingress ?? []) {
      if (!ip) {
        this.note(
          object,
          `load balancer ${hostname}`,
          "a name and no address: the load balancer sends to the node ports",
        );
      } else if ("ipMode" in rest && rest.ipMode === "Proxy") {
        this.note(
          object,
          `load balancer ${ip}`,
          "ipMode Proxy: its traffic is to go through the load balancer",
        );
      } else {
        addresses.push(ip);
      }
    }
    return addresses;
  }

  /** The source ranges of one family. None of it, and everyone of that family may come: so kube-proxy has it. */
  #sourcesOf(object: string, service: Service, family: Family): { sources?: string[] } {
    const sources: string[] = [];
    for (const text of service.spec!.loadBalancerSourceRanges ?? []) {
      const prefix = parsePrefix(text.trim());
      if (prefix === null) {
        this.note(object, `spec.loadBalancerSourceRanges ${text}`, "left out: it is no prefix");
      } else if (prefix.family === family) sources.push(formatPrefix(networkOf(prefix)));
    }
    return sources.length > 0 ? { sources: [...new Set(sources)].sort() } : {};
  }
}

function keyText({ protocol }: PortOfFamily, address: string, port: number): string {
  return vipKeyText({ prefix: prefixOf(address), protocol, port });
}
