/**
 * The common case in one go over IPv6, without extension headers: see known4.ts. Sessions between the families go the long way.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as adjacency from "../table/adjacency.ts";
import * as interfaces from "../table/interface.ts";
import * as layout from "../table/session_layout.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as known4 from "./known4.ts";
import * as rewrite from "./rewrite.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const {
  POD_BYTES,
  POD_COUNTERS,
  POD_PACKETS,
  POD_REPLY_BYTES,
  POD_REPLY_PACKETS,
  SERVICE_BYTES,
  SERVICE_COUNTERS,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_BYTES,
  SERVICE_REPLY_PACKETS,
} = counters;
const { ADJ_MACS, ADJ_MTU, ADJ_OUT, ADJ_STRIDE } = adjacency;
const { IF_FLAGS, IF_NAT6_IN, IF_STRIDE } = interfaces;
const {
  HEADER_TIMEOUTS,
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_LIVE,
  SESSION_NOTE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_REPLY6,
  SESSION_SERVICE,
  SESSION_STATE_ESTABLISHED,
} = layout;
const { GUESS_ENTRY, GUESS_NONE } = bursts;
const { ats, guesses6, lengths, outSlots, slots } = bursts.burst;
const { HOP_UNKNOWN } = contexts;
const { countReceived, countSent } = known4;
const { computeChecksum, SUM_ZERO } = rewrite;
const { SESSION_STAMP_SHIFT } = sessionHit;

/** Values that are offsets are masked with this: V8 then knows them small, and leaves out overflow checks. */
const OFFSET = GUESS_ENTRY;
const LENGTH = 0xffff;
const ID = 0x3ffffff;

// Bytes of an untagged frame whose IP header names the transport header (RFC 2464, 8200, 768, 9293).
const ETHERNET_TYPE = 12;
const VERSION = 14; // version, traffic class, flow label
const PAYLOAD_LENGTH = 18;
const NEXT_HEADER = 20;
const HOP_LIMIT = 21;
const SOURCE = 22; // destination and ports follow
const PORTS = 54;
const UDP_LENGTH = 58;
const UDP_CHECKSUM = 60;
const TCP_OFFSET_AND_FLAGS = 66;
const TCP_CHECKSUM = 70;
const TCP_END = 74;
/** The shortest frame looked at: UDP without data. */
const UDP_END = 62;

const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_BYTES = 40;
/** Words of the addresses; the ports are the next one. */
const ADDRESS_WORDS = 8;
const TUPLE_WORDS = 9;
/** Third word of ::ffff:a.b.c.d. */
const MAPPED = 0xffff;
const ETHERNET_BYTES = 14;
const IP_PROTOCOL_TCP = 6;
const IP_PROTOCOL_UDP = 17;
const UDP_BYTES = 8;
const TCP_BYTES = 20;
/** SYN, FIN and RST, which may change a session's state. */
const MOVING_FLAGS = 0x07;

/**
 * What forwards packets of the burst from number `from` on, as long as they are the common case. It returns the number of the first that
 * is not, or `count`.
 */
