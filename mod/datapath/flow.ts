/**
 * A packet's way: parse, session, and what follows from it. The two functions are the same but for the family.
 *
 * On an interface with `nat4`/`nat6 in` a packet may be a pod's answer, so the reply direction is looked up first; a pod that is a client
 * of a VIP itself is found next, like any client. Elsewhere only clients are looked for.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as interfaces from "../table/interface.ts";
import * as session from "../table/session.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as foreign from "./foreign.ts";
import * as fragment from "./fragment.ts";
import * as fragmentLater from "./fragment_later.ts";
import * as icmpError4 from "./icmp_error4.ts";
import * as icmpError6 from "./icmp_error6.ts";
import * as mixed from "./mixed.ts";
import * as newConnection from "./new_connection.ts";
import * as parse from "./parse.ts";
import * as routed from "./routed64.ts";
import * as sendMixed from "./send_mixed.ts";
import * as sends4 from "./send4.ts";
import * as sends6 from "./send6.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_MARTIAN, COUNT_NOT_MINE } = counters;
const { IF_NAT4_IN, IF_NAT6_IN } = interfaces;
const { SESSION_ORIGINAL, SESSION_REPLY4, SESSION_REPLY6 } = session;
const { IPV4_DST, IPV4_SRC } = ipv4;
const { IPV6_DST, IPV6_SRC } = ipv6;
const { drop, FRAGMENT_NONE, VERDICT_DROP } = contexts;
const { followForeignReply } = foreign;
const { beginDatagram4, beginDatagram6 } = fragment;
const { follow4, follow6 } = fragmentLater;
const { translateError4 } = icmpError4;
const { translateError6 } = icmpError6;
const { connect4, connect6 } = newConnection;
const { parse4, parse6, PARSED_ALIEN, PARSED_BAD, PARSED_ERROR, PARSED_FLOW, PARSED_FRAGMENT } = parse;
const { isMapped, loadPacket4, mixedProtocol } = mixed;
const { isRouted64, refuseRouted64 } = routed;
const { send46, sendOn6 } = sendMixed;
const { puntUntouched4, send4 } = sends4;
const { puntUntouched6 } = sends6;
const { followOriginal, followReply } = sessionHit;

/** No session between the families; not a verdict. */
const NOT_MIXED = -1;

/** Processes the IPv4 packet at byte `l3` of the context's frame; returns the verdict. */
export function receive4(c: Context, l3: number): number {
  const parsed = parse4(c, l3, c.limit);
  if (parsed !== PARSED_FLOW) return receiveOther4(c, parsed);
  if (c.fragment !== FRAGMENT_NONE && !beginDatagram4(c)) return VERDICT_DROP;
  const source = c.view.getInt32(l3 + IPV4_SRC);
  const destination = c.view.getInt32(l3 + IPV4_DST);
  const sessions = c.sessions4;
  const fromPods = (c.inFlags & IF_NAT4_IN) !== 0;
  if (fromPods) {
    const entry = sessions.findReply4(c.protocol, source, destination, c.ports, c.now);
    if (entry >= 0 && followReply(c, sessions, entry)) {
      return send4(c, sessions.words, entry + SESSION_ORIGINAL);
    }
  }
  const entry = sessions.findOriginal4(c.protocol, source, destination, c.ports, c.now);
  if (entry >= 0 && followOriginal(c, sessions, entry)) {
    return send4(c, sessions.words, entry + SESSION_REPLY4);
  }
  if (fromPods) {
    const key = c.tuple4;
    key[0] = source;
    key[1] = destination;
    key[2] = c.ports;
    const words = followForeignReply(c, key, c.protocol, c.others4, c.overflow4);
    if (words !== null) return send4(c, words, c.foundAt);
  }
  if (c.mixed) {
    const verdict = receiveMixed4(c, fromPods);
    if (verdict !== NOT_MIXED) return verdict;
  }
  return connect4(c);
}

/** An IPv4 packet of a session whose other end speaks IPv6; NOT_MIXED: there is none. */
function receiveMixed4(c: Context, fromPods: boolean): number {
  const protocol = mixedProtocol(c.protocol);
  if (protocol < 0) return NOT_MIXED;
  const sessions = c.sessions6;
  const key = sessions.key;
  loadPacket4(c, key);
  if (fromPods) {
    const entry = sessions.findReply(protocol, c.now);
    if (entry >= 0 && followReply(c, sessions, entry)) {
      return send46(c, sessions.words, entry + SESSION_ORIGINAL);
    }
  }
  const entry = sessions.findOriginal(protocol, c.now);
  if (entry >= 0 && followOriginal(c, sessions, entry)) {
    return send46(c, sessions.words, entry + SESSION_REPLY6);
  }
  if (!fromPods) return NOT_MIXED;
  const words = followForeignReply(c, key, protocol, c.others6, c.overflow6);
  return words === null ? NOT_MIXED : send46(c, words, c.foundAt);
}

/** Processes the IPv6 packet at byte `l3` of the context's frame; returns the verdict. */
export function receive6(c: Context, l3: number): number {
  const parsed = parse6(c, l3, c.limit);
  if (parsed !== PARSED_FLOW) return receiveOther6(c, parsed);
  if (c.fragment !== FRAGMENT_NONE && !beginDatagram6(c)) return VERDICT_DROP;
  const sessions = c.sessions6;
  const key = sessions.key;
  const view = c.view;
  for (let i = 0; i < 4; i++) {
    key[i] = view.getInt32(l3 + IPV6_SRC + (i << 2));
    key[4 + i] = view.getInt32(l3 + IPV6_DST + (i << 2));
  }
  key[8] = c.ports;
  if (c.mixed && (isMapped(key, 0) || isMapped(key, 4))) return drop(c, COUNT_MARTIAN);
  const fromPods = (c.inFlags & IF_NAT6_IN) !== 0;
  if (fromPods) {
    const entry = sessions.findReply(c.protocol, c.now);
    if (entry >= 0 && followReply(c, sessions, entry)) {
      return sendOn6(c, sessions.words, entry + SESSION_ORIGINAL);
    }
  }
  const entry = sessions.findOriginal(c.protocol, c.now);
  if (entry >= 0 && followOriginal(c, sessions, entry)) {
    return sendOn6(c, sessions.words, entry + SESSION_REPLY6);
  }
  if (fromPods) {
    const words = followForeignReply(c, key, c.protocol, c.others6, c.overflow6);
    if (words !== null) return sendOn6(c, words, c.foundAt);
  }
  return connect6(c);
}

function receiveOther4(c: Context, parsed: number): number {
  if (parsed === PARSED_BAD) return VERDICT_DROP;
  if (parsed === PARSED_FRAGMENT) return follow4(c);
  if (c.fragment !== FRAGMENT_NONE && !beginDatagram4(c)) return VERDICT_DROP;
  return parsed === PARSED_ERROR ? translateError4(c) : puntUntouched4(c, COUNT_NOT_MINE);
}

function receiveOther6(c: Context, parsed: number): number {
  if (parsed === PARSED_BAD) return VERDICT_DROP;
  if (parsed === PARSED_FRAGMENT) return follow6(c);
  if (c.fragment !== FRAGMENT_NONE && !beginDatagram6(c)) return VERDICT_DROP;
  if (parsed === PARSED_ERROR) return translateError6(c);
  if (c.mixed && parsed === PARSED_ALIEN && isRouted64(c)) return refuseRouted64(c);
  return puntUntouched6(c, COUNT_NOT_MINE);
}
