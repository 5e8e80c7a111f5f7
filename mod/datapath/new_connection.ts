/**
 * The first packet of a flow: which service, which pod, which tuple its replies will have; then it is remembered and sent on.
 *
 * It runs for packets that no session was found for, so it may be slower than the rest. Both families share it: addresses are four
 * words, IPv4 as ::ffff:a.b.c.d, in the scratch tuples `c.original` (as the client sent it) and `c.reply` (as the pod will answer).
 *
 * Which pod is chosen by an unkeyed hash of the flow, so that every node, and this one after a restart, sends it to the same.
 *
 * @module
 */

import {
  COUNT_MARTIAN,
  COUNT_NO_SERVER,
  COUNT_NO_SOURCE_ADDRESS,
  COUNT_NOT_MINE,
  COUNT_PORTS_EXHAUSTED,
  COUNT_SESSION_BUSY,
  COUNT_SESSION_NEW,
  COUNT_SESSION_YIELDED,
  COUNT_SOURCE_REFUSED,
  COUNT_UNTRACKED,
  POD_BYTES,
  POD_COUNTERS,
  POD_FIRST_PACKET,
  POD_PACKETS,
  SERVICE_BYTES,
  SERVICE_COUNTERS,
  SERVICE_FIRST_PACKET,
  SERVICE_NO_SERVER,
  SERVICE_UNTRACKED,
} from "../metrics/counters.ts";
import { flowHash4, flowHash6, sourceHash4, sourceHash6 } from "../table/hash.ts";
import type { OverflowTable } from "../table/overflow.ts";
import { POD_ACTIVE, POD_ADDRESS, POD_FLAGS, POD_SERVICE, POD_STRIDE } from "../table/pod.ts";
import {
  pickPod,
  SERVICE_FLAGS,
  SERVICE_MASQUERADE,
  SERVICE_NAT46,
  SERVICE_NAT64,
  SERVICE_SOURCES,
  SERVICE_SOURCES_AT,
  SERVICE_STICKY,
  SERVICE_STICKY_SECONDS,
  SERVICE_STRIDE,
  SERVICE_TARGET_PORT,
  SERVICE_TYPE,
} from "../table/service.ts";
import { SESSION_FULL, SESSION_POD, SESSION_SERVICE, type SessionTable } from "../table/session.ts";
import { admitsSource } from "../table/sources.ts";
import { IPV4_DST, IPV4_SRC } from "../wire/ipv4.ts";
import { IPV6_DST, IPV6_SRC } from "../wire/ipv6.ts";
import { answerEcho4, answerReset4, answerUnreachable4, isAnswerable4 } from "./answer4.ts";
import { answerEcho6, answerReset6, answerUnreachable6, isAnswerable6 } from "./answer6.ts";
import {
  type Context,
  count,
  drop,
  FRAGMENT_NONE,
  TRANSPORT_SCTP,
  TRANSPORT_TCP,
  TRANSPORT_UDP,
} from "./context.ts";
import { followForeignOriginal, mustYield } from "./foreign.ts";
import { ownDatagram } from "./fragment.ts";
import { ANSWER_ECHO, isInVip4, isInVip6, matchService4, matchService6 } from "./match_service.ts";
import { embed, mixedProtocol } from "./mixed.ts";
import { refuse, send46, send64, sendOn6 } from "./send_mixed.ts";
import { puntUntouched4, send4 } from "./send4.ts";
import { puntUntouched6, send6 } from "./send6.ts";
import { beginSession } from "./session_hit.ts";
import {
  choosePort,
  insertSession,
  loadTuple,
  PORTS_EXHAUSTED,
  useNodeSource4,
  useNodeSource6,
  useVipSource4,
  useVipSource6,
} from "./source.ts";
import { refusal46, REFUSE_NOTHING } from "./translate46.ts";
import { refusal64 } from "./translate64.ts";

/** No session at another worker; not a verdict. */
const NOT_ELSEWHERE = -1;

