/**
 * A packet that nobody sent: the first of a connection, or one in the middle of it, for `ku explain`.
 *
 * @module
 */

import type { Address } from "../config/address.ts";
import { MAPPED_BYTES } from "../config/address.ts";
import { checksumOf, pseudoHeaderSum4, pseudoHeaderSum6, sumBytes } from "../wire/checksum.ts";
import {
  ETHERNET_DST,
  ETHERNET_HEADER_BYTES,
  ETHERNET_TYPE,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
} from "../wire/ethernet.ts";
import { setIpv4Checksum } from "../wire/ipv4.ts";
import * as ip4 from "../wire/ipv4.ts";
import * as ip6 from "../wire/ipv6.ts";
import { IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../wire/protocol.ts";
import { SCTP_HEADER_BYTES } from "../wire/sctp.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";

export interface Probe {
  source: Address;
  destination: Address;
  protocol: number;
  sourcePort: number;
  destinationPort: number;
  tcpFlags: number;
  /** Of the interface it comes in by. */
  mac: Uint8Array;
}

const TTL = 64;
/** A locally administered address, of nobody. */
const SENDER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);

/** Writes the frame at byte `at` of `frames`; its length. The transport's checksums are right, SCTP's apart (it is never looked at). */
export function writeProbe(frames: Uint8Array, at: number, probe: Probe): number {
  const view = new DataView(frames.buffer, frames.byteOffset, frames.length);
  frames.fill(0, at, at + 128);
  frames.set(probe.mac, at + ETHERNET_DST);
  frames.set(SENDER_MAC, at + 6);
  const l3 = at + ETHERNET_HEADER_BYTES;
  const four = probe.destination.family === 4;
  const l4 = l3 + (four ? ip4.IPV4_HEADER_BYTES : ip6.IPV6_HEADER_BYTES);
  const bytes = transportBytes(probe.protocol);
  view.setUint16(at + ETHERNET_TYPE, four ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  if (four) writeIpv4(view, frames, l3, probe, bytes);
  else writeIpv6(view, frames, l3, probe, bytes);
  view.setUint16(l4, probe.sourcePort);
  view.setUint16(l4 + 2, probe.destinationPort);
  if (probe.protocol === IP_PROTOCOL_TCP) {
    view.setUint8(l4 + tcp.TCP_DATA_OFFSET, (tcp.TCP_HEADER_BYTES / 4) << 4);
    view.setUint8(l4 + tcp.TCP_FLAGS, probe.tcpFlags);
    view.setUint16(l4 + tcp.TCP_WINDOW, 0xffff);
  } else if (probe.protocol === IP_PROTOCOL_UDP) {
    view.setUint16(l4 + udp.UDP_LENGTH, bytes);
  }
  const checksumAt = probe.protocol === IP_PROTOCOL_TCP
    ? tcp.TCP_CHECKSUM
    : probe.protocol === IP_PROTOCOL_UDP
    ? udp.UDP_CHECKSUM
    : -1;
  if (checksumAt >= 0) {
    const pseudo = (four ? pseudoHeaderSum4 : pseudoHeaderSum6)(view, l3, probe.protocol, bytes);
    view.setUint16(l4 + checksumAt, checksumOf(sumBytes(view, l4, bytes, pseudo)));
  }
  return l4 + bytes - at;
}

function transportBytes(protocol: number): number {
  if (protocol === IP_PROTOCOL_TCP) return tcp.TCP_HEADER_BYTES;
  if (protocol === IP_PROTOCOL_UDP) return udp.UDP_HEADER_BYTES;
  return SCTP_HEADER_BYTES;
}

function writeIpv4(view: DataView, frames: Uint8Array, l3: number, probe: Probe, bytes: number): void {
  view.setUint8(l3 + ip4.IPV4_VERSION_IHL, 0x45);
  view.setUint16(l3 + ip4.IPV4_TOTAL_LENGTH, ip4.IPV4_HEADER_BYTES + bytes);
  view.setUint16(l3 + ip4.IPV4_FRAGMENT, ip4.IPV4_DONT_FRAGMENT);
  view.setUint8(l3 + ip4.IPV4_TTL, TTL);
  view.setUint8(l3 + ip4.IPV4_PROTOCOL, probe.protocol);
  frames.set(probe.source.bytes.subarray(MAPPED_BYTES), l3 + ip4.IPV4_SRC);
  frames.set(probe.destination.bytes.subarray(MAPPED_BYTES), l3 + ip4.IPV4_DST);
  setIpv4Checksum(view, l3, ip4.ipv4HeaderChecksum(view, l3, ip4.IPV4_HEADER_BYTES));
}

function writeIpv6(view: DataView, frames: Uint8Array, l3: number, probe: Probe, bytes: number): void {
  view.setUint32(l3 + ip6.IPV6_VERSION_CLASS_FLOW, 0x60000000);
  view.setUint16(l3 + ip6.IPV6_PAYLOAD_LENGTH, bytes);
  view.setUint8(l3 + ip6.IPV6_NEXT_HEADER, probe.protocol);
  view.setUint8(l3 + ip6.IPV6_HOP_LIMIT, TTL);
  frames.set(probe.source.bytes, l3 + ip6.IPV6_SRC);
  frames.set(probe.destination.bytes, l3 + ip6.IPV6_DST);
}
