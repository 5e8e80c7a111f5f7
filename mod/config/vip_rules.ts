/**
 * Rules for a VIP by itself: its key, its options and how they hang together. Rules between VIPs are in
 * state.ts. Errors are ConfigErrors.
 */

import type { Family } from "./address.ts";
import {
  ConfigError,
  DEFAULT_NEW_LEN,
  MAX_SERVICE_CHARACTERS,
  MAX_SOURCES_PER_VIP,
  protocolNumbers,
  type VipKey,
  vipKeyText,
  type VipParams,
  type VipSelector,
  type VipSpec,
  type VipState,
  type VipType,
} from "./model.ts";
import {
  checkAddress,
  checkNewLen,
  checkPort,
  checkPrefix,
  checkProtocol,
  checkSourcePrefix,
  checkTimeout,
  checkType,
  podFamily,
} from "./rules.ts";

/** The canonical key of a VIP that is to be added or deleted. */
export function checkVipKey(params: Pick<VipParams, "prefix" | "protocol" | "port">): VipKey {
  return checkWholeKey(params).key;
}

/** The same, and its family. */
function checkWholeKey(params: VipSelector): { key: VipKey; family: Family } {
  const { key, family } = checkSelector(params);
  if (key.protocol !== null && key.port === null) {
    throw new ConfigError(
      "protocol",
      key.protocol,
      "give a port too: a VIP without port takes every protocol",
    );
  }
  return { key, family };
}

/** The canonical parts of a selector, absent ones null, its family, and how to show in an error what was asked for. */
export function checkSelector(selector: VipSelector): { key: VipKey; family: Family; shown: string } {
  const protocol = selector.protocol ?? null;
  const port = selector.port ?? null;
  const { text: prefix, family } = checkPrefix("prefix", selector.prefix);
  const key: VipKey = {
    prefix,
    protocol: protocol === null ? null : checkProtocol(protocol),
    port: port === null ? null : checkPort("port", port),
  };
  const half = key.port === null && key.protocol !== null;
  return { key, family, shown: half ? `${key.prefix} ${key.protocol}` : vipKeyText(key) };
}

/** A whole VIP, without pods, from the parameters of `ku vip`. */
export function checkVip(params: VipParams): VipSpec {
  const { key, family } = checkWholeKey(params);
  const targetPort = params.targetPort ?? null;
  const nodePort = params.nodePort ?? null;
  if (targetPort !== null) checkPort("target_port", targetPort);
  if (nodePort !== null) checkPort("node_port", nodePort);
  if (key.port === null && targetPort !== null) {
    throw new ConfigError(
      "target_port",
      String(targetPort),
      "give a port too: a VIP without port keeps the port",
    );
  }
  if (key.port === null && nodePort !== null) {
    throw new ConfigError(
      "node_port",
      String(nodePort),
      "give a port too: a VIP without port has no node port",
    );
  }
  return {
    ...key,
    targetPort: targetPort ?? key.port,
    nodePort,
    type: checkType(params.type, family),
    newLen: params.newLen === undefined ? DEFAULT_NEW_LEN : checkNewLen(params.newLen),
    ...checkSticky(params),
    masquerade: params.masquerade ?? false,
    sources: checkSources(params.sources ?? [], family),
    service: params.service == null ? null : checkService(params.service),
    pods: new Map(),
  };
}

function checkSticky({ srcIpSticky = false, stickyTimeout = null }: VipParams) {
  if (stickyTimeout === null) return { srcIpSticky, stickyTimeout };
  if (!srcIpSticky) {
    throw new ConfigError(
      "sticky_timeout",
      String(stickyTimeout),
      "give srcIpSticky too: it is what times out",
    );
  }
  return { srcIpSticky, stickyTimeout: checkTimeout("sticky_timeout", stickyTimeout) };
}

/** Canonical, sorted, each once. */
function checkSources(texts: readonly string[], family: Family): string[] {
  if (texts.length > MAX_SOURCES_PER_VIP) {
    throw new ConfigError("sources", String(texts.length), `are too many: at most ${MAX_SOURCES_PER_VIP}`);
  }
  const sources = texts.map((text) => checkSourcePrefix("sources", text, family));
  return [...new Set(sources)].sort();
}

function checkService(text: string): string {
  if (!/^[\w.-]+\/[\w.-]+:[\w.-]*$/.test(text) || text.length > MAX_SERVICE_CHARACTERS) {
    throw new ConfigError("service", text, "give namespace/name:port as import does, or leave it out");
  }
  return text;
}

/** The family of a VIP's clients: the first digit of its type. */
export function clientFamily(type: VipType): Family {
  return type === "nat44" || type === "nat46" ? 4 : 6;
}

/** Whether there is a protocol that both VIPs take. */
export function shareProtocol(a: VipKey, b: VipKey): boolean {
  const ours = protocolNumbers(a);
  const theirs = protocolNumbers(b);
  return ours.length === 0 || theirs.length === 0 || ours.some((number) => theirs.includes(number));
}

/** The addresses of a pod command: canonical, of the VIP's pod family, each once. */
export function checkPodAddresses(vip: VipState, texts: readonly string[]): string[] {
  if (texts.length === 0) throw new ConfigError("pod", vipKeyText(vip), "give at least one pod address");
  const addresses = new Set<string>();
  const wanted = podFamily(vip.type);
  for (const text of texts) {
    const { text: address, family } = checkAddress("pod", text);
    if (family !== wanted) {
      throw new ConfigError(
        "pod",
        text,
        `give an IPv${wanted} address: VIP ${vipKeyText(vip)} is ${vip.type}`,
      );
    }
    if (addresses.has(address)) throw new ConfigError("pod", text, "is given twice: name each pod once");
    addresses.add(address);
  }
  return [...addresses];
}

/** Nothing at `address` can be taken away. */
export function noPod(vip: VipState, address: string): ConfigError {
  return new ConfigError(
    "pod",
    address,
    `is no pod of VIP ${vipKeyText(vip)}: "ku show vip verbose" lists them`,
  );
}
