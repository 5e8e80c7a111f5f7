/**
 * Sessions begun in a burst: UDP, or a TCP SYN, over IPv4 to a plain service, foreseen by foresee4.ts. The session is put into the table, and the packet
 * then goes on as one of a session that is known (known4.ts). Whatever is not as simple is left to the long way (new_connection.ts),
 * which comes to the same for these packets too: like known4.ts this is an optimization and nothing else.
 *
 * Rule: a session that is begun here is that of a packet which `forward4` will send. So all that it asks is asked here first.
 *
 * @module
 */

import * as adjacency from "../table/adjacency.ts";
import * as interfaces from "../table/interface.ts";
import * as pods from "../table/pod.ts";
import * as services from "../table/service.ts";
import * as layout from "../table/session_layout.ts";
import * as answer4 from "./answer4.ts";
import * as bursts from "./burst.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const { ADJ_MTU, ADJ_OUT, ADJ_STRIDE } = adjacency;
const { IF_FLAGS, IF_NAT4_IN, IF_STRIDE } = interfaces;
const { POD_ADDRESS4, POD_STRIDE } = pods;
const { SERVICE_STRIDE, SERVICE_TARGET_PORT } = services;
const { SESSION_LAST_SEEN, SESSION_NOTE, SESSION_POD, SESSION_SERVICE, SESSION_STATE_TRANSITORY } = layout;
const { isAnswerable4 } = answer4;
const { GUESS_ENTRY } = bursts;
const { ats, foreseenPods, foreseenReplies, foreseenServices, hashes, lengths, slots } = bursts.burst;
const { HOP_UNKNOWN } = contexts;
const { SESSION_STAMP_SHIFT } = sessionHit;

const OFFSET = GUESS_ENTRY;
const ID = 0x3ffffff;

// Bytes of an untagged frame whose IP header has no options (RFC 894, 791, 768, 9293).
const ETHERNET_TYPE = 12;
const ETHERNET_BYTES = 14;
const VERSION = 14;
const FRAGMENT = 20;
const TTL = 22;
const SOURCE = 26;
const DESTINATION = 30;
const PORTS = 34;
const UDP_LENGTH = 38;
const TCP_OFFSET_AND_FLAGS = 46;
const TCP_END = 54;

const ETHERTYPE_IPV4 = 0x0800;
const IPV4_WITHOUT_OPTIONS = 0x45;
const IPV4_BYTES = 20;
const FRAGMENT_BITS = 0x3fff;
const IP_PROTOCOL_TCP = 6;
const IP_PROTOCOL_UDP = 17;
const UDP_BYTES = 8;
const TCP_BYTES = 20;
/** FIN, SYN, RST, PSH, ACK, URG. */
const CONTROL_FLAGS = 0x3f;
const TCP_SYN = 0x02;

/**
 * What begins the session of packet `i` of the burst, which no session was guessed for and which is 42 bytes or longer. It returns the
 * entry, last seen before now so that `forward4` sees that it is a new one; or -1, and nothing has been written.
 */
export function makeBegin4(c: Context): (i: number) => number {
  const view = c.view;
  return (i: number): number => {
    // Others may have the session, under this tuple or as one between the families.
    if (c.others4.length > 0 || c.mixed) return -1;
    // What comes from pods may be an answer.
    if ((c.interfaces[slots[i] * IF_STRIDE + IF_FLAGS] & IF_NAT4_IN) !== 0) return -1;
    const pod = foreseenPods[i];
    if (pod < 0) return -1;
    const at = ats[i] & OFFSET;
    const first = view.getInt32(at + VERSION);
    const total = first & 0xffff;
    if (
      view.getUint16(at + ETHERNET_TYPE) !== ETHERTYPE_IPV4 || first >>> 24 !== IPV4_WITHOUT_OPTIONS ||
      total > lengths[i] - ETHERNET_BYTES || (view.getUint16(at + FRAGMENT) & FRAGMENT_BITS) !== 0
    ) return -1;
    const ttlWord = view.getInt32(at + TTL);
    const protocol = (ttlWord >>> 16) & 0xff;
    if (ttlWord >>> 24 <= 1) return -1;
    const l4Bytes = total - IPV4_BYTES;
    if (protocol === IP_PROTOCOL_UDP) {
      const udpLength = view.getUint16(at + UDP_LENGTH);
      if (udpLength < UDP_BYTES || udpLength > l4Bytes) return -1;
    } else {
      if (protocol !== IP_PROTOCOL_TCP || l4Bytes < TCP_BYTES || lengths[i] < TCP_END) return -1;
      const offsetAndFlags = view.getUint16(at + TCP_OFFSET_AND_FLAGS);
      const headerBytes = (offsetAndFlags >>> 12) << 2;
      if (headerBytes < TCP_BYTES || headerBytes > l4Bytes || (offsetAndFlags & CONTROL_FLAGS) !== TCP_SYN) {
        return -1;
      }
    }
    const source = view.getInt32(at + SOURCE);
    const destination = view.getInt32(at + DESTINATION);
    const podAddress = c.pods[pod * POD_STRIDE + POD_ADDRESS4];
    if (!isAnswerable4(source) || source === destination || source === podAddress) return -1;
    if (!isOpen(c, pod, podAddress, total)) return -1;

    const table = c.sessions4;
    const { key, replyKey, words } = table;
    const ports = view.getInt32(at + PORTS);
    const service = foreseenServices[i];
    const target = c.services[service * SERVICE_STRIDE + SERVICE_TARGET_PORT] || ports & 0xffff;
    key[0] = source;
    key[1] = destination;
    key[2] = ports;
    replyKey[0] = podAddress;
    replyKey[1] = source;
    replyKey[2] = (target << 16) | (ports >>> 16);
    const entry = table.insertNew(protocol, c.now, hashes[i], foreseenReplies[i]) | 0;
    if (entry < 0) return -1;
    words[entry + SESSION_LAST_SEEN] = c.now - 1;
    words[entry + SESSION_SERVICE] = service;
    words[entry + SESSION_POD] = pod;
    words[entry + SESSION_NOTE] = c.stamp << SESSION_STAMP_SHIFT;
    if (protocol === IP_PROTOCOL_TCP) table.setState(entry, SESSION_STATE_TRANSITORY);
    return entry;
  };
}

/** Whether an IP packet of `total` bytes can go to the pod by an attached interface, as it is. */
function isOpen(c: Context, pod: number, address: number, total: number): boolean {
  const { adjacencies, podHops } = c;
  if (podHops[pod] === HOP_UNKNOWN) podHops[pod] = c.routes.lookup4(address);
  const hop = podHops[pod];
  if (hop < 0) return false;
  const row = (hop & ID) * ADJ_STRIDE;
  return adjacencies[row + ADJ_OUT] >= 0 && total <= adjacencies[row + ADJ_MTU];
}