/** Starts a flow with the parsed IPv4 packet, or follows another worker's session, answers it, or gives it to the kernel. */
export function connect4(c: Context): number {
  const busy = c.busy;
  c.busy = c.withheld = false;
  const source = c.view.getInt32(c.l3 + IPV4_SRC);
  const destination = c.view.getInt32(c.l3 + IPV4_DST);
  const service = matchService4(c, destination);
  if (service === ANSWER_ECHO) return answerEcho4(c);
  if (service < 0) return busy ? drop(c, COUNT_SESSION_BUSY) : leave4(c, destination);
  if (!isAnswerable4(source) || source === destination) return drop(c, COUNT_MARTIAN);
  const original = c.original;
  original[0] =
    original[1] =
    original[4] =
    original[5] =
      0;
  original[2] = original[6] = 0xffff;
  original[3] = source;
  original[7] = destination;
  original[8] = c.ports;
  if (c.others4.length > 0) {
    const verdict = followElsewhere4(c, serviceType(c, service) === SERVICE_NAT46);
    if (verdict !== NOT_ELSEWHERE) return verdict;
  }
  if (refusesSource(c, service)) return drop(c, COUNT_SOURCE_REFUSED);
  const hash = isSticky(c, service)
    ? sourceHash4(source)
    : flowHash4(c.protocol, source, destination, c.ports);
  const pod = choosePod(c, service, hash);
  if (pod < 0) {
    countNoServer(c, service);
    return c.transport === TRANSPORT_TCP ? answerReset4(c) : answerUnreachable4(c);
  }
  makeReplyTuple(c, service, pod);
  if (serviceType(c, service) === SERVICE_NAT46) return connect46(c, service, pod, hash);
  let allocate = useVipSource4(c);
  if (!allocate && replacesSource(c, service)) {
    if (!useNodeSource4(c)) return drop(c, COUNT_NO_SOURCE_ADDRESS);
    allocate = true;
  }
  if (!remember(c, c.sessions4, c.overflow4, c.protocol, service, pod, hash, allocate)) {
    return drop(c, COUNT_PORTS_EXHAUSTED);
  }
  loadTuple(c.tuple4, c.reply);
  return send4(c, c.tuple4, 0);
}

/** Starts a flow with the parsed IPv6 packet, or follows another worker's session, answers it, or gives it to the kernel. */
export function connect6(c: Context): number {
  const busy = c.busy;
  c.busy = c.withheld = false;
  const view = c.view;
  const original = c.original;
  for (let i = 0; i < 4; i++) {
    original[i] = view.getInt32(c.l3 + IPV6_SRC + (i << 2));
    original[4 + i] = view.getInt32(c.l3 + IPV6_DST + (i << 2));
  }
  original[8] = c.ports;
  const service = matchService6(c, original);
  if (service === ANSWER_ECHO) return answerEcho6(c);
  if (service < 0) return busy ? drop(c, COUNT_SESSION_BUSY) : leave6(c);
  if (!isAnswerable6(view, c.l3 + IPV6_SRC) || sameAddress(original, 0, original, 4)) {
    return drop(c, COUNT_MARTIAN);
  }
  if (c.others6.length > 0) {
    const words = followForeignOriginal(c, c.protocol, c.others6);
    if (words !== null) return sendOn6(c, words, c.foundAt);
  }
  if (refusesSource(c, service)) return drop(c, COUNT_SOURCE_REFUSED);
  const hash = isSticky(c, service) ? sourceHash6(original, 0) : flowHash6(c.protocol, original, 0);
  const pod = choosePod(c, service, hash);
  if (pod < 0) {
    countNoServer(c, service);
    return c.transport === TRANSPORT_TCP ? answerReset6(c) : answerUnreachable6(c);
  }
  makeReplyTuple(c, service, pod);
  if (serviceType(c, service) === SERVICE_NAT64) return connect64(c, service, pod, hash);
  let allocate = useVipSource6(c);
  if (!allocate && replacesSource(c, service)) {
    if (!useNodeSource6(c)) return drop(c, COUNT_NO_SOURCE_ADDRESS);
    allocate = true;
  }
  if (!remember(c, c.sessions6, c.overflow6, c.protocol, service, pod, hash, allocate)) {
    return drop(c, COUNT_PORTS_EXHAUSTED);
  }
  return send6(c, c.reply, 0);
}

/** An IPv4 packet of a session that another worker keeps, to an IPv6 pod (`mixed`) or not; NOT_ELSEWHERE: there is none. */
function followElsewhere4(c: Context, mixed: boolean): number {
  const protocol = mixed ? mixedProtocol(c.protocol) : c.protocol;
  if (protocol < 0) return NOT_ELSEWHERE;
  const words = followForeignOriginal(c, protocol, mixed ? c.others6 : c.others4);
  if (words === null) return NOT_ELSEWHERE;
  return mixed ? send46(c, words, c.foundAt) : send4(c, words, c.foundAt);
}

