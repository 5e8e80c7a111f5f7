/**
 * ICMP errors about packets that were translated between the families: they become errors of the other family on their way back to
 * the sender of what they quote, as icmp_error4.ts and icmp_error6.ts do within one.
 *
 * Who such an error says it is from: the quoted packet's receiver is what its sender asked for; any other IPv4 router appears under the
 * nat46 prefix; an IPv6 router, which has no IPv4 address, is spoken for by the node (RFC 6791 §3.1).
 *
 * @module
 */

import {
  COUNT_ERROR_NOT_MINE,
  COUNT_ERROR_SUPPRESSED,
  COUNT_ERROR_TRANSLATED,
  COUNT_ERROR_UNTRANSLATABLE,
  COUNT_MALFORMED,
} from "../metrics/counters.ts";
import { IF_IP4, IF_STRIDE } from "../table/interface.ts";
import { ROUTE_LOCAL } from "../table/route.ts";
import { ICMP_HEADER_BYTES } from "../wire/icmp.ts";
import { ICMPV6_HEADER_BYTES } from "../wire/icmpv6.ts";
import { IPV4_DST, IPV4_SRC, IPV4_TTL, ipv4HeaderBytes } from "../wire/ipv4.ts";
import { IPV6_DST, IPV6_HOP_LIMIT, IPV6_SRC } from "../wire/ipv6.ts";
import { type Context, count, drop } from "./context.ts";
import { embed, isEmbedded, isMapped, loadMapped, mixedProtocol, nextIdentification } from "./mixed.ts";
import { findQuoted6 } from "./quoted_session6.ts";
import { hop4, hop6, HOP_ADJACENCY, HOP_MTU, HOP_SLOT, routeOwn4, routeOwn6 } from "./route.ts";
import { puntUntouched4 } from "./send4.ts";
import { translateError46 } from "./translate_error46.ts";
import { translateError64 } from "./translate_error64.ts";
import { REFUSE_NOTHING } from "./translate46.ts";
import { REFUSE_BAD_CHECKSUM } from "./translate_quote.ts";

/** Translates the parsed ICMP error, whose quote, of `protocol`, has the tuple in `c.tuple4` turned round; or leaves it to the kernel. */
export function translateMixedError4(c: Context, protocol: number): number {
  const view = c.view;
  const known = mixedProtocol(protocol);
  const key = c.tuple4;
  loadMapped(c.reply, key[0], key[1], key[2]);
  if (known < 0 || !findQuoted6(c, known) || isMapped(c.original, 0)) {
    return puntUntouched4(c, COUNT_ERROR_NOT_MINE);
  }
  const quote = c.l4 + ICMP_HEADER_BYTES;
  const receiver = c.original;
  const hop = hop6(c, receiver, 0);
  const local = c.hops6[hop + HOP_ADJACENCY] === ROUTE_LOCAL;
  // No error is made about an error, so one whose TTL runs out just ends.
  if (!local && view.getUint8(c.l3 + IPV4_TTL) <= 1) return drop(c, COUNT_ERROR_SUPPRESSED);
  const source = c.reply;
  const from = view.getInt32(c.l3 + IPV4_SRC);
  if (from === view.getInt32(quote + IPV4_DST)) { for (let i = 0; i < 4; i++) source[i] = receiver[4 + i]; }
  else embed(c, source, 0, from);
  const mtu4 = c.hops4[hop4(c, view.getInt32(quote + IPV4_DST)) + HOP_MTU];
  const quotedL4 = quote + ipv4HeaderBytes(view, quote);
  const step = local ? 0 : 1;
  const refusal = translateError46(c, quotedL4, receiver, source, 0, step, mtu4, c.hops6[hop + HOP_MTU]);
  if (refusal !== REFUSE_NOTHING) return refuseError(c, refusal);
  count(c, COUNT_ERROR_TRANSLATED);
  return routeOwn6(c, c.l3);
}

/**
 * Translates the parsed ICMPv6 error, whose quoted transport header, of `protocol`, is at `quotedL4`; the sender of the quoted packet, whose
 * tuple is in `c.original`, speaks IPv4.
 */
export function sendMixedError6(c: Context, quotedL4: number, protocol: number): number {
  const view = c.view;
  const quote = c.l4 + ICMPV6_HEADER_BYTES;
  const tuple = c.original;
  const hop = hop4(c, tuple[3]);
  const local = c.hops4[hop + HOP_ADJACENCY] === ROUTE_LOCAL;
  if (!local && view.getUint8(c.l3 + IPV6_HOP_LIMIT) <= 1) return drop(c, COUNT_ERROR_SUPPRESSED);
  const source = errorSource4(c, quote + IPV6_DST, hop);
  const peer = c.reply;
  for (let i = 0; i < 4; i++) peer[i] = view.getInt32(quote + IPV6_DST + (i << 2));
  const mtu6 = c.hops6[hop6(c, peer, 0) + HOP_MTU];
  const refusal = translateError64(
    c,
    quotedL4,
    protocol,
    tuple,
    source,
    local ? 0 : 1,
    nextIdentification(c),
    c.hops4[hop + HOP_MTU],
    mtu6,
  );
  if (refusal !== REFUSE_NOTHING) return refuseError(c, refusal);
  count(c, COUNT_ERROR_TRANSLATED);
  return routeOwn4(c, c.l3);
}

/** The IPv4 address that speaks for the ICMPv6 error's source. `peerAt`: byte of the quoted packet's destination. */
function errorSource4(c: Context, peerAt: number, hop: number): number {
  const view = c.view;
  const from = c.l3 + IPV6_SRC;
  let isPeer = true;
  for (let i = 0; i < 16; i += 4) {
    if (view.getInt32(from + i) !== view.getInt32(peerAt + i)) isPeer = false;
  }
  if (isPeer) return c.original[7];
  if (isEmbedded(c, from)) return view.getInt32(from + 12);
  // To the node itself the kernel does not take the node's address as a stranger's.
  if (c.hops4[hop + HOP_ADJACENCY] === ROUTE_LOCAL) return c.original[7];
  const slot = c.hops4[hop + HOP_SLOT];
  const own = slot >= 0 ? c.interfaces[slot * IF_STRIDE + IF_IP4] | 0 : 0;
  return own || c.tables.settings.ip4SrcAddress | 0 || c.anyIp4 || c.original[7];
}

function refuseError(c: Context, refusal: number): number {
  return drop(c, refusal === REFUSE_BAD_CHECKSUM ? COUNT_MALFORMED : COUNT_ERROR_UNTRANSLATABLE);
}
