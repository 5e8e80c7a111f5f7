/**
 * The common case in one go: a whole TCP or UDP packet over IPv4, without options, of an established session, whose way out is open.
 * Nearly every packet is one; for all others `known4` says so, having written nothing, and they go the long way (flow.ts), which
 * comes to the same result for these packets too: this file is an optimization and nothing else.
 *
 * What the long way keeps in the context is held in local variables here, and it is one function as long as a page, because V8 inlines
 * only so much into one: together that halves the time.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as interfaces from "../table/interface.ts";
import * as session from "../table/session.ts";
import * as checksum from "../wire/checksum.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as protocols from "../wire/protocol.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as rewrite from "./rewrite.ts";
import * as route from "./route.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const {
  INTERFACE_COUNTERS,
  INTERFACE_RX_BYTES,
  INTERFACE_RX_PACKETS,
  INTERFACE_TX_BYTES,
  INTERFACE_TX_PACKETS,
} = counters;
const { IF_FLAGS, IF_NAT4_IN, IF_STRIDE } = interfaces;
const {
  SESSION_KIND,
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_REPLY4,
  SESSION_SERVICE,
  SESSION_STATE_ESTABLISHED,
} = session;
const { fold } = checksum;
const { ETHERNET_HEADER_BYTES, ETHERNET_TYPE, ETHERTYPE_IPV4 } = ethernet;
const {
  IPV4_DST,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_HEADER_BYTES,
  IPV4_MORE_FRAGMENTS,
  IPV4_SRC,
  IPV4_TTL,
} = ipv4;
const { IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } = protocols;
const { TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_FIN, TCP_HEADER_BYTES, TCP_RST, TCP_SYN } = tcp;
const { UDP_CHECKSUM, UDP_HEADER_BYTES, UDP_LENGTH } = udp;
const { VERDICT_TX } = contexts;
const { computeChecksum, halves, SUM_ZERO, swapPorts, updatedChecksum } = rewrite;
const { HOP_MTU, HOP_SLOT, hop4, writeMacs } = route;
const { countNext, countReply, SESSION_STAMP_SHIFT } = sessionHit;

/** Not the common case; the packet is as it was. No verdict is negative. */
const NOT_KNOWN = -1;

const FRAGMENT_BITS = IPV4_FRAGMENT_OFFSET_MASK | IPV4_MORE_FRAGMENTS;
const L4 = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES;
/** The shortest frame looked at: UDP without data. */
const MIN_FRAME_BYTES = L4 + UDP_HEADER_BYTES;
/** First byte of an IPv4 header without options. */
const VERSION_AND_LENGTH = 0x45;
/** Flags that may change a session's state; in the word of data offset and flags. */
const MOVING_FLAGS = TCP_SYN | TCP_FIN | TCP_RST;