export function makeForward6(c: Context): (from: number, count: number) => number {
  const { view, serviceCounters, podCounters } = c;
  return (from: number, count: number): number => {
    const { mixed, interfaces, adjacencies, podHops } = c;
    const stamp = c.stamp | 0;
    const end = count | 0;
    const words = c.sessions6.words;
    const now = c.now | 0;
    let inSlot = -1;
    let rxPackets = 0, rxBytes = 0;
    let outSlot = -1;
    let txPackets = 0, txBytes = 0;
    let i = from | 0;
    for (; i < end; i = (i + 1) | 0) {
      const guess = guesses6[i];
      const at = ats[i] & OFFSET;
      const length = lengths[i] & LENGTH;
      if (guess === GUESS_NONE || length < UDP_END) break;
      const l4Length = view.getUint16(at + PAYLOAD_LENGTH);
      const total = IPV6_BYTES + l4Length;
      if (
        view.getUint16(at + ETHERNET_TYPE) !== ETHERTYPE_IPV6 || view.getUint8(at + VERSION) >>> 4 !== 6 ||
        total > length - ETHERNET_BYTES
      ) break;

      // The session, exactly.
      const entry = guess & OFFSET;
      const isReply = guess >>> 30; // GUESS_REPLY
      const protocol = view.getUint8(at + NEXT_HEADER);
      const kind = words[entry + SESSION_KIND];
      const own = entry + SESSION_ORIGINAL + TUPLE_WORDS * isReply;
      let differs = words[own + ADDRESS_WORDS] ^ view.getInt32(at + PORTS);
      for (let word = 0; word < ADDRESS_WORDS; word++) {
        differs |= words[own + word] ^ view.getInt32(at + SOURCE + (word << 2));
      }
      if (
        differs !== 0 || kind >>> 24 !== protocol || (kind & SESSION_LIVE) === 0 ||
        words[entry + SESSION_NOTE] >>> SESSION_STAMP_SHIFT !== stamp
      ) break;
      const slot = slots[i];
      if (isReply !== 0 && (interfaces[slot * IF_STRIDE + IF_FLAGS] & IF_NAT6_IN) === 0) break;

      // The transport header.
      let l4Bytes = l4Length;
      let fieldAt = at + UDP_CHECKSUM;
      const udp = protocol === IP_PROTOCOL_UDP;
      if (udp) {
        const udpLength = view.getUint16(at + UDP_LENGTH);
        if (udpLength < UDP_BYTES || udpLength > l4Bytes) break;
        l4Bytes = udpLength;
      } else {
        if (protocol !== IP_PROTOCOL_TCP || l4Bytes < TCP_BYTES || length < TCP_END) break;
        const offsetAndFlags = view.getUint16(at + TCP_OFFSET_AND_FLAGS);
        const headerBytes = (offsetAndFlags >>> 12) << 2;
        if (
          headerBytes < TCP_BYTES || headerBytes > l4Bytes || (offsetAndFlags & MOVING_FLAGS) !== 0 ||
          ((kind >>> 16) & 0xff) !== SESSION_STATE_ESTABLISHED
        ) break;
        fieldAt = at + TCP_CHECKSUM;
      }

      // The way out.
      const pod = words[entry + SESSION_POD] & ID;
      const other = entry + SESSION_REPLY6 - TUPLE_WORDS * isReply;
      if (mixed && (isMapped(words, own) || isMapped(words, other))) break;
      let hop = isReply === 0 ? podHops[pod] : lookup(c, words, other);
      if (hop < 0) {
        if (isReply !== 0 || hop !== HOP_UNKNOWN) break;
        hop = podHops[pod] = lookup(c, words, other);
        if (hop < 0) break;
      }
      const row = (hop & ID) * ADJ_STRIDE;
      const out = adjacencies[row + ADJ_OUT];
      if (out < 0 || total > adjacencies[row + ADJ_MTU] || view.getUint8(at + HOP_LIMIT) <= 1) break;

      // From here on it is forwarded, unless the session has expired.
      const seen = words[entry + SESSION_LAST_SEEN];
      if (seen !== now) {
        if (((now - seen) | 0) > words[HEADER_TIMEOUTS + ((kind >>> 16) & 3)]) break;
        words[entry + SESSION_LAST_SEEN] = now;
      }
      const serviceRow = (words[entry + SESSION_SERVICE] & ID) * SERVICE_COUNTERS;
      const podRow = pod * POD_COUNTERS;
      if (isReply === 0) {
        serviceCounters[serviceRow + SERVICE_NEXT_PACKET]++;
        serviceCounters[serviceRow + SERVICE_BYTES] += total;
        podCounters[podRow + POD_PACKETS]++;
        podCounters[podRow + POD_BYTES] += total;
      } else {
        serviceCounters[serviceRow + SERVICE_REPLY_PACKETS]++;
        serviceCounters[serviceRow + SERVICE_REPLY_BYTES] += total;
        podCounters[podRow + POD_REPLY_PACKETS]++;
        podCounters[podRow + POD_REPLY_BYTES] += total;
      }

      // The new tuple, and what it does to the checksum (RFC 1624).
      const ports = words[own + ADDRESS_WORDS];
      const turned = words[other + ADDRESS_WORDS];
      const newPorts = (turned << 16) | (turned >>> 16);
      let before = 0, after = 0;
      for (let word = 0; word < 4; word++) {
        const source = words[own + word], destination = words[own + 4 + word];
        const newDestination = words[other + word], newSource = words[other + 4 + word];
        before += (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
        after += (newSource >>> 16) + (newSource & 0xffff) + (newDestination >>> 16) +
          (newDestination & 0xffff);
        view.setInt32(at + SOURCE + (word << 2), newSource);
        view.setInt32(at + SOURCE + 16 + (word << 2), newDestination);
      }
      const difference = SUM_ZERO - before + after;
      view.setUint8(at + HOP_LIMIT, view.getUint8(at + HOP_LIMIT) - 1);
      view.setInt32(at + PORTS, newPorts);
      const field = view.getUint16(fieldAt);
      let pseudo = before + protocol + l4Bytes;
      pseudo = (pseudo & 0xffff) + (pseudo >>> 16);
      pseudo = (pseudo & 0xffff) + (pseudo >>> 16);
      if (field === pseudo) {
        computeChecksum(c, at + PORTS, l4Bytes, fieldAt, after + protocol + l4Bytes, udp); // it was half done
      } else if (field !== 0 || !udp) {
        let checksum = (field ^ 0xffff) + difference + SUM_ZERO -
          (ports >>> 16) - (ports & 0xffff) + (newPorts >>> 16) + (newPorts & 0xffff);
        checksum = (checksum & 0xffff) + (checksum >>> 16);
        checksum = ((checksum & 0xffff) + (checksum >>> 16)) ^ 0xffff;
        view.setUint16(fieldAt, checksum === 0 && udp ? 0xffff : checksum);
      }
      view.setInt32(at, adjacencies[row + ADJ_MACS]);
      view.setInt32(at + 4, adjacencies[row + ADJ_MACS + 1]);
      view.setInt32(at + 8, adjacencies[row + ADJ_MACS + 2]);
      outSlots[i] = out;

      if (slot !== inSlot) {
        countReceived(c.interfaceCounters, inSlot, rxPackets, rxBytes);
        inSlot = slot;
        rxPackets = rxBytes = 0;
      }
      if (out !== outSlot) {
        countSent(c.interfaceCounters, outSlot, txPackets, txBytes);
        outSlot = out;
        txPackets = txBytes = 0;
      }
      rxPackets = (rxPackets + 1) | 0;
      rxBytes = (rxBytes + length) | 0;
      txPackets = (txPackets + 1) | 0;
      txBytes = (txBytes + length) | 0;
    }
    countReceived(c.interfaceCounters, inSlot, rxPackets, rxBytes);
    countSent(c.interfaceCounters, outSlot, txPackets, txBytes);
    return i;
  };
}

/** What the route of the IPv6 address at word `at` leads to. */
function lookup(c: Context, words: Int32Array, at: number): number {
  return c.routes.lookup6(words[at], words[at + 1], words[at + 2], words[at + 3]);
}

/** Whether the address at word `at` is an IPv4 one. */
function isMapped(words: Int32Array, at: number): boolean {
  return words[at + 2] === MAPPED && words[at + 1] === 0 && words[at] === 0;
}
