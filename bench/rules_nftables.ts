/**
 * The rules that kube-proxy's nftables mode writes for ClusterIP services: one verdict map from (address, protocol, port) to a chain for
 * each service, which picks a pod by a random number, and a chain for each pod, which rewrites the destination.
 *
 * Reference: Kubernetes, pkg/proxy/nftables/README.md and what proxier_test.go expects (1.33); only the names are shorter.
 */

import { CLUSTER, POD_PORT, type Service, VIP_NETWORK, VIP_PORT } from "./services.ts";

const BASE = `table ip kube-proxy {
  comment "rules for kube-proxy"
  set cluster-ips { type ipv4_addr; }
  set nodeport-ips { type ipv4_addr; }
  map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading {
    meta mark and 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject
    ip daddr { ${VIP_NETWORK} } drop
  }
  chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain filter-prerouting-pre-dnat { type filter hook prerouting priority -110; ct state new jump firewall-check; }
  chain filter-output-pre-dnat { type filter hook output priority -110; ct state new jump firewall-check; }
  chain filter-forward {
    type filter hook forward priority 0;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-input {
    type filter hook input priority 0;
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain filter-output {
    type filter hook output priority 0;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority 100; jump masquerading; }
}
`;

/** For `nft -f -`, into an empty table. */
export function nftablesRules(services: readonly Service[]): string {
  const lines: string[] = [BASE];
  for (const service of services) {
    lines.push(...podChains(service), ...serviceChain(service));
    const { vip, protocol } = service;
    lines.push(`add element ip kube-proxy cluster-ips { ${vip} }`);
    lines.push(
      `add element ip kube-proxy service-ips { ${vip} . ${protocol} . ${VIP_PORT} : goto ${
        chainOf(service)
      } }`,
    );
  }
  return lines.join("\n") + "\n";
}

/** What kube-proxy writes when the first pod of `service` gives way to `pod`. */
export function nftablesPodChange(service: Service, pod: string): string {
  const changed = { ...service, pods: [pod, ...service.pods.slice(1)] };
  const old = podChainOf(service, service.pods[0]);
  return [
    ...podChains({ ...service, pods: [pod] }),
    `flush chain ip kube-proxy ${chainOf(service)}`,
    ...serviceChain(changed).slice(1),
    `flush chain ip kube-proxy ${old}`,
    `delete chain ip kube-proxy ${old}`,
  ].join("\n") + "\n";
}

function chainOf({ name, protocol }: Service): string {
  return `service-bench/${name}/${protocol}/p`;
}

function podChainOf({ name, protocol }: Service, pod: string): string {
  return `endpoint-bench/${name}/${protocol}/p__${pod}/${POD_PORT}`;
}

function podChains(service: Service): string[] {
  return service.pods.flatMap((pod) => {
    const chain = `ip kube-proxy ${podChainOf(service, pod)}`;
    return [
      `add chain ${chain}`,
      `add rule ${chain} ip saddr ${pod} jump mark-for-masquerade`,
      `add rule ${chain} meta l4proto ${service.protocol} dnat to ${pod}:${POD_PORT}`,
    ];
  });
}

function serviceChain(service: Service): string[] {
  const { vip, protocol, pods } = service;
  const chain = `ip kube-proxy ${chainOf(service)}`;
  const ways = pods.map((pod, i) => `${i} : goto ${podChainOf(service, pod)}`).join(" , ");
  return [
    `add chain ${chain}`,
    `add rule ${chain} ip daddr ${vip} ${protocol} dport ${VIP_PORT} ip saddr != ${CLUSTER} jump mark-for-masquerade`,
    `add rule ${chain} numgen random mod ${pods.length} vmap { ${ways} }`,
  ];
}
