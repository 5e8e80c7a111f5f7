/**
 * The common case in one go: whole TCP and UDP packets over IPv4, without options, of established sessions, whose way out is open.
 * Nearly every packet is one. At the first that is not, `forward4` stops, having written nothing to it; that one goes the long way
 * (flow.ts), which comes to the same result for these packets too: this file is an optimization and nothing else.
 *
 * What the long way keeps in the context is held in local variables here, and it is one function as long as a page, because V8 inlines
 * only so much into one, and what is inlined by hand needs no luck. A client's packet takes the next hop kept for its pod; a pod's, the
 * route of the client.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as adjacency from "../table/adjacency.ts";
import * as interfaces from "../table/interface.ts";
import * as layout from "../table/session_layout.ts";
import { makeBegin4 } from "./begin4.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as rewrite from "./rewrite.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const {
  COUNT_SESSION_NEW,
  INTERFACE_COUNTERS,
  INTERFACE_RX_BYTES,
  INTERFACE_RX_PACKETS,
  INTERFACE_TX_BYTES,
  INTERFACE_TX_PACKETS,
  POD_BYTES,
  POD_COUNTERS,
  POD_FIRST_PACKET,
  POD_PACKETS,
  POD_REPLY_BYTES,
  POD_REPLY_PACKETS,
  SERVICE_BYTES,
  SERVICE_COUNTERS,
  SERVICE_FIRST_PACKET,
  SERVICE_NEXT_PACKET,
  SERVICE_REPLY_BYTES,
  SERVICE_REPLY_PACKETS,
} = counters;
const { ADJ_MACS, ADJ_MTU, ADJ_OUT, ADJ_STRIDE } = adjacency;
const { IF_FLAGS, IF_NAT4_IN, IF_STRIDE } = interfaces;
const {
  HEADER_TIMEOUTS,
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_LIVE,
  SESSION_NOTE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_REPLY4,
  SESSION_SERVICE,
  SESSION_STATE_ESTABLISHED,
} = layout;
const { GUESS_ENTRY, GUESS_NONE } = bursts;
const { ats, guesses4, lengths, outSlots, slots } = bursts.burst;
const { HOP_UNKNOWN } = contexts;
const { computeChecksum, SUM_ZERO } = rewrite;
const { SESSION_STAMP_SHIFT, stampOfNew } = sessionHit;

/** Values that are offsets are masked with this: V8 then knows them small, and leaves out overflow checks. */
const OFFSET = GUESS_ENTRY;
const LENGTH = 0xffff;
const ID = 0x3ffffff;

// Bytes of an untagged frame whose IP header has no options (RFC 894, 791, 768, 9293).
const ETHERNET_TYPE = 12;
const ETHERNET_BYTES = 14;
const VERSION = 14; // version and header length, TOS, total length
const FRAGMENT = 20;
const TTL = 22; // TTL, protocol, header checksum
const SOURCE = 26;
const DESTINATION = 30;
const PORTS = 34;
const UDP_LENGTH = 38;
const UDP_CHECKSUM = 40;
const TCP_OFFSET_AND_FLAGS = 46;
const TCP_CHECKSUM = 50;
const TCP_END = 54;
/** The shortest frame looked at: UDP without data. */
const UDP_END = 42;