/** Forwards the frame if it is the common case: VERDICT_TX, or a negative number. */
export function known4(c: Context, at: number, length: number, inSlot: number): number {
  const view = c.view;
  if (length < MIN_FRAME_BYTES || view.getUint16(at + ETHERNET_TYPE) !== ETHERTYPE_IPV4) return NOT_KNOWN;
  const l3 = at + ETHERNET_HEADER_BYTES;
  const first = view.getInt32(l3);
  const total = first & 0xffff;
  if (first >>> 24 !== VERSION_AND_LENGTH || total > length - ETHERNET_HEADER_BYTES) return NOT_KNOWN;
  if ((view.getUint16(l3 + IPV4_FRAGMENT) & FRAGMENT_BITS) !== 0) return NOT_KNOWN;
  const ttlWord = view.getInt32(l3 + IPV4_TTL); // TTL 8, protocol 8, checksum 16
  const protocol = (ttlWord >>> 16) & 0xff;
  const l4Bytes = transportBytes(view, at + L4, total - IPV4_HEADER_BYTES, protocol);
  if (l4Bytes < 0) return NOT_KNOWN;

  const source = view.getInt32(l3 + IPV4_SRC);
  const destination = view.getInt32(l3 + IPV4_DST);
  const ports = view.getInt32(at + L4);
  const sessions = c.sessions4;
  const words = sessions.words;
  let entry = -1;
  let tupleAt = SESSION_ORIGINAL;
  if ((c.interfaces[inSlot * IF_STRIDE + IF_FLAGS] & IF_NAT4_IN) !== 0) {
    entry = sessions.findReply4(protocol, source, destination, ports, c.now);
  }
  if (entry < 0) {
    entry = sessions.findOriginal4(protocol, source, destination, ports, c.now);
    if (entry < 0) return NOT_KNOWN;
    tupleAt = SESSION_REPLY4;
  }
  if (words[entry + SESSION_NOTE] >>> SESSION_STAMP_SHIFT !== c.stamp) return NOT_KNOWN;
  const state = (words[entry + SESSION_KIND] >>> 16) & 0xff;
  if (protocol === IP_PROTOCOL_TCP && state !== SESSION_STATE_ESTABLISHED) return NOT_KNOWN;
  const hop = hop4(c, words[entry + tupleAt]);
  const slot = c.hops4[hop + HOP_SLOT];
  if (slot < 0 || total > c.hops4[hop + HOP_MTU] || ttlWord >>> 24 <= 1) return NOT_KNOWN;

  if (words[entry + SESSION_LAST_SEEN] !== c.now) words[entry + SESSION_LAST_SEEN] = c.now;
  const service = words[entry + SESSION_SERVICE];
  const pod = words[entry + SESSION_POD];
  if (tupleAt === SESSION_ORIGINAL) countReply(c, service, pod, total);
  else countNext(c, service, pod, total);
  const newSource = words[entry + tupleAt + 1];
  const newDestination = words[entry + tupleAt];
  const newPorts = swapPorts(words[entry + tupleAt + 2]);
  const before = halves(source) + halves(destination);
  const difference = SUM_ZERO - before + halves(newSource) + halves(newDestination);
  const checksum = fold(((ttlWord & 0xffff) ^ 0xffff) + difference - 0x100) ^ 0xffff;
  view.setInt32(l3 + IPV4_TTL, ((ttlWord - 0x1000000) & ~0xffff) | checksum);
  view.setInt32(l3 + IPV4_SRC, newSource);
  view.setInt32(l3 + IPV4_DST, newDestination);
  view.setInt32(at + L4, newPorts);
  const udp = protocol === IP_PROTOCOL_UDP;
  const fieldAt = at + (udp ? L4 + UDP_CHECKSUM : L4 + TCP_CHECKSUM);
  const field = view.getUint16(fieldAt);
  const pseudo = protocol + l4Bytes;
  if (field === fold(before + pseudo)) {
    computeChecksum(c, at + L4, l4Bytes, fieldAt, halves(newSource) + halves(newDestination) + pseudo, udp);
  } else if (field !== 0 || !udp) {
    view.setUint16(
      fieldAt,
      updatedChecksum(field, difference + SUM_ZERO - halves(ports) + halves(newPorts), udp),
    );
  }
  writeMacs(view, at, c.hops4, hop);
  const interfaceCounters = c.interfaceCounters;
  const rx = inSlot * INTERFACE_COUNTERS;
  const tx = slot * INTERFACE_COUNTERS;
  interfaceCounters[rx + INTERFACE_RX_PACKETS]++;
  interfaceCounters[rx + INTERFACE_RX_BYTES] += length;
  interfaceCounters[tx + INTERFACE_TX_PACKETS]++;
  interfaceCounters[tx + INTERFACE_TX_BYTES] += length;
  c.outAt = at;
  c.outLength = length;
  c.outSlot = slot;
  return VERDICT_TX;
}

/**
 * Bytes of transport header and data as the checksum covers them, for a header at `l4` of which the IP packet holds `bytes`; -1 when
 * they do not fit, or TCP's flags may change the session.
 */
function transportBytes(view: DataView, l4: number, bytes: number, protocol: number): number {
  if (protocol === IP_PROTOCOL_UDP) {
    if (bytes < UDP_HEADER_BYTES) return -1;
    const length = view.getUint16(l4 + UDP_LENGTH);
    return length < UDP_HEADER_BYTES || length > bytes ? -1 : length;
  }
  if (protocol !== IP_PROTOCOL_TCP || bytes < TCP_HEADER_BYTES) return -1;
  const word = view.getUint16(l4 + TCP_DATA_OFFSET);
  const headerBytes = (word >>> 12) << 2;
  return headerBytes < TCP_HEADER_BYTES || headerBytes > bytes || (word & MOVING_FLAGS) !== 0 ? -1 : bytes;
}
