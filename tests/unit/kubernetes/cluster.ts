/**
 * A small cluster as kubectl prints it, typed by the API's published types: two nodes in two zones, and Services of every kind that
 * kube-proxy tells apart. Pods are 10.244.<node>.<n> and fd00:244:<node>::<n>.
 */

import type { Node, Service, ServiceSpec } from "kubernetes-types/core/v1.d.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "kubernetes-types/discovery/v1.d.ts";

export const NODE = "worker-1";

type Conditions = NonNullable<Endpoint["conditions"]>;

export const READY: Conditions = { ready: true, serving: true, terminating: false };
export const NOT_READY: Conditions = { ready: false, serving: false, terminating: false };
export const DRAINING: Conditions = { ready: false, serving: true, terminating: true };
export const GONE: Conditions = { ready: false, serving: false, terminating: true };

export function service(
  name: string,
  spec: ServiceSpec,
  more: Partial<Service> = {},
  namespace = "default",
): Service {
  const clusterIPs = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace,
      uid: `uid-${name}`,
      creationTimestamp: "2026-11-01T08:00:00Z",
      ...more.metadata,
    },
    spec: {
      type: "ClusterIP",
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies: clusterIPs.map((address) => address.includes(":") ? "IPv6" : "IPv4"),
      ipFamilyPolicy: "SingleStack",
      internalTrafficPolicy: "Cluster",
      sessionAffinity: "None",
      ...spec,
    },
    status: more.status ?? { loadBalancer: {} },
  };
}