const ETHERTYPE_IPV4 = 0x0800;
const IPV4_WITHOUT_OPTIONS = 0x45;
const IPV4_BYTES = 20;
/** More follow, or an offset. */
const FRAGMENT_BITS = 0x3fff;
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
export function makeForward4(c: Context): (from: number, count: number) => number {
  const { view, serviceCounters, podCounters } = c;
  const begin = makeBegin4(c);
  return (from: number, count: number): number => {
    const { interfaces, adjacencies, podHops } = c;
    const words = c.sessions4.words;
    const now = c.now | 0;
    const stamp = c.stamp | 0;
    const end = count | 0;
    /** Entry of the session begun last. */
    let begun = -1;
    let inSlot = -1;
    let rxPackets = 0, rxBytes = 0;
    let outSlot = -1;
    let txPackets = 0, txBytes = 0;
    let i = from | 0;
    for (; i < end; i = (i + 1) | 0) {
      let guess = guesses4[i];
      const at = ats[i] & OFFSET;
      const length = lengths[i] & LENGTH;
      if (length < UDP_END) break;
      if (guess === GUESS_NONE) {
        guess = begun = begin(i) | 0;
        if (guess < 0) break;
      }
      const first = view.getInt32(at + VERSION);
      const total = first & LENGTH;
      if (
        view.getUint16(at + ETHERNET_TYPE) !== ETHERTYPE_IPV4 || first >>> 24 !== IPV4_WITHOUT_OPTIONS ||
        total > length - ETHERNET_BYTES || (view.getUint16(at + FRAGMENT) & FRAGMENT_BITS) !== 0
      ) break;

      // The session, exactly.
      const entry = guess & OFFSET;
      const isReply = guess >>> 30; // GUESS_REPLY
      const ttlWord = view.getInt32(at + TTL);
      const protocol = (ttlWord >>> 16) & 0xff;
      const source = view.getInt32(at + SOURCE);
      const destination = view.getInt32(at + DESTINATION);
      const ports = view.getInt32(at + PORTS);
      const kind = words[entry + SESSION_KIND];
      const own = entry + SESSION_ORIGINAL + 3 * isReply;
      if (
        words[own + 2] !== ports || words[own] !== source || words[own + 1] !== destination ||
        kind >>> 24 !== protocol || (kind & SESSION_LIVE) === 0 ||
        words[entry + SESSION_NOTE] >>> SESSION_STAMP_SHIFT !== stamp
      ) break;
      const slot = slots[i];
      if (isReply !== 0 && (interfaces[slot * IF_STRIDE + IF_FLAGS] & IF_NAT4_IN) === 0) break;

      // The transport header.
      let l4Bytes = total - IPV4_BYTES;
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
        if (headerBytes < TCP_BYTES || headerBytes > l4Bytes) break;
        const still = (offsetAndFlags & MOVING_FLAGS) === 0 &&
          ((kind >>> 16) & 0xff) === SESSION_STATE_ESTABLISHED;
        if (!still && entry !== begun) break;
        fieldAt = at + TCP_CHECKSUM;
      }

      // The way out.
      const pod = words[entry + SESSION_POD] & ID;
      const other = entry + SESSION_REPLY4 - 3 * isReply;
      const newDestination = words[other];
      let hop = isReply === 0 ? podHops[pod] : c.routes.lookup4(newDestination) | 0;
      if (hop < 0) {
        if (isReply !== 0 || hop !== HOP_UNKNOWN) break;
        hop = podHops[pod] = c.routes.lookup4(newDestination) | 0;
        if (hop < 0) break;
      }
      const row = (hop & ID) * ADJ_STRIDE;
      const out = adjacencies[row + ADJ_OUT];
      if (out < 0 || total > adjacencies[row + ADJ_MTU] || ttlWord >>> 24 <= 1) break;

      // From here on it is forwarded, unless the session has expired.
      const seen = words[entry + SESSION_LAST_SEEN];
      let column = SERVICE_NEXT_PACKET;
      if (seen !== now) {
        if (entry === begun) {
          column = SERVICE_FIRST_PACKET;
          countBegun(c, pod);
          if (udp) words[entry + SESSION_NOTE] = stampOfNew(c) << SESSION_STAMP_SHIFT;
        } else if (((now - seen) | 0) > words[HEADER_TIMEOUTS + ((kind >>> 16) & 3)]) break;
        words[entry + SESSION_LAST_SEEN] = now;
      }
      const serviceRow = (words[entry + SESSION_SERVICE] & ID) * SERVICE_COUNTERS;
      const podRow = pod * POD_COUNTERS;
      if (isReply === 0) {
        serviceCounters[serviceRow + column]++;
        serviceCounters[serviceRow + SERVICE_BYTES] += total;
        podCounters[podRow + POD_PACKETS]++;
        podCounters[podRow + POD_BYTES] += total;
      } else {
        serviceCounters[serviceRow + SERVICE_REPLY_PACKETS]++;
        serviceCounters[serviceRow + SERVICE_REPLY_BYTES] += total;
        podCounters[podRow + POD_REPLY_PACKETS]++;
        podCounters[podRow + POD_REPLY_BYTES] += total;
      }

      // The new tuple, and what it does to the checksums (RFC 1624).
      const newSource = words[other + 1];
      const turned = words[other + 2];
      const newPorts = (turned << 16) | (turned >>> 16);
      const before = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
      const after = (newSource >>> 16) + (newSource & 0xffff) +
        (newDestination >>> 16) + (newDestination & 0xffff);
      const difference = SUM_ZERO - before + after;
      let sum = ((ttlWord & 0xffff) ^ 0xffff) + difference - 0x100; // one taken from the TTL
      sum = (sum & 0xffff) + (sum >>> 16);
      sum = (sum & 0xffff) + (sum >>> 16);
      view.setInt32(at + TTL, ((ttlWord - 0x1000000) & ~0xffff) | (sum ^ 0xffff));
      view.setInt32(at + SOURCE, newSource);
      view.setInt32(at + DESTINATION, newDestination);
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

/** A session that begin4.ts began, with a pod. */
function countBegun(c: Context, pod: number): void {
  c.nodeCounters[COUNT_SESSION_NEW]++;
  c.podCounters[pod * POD_COUNTERS + POD_FIRST_PACKET]++;
}

/** Packets of one burst that came in by `slot`, if they are any. */
export function countReceived(
  counters: Float64Array,
  slot: number,
  packets: number,
  bytes: number,
): void {
  if (packets === 0) return;
  counters[slot * INTERFACE_COUNTERS + INTERFACE_RX_PACKETS] += packets;
  counters[slot * INTERFACE_COUNTERS + INTERFACE_RX_BYTES] += bytes;
}

/** Packets of one burst that go out by `slot`, if they are any. */
export function countSent(counters: Float64Array, slot: number, packets: number, bytes: number): void {
  if (packets === 0) return;
  counters[slot * INTERFACE_COUNTERS + INTERFACE_TX_PACKETS] += packets;
  counters[slot * INTERFACE_COUNTERS + INTERFACE_TX_BYTES] += bytes;
}
