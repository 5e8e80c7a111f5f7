/**
 * The source of a new session: the node's address where the client's cannot be kept, and a port under which its replies are told
 * from all others.
 *
 * A reply is recognized by (pod, source, ports). Two flows would collide there if they differ only in what the reply does not show: two
 * VIPs on one pod and port used from one client port; several clients behind the node's one address. Then another source port is
 * taken, from a fixed pool, starting at a place given by the flow's hash: the same flow gets the same port again where it can.
 *
 * The pool leaves out 32768–60999, from which the kernel takes the ports of the node's own connections
 * (net.ipv4.ip_local_port_range), and what is below 1024. Workers share it by residue, so that no two give out the same.
 *
 * References: RFC 6056 §3.3.3 (hash-based port selection), RFC 4787 REQ-1 … REQ-3.
 *
 * @module
 */

import { ADJ_SLOT, ADJ_STRIDE } from "../table/adjacency.ts";
import { IF_IP4, IF_IP6, IF_STRIDE } from "../table/interface.ts";
import { ROUTE_LOCAL } from "../table/route.ts";
import { SESSION_FULL, SESSION_REPLY_TAKEN, type SessionTable } from "../table/session.ts";
import { type Context, count, TRANSPORT_OTHER } from "./context.ts";
import { isMapped, mixedProtocol, protocolOf4 } from "./mixed.ts";
import { hop4, hop6, HOP_ADJACENCY } from "./route.ts";
import { COUNT_PORT_CHANGED } from "../metrics/counters.ts";

/** `insertSession`: no source port could be found. */
export const PORTS_EXHAUSTED = -3;

const HIGH_FIRST = 61000;
const HIGH_COUNT = 65536 - HIGH_FIRST;
const LOW_FIRST = 1024;
const LOW_COUNT = 32768 - LOW_FIRST;
/** Source ports that ku gives out per pod, pod port and source address: 36,280. */
export const PORT_POOL = HIGH_COUNT + LOW_COUNT;
/** Ports tried for a flow. With nine tenths of the pool taken, one in 700,000 flows finds none. */
const MAX_TRIES = 128;

function poolPort(index: number): number {
  return index < HIGH_COUNT ? HIGH_FIRST + index : LOW_FIRST + index - HIGH_COUNT;
}

/** Writes into `c.reply` the first source port that a flow of this hash would be given, for a flow that gets no session. */
export function choosePort(c: Context, hash: number): void {
  if (c.transport === TRANSPORT_OTHER) return;
  const own = (PORT_POOL / c.workerCount) | 0;
  c.reply[8] = (c.reply[8] & ~0xffff) | poolPort((hash >>> 1) % own * c.workerCount + c.workerIndex);
}

/**
 * Puts the session of `c.original` and `c.reply` into `table` as one of `protocol`; `hash` is the flow's. The source port in `c.reply` is as it was
 * wanted, or, with `allocate` or when that was taken, one of the pool. Returns the entry, SESSION_FULL (with `c.reply` complete all
 * the same), or PORTS_EXHAUSTED.
 */
export function insertSession(
  c: Context,
  table: SessionTable,
  protocol: number,
  hash: number,
  allocate: boolean,
): number {
  loadTuple(table.key, c.original);
  loadTuple(table.replyKey, c.reply);
  const portAt = table.replyKey.length - 1;
  const canChange = c.transport !== TRANSPORT_OTHER;
  if (!allocate || !canChange) {
    const entry = tryInsert(c, table, protocol);
    if (entry !== SESSION_REPLY_TAKEN) return entry;
    if (!canChange) return insertInstead(c, table, protocol);
  }
  const own = (PORT_POOL / c.workerCount) | 0;
  const wanted = c.reply[8] & 0xffff;
  let index = (hash >>> 1) % own;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = poolPort(index * c.workerCount + c.workerIndex);
    const ports = (c.reply[8] & ~0xffff) | port;
    c.reply[8] = ports;
    table.replyKey[portAt] = ports;
    const entry = tryInsert(c, table, protocol);
    if (entry !== SESSION_REPLY_TAKEN) {
      if (port !== wanted) count(c, COUNT_PORT_CHANGED);
      return entry;
    }
    index = index + 1 === own ? 0 : index + 1;
  }
  return PORTS_EXHAUSTED;
}

/**
 * Where a protocol has no ports there is nothing to change: the flow that was heard last gets the replies. The session that had them
 * is ended; if it is another worker's, the flow goes untracked.
 */
function insertInstead(c: Context, table: SessionTable, protocol: number): number {
  table.key.set(table.replyKey);
  const holder = table.findReply(protocol, c.now);
  if (holder < 0) return SESSION_FULL;
  table.remove(holder);
  loadTuple(table.key, c.original);
  const entry = table.insert(protocol, c.now);
  return entry === SESSION_REPLY_TAKEN ? SESSION_FULL : entry;
}

