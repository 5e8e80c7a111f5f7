/**
 * A packet in one line, for people: `10.1.1.2:40000 > 10.96.0.10:80 tcp SYN ttl 64, 60 bytes`.
 *
 * Rule: any bytes give a line; what is cut short is said to be.
 *
 * @module
 */

import { formatAddress, to16Bytes } from "../config/address.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as icmp from "../wire/icmp.ts";
import * as ip4 from "../wire/ipv4.ts";
import * as ip6 from "../wire/ipv6.ts";
import * as protocol from "../wire/protocol.ts";
import * as tcp from "../wire/tcp.ts";

/** What a packet says of itself. Addresses "a.b.c.d" or "v6"; ports null where there are none. */
export interface PacketFacts {
  source: string;
  destination: string;
  protocol: number;
  sourcePort: number | null;
  destinationPort: number | null;
  /** Words such as "SYN" or "echo request". */
  kind: string;
  ttl: number;
  /** Bytes of the IP packet. */
  bytes: number;
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [protocol.IP_PROTOCOL_ICMP]: "icmp",
  [protocol.IP_PROTOCOL_TCP]: "tcp",
  [protocol.IP_PROTOCOL_UDP]: "udp",
  [protocol.IP_PROTOCOL_ICMPV6]: "icmp6",
  [protocol.IP_PROTOCOL_SCTP]: "sctp",
};

const TCP_FLAG_NAMES: readonly [number, string][] = [
  [tcp.TCP_SYN, "SYN"],
  [tcp.TCP_FIN, "FIN"],
  [tcp.TCP_RST, "RST"],
  [tcp.TCP_PSH, "PSH"],
  [tcp.TCP_ACK, "ACK"],
];

const ICMP_NAMES: Readonly<Record<number, string>> = {
  0: "echo reply",
  3: "unreachable",
  8: "echo request",
  11: "time exceeded",
};
const ICMP6_NAMES: Readonly<Record<number, string>> = {
  1: "unreachable",
  2: "packet too big",
  3: "time exceeded",
  128: "echo request",
  129: "echo reply",
};

/** "tcp", "udp", … or the number. */
export function protocolName(number: number): string {
  return PROTOCOL_NAMES[number] ?? String(number);
}

/** The line of an Ethernet frame. */
export function packetText(frame: Uint8Array): string {
  const facts = packetFacts(frame);
  if (facts === null) return `${frame.length} bytes that are no IP packet`;
  const source = endpoint(facts.source, facts.sourcePort);
  const destination = endpoint(facts.destination, facts.destinationPort);
  const words = [
    source,
    ">",
    destination,
    protocolName(facts.protocol),
    facts.kind,
    "ttl",
    String(facts.ttl),
  ];
  return `${words.filter((word) => word !== "").join(" ")}, ${facts.bytes} bytes`;
}

/** "10.0.0.1:80", "[fd00::1]:80", or the address alone. */
export function endpoint(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Null for what is no IP packet, or cut short before its ports. */
export function packetFacts(frame: Uint8Array): PacketFacts | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < ethernet.ETHERNET_HEADER_BYTES + ethernet.VLAN_TAG_BYTES) return null;
  let type = ethernet.etherType(view, 0);
  let at = ethernet.ETHERNET_HEADER_BYTES;
  if (type === ethernet.ETHERTYPE_VLAN || type === ethernet.ETHERTYPE_QINQ) {
    type = ethernet.vlanInnerType(view, 0);
    at += ethernet.VLAN_TAG_BYTES;
  }
  if (type === ethernet.ETHERTYPE_IPV4) return facts4(view, frame, at);
  if (type === ethernet.ETHERTYPE_IPV6) return facts6(view, frame, at);
  return null;
}

function facts4(view: DataView, frame: Uint8Array, at: number): PacketFacts | null {
  if (frame.length < at + ip4.IPV4_HEADER_BYTES) return null;
  const later = ip4.ipv4FragmentOffset(view, at) > 0;
  return {
    source: addressText(frame, at + ip4.IPV4_SRC, 4),
    destination: addressText(frame, at + ip4.IPV4_DST, 4),
    protocol: ip4.ipv4Protocol(view, at),
    ttl: ip4.ipv4Ttl(view, at),
    bytes: ip4.ipv4TotalLength(view, at),
    ...transport(view, ip4.ipv4Protocol(view, at), at + ip4.ipv4HeaderBytes(view, at), later),
  };
}

function facts6(view: DataView, frame: Uint8Array, at: number): PacketFacts | null {
  if (frame.length < at + ip6.IPV6_HEADER_BYTES) return null;
  let next = ip6.ipv6NextHeader(view, at);
  let l4 = at + ip6.IPV6_HEADER_BYTES;
  let later = false;
  while (ip6.ipv6IsExtension(next) && l4 + ip6.IPV6_EXTENSION_MIN_BYTES <= frame.length) {
    if (next === protocol.IP_PROTOCOL_FRAGMENT) later = ip6.ipv6FragmentOffset(view, l4) > 0;
    const bytes = ip6.ipv6ExtensionBytes(view, l4, next);
    next = ip6.ipv6ExtensionNextHeader(view, l4);
    l4 += bytes;
  }
  return {
    source: addressText(frame, at + ip6.IPV6_SRC, 16),
    destination: addressText(frame, at + ip6.IPV6_DST, 16),
    protocol: next,
    ttl: ip6.ipv6HopLimit(view, at),
    bytes: ip6.ipv6PayloadLength(view, at) + ip6.IPV6_HEADER_BYTES,
    ...transport(view, next, l4, later),
  };
}

function addressText(frame: Uint8Array, at: number, length: number): string {
  return formatAddress(to16Bytes(frame.subarray(at, at + length)));
}

type Transport = Pick<PacketFacts, "sourcePort" | "destinationPort" | "kind">;

function transport(view: DataView, number: number, at: number, later: boolean): Transport {
  const none = (kind: string): Transport => ({ sourcePort: null, destinationPort: null, kind });
  if (later) return none("later fragment");
  if (at + 4 > view.byteLength) return none("cut short");
  if (number === protocol.IP_PROTOCOL_ICMP) {
    return none(ICMP_NAMES[icmp.icmpType(view, at)] ?? typeText(view, at));
  }
  if (number === protocol.IP_PROTOCOL_ICMPV6) {
    return none(ICMP6_NAMES[icmp.icmpType(view, at)] ?? typeText(view, at));
  }
  const withPorts = [protocol.IP_PROTOCOL_TCP, protocol.IP_PROTOCOL_UDP, protocol.IP_PROTOCOL_SCTP];
  if (!withPorts.includes(number)) return none("");
  const isTcp = number === protocol.IP_PROTOCOL_TCP && at + tcp.TCP_HEADER_BYTES <= view.byteLength;
  // Source and destination port stand first in all three.
  return {
    sourcePort: tcp.tcpSrcPort(view, at),
    destinationPort: tcp.tcpDstPort(view, at),
    kind: isTcp ? flagText(tcp.tcpFlags(view, at)) : "",
  };
}

function typeText(view: DataView, at: number): string {
  return `type ${icmp.icmpType(view, at)} code ${icmp.icmpCode(view, at)}`;
}

function flagText(flags: number): string {
  return TCP_FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name).join(",") ||
    "no flags";
}
