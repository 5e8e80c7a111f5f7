/** The configuration most tests start from: every interface attached in one mode, the pods' ones with NAT, services on one address. */

import type { Mode } from "./daemon.ts";
import type { Ground } from "./ground.ts";

/** Addresses that belong to no interface. */
export const VIP = "10.96.0.10";
export const VIP6 = "fd00:96::10";
/** Port of the service on the VIP, and the other port where the pods serve it. */
export const WEB_PORT = 80;
export const POD_WEB_PORT = 8080;
/** UDP and TCP port of the identity service: the same on the VIP and in the pods. */
export const WHO_PORT = 5353;

export interface VipConfig {
  prefix: string;
  protocol?: string;
  port?: number;
  targetPort?: number;
  nodePort?: number;
  type?: string;
  newLen?: number;
  srcIpSticky?: boolean;
  masquerade?: boolean;
  pods?: (string | { address: string; weight: number })[];
}

export interface Config {
  conf?: Record<string, number | string | boolean>;
  interfaces: { name: string; mode: string; nat4?: "in"; nat6?: "in" }[];
  vips: VipConfig[];
}

/** All interfaces of the ground, those of the pods with `nat4 in`; no VIP. */
export function attached(ground: Ground, mode: Mode | "auto" | "generic"): Config {
  return {
    interfaces: [
      ...ground.clients.map((client) => ({ name: client.nodeInterface, mode })),
      ...ground.pods.map((pod) => ({ name: pod.nodeInterface, mode, nat4: "in" as const })),
    ],
    vips: [],
  };
}

/** The same with `nat6 in` beside it. */
export function attachedDual(ground: Ground, mode: Mode | "auto" | "generic"): Config {
  const config = attached(ground, mode);
  return {
    ...config,
    interfaces: config.interfaces.map((one) => one.nat4 === "in" ? { ...one, nat6: "in" as const } : one),
  };
}

/** The same with HTTP on the VIP and the identity service by UDP and TCP, all pods behind them. */
export function serving(ground: Ground, mode: Mode | "auto" | "generic"): Config {
  const pods = ground.pods.map((pod) => pod.address);
  return {
    ...attached(ground, mode),
    vips: [
      { prefix: `${VIP}/32`, protocol: "tcp", port: WEB_PORT, targetPort: POD_WEB_PORT, pods },
      { prefix: `${VIP}/32`, protocol: "udp", port: WHO_PORT, pods },
      { prefix: `${VIP}/32`, protocol: "tcp", port: WHO_PORT, pods },
    ],
  };
}
