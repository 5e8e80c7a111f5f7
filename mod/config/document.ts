/**
 * A ConfigState as the configuration file says it: what `ku get` prints and `--state-dir` keeps. Options that have their default are
 * left out, so that what stands there is what somebody wanted.
 *
 * Rule: `stateOf(documentOf(state))` is `state` again, and equal states have equal documents.
 */

import { parsePrefix } from "./address.ts";
import {
  type Conf,
  DEFAULT_NEW_LEN,
  DEFAULT_WEIGHT,
  type InterfaceSpec,
  type Mode,
  type PodSpec,
  type Protocol,
  type VipSpec,
  type VipType,
} from "./model.ts";
import { checkType } from "./rules.ts";
import type { ConfigState } from "./state.ts";

export interface InterfaceDocument {
  name: string;
  mode: Mode;
  nat4?: "in";
  nat6?: "in";
}

export interface VipDocument {
  prefix: string;
  protocol?: Protocol;
  port?: number;
  targetPort?: number;
  nodePort?: number;
  type?: VipType;
  newLen?: number;
  srcIpSticky?: true;
  stickyTimeout?: number;
  masquerade?: true;
  sources?: readonly string[];
  service?: string;
  pods: (string | PodSpec)[];
}

export interface ConfigDocument {
  conf: Partial<Conf>;
  interfaces: InterfaceDocument[];
  vips: VipDocument[];
}

export function documentOf(state: ConfigState): ConfigDocument {
  const conf = Object.fromEntries(Object.entries(state.conf).filter(([, value]) => value !== null));
  return {
    conf,
    interfaces: [...state.interfaces.values()].map(interfaceDocument),
    vips: [...state.vips.values()].map(vipDocument),
  };
}

function interfaceDocument({ name, mode, nat4, nat6 }: InterfaceSpec): InterfaceDocument {
  return { name, mode, ...(nat4 ? { nat4: "in" } : {}), ...(nat6 ? { nat6: "in" } : {}) };
}

function vipDocument(vip: VipSpec): VipDocument {
  const {
    prefix,
    protocol,
    port,
    targetPort,
    nodePort,
    type,
    newLen,
    srcIpSticky,
    stickyTimeout,
    masquerade,
  } = vip;
  return {
    prefix,
    ...(protocol === null ? {} : { protocol }),
    ...(port === null ? {} : { port }),
    ...(targetPort === null || targetPort === port ? {} : { targetPort }),
    ...(nodePort === null ? {} : { nodePort }),
    ...(type === checkType(undefined, parsePrefix(prefix)!.family) ? {} : { type }),
    ...(newLen === DEFAULT_NEW_LEN ? {} : { newLen }),
    ...(srcIpSticky ? { srcIpSticky } : {}),
    ...(stickyTimeout === null ? {} : { stickyTimeout }),
    ...(masquerade ? { masquerade } : {}),
    ...(vip.sources.length === 0 ? {} : { sources: vip.sources }),
    ...(vip.service === null ? {} : { service: vip.service }),
    pods: [...vip.pods.values()].map((pod) => pod.weight === DEFAULT_WEIGHT ? pod.address : { ...pod }),
  };
}
