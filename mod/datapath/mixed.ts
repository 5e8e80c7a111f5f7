/**
 * Sessions between the families. Both tuples of one lie in the IPv6 table, IPv4 addresses as ::ffff:a.b.c.d:
 *
 *              original tuple                     reply tuple
 *     nat46    ::ffff:client → ::ffff:VIP         pod → prefix:client
 *     nat64    client → VIP                       ::ffff:pod → ::ffff:node
 *
 * So an IPv6 packet is looked up as ever, and the tuple that it is to get tells whether it leaves as IPv4; an IPv4 packet is looked up
 * there too, after IPv4's own table. ICMP and ICMPv6 are one protocol to such a session, ICMPv6.
 *
 * Rule: addresses of ::ffff:0:0/96 on the wire belong to nobody (RFC 4291 §2.5.5.2), and find nothing here.
 *
 * References: RFC 6052 §2.2 (the mapping of a /96 prefix), RFC 6146 §3.5 (sessions of a stateful translator).
 *
 * @module
 */

import * as ipv4 from "../wire/ipv4.ts";
import * as protocols from "../wire/protocol.ts";
import type { Context } from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { IPV4_DST, IPV4_SRC } = ipv4;
const { IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } = protocols;

/** Whether the four words at `at` are ::ffff:a.b.c.d. */
export function isMapped(words: Int32Array, at: number): boolean {
  return words[at + 2] === 0xffff && (words[at] | words[at + 1]) === 0;
}

/** The protocol under which a session knows an IPv4 packet; -1: none does (ICMPv6 over IPv4). */
export function mixedProtocol(protocol: number): number {
  if (protocol === IP_PROTOCOL_ICMP) return IP_PROTOCOL_ICMPV6;
  return protocol === IP_PROTOCOL_ICMPV6 ? -1 : protocol;
}

/** The protocol of IPv4 packets that a session of `protocol` translates to. */
export function protocolOf4(protocol: number): number {
  return protocol === IP_PROTOCOL_ICMPV6 ? IP_PROTOCOL_ICMP : protocol;
}

/** Writes an IPv4 tuple into nine words. */
export function loadMapped(key: Int32Array, source: number, destination: number, ports: number): void {
  key[0] =
    key[1] =
    key[4] =
    key[5] =
      0;
  key[2] = key[6] = 0xffff;
  key[3] = source;
  key[7] = destination;
  key[8] = ports;
}

/** Writes the tuple of the parsed IPv4 packet into nine words. */
export function loadPacket4(c: Context, key: Int32Array): void {
  const view = c.view;
  loadMapped(key, view.getInt32(c.l3 + IPV4_SRC), view.getInt32(c.l3 + IPV4_DST), c.ports);
}

/** Writes the IPv6 address of an IPv4 host: the nat46 prefix and its address. */
export function embed(c: Context, words: Int32Array, at: number, address: number): void {
  const prefix = c.tables.settings.nat46Prefix;
  for (let i = 0; i < 3; i++) words[at + i] = prefix[i];
  words[at + 3] = address;
}

/** Whether the IPv6 address at byte `at` of the frame is of the nat46 prefix; its last word is then an IPv4 address. */
export function isEmbedded(c: Context, at: number): boolean {
  const prefix = c.tables.settings.nat46Prefix;
  for (let i = 0; i < 3; i++) {
    if (c.view.getInt32(at + (i << 2)) !== (prefix[i] | 0)) return false;
  }
  return true;
}

/** An identification for an IPv4 packet that has none (RFC 7915 §5.1). */
export function nextIdentification(c: Context): number {
  c.identification = (c.identification + 1) & 0xffff;
  return c.identification;
}
