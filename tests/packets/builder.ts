/**
 * Packets for tests: Ethernet, 802.1Q, IPv4 with options, IPv6 with extension headers, TCP, UDP, ICMP, ICMPv6, SCTP, ARP as bytes.
 *
 *   buildFrame({ src: "10.0.0.9", dst: "10.96.0.1" }, udp({ srcPort: 1234, dstPort: 53, payload: text("hi") }))
 *   buildFrame({ src: "2001:db8::9", dst: "2001:db8:1::1", extensions: [hopByHop()] }, tcp({ flags: TCP_SYN, checksum: "half" }))
 *
 * Rule: shares no arithmetic with mod/wire. Checksums are computed the slow way, byte by byte, so that builder and datapath cannot
 * be wrong together. Checksums are right, unless asked for otherwise.
 *
 * References: RFC 791, 8200, 9293, 768, 792, 4443, 9260, 826; half-done checksums: CHECKSUM_PARTIAL, include/linux/skbuff.h.
 */

/** right; half = folded pseudo-header sum, not complemented, as a sender that offloads leaves it; wrong; none = 0. */
export type Checksum = "right" | "half" | "wrong" | "none";

/** What goes behind an IP header: bytes with a hole for the checksum. */
export interface Segment {
  protocol: number;
  bytes: Uint8Array;
  /** Where the checksum goes; -1 = there is none. */
  checksumAt: number;
  /** internet = with pseudo-header, message = without (ICMP), crc32c = SCTP. */
  sum: "internet" | "message" | "crc32c";
  checksum: Checksum;
}

export interface EthernetFields {
  /** 6 bytes each. */
  dst?: Uint8Array;
  src?: Uint8Array;
  /** Tag control information; present = tagged. */
  vlan?: number;
}

/** An IPv6 extension header: kind, and the bytes behind "next header" (so 7 + 8n of them). */
export interface Extension {
  kind: number;
  rest: Uint8Array;
}

export interface IpFields {
  /** Text; both IPv4 or both IPv6. */
  src: string;
  dst: string;
  /** TTL or hop limit. */
  ttl?: number;
  /** TOS or traffic class. */
  tos?: number;
  // IPv4
  id?: number;
  dontFragment?: boolean;
  moreFragments?: boolean;
  /** Bytes, a multiple of 8. */
  fragmentOffset?: number;
  /** Padded with zeros to a multiple of 4, at most 40. */
  options?: Uint8Array;
  headerChecksum?: "right" | "wrong";
  // IPv6
  flowLabel?: number;
  extensions?: Extension[];
}

export const DEFAULT_DST_MAC = Uint8Array.of(0x02, 0, 0, 0, 0, 0x01);
export const DEFAULT_SRC_MAC = Uint8Array.of(0x02, 0, 0, 0, 0, 0x02);

/** Bytes of an address in text: 4 or 16 (which may end in dotted decimal). */
export function ipBytes(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split(".").map(Number));
  const [head, tail] = text.split("::");
  const left = ip6Part(head);
  if (tail === undefined) return Uint8Array.from(left);
  const right = ip6Part(tail);
  return Uint8Array.from([...left, ...new Array<number>(16 - left.length - right.length).fill(0), ...right]);
}

function ip6Part(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((word) => {
    if (word.includes(".")) return word.split(".").map(Number);
    const value = parseInt(word, 16);
    return [value >>> 8, value & 0xff];
  });
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** `length` bytes that differ from their neighbors, so that shifted copies are noticed. */
export function pattern(length: number, start = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (start + 31 * i + (i >>> 8)) & 0xff);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One's complement sum of big-endian words, folded after every addition; an odd last byte is a high byte. */
export function slowSum(bytes: Uint8Array, sum = 0): number {
  for (let i = 0; i < bytes.length; i++) {
    sum += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
    while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  }
  return sum;
}

export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Pseudo-header as bytes: IPv4's for addresses of 4 bytes, IPv6's for 16. */
export function pseudoHeader(src: Uint8Array, dst: Uint8Array, protocol: number, length: number): Uint8Array {
  if (src.length === 4) return concat(src, dst, Uint8Array.of(0, protocol, length >>> 8, length & 0xff));
  return concat(src, dst, Uint8Array.of(0, 0, length >>> 8, length & 0xff, 0, 0, 0, protocol));
}

function u16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value & 0xff;
}

function u32(bytes: Uint8Array, at: number, value: number): void {
  u16(bytes, at, value >>> 16);
  u16(bytes, at + 2, value & 0xffff);
}

export interface UdpFields {
  srcPort?: number;
  dstPort?: number;
  payload?: Uint8Array;
  checksum?: Checksum;
  /** Overrides the length field. */
  length?: number;
}

export function udp(
  { srcPort = 40000, dstPort = 53, payload = text("ku"), checksum = "right", length }: UdpFields,
): Segment {
  const bytes = concat(new Uint8Array(8), payload);
  u16(bytes, 0, srcPort);
  u16(bytes, 2, dstPort);
  u16(bytes, 4, length ?? bytes.length);
  return { protocol: 17, bytes, checksumAt: 6, sum: "internet", checksum };
}

