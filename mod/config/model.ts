/**
 * The desired state of one ku node in plain data: what the command line, the configuration file and
 * the socket all speak of. Types and limits only; the rules that relate them are in state.ts.
 *
 * Rule: everything here is canonical text and plain numbers (an address is RFC 5952 text, a prefix
 * always carries its length, a word is the word of the command line), so that it travels through JSON
 * unchanged and two equal things compare equal.
 *
 * References: VPP `src/plugins/lb/lb.h` (VIP types, defaults), the kernel's `dev_valid_name()`
 * (interface names).
 */

/** Transport of a VIP; `null` stands for "every protocol". */
export type Protocol = "tcp" | "udp" | "sctp";
/** Address family of the client's side, then of the pods' side. */
export type VipType = "nat44" | "nat66" | "nat46" | "nat64";
/** How an interface hands packets to ku; `auto` is resolved by the daemon. */
export type Mode = "auto" | "native" | "tc" | "generic";

export const PROTOCOLS: readonly Protocol[] = ["tcp", "udp", "sctp"];
/** IP protocol numbers, by word (IANA protocol numbers). */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
export const VIP_TYPES: readonly VipType[] = ["nat44", "nat66", "nat46", "nat64"];
export const MODES: readonly Mode[] = ["auto", "native", "tc", "generic"];

// Defaults of the command contract. VPP's lb has the same 1024, 40 and 1024.
export const DEFAULT_BUCKETS = 1024;
export const DEFAULT_TIMEOUT_SECONDS = 40;
/** RFC 5382 REQ-5: not below 2 hours 4 minutes. */
export const DEFAULT_TCP_TIMEOUT_SECONDS = 7440;
/** RFC 8215, the first /96 of the prefix for local translation. */
export const DEFAULT_NAT46_PREFIX = "64:ff9b:1::/96";
export const DEFAULT_NEW_LEN = 1024;
export const DEFAULT_WEIGHT = 1;
/** Sessions that the kernel may repeat; 72 MiB of memory, where the session tables can hold as many. */
export const DEFAULT_OFFLOAD_SESSIONS = 262_144;

// Limits. Each bounds memory that is allocated up front.
/** 2^20 buckets × 4 entries = 4 M sessions a worker and address width. */
export const MAX_BUCKETS_LOG2 = 20;
/** A year, well inside the 31-bit seconds of the session table. */
export const MAX_TIMEOUT_SECONDS = 31_536_000;
/** 2^20 slots × 4 bytes = 4 MiB for one service. */
export const MAX_NEW_LEN = 1 << 20;
/** What a word of the kernel's index can name; 290 MiB. */
export const MAX_OFFLOAD_SESSIONS = (1 << 20) - 1;
export const MAX_VIPS = 65_536;
export const MAX_PODS_PER_VIP = 16_384;
/** Looked through one by one for every new connection. */
export const MAX_SOURCES_PER_VIP = 256;
/** "namespace/name:port": two names of 63 (DNS labels) and one of 15 characters, and their signs. */
export const MAX_SERVICE_CHARACTERS = 200;
export const MAX_WEIGHT = 100;
/** The steering maps number interfaces 1…4094 (an 802.1Q tag carries the number). */
export const MAX_INTERFACES = 4094;
/** IFNAMSIZ − 1, include/uapi/linux/if.h. */
export const MAX_INTERFACE_NAME_BYTES = 15;

/**
 * What names a VIP. `prefix` is canonical and always carries its length ("10.0.0.1/32"). With `port`
 * null the VIP takes every protocol (then `protocol` is null too) and keeps the port; with `port` and
 * `protocol` null it takes TCP, UDP and SCTP.
 */
export interface VipKey {
  prefix: string;
  protocol: Protocol | null;
  port: number | null;
}

/** One pod of a VIP: canonical address, weight 0–100 (0: no new sessions). */
export interface PodSpec {
  address: string;
  weight: number;
}

/** A service: a VIP and its pods. `targetPort` is null exactly when `port` is. `pods` is keyed by address. */
export interface VipSpec extends VipKey {
  targetPort: number | null;
  nodePort: number | null;
  type: VipType;
  newLen: number;
  srcIpSticky: boolean;
  /** Seconds since its last new connection for which a client stays on its pod; null: as long as the pods are the same. */
  stickyTimeout: number | null;
  masquerade: boolean;
  /** Prefixes that clients' addresses must be in, canonical and sorted; [] lets everyone in. */
  sources: readonly string[];
  /** The port of a Kubernetes Service that `ku import` made it from ("default/web:http"), null: configured otherwise. */
  service: string | null;
  pods: Map<string, PodSpec>;
}

/** What can be told of a VIP besides its key and its pods. */
export const VIP_OPTIONS = [
  "targetPort",
  "nodePort",
  "type",
  "newLen",
  "srcIpSticky",
  "stickyTimeout",
  "masquerade",
  "sources",
  "service",
] as const;

/** An option as one value, by which two VIPs compare; a list is its texts in one. */
export function optionOf(vip: VipSpec, name: typeof VIP_OPTIONS[number]): string | number | boolean | null {
  const value = vip[name];
  if (typeof value !== "object" || value === null) return value;
  return value.length === 0 ? null : value.join(" ");
}

