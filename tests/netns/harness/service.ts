/** The configuration most tests start from: every interface attached in one mode, the pods' ones with NAT, services on one address. */

import { attached, type Config, VIP } from "../../../mod/control/ground/configuration.ts";
import type { Mode } from "./daemon.ts";
import type { Ground } from "./ground.ts";

export {
  attached,
  attachedDual,
  type Config,
  VIP,
  VIP6,
  type VipConfig,
} from "../../../mod/control/ground/configuration.ts";

/** Port of the service on the VIP, and the other port where the pods serve it. */
export const WEB_PORT = 80;
export const POD_WEB_PORT = 8080;
/** UDP and TCP port of the identity service: the same on the VIP and in the pods. */
export const WHO_PORT = 5353;

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

/** The identity service alone, on the VIP for every protocol, its sessions repeated by the kernel even where tests run without. */
export function repeated(ground: Ground, mode: Mode): Config {
  const pods = ground.pods.map((pod) => pod.address);
  return {
    ...attached(ground, mode),
    conf: { offload: true },
    vips: [{ prefix: `${VIP}/32`, port: WHO_PORT, pods }],
  };
}
