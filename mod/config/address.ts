/**
 * IP addresses and prefixes as text and as bytes. One form inside: 16 bytes in network order, IPv4 as
 * ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), so that tables need one key; one form outside: dotted decimal and
 * RFC 5952 text.
 *
 * Rule: strict. What one program reads as decimal and another as octal (`010.0.0.1`), short forms
 * (`10.1`), zones and blanks are refused, because a VIP that means something else than its author thought
 * takes somebody's traffic. ipaddr.js, the widely used library, takes all of these (and `::1.2.3.04` for
 * a mapped address); fencing it in would take as much code as this file.
 *
 * References: RFC 4291 §2.2 (text), RFC 5952 §4 (canonical text), RFC 6943 §3.1.1 (why strict).
 */

export type Family = 4 | 6;

/** An address: its 16 bytes (IPv4 mapped) and the family its text had. */
export interface Address {
  family: Family;
  bytes: Uint8Array;
}

/** A prefix without host bits. `length` counts in its own family (0–32 or 0–128). */
export interface Prefix extends Address {
  length: number;
}

/** Where the IPv4 address begins inside the mapped form. */
export const MAPPED_BYTES = 12;
/** Bits that a mapped IPv4 prefix is longer in the 16-byte form. */
export const MAPPED_BITS = 96;

const [DOT, DIGIT_0, DIGIT_9] = [0x2e, 0x30, 0x39];
const IPV6_GROUP = /^[0-9a-f]{1,4}$/i;
const PREFIX_LENGTH = /^(?:0|[1-9]\d{0,2})$/;

/** The address that `text` says, or null. An IPv4-mapped IPv6 address is refused: it would be two things. */
export function parseAddress(text: string): Address | null {
  if (!text.includes(":")) {
    const bytes = mappedFrom(text);
    return bytes && { family: 4, bytes };
  }
  const bytes = parseGroups(text);
  return bytes && !isMapped(bytes) ? { family: 6, bytes } : null;
}

/**
 * The prefix that `text` says, or null; an address alone is a prefix of full length. Host bits are left
 * in `bytes` for the caller to judge by `hasHostBits`.
 */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return null;
  const { family, bytes } = address;
  const longest = family === 4 ? 32 : 128;
  if (slash < 0) return { family, bytes, length: longest };
  const digits = text.slice(slash + 1);
  if (!PREFIX_LENGTH.test(digits) || Number(digits) > longest) return null;
  return { family, bytes, length: Number(digits) };
}

/** Canonical text of 16 bytes: dotted decimal for the mapped form, else RFC 5952. */
export function formatAddress(bytes: Uint8Array): string {
  if (!isMapped(bytes)) return formatGroups(bytes);
  return `${bytes[MAPPED_BYTES]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
}

/** Canonical text with the length always shown, as VPP does: "10.0.0.1/32", "2001:db8::/64". */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.bytes)}/${prefix.length}`;
}

/** Length of the prefix in the 16-byte form: 0–128, IPv4 + 96. */
export function mappedLength(prefix: Prefix): number {
  return prefix.family === 4 ? prefix.length + MAPPED_BITS : prefix.length;
}

/** Whether bits beyond the prefix length are set. */
export function hasHostBits(prefix: Prefix): boolean {
  const length = mappedLength(prefix);
  return length < 128 && !agree(prefix.bytes, ZEROS, length, 128);
}

/** Whether bits `from` (included) to `to` (excluded) of two addresses in 16 bytes are the same. */
function agree(a: Uint8Array, b: Uint8Array, from: number, to: number): boolean {
  for (let index = from >>> 3; index << 3 < to; index++) {
    const first = Math.max(from - index * 8, 0);
    const kept = Math.min(to - index * 8, 8);
    const mask = (0xff >>> first) & (0xff << (8 - kept));
    if (((a[index] ^ b[index]) & mask) !== 0) return false;
  }
  return true;
}

const ZEROS = new Uint8Array(16);

