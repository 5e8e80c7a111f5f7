/**
 * Rules for single values: each function takes what the user gave and returns its canonical form, or throws a
 * ConfigError that says what to give instead. Rules that need the rest of the state are in state.ts.
 *
 * Rule: no I/O, nothing is guessed. A prefix with host bits set is an error although VPP masks it: "10.0.0.1/3"
 * for "/32" would take the traffic of a network away from the kernel, ssh to the node included, and the
 * error names the prefix to write instead.
 */

import {
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  hasHostBits,
  MAPPED_BYTES,
  networkOf,
  parseAddress,
  parseIp4,
  parsePrefix,
  type Prefix,
} from "./address.ts";
import {
  ConfigError,
  MAX_BUCKETS_LOG2,
  MAX_INTERFACE_NAME_BYTES,
  MAX_NEW_LEN,
  MAX_TIMEOUT_SECONDS,
  MAX_WEIGHT,
  type Mode,
  MODES,
  type Protocol,
  PROTOCOLS,
  VIP_TYPES,
  type VipType,
} from "./model.ts";

/** Addresses no packet of ours may be sent to or from, and what to call them (RFC 6890). */
const UNUSABLE: readonly [Prefix, string][] = ([
  ["0.0.0.0/32", "the unspecified address"],
  ["127.0.0.0/8", "loopback"],
  ["224.0.0.0/4", "multicast"],
  ["255.255.255.255/32", "broadcast"],
  ["::/128", "the unspecified address"],
  ["::1/128", "loopback"],
  ["ff00::/8", "multicast"],
] as const).map(([text, name]) => [parsePrefix(text)!, name]);

function unusableName(prefix: Prefix): string | null {
  for (let i = 0; i < UNUSABLE.length; i++) if (contains(UNUSABLE[i][0], prefix)) return UNUSABLE[i][1];
  return null;
}

/** First octets of IPv4 addresses some of which are unusable: all others need no closer look. */
const SUSPECT_OCTETS = new Uint8Array(256);
for (const [{ family, bytes, length }] of UNUSABLE) {
  const first = bytes[MAPPED_BYTES];
  if (family === 4) SUSPECT_OCTETS.fill(1, first, first + (1 << Math.max(0, 8 - length)));
}

/** Whether `text` is the canonical text of an IPv4 address that can be used: mostly it is, and then there is no more to find out. */
function isPlainIp4(text: string): boolean {
  const address = parseIp4(text);
  return address >= 0 && SUSPECT_OCTETS[address >>> 24] === 0;
}

/** fe80::/10 means nothing without an interface. */
const LINK_LOCAL = parsePrefix("fe80::/10")!;

/** A prefix in canonical text with its family; an address alone is a host prefix. */
export function checkPrefix(what: string, text: string): { text: string; family: Family; length: number } {
  const host = text.endsWith("/32") ? text.slice(0, -3) : text;
  if (isPlainIp4(host)) return { text: host === text ? `${host}/32` : text, family: 4, length: 32 };
  const prefix = parsePrefix(text);
  if (!prefix) {
    throw new ConfigError(
      what,
      text,
      "give an address or a prefix such as 10.0.0.1, 10.1.0.0/16 or 2001:db8::/64",
    );
  }
  if (hasHostBits(prefix)) {
    const network = formatPrefix(networkOf(prefix));
    const host = formatAddress(prefix.bytes);
    throw new ConfigError(
      what,
      text,
      `has host bits set: write ${network} for the network or ${host} for the host`,
    );
  }
  const unusable = unusableName(prefix);
  if (unusable) throw new ConfigError(what, text, `is ${unusable}: give a unicast address or prefix`);
  return { text: formatPrefix(prefix), family: prefix.family, length: prefix.length };
}

/** A prefix of clients' addresses, of one family, in canonical text; "0.0.0.0/0" is everyone. */
export function checkSourcePrefix(what: string, text: string, family: Family): string {
  const prefix = parsePrefix(text);
  if (!prefix || prefix.family !== family) {
    throw new ConfigError(
      what,
      text,
      `give an IPv${family} address or prefix: clients of this VIP are IPv${family}`,
    );
  }
  if (hasHostBits(prefix)) {
    throw new ConfigError(what, text, `has host bits set: write ${formatPrefix(networkOf(prefix))}`);
  }
  return formatPrefix(prefix);
}

/** A unicast address in canonical text with its family. */
export function checkAddress(what: string, text: string): { text: string; family: Family } {
  if (isPlainIp4(text)) return { text, family: 4 };
  const address = parseAddress(text);
  if (!address) throw new ConfigError(what, text, "give an address such as 10.0.1.2 or 2001:db8::2");
  const { family, bytes } = address;
  const host: Prefix = { family, bytes, length: family === 4 ? 32 : 128 };
  const unusable = unusableName(host);
  if (unusable) throw new ConfigError(what, text, `is ${unusable}: give a unicast address`);
  if (contains(LINK_LOCAL, host)) throw new ConfigError(what, text, "is link-local: give a routable address");
  return { text: formatAddress(bytes), family };
}

