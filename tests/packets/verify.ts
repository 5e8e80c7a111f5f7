/**
 * Judges a frame from nothing: lengths that agree, and every checksum recomputed the slow way. For tests that must know
 * whether what came out of the datapath is a packet that a receiver accepts.
 *
 * Rule: shares no arithmetic with mod/wire (see builder.ts).
 */

import { pseudoHeader, slowCrc32c, slowSum } from "./builder.ts";

/** What is wrong with a frame; none = a receiver would take it. Later fragments are judged by their headers only. */
export function faults(frame: Uint8Array): string[] {
  let at = 12;
  let type = (frame[at] << 8) | frame[at + 1];
  if (type === 0x8100) {
    at += 4;
    type = (frame[at] << 8) | frame[at + 1];
  }
  const packet = frame.subarray(at + 2);
  if (type === 0x0800) return packetFaults4(packet);
  if (type === 0x86dd) return packetFaults6(packet);
  return type === 0x0806 ? [] : [`EtherType ${type.toString(16)}`];
}

function packetFaults4(packet: Uint8Array): string[] {
  const headerBytes = (packet[0] & 15) * 4;
  const total = (packet[2] << 8) | packet[3];
  if (packet[0] >>> 4 !== 4 || headerBytes < 20) return [`IPv4 version and length ${packet[0].toString(16)}`];
  if (total > packet.length || total < headerBytes) return [`IPv4 total length ${total} of ${packet.length}`];
  const found: string[] = [];
  if (slowSum(packet.subarray(0, headerBytes)) !== 0xffff) found.push("IPv4 header checksum");
  const fragment = ((packet[6] << 8) | packet[7]) & 0x3fff;
  if (fragment !== 0) return found; // the checksum covers bytes that are not here
  const addresses: [Uint8Array, Uint8Array] = [packet.subarray(12, 16), packet.subarray(16, 20)];
  return [...found, ...segmentFaults(...addresses, packet[9], packet.subarray(headerBytes, total))];
}

function packetFaults6(packet: Uint8Array): string[] {
  const total = 40 + ((packet[4] << 8) | packet[5]);
  if (packet[0] >>> 4 !== 6) return [`IPv6 version ${packet[0] >>> 4}`];
  if (total > packet.length) return [`IPv6 payload length ${total - 40} of ${packet.length - 40}`];
  let next = packet[6];
  let at = 40;
  while (next === 0 || next === 43 || next === 60 || next === 51 || next === 44) {
    if (at + 8 > total) return ["IPv6 extension header cut off"];
    if (next === 44 && (((packet[at + 2] << 8) | packet[at + 3]) & 0xfff9) !== 0) return [];
    const bytes = next === 44 ? 8 : next === 51 ? (packet[at + 1] + 2) * 4 : (packet[at + 1] + 1) * 8;
    next = packet[at];
    at += bytes;
  }
  if (at > total) return ["IPv6 extension header longer than the packet"];
  return segmentFaults(packet.subarray(8, 24), packet.subarray(24, 40), next, packet.subarray(at, total));
}

function segmentFaults(src: Uint8Array, dst: Uint8Array, protocol: number, segment: Uint8Array): string[] {
  const withPseudo = () => slowSum(segment, slowSum(pseudoHeader(src, dst, protocol, segment.length)));
  switch (protocol) {
    case 6:
      if (segment.length < 20 || (segment[12] >>> 4) * 4 > segment.length) return ["TCP header length"];
      return withPseudo() === 0xffff ? [] : ["TCP checksum"];
    case 17:
      if (segment.length < 8 || ((segment[4] << 8) | segment[5]) !== segment.length) return ["UDP length"];
      if (segment[6] === 0 && segment[7] === 0) return src.length === 4 ? [] : ["UDP checksum 0 over IPv6"];
      return withPseudo() === 0xffff ? [] : ["UDP checksum"];
    case 1:
      return slowSum(segment) === 0xffff ? [] : ["ICMP checksum"];
    case 58:
      return withPseudo() === 0xffff ? [] : ["ICMPv6 checksum"];
    case 132: {
      const zeroed = segment.slice();
      zeroed.fill(0, 8, 12);
      const crc = new DataView(segment.buffer, segment.byteOffset).getUint32(8, true);
      return crc === slowCrc32c(zeroed) ? [] : ["SCTP CRC32c"];
    }
    default:
      return [];
  }
}
