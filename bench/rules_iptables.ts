/**
 * The rules that kube-proxy's iptables mode writes for ClusterIP services: one rule for each service in KUBE-SERVICES, walked from the
 * top by the first packet of a flow, a chain for each service, which picks a pod by chance, and one for each pod.
 *
 * Reference: Kubernetes, pkg/proxy/iptables/proxier.go syncProxyRules and what its test expects.
 */

import { CLUSTER, POD_PORT, type Service, VIP_PORT } from "./services.ts";

const FILTER = `*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
`;

const NAT_BEFORE = `-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
`;

/** For `iptables-restore`, into empty tables. */
export function iptablesRules(services: readonly Service[]): string {
  const chains = ["KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING", "KUBE-NODEPORTS"];
  const entries: string[] = [];
  const rules: string[] = [];
  for (const service of services) {
    const { name, vip, protocol, pods } = service;
    chains.push(chainOf(service), ...pods.map((_, i) => podChainOf(service, i)));
    const comment = `-m comment --comment "bench/${name}:p cluster IP"`;
    const there = `-m ${protocol} -p ${protocol} -d ${vip} --dport ${VIP_PORT}`;
    entries.push(`-A KUBE-SERVICES ${comment} ${there} -j ${chainOf(service)}`);
    rules.push(`-A ${chainOf(service)} ${comment} ${there} ! -s ${CLUSTER} -j KUBE-MARK-MASQ`);
    rules.push(...choices(service), ...pods.flatMap((_, i) => podRules(service, i)));
  }
  entries.push("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");
  const declared = chains.map((chain) => `:${chain} - [0:0]`);
  return `${FILTER}*nat\n${declared.join("\n")}\n${NAT_BEFORE}${[...entries, ...rules].join("\n")}\nCOMMIT\n`;
}

/**
 * What kube-proxy writes when the first pod of `service` gives way to `pod`, for `iptables-restore --noflush`: the chains of that
 * service anew (since 1.28 it leaves the others out).
 */
export function iptablesPodChange(service: Service, pod: string): string {
  const changed = { ...service, pods: [pod, ...service.pods.slice(1)] };
  return `*nat\n:${podChainOf(changed, 0)} - [0:0]\n${podRules(changed, 0).join("\n")}\nCOMMIT\n`;
}

function chainOf({ name, protocol }: Service): string {
  return `KUBE-SVC-${protocol.toUpperCase()}${name.toUpperCase().padStart(13, "A")}`;
}

function podChainOf({ name, protocol }: Service, index: number): string {
  return `KUBE-SEP-${protocol.toUpperCase()}${`${name.toUpperCase()}P${index}`.padStart(13, "A")}`;
}

/** One in n, then one in n - 1 of the rest …, the last without asking. */
function choices(service: Service): string[] {
  const count = service.pods.length;
  return service.pods.map((pod, i) => {
    const chance = (1 / (count - i)).toFixed(10);
    const odds = i === count - 1 ? "" : `-m statistic --mode random --probability ${chance} `;
    const comment = `-m comment --comment "bench/${service.name}:p -> ${pod}:${POD_PORT}"`;
    return `-A ${chainOf(service)} ${comment} ${odds}-j ${podChainOf(service, i)}`;
  });
}

function podRules(service: Service, index: number): string[] {
  const { name, protocol } = service;
  const pod = service.pods[index];
  const chain = podChainOf(service, index);
  const comment = `-m comment --comment bench/${name}:p`;
  return [
    `-A ${chain} ${comment} -s ${pod} -j KUBE-MARK-MASQ`,
    `-A ${chain} ${comment} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${pod}:${POD_PORT}`,
  ];
}
