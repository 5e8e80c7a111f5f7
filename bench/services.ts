/**
 * The services that all contestants serve: `count` of them with four pods each, and the same pods, addresses and ports in everybody's
 * own words. VIPs are 172.30.0.0 + i, pods 10.244.0.0 + 4 i + j; the cluster is 10.0.0.0/8, so that nobody's traffic is masqueraded.
 */

export const VIP_PORT = 80;
export const POD_PORT = 8080;
export const PODS_EACH = 4;
export const CLUSTER = "10.0.0.0/8";
export const FIRST_VIP = toNumber("172.30.0.0");
export const FIRST_POD = toNumber("10.244.0.0");
export const VIP_NETWORK = "172.30.0.0/16";
export const POD_NETWORK = "10.244.0.0/16";

export type Protocol = "tcp" | "udp";

export interface Service {
  /** Unlike any other's; goes into the names of chains. */
  name: string;
  vip: string;
  protocol: Protocol;
  pods: string[];
}

export function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join(".");
}

/** `count` services for each protocol. */
export function makeServices(count: number, protocols: readonly Protocol[] = ["udp"]): Service[] {
  return protocols.flatMap((protocol) =>
    Array.from({ length: count }, (_, i) => ({
      name: `s${i}`,
      vip: toAddress(FIRST_VIP + i),
      protocol,
      pods: Array.from({ length: PODS_EACH }, (_, j) => toAddress(FIRST_POD + PODS_EACH * i + j)),
    }))
  );
}

/** As ku's command lines. */
export function kuLines(services: readonly Service[]): string {
  const lines: string[] = [];
  for (const { vip, protocol, pods } of services) {
    lines.push(`vip ${vip} protocol ${protocol} port ${VIP_PORT} target_port ${POD_PORT}`);
    lines.push(`pod ${vip} protocol ${protocol} port ${VIP_PORT} ${pods.join(" ")}`);
  }
  return lines.join("\n") + "\n";
}