export interface TcpFields {
  srcPort?: number;
  dstPort?: number;
  sequence?: number;
  acknowledgment?: number;
  flags?: number;
  window?: number;
  /** Padded with zeros to a multiple of 4, at most 40. */
  options?: Uint8Array;
  payload?: Uint8Array;
  checksum?: Checksum;
}

export function tcp(fields: TcpFields): Segment {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const bytes = concat(new Uint8Array(20), options, fields.payload ?? new Uint8Array(0));
  u16(bytes, 0, fields.srcPort ?? 40000);
  u16(bytes, 2, fields.dstPort ?? 80);
  u32(bytes, 4, fields.sequence ?? 0x01020304);
  u32(bytes, 8, fields.acknowledgment ?? 0);
  bytes[12] = ((20 + options.length) / 4) << 4;
  bytes[13] = fields.flags ?? 0x10;
  u16(bytes, 14, fields.window ?? 0xfaf0);
  return { protocol: 6, bytes, checksumAt: 16, sum: "internet", checksum: fields.checksum ?? "right" };
}

export interface SctpFields {
  srcPort?: number;
  dstPort?: number;
  tag?: number;
  /** Chunks as they are; default one INIT. */
  chunks?: Uint8Array;
  checksum?: Checksum;
}

export function sctp(fields: SctpFields): Segment {
  const chunks = fields.chunks ?? Uint8Array.of(1, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0, 0, 0, 1, 0, 1, 5, 6, 7, 8);
  const bytes = concat(new Uint8Array(12), chunks);
  u16(bytes, 0, fields.srcPort ?? 40000);
  u16(bytes, 2, fields.dstPort ?? 3868);
  u32(bytes, 4, fields.tag ?? 0);
  return { protocol: 132, bytes, checksumAt: 8, sum: "crc32c", checksum: fields.checksum ?? "right" };
}

export interface IcmpFields {
  type: number;
  code?: number;
  /** The four bytes behind the checksum: id and sequence, MTU, … */
  rest?: number;
  /** Echo data or the quoted packet. */
  payload?: Uint8Array;
  checksum?: Checksum;
}

export function icmp(fields: IcmpFields): Segment {
  return { ...icmpMessage(fields), protocol: 1, sum: "message" };
}

export function icmpv6(fields: IcmpFields): Segment {
  return { ...icmpMessage(fields), protocol: 58, sum: "internet" };
}

function icmpMessage(
  { type, code = 0, rest = 0, payload = new Uint8Array(0), checksum = "right" }: IcmpFields,
) {
  const bytes = concat(new Uint8Array(8), payload);
  bytes[0] = type;
  bytes[1] = code;
  u32(bytes, 4, rest);
  return { bytes, checksumAt: 2, checksum };
}

/** Any protocol without a checksum ku knows of. */
export function raw(protocol: number, bytes: Uint8Array): Segment {
  return { protocol, bytes, checksumAt: -1, sum: "message", checksum: "none" };
}

export function hopByHop(bytes = 8): Extension {
  return { kind: 0, rest: optionsOf(bytes) };
}

export function destinationOptions(bytes = 8): Extension {
  return { kind: 60, rest: optionsOf(bytes) };
}

/** A routing header of an unused type with no segments left. */
export function routing(bytes = 8): Extension {
  const rest = new Uint8Array(bytes - 1);
  rest[0] = bytes / 8 - 1;
  rest[1] = 253; // RFC 4727: for experiments
  return { kind: 43, rest };
}

/** `offset` in bytes, a multiple of 8. */
export function fragmentHeader(offset: number, more: boolean, id: number): Extension {
  const rest = new Uint8Array(7);
  u16(rest, 1, offset | (more ? 1 : 0));
  u32(rest, 3, id);
  return { kind: 44, rest };
}

/** An authentication header with an ICV of 12 bytes. */
export function authentication(): Extension {
  const rest = pattern(23);
  rest[0] = 4; // 24 bytes / 4 - 2
  return { kind: 51, rest };
}

function optionsOf(bytes: number): Uint8Array {
  const rest = new Uint8Array(bytes - 1);
  rest[0] = bytes / 8 - 1;
  rest[1] = 1; // PadN
  rest[2] = bytes - 4;
  return rest;
}

function padded(bytes: Uint8Array, unit: number): Uint8Array {
  return concat(bytes, new Uint8Array((unit - bytes.length % unit) % unit));
}

/** The segment's bytes with the checksum that was asked for. */
function completed(segment: Segment, src: Uint8Array, dst: Uint8Array): Uint8Array {
  const { bytes, checksumAt, sum, checksum, protocol } = segment;
  const out = bytes.slice();
  if (checksumAt < 0 || checksum === "none") return out;
  if (sum === "crc32c") {
    const crc = checksum === "half" ? 0 : slowCrc32c(out) ^ (checksum === "wrong" ? 0x5a5a5a5a : 0);
    new DataView(out.buffer).setUint32(checksumAt, crc >>> 0, true);
    return out;
  }
  const pseudo = sum === "internet" ? slowSum(pseudoHeader(src, dst, protocol, out.length)) : 0;
  let value = checksum === "half" ? pseudo : ~slowSum(out, pseudo) & 0xffff;
  if (protocol === 17 && checksum === "right" && value === 0) value = 0xffff;
  if (checksum === "wrong") value = (value ^ 0x1234) || 0x4321; // never 0: that would mean "none" to UDP
  u16(out, checksumAt, value);
  return out;
}