/** A unicast address of one family, in canonical text. */
export function checkAddressOf(what: string, text: string, family: Family): string {
  const address = checkAddress(what, text);
  if (address.family !== family) throw new ConfigError(what, text, `give an IPv${family} address`);
  return address.text;
}

/** An IPv6 prefix of length 96, canonical: what carries an IPv4 address in its last 32 bits (RFC 6052 §2.2). */
export function checkNat46Prefix(text: string): string {
  const prefix = checkPrefix("nat46-prefix", text);
  if (prefix.family !== 6 || prefix.length !== 96) {
    throw new ConfigError("nat46-prefix", text, "give an IPv6 prefix of length 96 such as 64:ff9b:1::/96");
  }
  return prefix.text;
}

/** A whole number from `low` to `high`. */
export function checkRange(what: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new ConfigError(what, String(value), `give a number from ${low} to ${high}`);
  }
  return value;
}

export const checkPort = (what: string, value: number): number => checkRange(what, value, 1, 65535);
export const checkWeight = (value: number): number => checkRange("weight", value, 0, MAX_WEIGHT);
export const checkTimeout = (what: string, value: number): number =>
  checkRange(what, value, 1, MAX_TIMEOUT_SECONDS);

/** A power of two from `low` to `high`; the error offers the ones beside `value`. */
export function checkPowerOfTwo(what: string, value: number, low: number, high: number): number {
  const ok = Number.isInteger(value) && value >= low && value <= high && (value & (value - 1)) === 0;
  if (ok) return value;
  const below = 2 ** Math.floor(Math.log2(Math.min(Math.max(value || low, low), high)));
  const above = Math.min(below * 2, high);
  const near = value > below && value < above ? `, ${below} or ${above} for example` : "";
  throw new ConfigError(what, String(value), `give a power of two from ${low} to ${high}${near}`);
}

export const checkBuckets = (value: number): number =>
  checkPowerOfTwo("buckets", value, 1, 1 << MAX_BUCKETS_LOG2);
export const checkNewLen = (value: number): number => checkPowerOfTwo("new_len", value, 2, MAX_NEW_LEN);

/** One of `words`, typed. */
export function checkWord<W extends string>(what: string, value: string, words: readonly W[]): W {
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) {
    const list = `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
    throw new ConfigError(what, value, `use ${list}`);
  }
  return word;
}

export const checkProtocol = (value: string, what = "protocol"): Protocol =>
  checkWord(what, value, PROTOCOLS);
export const checkMode = (value: string, what = "mode"): Mode => checkWord(what, value, MODES);

/** Names of ku's own pair, which is no interface to attach. */
const OWN_INTERFACES = ["ku0", "ku1"];

/** A name the kernel could have given (`dev_valid_name()`, net/core/dev.c), not one of ku's own. */
export function checkInterfaceName(name: string): string {
  const bytes = new TextEncoder().encode(name).length;
  // Blanks, '/' and ':' as the kernel, control characters because no message should carry them.
  const valid = bytes > 0 && bytes <= MAX_INTERFACE_NAME_BYTES && name !== "." && name !== ".." &&
    !/[\s/:\p{C}]/u.test(name);
  if (!valid) {
    throw new ConfigError("interface", name, `give a name of 1 to ${MAX_INTERFACE_NAME_BYTES} characters`);
  }
  if (OWN_INTERFACES.includes(name)) {
    throw new ConfigError("interface", name, "is ku's own: attach the node's uplink or a pod's veth");
  }
  return name;
}

/** "127.0.0.1:9753" or "[::]:9753" taken apart; the unspecified address means every one of the node. */
export function checkListenAddress(what: string, text: string): { hostname: string; port: number } {
  const [, v6, v4, digits] = /^(?:\[([^\]]*)\]|([^:]*)):([1-9]\d{0,4})$/.exec(text) ?? [];
  const address = parseAddress(v6 ?? v4 ?? "");
  if (!address || (address.family === 6) !== (v6 !== undefined) || Number(digits) > 65535) {
    throw new ConfigError(what, text, "give an address and port such as 127.0.0.1:9753 or [::]:9753");
  }
  return { hostname: formatAddress(address.bytes), port: Number(digits) };
}

/** The family of a VIP's pods: the second digit of its type. */
export function podFamily(type: VipType): Family {
  return type === "nat44" || type === "nat64" ? 4 : 6;
}

/**
 * The type of a VIP of `family`, absent: its own family. `nat4` and `nat6` name the family of the pods, as
 * in VPP: nat6 on an IPv4 VIP is nat46.
 */
export function checkType(word: string | undefined, family: Family): VipType {
  if (word === undefined) return family === 4 ? "nat44" : "nat66";
  if (word === "nat4") return family === 4 ? "nat44" : "nat64";
  if (word === "nat6") return family === 4 ? "nat46" : "nat66";
  const type = checkWord("type", word, VIP_TYPES);
  if (type[3] !== String(family)) {
    throw new ConfigError(
      "type",
      word,
      `use ${family === 4 ? "nat44 or nat46" : "nat66 or nat64"} on an IPv${family} VIP`,
    );
  }
  return type;
}