/** An IPv4 client's flow to an IPv6 pod: the client is known there by the nat46 prefix, its port kept. */
function connect46(c: Context, service: number, pod: number, hash: number): number {
  const refusal = refusal46(c);
  if (refusal !== REFUSE_NOTHING) return refuse(c, refusal);
  const masked = masquerades(c, service);
  if (!masked) embed(c, c.reply, 4, c.original[3]);
  else if (!useNodeSource6(c)) return drop(c, COUNT_NO_SOURCE_ADDRESS);
  const protocol = mixedProtocol(c.protocol);
  if (!remember(c, c.sessions6, c.overflow6, protocol, service, pod, hash, masked)) {
    return drop(c, COUNT_PORTS_EXHAUSTED);
  }
  return send46(c, c.reply, 0);
}

/** An IPv6 client's flow to an IPv4 pod: it comes from the node's address and a port of its own. */
function connect64(c: Context, service: number, pod: number, hash: number): number {
  const refusal = refusal64(c);
  if (refusal !== REFUSE_NOTHING) return refuse(c, refusal);
  if (!useNodeSource4(c)) return drop(c, COUNT_NO_SOURCE_ADDRESS);
  if (!remember(c, c.sessions6, c.overflow6, c.protocol, service, pod, hash, true)) {
    return drop(c, COUNT_PORTS_EXHAUSTED);
  }
  return send64(c, c.reply, 0);
}

/**
 * A packet for no service is the kernel's again. From ku0, where only the routes of VIPs lead, there is no way back: it is told at once
 * that nobody serves this port of the VIP.
 */
function leave4(c: Context, destination: number): number {
  if (c.inSlot !== 0 || !isInVip4(c, destination)) return puntUntouched4(c, COUNT_NOT_MINE);
  return c.transport === TRANSPORT_TCP ? answerReset4(c) : answerUnreachable4(c);
}

function leave6(c: Context): number {
  if (c.inSlot !== 0 || !isInVip6(c, c.original)) return puntUntouched6(c, COUNT_NOT_MINE);
  return c.transport === TRANSPORT_TCP ? answerReset6(c) : answerUnreachable6(c);
}

/** Whether the service takes clients of certain prefixes only, and that of `c.original` is in none. */
function refusesSource(c: Context, service: number): boolean {
  const at = service * SERVICE_STRIDE;
  return (c.services[at + SERVICE_FLAGS] & SERVICE_SOURCES) !== 0 &&
    !admitsSource(c.slots, c.services[at + SERVICE_SOURCES_AT], c.original);
}

/** The pod of a new flow, -1 for none: by its hash, or the one that its client has been given before and whose time is not over. */
function choosePod(c: Context, service: number, hash: number): number {
  const own = c.affinity;
  const seconds = c.services[service * SERVICE_STRIDE + SERVICE_STICKY_SECONDS];
  if (seconds === 0 || own === null) return pickPod(c.tables.services, c.slots, service, hash);
  let pod = own.find(service, c.original, c.now, seconds);
  for (let i = 0; pod < 0 && i < c.othersAffinity.length; i++) {
    pod = c.othersAffinity[i].find(service, c.original, c.now, seconds);
  }
  if (pod < 0 || !takesNew(c, service, pod)) pod = pickPod(c.tables.services, c.slots, service, hash);
  if (pod >= 0) own.note(service, c.original, pod, c.now);
  return pod;
}

/** Whether `pod` is one of the service's that get new flows: a note may be older than the tables. */
function takesNew(c: Context, service: number, pod: number): boolean {
  const row = pod * POD_STRIDE;
  return row < c.pods.length && c.pods[row + POD_SERVICE] === service &&
    (c.pods[row + POD_FLAGS] & POD_ACTIVE) !== 0;
}

function isSticky(c: Context, service: number): boolean {
  return (c.services[service * SERVICE_STRIDE + SERVICE_FLAGS] & SERVICE_STICKY) !== 0;
}

function serviceType(c: Context, service: number): number {
  return c.services[service * SERVICE_STRIDE + SERVICE_TYPE];
}