/** An IP packet, of the family of its addresses. */
export function buildPacket(ip: IpFields, segment: Segment): Uint8Array {
  const src = ipBytes(ip.src);
  const dst = ipBytes(ip.dst);
  if (src.length !== dst.length) throw new TypeError(`addresses of two families: ${ip.src}, ${ip.dst}`);
  const payload = completed(segment, src, dst);
  return src.length === 4
    ? ipv4Packet(ip, src, dst, segment.protocol, payload)
    : ipv6Packet(ip, src, dst, segment.protocol, payload);
}

function ipv4Packet(
  ip: IpFields,
  src: Uint8Array,
  dst: Uint8Array,
  protocol: number,
  payload: Uint8Array,
): Uint8Array {
  const options = padded(ip.options ?? new Uint8Array(0), 4);
  const header = concat(new Uint8Array(12), src, dst, options);
  header[0] = 0x40 | (header.length / 4);
  header[1] = ip.tos ?? 0;
  u16(header, 2, header.length + payload.length);
  u16(header, 4, ip.id ?? 0x1234);
  const flags = (ip.dontFragment ? 0x4000 : 0) | (ip.moreFragments ? 0x2000 : 0);
  u16(header, 6, flags | ((ip.fragmentOffset ?? 0) / 8));
  header[8] = ip.ttl ?? 64;
  header[9] = protocol;
  u16(header, 10, (~slowSum(header) & 0xffff) ^ (ip.headerChecksum === "wrong" ? 0x1234 : 0));
  return concat(header, payload);
}

function ipv6Packet(
  ip: IpFields,
  src: Uint8Array,
  dst: Uint8Array,
  protocol: number,
  payload: Uint8Array,
): Uint8Array {
  const extensions = ip.extensions ?? [];
  const chain = extensions.map(({ rest }, i) =>
    concat(Uint8Array.of(extensions[i + 1]?.kind ?? protocol), rest)
  );
  const body = concat(...chain, payload);
  const header = concat(new Uint8Array(8), src, dst);
  u32(header, 0, (0x60000000 | ((ip.tos ?? 0) << 20) | (ip.flowLabel ?? 0)) >>> 0);
  u16(header, 4, body.length);
  header[6] = extensions[0]?.kind ?? protocol;
  header[7] = ip.ttl ?? 64;
  return concat(header, body);
}

/** A frame around any payload. */
export function ethernet(type: number, payload: Uint8Array, fields: EthernetFields = {}): Uint8Array {
  const { dst = DEFAULT_DST_MAC, src = DEFAULT_SRC_MAC, vlan } = fields;
  const tag = vlan === undefined ? [] : [0x81, 0x00, vlan >>> 8, vlan & 0xff];
  return concat(dst, src, Uint8Array.from([...tag, type >>> 8, type & 0xff]), payload);
}

/** A frame with an IP packet. */
export function buildFrame(ip: IpFields, segment: Segment, fields: EthernetFields = {}): Uint8Array {
  return ethernet(ip.src.includes(":") ? 0x86dd : 0x0800, buildPacket(ip, segment), fields);
}

/** An ARP frame: operation 1 asks for `target`, 2 answers. */
export function arp(
  operation: number,
  sender: string,
  target: string,
  fields: EthernetFields = {},
): Uint8Array {
  const body = concat(
    Uint8Array.of(0, 1, 8, 0, 6, 4, 0, operation),
    fields.src ?? DEFAULT_SRC_MAC,
    ipBytes(sender),
    operation === 1 ? new Uint8Array(6) : fields.dst ?? DEFAULT_DST_MAC,
    ipBytes(target),
  );
  return ethernet(0x0806, body, fields);
}

/** The fragments of a whole packet's frame: IP payloads of `payloadBytes` (a multiple of 8), the last one shorter. */
export function fragments(
  ip: IpFields,
  segment: Segment,
  payloadBytes: number,
  fields: EthernetFields = {},
): Uint8Array[] {
  const src = ipBytes(ip.src);
  const whole = completed(segment, src, ipBytes(ip.dst));
  const frames: Uint8Array[] = [];
  for (let offset = 0; offset < whole.length; offset += payloadBytes) {
    const part = raw(segment.protocol, whole.slice(offset, offset + payloadBytes));
    const more = offset + payloadBytes < whole.length;
    const piece: IpFields = src.length === 4 ? { ...ip, fragmentOffset: offset, moreFragments: more } : {
      ...ip,
      extensions: [...(ip.extensions ?? []), fragmentHeader(offset, more, ip.id ?? 0x12345678)],
    };
    frames.push(buildFrame(piece, part, fields));
  }
  return frames;
}
