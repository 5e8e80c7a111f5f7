/**
 * The configuration that most begin with on a ground: every interface attached in one mode, the pods' ones with NAT, no VIP yet.
 *
 * @module
 */

import type { Ground } from "./ground.ts";

/** Addresses that belong to no interface. */
export const VIP = "10.96.0.10";
export const VIP6 = "fd00:96::10";
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
export function attached(ground: Ground, mode: string): Config {
  return {
    interfaces: [
      ...ground.clients.map((client) => ({ name: client.nodeInterface, mode })),
      ...ground.pods.map((pod) => ({ name: pod.nodeInterface, mode, nat4: "in" as const })),
    ],
    vips: [],
  };
}

/** The same with `nat6 in` beside it. */
export function attachedDual(ground: Ground, mode: string): Config {
  const config = attached(ground, mode);
  return {
    ...config,
    interfaces: config.interfaces.map((one) => one.nat4 === "in" ? { ...one, nat6: "in" as const } : one),
  };
}
