/**
 * The configuration file as a JSON Schema, for editors and CI: structure, words and ranges, from the limits of model.ts.
 *
 * Rule: the parser (file.ts) takes nothing that the schema refuses; what the schema takes and the parser refuses hangs on other
 * values: host bits, an address of the wrong family or kind, duplicates, a node port taken twice, `targetPort` without `port`.
 *
 * Reference: https://json-schema.org/draft/2020-12
 */

import {
  DEFAULT_BUCKETS,
  DEFAULT_NAT46_PREFIX,
  DEFAULT_NEW_LEN,
  DEFAULT_OFFLOAD_SESSIONS,
  DEFAULT_TCP_TIMEOUT_SECONDS,
  DEFAULT_TIMEOUT_SECONDS,
  DEFAULT_WEIGHT,
  MAX_BUCKETS_LOG2,
  MAX_INTERFACES,
  MAX_NEW_LEN,
  MAX_OFFLOAD_SESSIONS,
  MAX_PODS_PER_VIP,
  MAX_SERVICE_CHARACTERS,
  MAX_SOURCES_PER_VIP,
  MAX_TIMEOUT_SECONDS,
  MAX_VIPS,
  MAX_WEIGHT,
  MODES,
  PROTOCOLS,
} from "./model.ts";

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV4 = `(${OCTET}\\.){3}${OCTET}`;
/** Coarse: characters and at least two colons; the parser knows the rest. */
const IPV6 = "(?=[^:]*:[^:]*:)[0-9a-fA-F:]+(:[0-9.]+)?";

const address = { type: "string", pattern: `^(${IPV4}|${IPV6})$`, examples: ["10.0.1.2", "2001:db8::2"] };
const prefix = {
  type: "string",
  pattern: `^(${IPV4}(/(3[0-2]|[12]?[0-9]))?|${IPV6}(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)$`,
};
const port = { type: "integer", minimum: 1, maximum: 65535 };
const seconds = { type: "integer", minimum: 1, maximum: MAX_TIMEOUT_SECONDS };

/** Powers of two from `low` to `high`. */
function powersOfTwo(low: number, high: number): number[] {
  const powers = [];
  for (let power = low; power <= high; power *= 2) powers.push(power);
  return powers;
}

/** The same or null, which means "none". */
function orNull(schema: { type: string }): object {
  return { ...schema, type: [schema.type, "null"] };
}

const pod = {
  anyOf: [address, {
    type: "object",
    additionalProperties: false,
    required: ["address"],
    properties: {
      address,
      weight: {
        type: "integer",
        minimum: 0,
        maximum: MAX_WEIGHT,
        default: DEFAULT_WEIGHT,
        description: "Share of new connections; 0: no new ones.",
      },
    },
  }],
};

const vip = {
  type: "object",
  additionalProperties: false,
  required: ["prefix"],
  properties: {
    prefix: { ...prefix, description: "Address or prefix of the virtual IP." },
    protocol: { enum: [...PROTOCOLS, null], default: null, description: "null: all three. Wants a port." },
    port: { ...orNull(port), default: null, description: "null: every protocol and port; the port is kept." },
    targetPort: { ...orNull(port), description: "Port of the pods; default: port." },
    nodePort: {
      ...orNull(port),
      default: null,
      description: "The service answers on this port of every node address, too.",
    },
    type: {
      enum: ["nat44", "nat66", "nat46", "nat64", "nat4", "nat6"],
      description: "Family of clients, then of pods; default: pods of the VIP's family.",
    },
    newLen: {
      enum: powersOfTwo(2, MAX_NEW_LEN),
      default: DEFAULT_NEW_LEN,
      description: "Slots of the new-connection table.",
    },
    srcIpSticky: { type: "boolean", default: false, description: "All connections of a client to one pod." },
    stickyTimeout: {
      ...orNull(seconds),
      default: null,
      description:
        "Seconds since its last new connection for which a client stays on its pod; wants srcIpSticky.",
    },
    masquerade: { type: "boolean", default: false, description: "Pods see the node's address as source." },
    sources: {
      type: ["array", "null"],
      maxItems: MAX_SOURCES_PER_VIP,
      items: prefix,
      description: "Prefixes that clients must be in; none: everyone.",
    },
    service: {
      type: ["string", "null"],
      maxLength: MAX_SERVICE_CHARACTERS,
      pattern: "^[\\w.-]+/[\\w.-]+:[\\w.-]*$",
      default: null,
      description:
        "Set by ku import, which owns the VIPs that have it: namespace/name:port of the Kubernetes Service.",
    },
    pods: { type: ["array", "null"], maxItems: MAX_PODS_PER_VIP, items: pod },
  },
};

const conf = {
  type: ["object", "null"],
  additionalProperties: false,
  properties: {
    buckets: {
      enum: powersOfTwo(1, 2 ** MAX_BUCKETS_LOG2),
      default: DEFAULT_BUCKETS,
      description: "Buckets of each worker's session table, 4 sessions each.",
    },
    bucketsLog2: {
      type: "integer",
      minimum: 0,
      maximum: MAX_BUCKETS_LOG2,
      description: "Another way to say buckets.",
    },
    timeout: {
      ...seconds,
      default: DEFAULT_TIMEOUT_SECONDS,
      description: "Seconds of silence until a session goes, TCP apart.",
    },
    tcpTimeout: {
      ...seconds,
      default: DEFAULT_TCP_TIMEOUT_SECONDS,
      description: "The same for established TCP connections.",
    },
    ip4SrcAddress: {
      ...orNull({ ...address, pattern: `^${IPV4}$` } as { type: string }),
      default: null,
      description: "Source of nat64, hairpin and masquerade; null: the egress interface's.",
    },
    ip6SrcAddress: {
      ...orNull({ ...address, pattern: `^${IPV6}$` } as { type: string }),
      default: null,
      description: "The same for IPv6.",
    },
    nat46Prefix: {
      type: "string",
      pattern: `^${IPV6}/96$`,
      default: DEFAULT_NAT46_PREFIX,
      description: "Where nat46 puts clients' IPv4 addresses.",
    },
    offload: {
      type: "boolean",
      default: true,
      description: "Whether the kernel repeats established sessions.",
    },
    offloadSessions: {
      type: "integer",
      minimum: 1,
      maximum: MAX_OFFLOAD_SESSIONS,
      default: DEFAULT_OFFLOAD_SESSIONS,
      description: "How many it repeats at most.",
    },
  },
};

const nat = {
  enum: ["in", null],
  default: null,
  description: "in: what pods answer here gets the VIP back as source.",
};

const networkInterface = {
  type: "object",
  additionalProperties: false,
  required: ["name"],
  properties: {
    name: {
      type: "string",
      minLength: 1,
      maxLength: 15,
      pattern: "^[^\\s/:]+$",
      not: { enum: [".", "..", "ku0", "ku1"] },
    },
    mode: { enum: [...MODES], default: "auto", description: "How packets come to ku." },
    nat4: nat,
    nat6: nat,
  },
};

export const CONFIG_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "ku configuration",
  description: "Configuration file of ku: ku run --config, ku apply, ku diff, ku get.",
  type: ["object", "null"],
  additionalProperties: false,
  properties: {
    conf,
    interfaces: { type: ["array", "null"], maxItems: MAX_INTERFACES, items: networkInterface },
    vips: { type: ["array", "null"], maxItems: MAX_VIPS, items: vip },
  },
} as const;
