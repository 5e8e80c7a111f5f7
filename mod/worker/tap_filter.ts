/**
 * Which packets a tap keeps: those sent to one of these addresses, and those that leave from one.
 *
 * Rule: whatever cannot be told apart here (a fragment without its ports, an extension header) is kept; whoever reads the tap looks closer.
 * So a busy node's other traffic takes no room in the ring, and nothing that was asked for is missed.
 *
 * @module
 */

import * as ethernet from "../wire/ethernet.ts";
import * as ip4 from "../wire/ipv4.ts";
import * as ip6 from "../wire/ipv6.ts";
import { IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../wire/protocol.ts";

/** Addresses with the same first `bits` as `network` (16 bytes, IPv4 mapped into IPv6), and a port or null for every one. */
export interface TapRange {
  network: Uint8Array;
  bits: number;
  port: number | null;
}

/** RFC 4291 §2.5.5.2: where the IPv4 address begins in its 16 bytes. */
const MAPPED_BYTES = 12;
const address = new Uint8Array(16);

/** Whether the frame's destination (`destination` true) or source is in one of the ranges, or might be. */
export function concerns(
  ranges: readonly TapRange[],
  frames: DataView,
  at: number,
  length: number,
  destination: boolean,
): boolean {
  if (length < ethernet.ETHERNET_HEADER_BYTES + ethernet.VLAN_TAG_BYTES) return false;
  let type = ethernet.etherType(frames, at);
  let l3 = at + ethernet.ETHERNET_HEADER_BYTES;
  if (type === ethernet.ETHERTYPE_VLAN || type === ethernet.ETHERTYPE_QINQ) {
    type = ethernet.vlanInnerType(frames, at);
    l3 += ethernet.VLAN_TAG_BYTES;
  }
  const end = at + length;
  let l4: number;
  let protocol: number;
  let whole = true;
  if (type === ethernet.ETHERTYPE_IPV4 && l3 + ip4.IPV4_HEADER_BYTES <= end) {
    address.fill(0, 0, 10).fill(0xff, 10, MAPPED_BYTES);
    copy(frames, l3 + (destination ? ip4.IPV4_DST : ip4.IPV4_SRC), MAPPED_BYTES, 4);
    l4 = l3 + 4 * (frames.getUint8(l3 + ip4.IPV4_VERSION_IHL) & 0xf);
    protocol = frames.getUint8(l3 + ip4.IPV4_PROTOCOL);
    whole = ip4.ipv4FragmentOffset(frames, l3) === 0;
  } else if (type === ethernet.ETHERTYPE_IPV6 && l3 + ip6.IPV6_HEADER_BYTES <= end) {
    copy(frames, l3 + (destination ? ip6.IPV6_DST : ip6.IPV6_SRC), 0, 16);
    l4 = l3 + ip6.IPV6_HEADER_BYTES;
    protocol = frames.getUint8(l3 + ip6.IPV6_NEXT_HEADER);
  } else {
    return false;
  }
  const plain = whole && l4 + 4 <= end &&
    (protocol === IP_PROTOCOL_TCP || protocol === IP_PROTOCOL_UDP || protocol === IP_PROTOCOL_SCTP);
  // RFC 9293 §3.1, 768, 9260 §3.1: source port, then destination port, at the same place in all three.
  const port = plain ? frames.getUint16(destination ? l4 + 2 : l4) : null;
  return ranges.some((range) =>
    (range.port === null || port === null || port === range.port) && isInside(range)
  );
}

function copy(frames: DataView, from: number, to: number, count: number): void {
  for (let i = 0; i < count; i++) address[to + i] = frames.getUint8(from + i);
}

function isInside({ network, bits }: TapRange): boolean {
  const whole = bits >>> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== network[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((address[whole] ^ network[whole]) & (0xff << (8 - rest))) === 0;
}
