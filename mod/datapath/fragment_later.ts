/**
 * A later fragment follows its first one: new addresses, hop limit, way out, counters. There is nothing else in it to rewrite.
 *
 * One that comes before its first is kept by the worker as it is (VERDICT_HOLD), and comes again behind that one, or when it has waited
 * long enough; then, or when nothing more can be kept, it is the kernel's. Steering brings every fragment whose address has a service,
 * the first ones too, so a bystander's fragments have a first one as well, find that the kernel has it, and wait for nothing.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as table from "../table/fragment.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";
import * as fragment from "./fragment.ts";
import * as sendMixed from "./send_mixed.ts";
import * as sends4 from "./send4.ts";
import * as sends6 from "./send6.ts";
import * as sessionHit from "./session_hit.ts";

// Own constants: see "Speed" in context.ts.
const {
  COUNT_FRAGMENT_HELD,
  COUNT_FRAGMENT_LATER,
  COUNT_FRAGMENT_LIMIT,
  COUNT_FRAGMENT_NOT_MINE,
  COUNT_FRAGMENT_OVERLAP,
  COUNT_FRAGMENT_REFUSED,
  COUNT_NOT_MINE,
} = counters;
const {
  ACCEPT_LIMIT,
  ACCEPT_PASS,
  FRAGMENT_IS_REPLY,
  FRAGMENT_KERNEL,
  FRAGMENT_POD,
  FRAGMENT_REFUSED,
  FRAGMENT_SERVICE,
  FRAGMENT_STATE,
  FRAGMENT_TUPLE,
} = table;
const { IPV4_FRAGMENT, IPV4_FRAGMENT_OFFSET_MASK, IPV4_MORE_FRAGMENTS } = ipv4;
const { IPV6_FRAGMENT_MORE, IPV6_FRAGMENT_OFFSET, IPV6_FRAGMENT_OFFSET_MASK } = ipv6;
const { count, drop, VERDICT_HOLD } = contexts;
const { loadDatagram4, loadDatagram6, SENT_4, SENT_46, SENT_6 } = fragment;
const { send46, send64 } = sendMixed;
const { puntUntouched4, send4 } = sends4;
const { puntUntouched6, send6 } = sends6;
const { countNext, countReply } = sessionHit;

/** Processes the parsed IPv4 fragment, a later one; returns the verdict. */
export function follow4(c: Context): number {
  loadDatagram4(c);
  const entry = c.fragments.find(c.now);
  if (entry < 0) return hold(c) ? VERDICT_HOLD : puntUntouched4(c, COUNT_FRAGMENT_NOT_MINE);
  if (c.fragments.words[entry + FRAGMENT_STATE] === FRAGMENT_KERNEL) return puntUntouched4(c, COUNT_NOT_MINE);
  const field = c.view.getUint16(c.l3 + IPV4_FRAGMENT);
  const offset = (field & IPV4_FRAGMENT_OFFSET_MASK) << 3;
  return follow(c, entry, offset, (field & IPV4_MORE_FRAGMENTS) !== 0);
}

/** The same for IPv6. */
export function follow6(c: Context): number {
  loadDatagram6(c);
  const entry = c.fragments.find(c.now);
  if (entry < 0) return hold(c) ? VERDICT_HOLD : puntUntouched6(c, COUNT_FRAGMENT_NOT_MINE);
  if (c.fragments.words[entry + FRAGMENT_STATE] === FRAGMENT_KERNEL) return puntUntouched6(c, COUNT_NOT_MINE);
  const field = c.view.getUint16(c.fragmentAt + IPV6_FRAGMENT_OFFSET);
  return follow(c, entry, field & IPV6_FRAGMENT_OFFSET_MASK, (field & IPV6_FRAGMENT_MORE) !== 0);
}

/** Whether the worker can keep the fragment. */
function hold(c: Context): boolean {
  if (c.holdRoom <= 0) return false;
  c.fragmentTag = c.fragments.tag;
  count(c, COUNT_FRAGMENT_HELD);
  return true;
}

/** Sends the fragment, whose payload is at `offset` of its datagram's, the way the first one went. */
function follow(c: Context, entry: number, offset: number, more: boolean): number {
  const words = c.fragments.words;
  if (words[entry + FRAGMENT_STATE] === FRAGMENT_REFUSED) return drop(c, COUNT_FRAGMENT_REFUSED);
  const accepted = c.fragments.accept(entry, offset, c.end - c.l4, more, c.now);
  if (accepted !== ACCEPT_PASS) {
    return drop(c, accepted === ACCEPT_LIMIT ? COUNT_FRAGMENT_LIMIT : COUNT_FRAGMENT_OVERLAP);
  }
  count(c, COUNT_FRAGMENT_LATER);
  const service = words[entry + FRAGMENT_SERVICE];
  const pod = words[entry + FRAGMENT_POD];
  if (words[entry + FRAGMENT_IS_REPLY] !== 0) countReply(c, service, pod, c.end - c.l3);
  else countNext(c, service, pod, c.end - c.l3);
  const how = words[entry + FRAGMENT_STATE];
  const tuple = entry + FRAGMENT_TUPLE;
  if (how === SENT_4) return send4(c, words, tuple);
  if (how === SENT_6) return send6(c, words, tuple);
  return how === SENT_46 ? send46(c, words, tuple) : send64(c, words, tuple);
}
