/**
 * A first fragment, which has ports and is treated like a whole packet, and what is noted of it for the later ones: where it goes
 * (`sendDatagram`), whose it is (`ownDatagram`), or that the kernel has it (`leaveDatagram`). What none of these is said of went no
 * further, and so will the later ones. fragment_later.ts lets those follow.
 *
 * A checksum on a first fragment is updated like any (RFC 1624 needs only what changes, and that is all in the first). It cannot be a
 * half-done one: who leaves it to hardware does not fragment (net/ipv4/ip_output.c __ip_append_data, net/ipv4/udp.c udp_send_skb).
 * SCTP's CRC32c cannot be updated without the length of the whole: a fragment whose port is to change is dropped.
 *
 * @module
 */

import * as counters from "../metrics/counters.ts";
import * as table from "../table/fragment.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Context } from "./context.ts";
import * as contexts from "./context.ts";

// Own constants: see "Speed" in context.ts.
const { COUNT_FRAGMENT_FIRST, COUNT_FRAGMENT_OVERLAP, COUNT_FRAGMENT_SCTP } = counters;
const {
  FRAGMENT_IS_REPLY,
  FRAGMENT_KERNEL,
  FRAGMENT_POD,
  FRAGMENT_SENT,
  FRAGMENT_SERVICE,
  FRAGMENT_STATE,
  FRAGMENT_TUPLE,
} = table;
const { IPV4_DST, IPV4_ID, IPV4_SRC } = ipv4;
const { IPV6_DST, IPV6_FRAGMENT_BYTES, IPV6_FRAGMENT_ID, IPV6_SRC } = ipv6;
const { count, TRANSPORT_SCTP } = contexts;

/** How a datagram is sent: states of its entry. */
export const SENT_4 = FRAGMENT_SENT;
export const SENT_6 = FRAGMENT_SENT + 1;
export const SENT_46 = FRAGMENT_SENT + 2;
export const SENT_64 = FRAGMENT_SENT + 3;

/** Begins a datagram with the parsed IPv4 fragment, the first. False: it was dropped, because it is there already. */
export function beginDatagram4(c: Context): boolean {
  loadDatagram4(c);
  return begin(c, c.end - c.l4);
}

/** The same for IPv6. */
export function beginDatagram6(c: Context): boolean {
  loadDatagram6(c);
  return begin(c, c.end - c.fragmentAt - IPV6_FRAGMENT_BYTES);
}

function begin(c: Context, bytes: number): boolean {
  const entry = c.fragments.begin(c.now, bytes);
  if (entry < 0) {
    count(c, COUNT_FRAGMENT_OVERLAP);
    return false;
  }
  c.fragmentEntry = entry;
  c.fragmentTag = c.fragments.tag;
  c.firstFragments = (c.firstFragments + 1) | 0;
  return true;
}

/** What names a datagram of IPv4: addresses, protocol, identification (RFC 791 §2.3). */
export function loadDatagram4(c: Context): void {
  const view = c.view;
  const l3 = c.l3;
  const key = c.fragments.key;
  key[0] =
    key[1] =
    key[4] =
    key[5] =
      0;
  key[2] = key[6] = 0xffff;
  key[3] = view.getInt32(l3 + IPV4_SRC);
  key[7] = view.getInt32(l3 + IPV4_DST);
  key[8] = view.getUint16(l3 + IPV4_ID);
  key[9] = c.protocol;
}

/** Of IPv6 it is the addresses and the identification (RFC 8200 §4.5): what follows the fragment header need not agree. */
export function loadDatagram6(c: Context): void {
  const view = c.view;
  const l3 = c.l3;
  const key = c.fragments.key;
  for (let i = 0; i < 4; i++) {
    key[i] = view.getInt32(l3 + IPV6_SRC + (i << 2));
    key[4 + i] = view.getInt32(l3 + IPV6_DST + (i << 2));
  }
  key[8] = view.getInt32(c.fragmentAt + IPV6_FRAGMENT_ID);
  key[9] = -1;
}

/** Whose the datagram of this first fragment is, for the counters. */
export function ownDatagram(c: Context, service: number, pod: number, isReply: number): void {
  const words = c.fragments.words;
  const entry = c.fragmentEntry;
  words[entry + FRAGMENT_SERVICE] = service;
  words[entry + FRAGMENT_POD] = pod;
  words[entry + FRAGMENT_IS_REPLY] = isReply;
}

/**
 * The later fragments are sent as this first one is: `how` (SENT_…), with the tuple opposite to the one of `tupleWords` at `tupleAt`.
 * False: it cannot be sent, and was counted as a drop.
 */
export function sendDatagram(
  c: Context,
  how: number,
  tuple: Int32Array,
  tupleAt: number,
  tupleWords: number,
): boolean {
  const ports = tuple[tupleAt + tupleWords - 1];
  if (c.transport === TRANSPORT_SCTP && c.ports !== ((ports << 16) | (ports >>> 16))) {
    count(c, COUNT_FRAGMENT_SCTP);
    return false;
  }
  const words = c.fragments.words;
  const entry = c.fragmentEntry;
  words[entry + FRAGMENT_STATE] = how;
  for (let i = 0; i < tupleWords; i++) words[entry + FRAGMENT_TUPLE + i] = tuple[tupleAt + i];
  count(c, COUNT_FRAGMENT_FIRST);
  return true;
}

/** The kernel gets the datagram. */
export function leaveDatagram(c: Context): void {
  c.fragments.words[c.fragmentEntry + FRAGMENT_STATE] = FRAGMENT_KERNEL;
}
