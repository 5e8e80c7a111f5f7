/**
 * Kubernetes objects as `kubectl get … -o json|yaml` prints them: single ones, Lists, several documents. Those that say how traffic to
 * Services goes are sorted out and looked over; whatever else is in the input is named.
 *
 * Rule: every field that is used has the type that the API gives it, or the object is refused with the field's path. Fields that are not
 * used may be anything: the API grows.
 *
 * Reference: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/
 */

import type { Node, Service } from "kubernetes-types/core/v1.d.ts";
import type { EndpointSlice } from "kubernetes-types/discovery/v1.d.ts";
import { ConfigError } from "../config/model.ts";

/** Something that was not carried over, and why. */
export interface Note {
  /** "Service default/web" */
  object: string;
  /** "spec.healthCheckNodePort 31234" */
  what: string;
  why: string;
}

export interface Objects {
  services: Service[];
  slices: EndpointSlice[];
  nodes: Node[];
  notes: Note[];
}

/** What a field must be: a type, a list of something, or a map with some known keys. A null counts as absent. */
type Shape = "text" | "number" | "boolean" | "port" | "labels" | readonly [Shape] | {
  readonly [key: string]: Shape;
};

const METADATA: Shape = { name: "text", namespace: "text", labels: "labels" };

const SERVICE: Shape = {
  metadata: METADATA,
  spec: {
    type: "text",
    clusterIP: "text",
    clusterIPs: ["text"],
    externalIPs: ["text"],
    externalName: "text",
    ports: [{ name: "text", protocol: "text", port: "number", nodePort: "number", targetPort: "port" }],
    sessionAffinity: "text",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: "number" } },
    internalTrafficPolicy: "text",
    externalTrafficPolicy: "text",
    loadBalancerSourceRanges: ["text"],
    publishNotReadyAddresses: "boolean",
    healthCheckNodePort: "number",
  },
  status: { loadBalancer: { ingress: [{ ip: "text", hostname: "text", ipMode: "text" }] } },
};

const SLICE: Shape = {
  metadata: METADATA,
  addressType: "text",
  ports: [{ name: "text", protocol: "text", port: "number" }],
  endpoints: [{
    addresses: ["text"],
    nodeName: "text",
    conditions: { ready: "boolean", serving: "boolean", terminating: "boolean" },
    hints: { forZones: [{ name: "text" }] },
  }],
};

const NODE: Shape = { metadata: METADATA, status: { addresses: [{ type: "text", address: "text" }] } };

/** Sorts what `documents` hold. Throws a ConfigError that names object and field for what no API server would print. */
export function sortObjects(documents: readonly unknown[]): Objects {
  const sorted: Objects = { services: [], slices: [], nodes: [], notes: [] };
  const others = new Map<string, number>();
  for (const object of documents.flatMap(itemsOf)) {
    const { kind, apiVersion } = object;
    const known = `${apiVersion} ${kind}`;
    if (known === "v1 Service") sorted.services.push(looked<Service>(object, SERVICE));
    else if (known === "discovery.k8s.io/v1 EndpointSlice") {
      sorted.slices.push(looked<EndpointSlice>(object, SLICE));
    } else if (known === "v1 Node") sorted.nodes.push(looked<Node>(object, NODE));
    else others.set(known, (others.get(known) ?? 0) + 1);
  }
  for (const [known, count] of others) {
    const why = known === "v1 Endpoints"
      ? "EndpointSlices say the same and are what is read"
      : "says nothing about Services";
    sorted.notes.push({ object: known, what: `${count} ${count === 1 ? "object" : "objects"}`, why });
  }
  return sorted;
}

type Anything = Record<string, unknown>;

/** The objects of a document: itself, or the items of a List. */
function itemsOf(document: unknown): Anything[] {
  if (document === null) return [];
  if (!isMap(document) || typeof document.kind !== "string" || typeof document.apiVersion !== "string") {
    throw new ConfigError(
      "object",
      describe(document),
      "give what kubectl get -o json or yaml prints (no kind, no apiVersion)",
    );
  }
  if (!document.kind.endsWith("List")) return [document];
  if (!Array.isArray(document.items)) {
    throw new ConfigError(`${document.kind} items`, describe(document.items), "give a list");
  }
  // The items of a typed list ("ServiceList") may leave out what its name says.
  const kind = document.kind.slice(0, -"List".length);
  return document.items.flatMap((item) =>
    itemsOf(isMap(item) && kind !== "" ? { kind, apiVersion: document.apiVersion, ...item } : item)
  );
}

function looked<T>(object: Anything, shape: Shape): T {
  const metadata = isMap(object.metadata) ? object.metadata : {};
  const name = `${object.kind} ${typeof metadata.namespace === "string" ? `${metadata.namespace}/` : ""}${
    metadata.name ?? ""
  }`;
  if (typeof metadata.name !== "string") {
    throw new ConfigError(`${object.kind} metadata.name`, describe(metadata.name), "give a text");
  }
  look(object, shape, `${name} `);
  return object as T;
}

const RIGHT = {
  text: (value: unknown) => typeof value === "string",
  number: (value: unknown) => Number.isInteger(value),
  boolean: (value: unknown) => typeof value === "boolean",
  port: (value: unknown) => typeof value === "string" || Number.isInteger(value),
  labels: isMap,
};

const WANTED: Record<string, string> = {
  text: "give a text",
  number: "give a whole number",
  boolean: "give true or false",
  port: "give a number or a name",
};

/** Checks `value` against `shape`. `path` names it in errors. */
function look(value: unknown, shape: Shape, path: string): void {
  if (value === undefined || value === null) return;
  if (typeof shape === "string") {
    const right = RIGHT[shape](value);
    if (!right) throw new ConfigError(path, describe(value), WANTED[shape] ?? "give a map of keys to values");
  } else if (Array.isArray(shape)) {
    if (!Array.isArray(value)) throw new ConfigError(path, describe(value), "give a list");
    value.forEach((item, index) => {
      if (item === null) throw new ConfigError(`${path}[${index}]`, "null", "leave it out");
      look(item, shape[0], `${path}[${index}]`);
    });
  } else {
    if (!isMap(value)) throw new ConfigError(path, describe(value), "give a map of keys to values");
    for (const [key, inner] of Object.entries(shape as Record<string, Shape>)) {
      look(value[key], inner, path.endsWith(" ") ? path + key : `${path}.${key}`);
    }
  }
}

function isMap(value: unknown): value is Anything {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return isMap(value) ? "a map" : JSON.stringify(value) ?? "missing";
}