export function slice(
  of: string,
  addressType: "IPv4" | "IPv6" | "FQDN",
  ports: EndpointPort[],
  endpoints: Endpoint[],
  namespace = "default",
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${of}-${addressType.toLowerCase()}-${ports.map(({ port }) => port).join("-")}`,
      namespace,
      labels: {
        "kubernetes.io/service-name": of,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name: of, uid: `uid-${of}`, controller: true }],
    },
    addressType,
    ports,
    endpoints,
  };
}

/** A pod on a node, 1 or 2. */
export function pod(
  address: string,
  node: 1 | 2,
  conditions: Conditions = READY,
  zones: string[] = [],
): Endpoint {
  return {
    addresses: [address],
    conditions,
    nodeName: `worker-${node}`,
    zone: node === 1 ? "a" : "b",
    targetRef: { kind: "Pod", name: `pod-${address}`, namespace: "default" },
    ...(zones.length > 0 ? { hints: { forZones: zones.map((name) => ({ name })) } } : {}),
  };
}

export function node(number: 1 | 2): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: `worker-${number}`,
      labels: { "topology.kubernetes.io/zone": number === 1 ? "a" : "b" },
    },
    spec: { podCIDRs: [`10.244.${number}.0/24`] },
    status: {
      addresses: [
        { type: "InternalIP", address: `192.168.0.${number}` },
        { type: "InternalIP", address: `fd00:168::${number}` },
        { type: "Hostname", address: `worker-${number}` },
      ],
    },
  };
}

const http = (port = 8080, name = "http"): EndpointPort => ({ name, port, protocol: "TCP" });

export const SERVICES: Service[] = [
  service("kubernetes", {
    clusterIP: "10.96.0.1",
    ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: 6443 }],
  }),
  service(
    "kube-dns",
    {
      clusterIP: "10.96.0.10",
      ports: [{ name: "dns", port: 53, protocol: "UDP", targetPort: 53 }, {
        name: "dns-tcp",
        port: 53,
        protocol: "TCP",
        targetPort: 53,
      }],
    },
    {},
    "kube-system",
  ),
  service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "sql", port: 5432 }] }),
  service("web", {
    clusterIPs: ["10.96.0.20", "fd00:96::20"],
    ipFamilyPolicy: "RequireDualStack",
    ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: "web" }],
    sessionAffinity: "ClientIP",
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
  }),
  service("rolling", { clusterIP: "10.96.0.30", ports: [{ name: "http", port: 80, targetPort: 8080 }] }),
  service("ending", { clusterIP: "10.96.0.31", ports: [{ name: "http", port: 80, targetPort: 8080 }] }),
  service("agent", {
    clusterIP: "10.96.0.40",
    ports: [{ port: 8125, protocol: "UDP" }],
    internalTrafficPolicy: "Local",
  }),
  service("shop", {
    type: "LoadBalancer",
    clusterIPs: ["10.96.0.50", "fd00:96::50"],
    ports: [{ name: "https", port: 443, nodePort: 30443, targetPort: "tls" }],
    externalTrafficPolicy: "Cluster",
    externalIPs: ["198.51.100.50"],
    loadBalancerSourceRanges: ["203.0.113.0/24", " 192.0.2.7/24", "2001:db8:1::/48"],
  }, {
    status: {
      loadBalancer: {
        ingress: [{ ip: "198.51.100.51" }, { ip: "2001:db8::51" }, { hostname: "lb.example" }],
      },
    },
  }),
  service("edge", {
    type: "LoadBalancer",
    clusterIP: "10.96.0.60",
    ports: [{ name: "http", port: 80, nodePort: 30080, targetPort: 8080 }],
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 31234,
  }, { status: { loadBalancer: { ingress: [{ ip: "198.51.100.60" }] } } }),
  service("plain", {
    type: "NodePort",
    clusterIP: "10.96.0.70",
    ports: [{ port: 80, nodePort: 30070, targetPort: 8080 }],
  }),
  service("zoned", { clusterIP: "10.96.0.80", ports: [{ name: "http", port: 80, targetPort: 8080 }] }),
  service("starting", {
    clusterIP: "10.96.0.90",
    publishNotReadyAddresses: true,
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  }),
  service("elsewhere", { type: "ExternalName", externalName: "db.example" }),
  service("mesh", { clusterIP: "10.96.0.99", ports: [{ port: 80 }] }, {
    metadata: {
      name: "mesh",
      namespace: "default",
      labels: { "service.kubernetes.io/service-proxy-name": "mesh-proxy" },
    },
  }),
  service("empty", { clusterIP: "10.96.0.98", ports: [{ name: "http", port: 80, targetPort: 8080 }] }),
  service("mixed", { clusterIP: "10.96.0.97", ports: [{ name: "http", port: 80, targetPort: "http" }] }),
];

export const SLICES: EndpointSlice[] = [
  slice("kubernetes", "IPv4", [{ name: "https", port: 6443, protocol: "TCP" }], [{
    addresses: ["192.168.0.9"],
    conditions: { ready: true },
  }]),
  slice("kube-dns", "IPv4", [{ name: "dns", port: 53, protocol: "UDP" }, {
    name: "dns-tcp",
    port: 53,
    protocol: "TCP",
  }, { name: "metrics", port: 9153, protocol: "TCP" }], [
    pod("10.244.1.2", 1),
    pod("10.244.2.2", 2),
  ], "kube-system"),
  slice("db", "IPv4", [{ name: "sql", port: 5432, protocol: "TCP" }], [pod("10.244.1.3", 1)]),
  slice("web", "IPv4", [http()], [
    pod("10.244.1.4", 1),
    pod("10.244.2.4", 2),
    pod("10.244.2.5", 2, NOT_READY),
  ]),
  slice("web", "IPv6", [http()], [pod("fd00:244:1::4", 1), pod("fd00:244:2::4", 2)]),
  // Some ready: who terminates gets nothing new.
  slice("rolling", "IPv4", [http()], [
    pod("10.244.1.6", 1, DRAINING),
    pod("10.244.2.6", 2),
    pod("10.244.2.7", 2, GONE),
  ]),
  // None ready: those that terminate and still serve.
  slice("ending", "IPv4", [http()], [
    pod("10.244.1.8", 1, DRAINING),
    pod("10.244.2.8", 2, GONE),
    pod("10.244.2.9", 2, NOT_READY),
  ]),
  slice("agent", "IPv4", [{ port: 8125, protocol: "UDP" }], [pod("10.244.1.10", 1), pod("10.244.2.10", 2)]),
  slice("shop", "IPv4", [http(8443, "https")], [pod("10.244.1.11", 1), pod("10.244.2.11", 2)]),
  slice("shop", "IPv6", [http(8443, "https")], [pod("fd00:244:1::11", 1)]),
  // Local policy: the local pod drains, so it serves external clients still; the cluster's have another.
  slice("edge", "IPv4", [http()], [pod("10.244.1.12", 1, DRAINING), pod("10.244.2.12", 2)]),
  slice("plain", "IPv4", [{ port: 8080, protocol: "TCP" }], [pod("10.244.2.13", 2)]),
  slice("zoned", "IPv4", [http()], [
    pod("10.244.1.14", 1, READY, ["a"]),
    pod("10.244.2.14", 2, READY, ["b"]),
  ]),
  slice("starting", "IPv4", [http()], [pod("10.244.1.15", 1, { ready: false })]),
  slice("mixed", "IPv4", [http(8080)], [pod("10.244.1.16", 1), pod("10.244.1.17", 1)]),
  slice("mixed", "IPv4", [http(8081)], [pod("10.244.2.16", 2)]),
  slice("db", "FQDN", [http()], [{ addresses: ["db.example"], conditions: {} }]),
];

/** `kubectl get services,endpointslices,nodes -A -o json`. */
export function list(...items: unknown[]): unknown {
  return { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items };
}