/** A VIP in the state. `revision` is the state's revision at its last change (pods included). */
export interface VipState extends VipSpec {
  revision: number;
}

/** An attached interface. `nat4` / `nat6`: the translation of pods' answers is on (`set interface nat4 in`). */
export interface InterfaceSpec {
  name: string;
  mode: Mode;
  nat4: boolean;
  nat6: boolean;
}

/** Global parameters. Timeouts in seconds; a null source address means "the egress interface's own". */
export interface Conf {
  buckets: number;
  timeout: number;
  tcpTimeout: number;
  ip4SrcAddress: string | null;
  ip6SrcAddress: string | null;
  /** IPv6 prefix of length 96 that carries IPv4 client addresses in nat46. */
  nat46Prefix: string;
  /** Whether the kernel repeats established sessions, and how many at most. */
  offload: boolean;
  offloadSessions: number;
}

/** The part of `Conf` that a `ku conf` names. `bucketsLog2` is another way to say `buckets`. */
export interface ConfParams extends Partial<Conf> {
  bucketsLog2?: number;
}

export interface InterfaceParams {
  name: string;
  mode?: Mode;
  del?: boolean;
}

/** Texts may be in any form on the way in. An absent `protocol` or `port` means null; so does an explicit null. */
export interface VipParams {
  prefix: string;
  protocol?: Protocol | null;
  port?: number | null;
  targetPort?: number | null;
  nodePort?: number | null;
  /** `nat4` and `nat6` name the pods' family alone and become one of the four types. */
  type?: VipType | "nat4" | "nat6";
  newLen?: number;
  srcIpSticky?: boolean;
  stickyTimeout?: number | null;
  masquerade?: boolean;
  sources?: string[];
  service?: string | null;
  del?: boolean;
}

/**
 * Which existing VIP is meant. Without `protocol` and `port` (both absent): the one VIP of the prefix, an
 * error if there are several. With either: that VIP exactly, else the only one that has the given part.
 * An explicit null says "every protocol" / "every port".
 */
export interface VipSelector {
  prefix: string;
  protocol?: Protocol | null;
  port?: number | null;
}

export interface PodParams {
  vip: VipSelector;
  addresses: string[];
  weight?: number;
  del?: boolean;
  /** Drop the sessions of these pods too, TCP included. */
  flush?: boolean;
}

export interface SetInterfaceParams {
  feature: "nat4" | "nat6";
  name: string;
  del?: boolean;
}

/** A command that changes the state: the same union for the command line, the socket and `exec`. */
export type Command =
  | { method: "conf"; params: ConfParams }
  | { method: "interface"; params: InterfaceParams }
  | { method: "vip"; params: VipParams }
  | { method: "pod"; params: PodParams }
  | { method: "setInterface"; params: SetInterfaceParams }
  | { method: "flushVip"; params: VipSelector };

export const COMMAND_METHODS: readonly Command["method"][] = [
  "conf",
  "interface",
  "vip",
  "pod",
  "setInterface",
  "flushVip",
];

/** What a command did, in order, for whoever keeps something beside the state (tables, programs, sessions). */
export type Change =
  | { kind: "conf"; before: Conf; after: Conf }
  | { kind: "interfaceAdded" | "interfaceChanged" | "interfaceRemoved"; name: string }
  | { kind: "vipAdded" | "vipRemoved" | "vipChanged" | "flushVip"; key: VipKey }
  | { kind: "podAdded" | "podChanged" | "podRemoved" | "flushPod"; key: VipKey; address: string };

/**
 * A command that cannot be carried out. `message` is "<what> : <value>, <what to do>" on one line,
 * without control characters: ready for the terminal after "ku: ".
 */
export class ConfigError extends Error {
  override name = "ConfigError";
  constructor(readonly what: string, readonly value: string, readonly remedy: string) {
    super(`${what} : ${printable(value)}, ${remedy}`);
  }

  /** The same error with `where` before what is wrong: a key path, a file name, a line number. */
  within(where: string): ConfigError {
    return new ConfigError(`${where}${this.what}`, this.value, this.remedy);
  }
}

/** Longest piece of a user's input that an error repeats. */
const MAX_SHOWN_CHARACTERS = 100;

/** `text` cut to a length and with control characters escaped, so that an error stays one line. */
function printable(text: string): string {
  const shown = text.length > MAX_SHOWN_CHARACTERS ? text.slice(0, MAX_SHOWN_CHARACTERS) + "…" : text;
  // \p{C}: control, format (bidirectional marks too), surrogate and unassigned characters.
  return shown.replace(
    /[\p{C}\u2028\u2029]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** "10.0.0.1/32 tcp 80", "10.0.0.0/8" (every protocol and port), "10.0.0.1/32 any 80": a VIP in messages. */
export function vipKeyText(key: VipKey): string {
  return key.port === null ? key.prefix : `${key.prefix} ${key.protocol ?? "any"} ${key.port}`;
}

/** IP protocol numbers a VIP takes; `[]` stands for every protocol (a VIP without port). */
export function protocolNumbers(key: VipKey): number[] {
  if (key.port === null) return [];
  return key.protocol === null
    ? PROTOCOLS.map((word) => PROTOCOL_NUMBERS[word])
    : [PROTOCOL_NUMBERS[key.protocol]];
}
