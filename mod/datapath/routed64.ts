/**
 * A packet for a nat64 VIP that has a way to go by its routing header: IPv4 has no such thing, so its sender is told
 * (RFC 7915 §5.1). For VIPs of other kinds the kernel sees to it.
 *
 * @module
 */

import { SERVICE_NAT64, SERVICE_STRIDE, SERVICE_TYPE } from "../table/service.ts";
import {
  IPV6_DST,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  ipv6ExtensionBytes,
  ipv6IsExtension,
} from "../wire/ipv6.ts";
import { IP_PROTOCOL_ROUTING } from "../wire/protocol.ts";
import { answerSourceRoute6 } from "./answer6.ts";
import type { Context } from "./context.ts";
import { PROTOCOL_ANY_SERVICE } from "./match_service.ts";

/** In the routing header: how many addresses are left to visit (RFC 8200 §4.4). */
const SEGMENTS_LEFT = 3;

/** Whether the packet, which parse.ts gave up on, is one. */
export function isRouted64(c: Context): boolean {
  if (segmentsLeftAt(c) === 0) return false;
  const view = c.view;
  const at = c.l3 + IPV6_DST;
  const service = c.match.find6(
    view.getInt32(at),
    view.getInt32(at + 4),
    view.getInt32(at + 8),
    view.getInt32(at + 12),
    PROTOCOL_ANY_SERVICE,
    0,
  );
  return service >= 0 && c.services[service * SERVICE_STRIDE + SERVICE_TYPE] === SERVICE_NAT64;
}

/** Tells its sender. */
export function refuseRouted64(c: Context): number {
  c.protocol = IP_PROTOCOL_ROUTING; // what follows was not looked at
  return answerSourceRoute6(c, segmentsLeftAt(c) - c.l3);
}

/** Byte of a "segments left" that is not 0; 0 = there is none. parse.ts has checked the headers up to there. */
function segmentsLeftAt(c: Context): number {
  const view = c.view;
  let next = view.getUint8(c.l3 + IPV6_NEXT_HEADER);
  for (let at = c.l3 + IPV6_HEADER_BYTES; ipv6IsExtension(next) && at + 8 <= c.end;) {
    if (next === IP_PROTOCOL_ROUTING && view.getUint8(at + SEGMENTS_LEFT) !== 0) return at + SEGMENTS_LEFT;
    const bytes = ipv6ExtensionBytes(view, at, next);
    next = view.getUint8(at);
    at += bytes;
  }
  return 0;
}