/** The same prefix with its host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const length = mappedLength(prefix);
  const bytes = prefix.bytes.map((byte, index) => {
    const kept = Math.min(Math.max(length - index * 8, 0), 8);
    return byte & (0xff << (8 - kept));
  });
  return { ...prefix, bytes };
}

/** Whether every address of `inner` lies in `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  return outer.family === inner.family && inner.length >= outer.length &&
    agree(inner.bytes, outer.bytes, 0, mappedLength(outer));
}

/** Whether 16 bytes are in ::ffff:0:0/96. */
export function isMapped(bytes: Uint8Array): boolean {
  for (let index = 0; index < 10; index++) if (bytes[index] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** The 16-byte form of an address in 4 bytes (mapped) or 16 (as it is). */
export function to16Bytes(address: Uint8Array): Uint8Array {
  return address.length === 16 ? address : mapped(address);
}

/** Memory for addresses, of which there are 50,000 in a large configuration: an array with memory of its own takes four times as long. */
let room = new Uint8Array(4096);
let roomAt = 0;

/** 16 zero bytes, nobody else's. */
function zeroBytes(): Uint8Array {
  if (roomAt === room.length) {
    room = new Uint8Array(room.length);
    roomAt = 0;
  }
  roomAt += 16;
  return room.subarray(roomAt - 16, roomAt);
}

/** 16 bytes of the mapped form from four octets. */
function mapped(octets: ArrayLike<number>): Uint8Array {
  const bytes = zeroBytes();
  bytes[10] = bytes[11] = 0xff;
  bytes.set(octets, MAPPED_BYTES);
  return bytes;
}

/**
 * The IPv4 address that dotted decimal text says, 0 … 2^32 - 1, or -1. There is one such text for each address, the canonical one. Sign by
 * sign, and as a number: a configuration has a hundred thousand of them.
 */
export function parseIp4(text: string): number {
  let address = 0;
  let octets = 0;
  let octet = -1; // no digit yet
  for (let i = 0; i <= text.length; i++) {
    const sign = i < text.length ? text.charCodeAt(i) : DOT;
    if (sign === DOT) {
      if (octet < 0 || ++octets > 4) return -1;
      address = address << 8 | octet;
      octet = -1;
    } else {
      if (sign < DIGIT_0 || sign > DIGIT_9 || octet === 0) return -1; // 0 has no digit after it
      octet = (octet < 0 ? 0 : 10 * octet) + sign - DIGIT_0;
      if (octet > 255) return -1;
    }
  }
  return octets === 4 ? address >>> 0 : -1;
}

/** The 16 bytes of the mapped form from dotted decimal text, or null. */
function mappedFrom(text: string): Uint8Array | null {
  const address = parseIp4(text);
  if (address < 0) return null;
  const bytes = zeroBytes();
  bytes[10] = bytes[11] = 0xff;
  bytes[12] = address >>> 24;
  bytes[13] = address >>> 16;
  bytes[14] = address >>> 8;
  bytes[15] = address;
  return bytes;
}

/** The 16 bytes of IPv6 text, or null. `::` stands for one group or more (RFC 4291 §2.2). */
function parseGroups(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const head = groupsOf(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1], true) : [];
  if (!head || !tail) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const bytes = zeroBytes();
  [...head, ...new Array<number>(missing).fill(0), ...tail].forEach((group, index) => {
    bytes[index * 2] = group >>> 8;
    bytes[index * 2 + 1] = group & 0xff;
  });
  return bytes;
}

/** Sixteen-bit groups of text without `::`; the last may be dotted decimal when `atEnd`. Null: malformed. */
function groupsOf(text: string, atEnd: boolean): number[] | null {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index];
    if (IPV6_GROUP.test(part)) {
      groups.push(parseInt(part, 16));
      continue;
    }
    const bytes = atEnd && index === parts.length - 1 ? mappedFrom(part) : null;
    if (!bytes) return null;
    groups.push(bytes[12] << 8 | bytes[13], bytes[14] << 8 | bytes[15]);
  }
  return groups;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups (the first) as `::`. */
function formatGroups(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) groups.push(bytes[index] << 8 | bytes[index + 1]);
  let runAt = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > runLength) {
      runAt = start;
      runLength = end - start;
    }
    if (end > start) start = end;
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  return runAt < 0
    ? text(groups)
    : `${text(groups.slice(0, runAt))}::${text(groups.slice(runAt + runLength))}`;
}