function countNoServer(c: Context, service: number): void {
  count(c, COUNT_NO_SERVER);
  c.serviceCounters[service * SERVICE_COUNTERS + SERVICE_NO_SERVER]++;
}

/** Fills `c.reply` from `c.original`: from the pod, to the client, the pod's port in place of the VIP's. */
function makeReplyTuple(c: Context, service: number, pod: number): void {
  const original = c.original;
  const reply = c.reply;
  const address = pod * POD_STRIDE + POD_ADDRESS;
  for (let i = 0; i < 4; i++) {
    reply[i] = c.pods[address + i];
    reply[4 + i] = original[i];
  }
  let port = original[8] & 0xffff;
  if (c.transport === TRANSPORT_TCP || c.transport === TRANSPORT_UDP || c.transport === TRANSPORT_SCTP) {
    port = c.services[service * SERVICE_STRIDE + SERVICE_TARGET_PORT] || port;
  }
  reply[8] = (port << 16) | (original[8] >>> 16);
}

/** Whether the client's address cannot stay: the service masquerades, or the pod is the client (its answer would not come back). */
function replacesSource(c: Context, service: number): boolean {
  return masquerades(c, service) || sameAddress(c.reply, 0, c.original, 0);
}

function masquerades(c: Context, service: number): boolean {
  return (c.services[service * SERVICE_STRIDE + SERVICE_FLAGS] & SERVICE_MASQUERADE) !== 0;
}

function sameAddress(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  return a[aAt + 3] === b[bAt + 3] && a[aAt + 2] === b[bAt + 2] && a[aAt + 1] === b[bAt + 1] &&
    a[aAt] === b[bAt];
}

/**
 * `insertSession`, such that no other worker has a session of this flow or of the same reply tuple (foreign.ts). SESSION_FULL also when
 * another may have it: the packet is forwarded, the flow untracked for now.
 */
function enter(c: Context, table: SessionTable, protocol: number, hash: number, allocate: boolean): number {
  if (c.others4.length === 0) return insertSession(c, table, protocol, hash, allocate);
  if (c.withheld) return leaveOut(c, hash, allocate);
  let entry = insertSession(c, table, protocol, hash, allocate);
  for (let tries = 0; entry >= 0 && mustYield(c, table, protocol); tries++) {
    table.remove(entry);
    if (c.withheld || tries === 1) return leaveOut(c, hash, allocate);
    entry = insertSession(c, table, protocol, hash, allocate);
  }
  return entry;
}

function leaveOut(c: Context, hash: number, allocate: boolean): number {
  count(c, COUNT_SESSION_YIELDED);
  if (allocate) choosePort(c, hash);
  return SESSION_FULL;
}

/**
 * Remembers the flow of `c.original` and `c.reply`, of `protocol`, as a session or, when its bucket is full, as a note for its replies; and counts it.
 * False: there is no free source port.
 */
function remember(
  c: Context,
  table: SessionTable,
  overflow: OverflowTable | null,
  protocol: number,
  service: number,
  pod: number,
  hash: number,
  allocate: boolean,
): boolean {
  const entry = enter(c, table, protocol, hash, allocate);
  if (entry === PORTS_EXHAUSTED) return false;
  const serviceRow = service * SERVICE_COUNTERS;
  const podRow = pod * POD_COUNTERS;
  const bytes = c.end - c.l3;
  if (entry >= 0) {
    table.words[entry + SESSION_SERVICE] = service;
    table.words[entry + SESSION_POD] = pod;
    beginSession(c, table, entry);
    count(c, COUNT_SESSION_NEW);
    c.serviceCounters[serviceRow + SERVICE_FIRST_PACKET]++;
    c.podCounters[podRow + POD_FIRST_PACKET]++;
  } else {
    count(c, COUNT_UNTRACKED);
    c.serviceCounters[serviceRow + SERVICE_UNTRACKED]++;
    if (overflow !== null) {
      loadTuple(overflow.key, c.reply);
      loadTuple(overflow.original, c.original);
      overflow.note(protocol, service, pod, c.now);
    }
  }
  if (c.fragment !== FRAGMENT_NONE) ownDatagram(c, service, pod, 0);
  c.serviceCounters[serviceRow + SERVICE_BYTES] += bytes;
  c.podCounters[podRow + POD_PACKETS]++;
  c.podCounters[podRow + POD_BYTES] += bytes;
  return true;
}