function tryInsert(c: Context, table: SessionTable, protocol: number): number {
  if (c.mixed && isTakenBeside(c, table, protocol)) return SESSION_REPLY_TAKEN;
  const others = table.addressWords === 1 ? c.others4 : c.others6;
  for (let i = 0; i < others.length; i++) {
    const other = others[i];
    other.key.set(table.replyKey);
    if (other.findReply(protocol, c.now) >= 0) return SESSION_REPLY_TAKEN;
  }
  return table.insert(protocol, c.now);
}

/** Whether a session in the tables of the other width has the same reply: IPv4 pods answer to nat44 and nat64 alike. */
function isTakenBeside(c: Context, table: SessionTable, protocol: number): boolean {
  const reply = c.reply;
  if (!isMapped(reply, 0)) return false;
  if (table.addressWords === 1) {
    const known = mixedProtocol(protocol);
    if (known < 0) return false;
    if (holdsMapped(c, c.sessions6, known)) return true;
    for (let i = 0; i < c.others6.length; i++) if (holdsMapped(c, c.others6[i], known)) return true;
    return false;
  }
  const protocol4 = protocolOf4(protocol);
  if (c.sessions4.findReply4(protocol4, reply[3], reply[7], reply[8], c.now) >= 0) return true;
  for (let i = 0; i < c.others4.length; i++) {
    if (c.others4[i].findReply4(protocol4, reply[3], reply[7], reply[8], c.now) >= 0) return true;
  }
  return false;
}

function holdsMapped(c: Context, sessions: SessionTable, protocol: number): boolean {
  sessions.key.set(c.reply);
  return sessions.findReply(protocol, c.now) >= 0;
}

/** Writes a scratch tuple of 9 words into a key of 9, or of 3 when it is IPv4. */
export function loadTuple(key: Int32Array, tuple: Int32Array): void {
  if (key.length === 9) {
    for (let i = 0; i < 9; i++) key[i] = tuple[i];
    return;
  }
  key[0] = tuple[3];
  key[1] = tuple[7];
  key[2] = tuple[8];
}

/** Writes the node's IPv4 address toward the pod in `c.reply` as the session's source (::ffff:a.b.c.d). False: it has none. */
export function useNodeSource4(c: Context): boolean {
  const reply = c.reply;
  let address = c.tables.settings.ip4SrcAddress | 0;
  if (address === 0) {
    const slot = slotBy(c, c.hops4[hop4(c, reply[3]) + HOP_ADJACENCY]);
    if (slot >= 0) address = c.interfaces[slot * IF_STRIDE + IF_IP4] | 0;
  }
  if (address === 0) address = c.anyIp4;
  reply[4] = reply[5] = 0;
  reply[6] = 0xffff;
  reply[7] = address;
  return address !== 0;
}

/** Writes the node's IPv6 address toward the pod in `c.reply` as the session's source. False: it has none. */
export function useNodeSource6(c: Context): boolean {
  const reply = c.reply;
  const configured = c.tables.settings.ip6SrcAddress;
  for (let i = 0; i < 4; i++) reply[4 + i] = configured[i];
  if (isSet(reply)) return true;
  const slot = slotBy(c, c.hops6[hop6(c, reply, 0) + HOP_ADJACENCY]);
  if (slot >= 0) {
    for (let i = 0; i < 4; i++) reply[4 + i] = c.interfaces[slot * IF_STRIDE + IF_IP6 + i] | 0;
    if (isSet(reply)) return true;
  }
  for (let i = 0; i < 4; i++) reply[4 + i] = c.anyIp6[i];
  return isSet(reply);
}

/**
 * For a pod that is the node itself (a server on the host's network, the API server for one): its answers would leave past ku. So the
 * VIP's address is the source that it sees, which the node routes to ku0, and so to the rings. Writes it into `c.reply`. False: the pod
 * is elsewhere, or the VIP is an address of the node, which it would not send to ku0.
 */
export function useVipSource4(c: Context): boolean {
  if (!isLocal(c.hops4[hop4(c, c.reply[3]) + HOP_ADJACENCY])) return false;
  if (isLocal(c.hops4[hop4(c, c.original[7]) + HOP_ADJACENCY])) return false;
  copyVip(c);
  return true;
}

/** The same for IPv6. */
export function useVipSource6(c: Context): boolean {
  if (!isLocal(c.hops6[hop6(c, c.reply, 0) + HOP_ADJACENCY])) return false;
  if (isLocal(c.hops6[hop6(c, c.original, 4) + HOP_ADJACENCY])) return false;
  copyVip(c);
  return true;
}

function isLocal(adjacency: number): boolean {
  return adjacency === ROUTE_LOCAL;
}

function copyVip(c: Context): void {
  for (let i = 4; i < 8; i++) c.reply[i] = c.original[i];
}

/** Slot of the interface that an adjacency leaves by, also while its neighbor is unresolved; -1 = none that is attached. */
function slotBy(c: Context, adjacency: number): number {
  return adjacency < 0 ? -1 : c.adjacencies[adjacency * ADJ_STRIDE + ADJ_SLOT];
}

function isSet(reply: Int32Array): boolean {
  return (reply[4] | reply[5] | reply[6] | reply[7]) !== 0;
}
