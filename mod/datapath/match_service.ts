/**
 * Whose service a destination is.
 *
 * An address of the node's own belongs to a VIP only if the VIP is that very address: a prefix around it leaves it to the node.
 *
 * An echo request belongs to a service of all protocols and ports, if one covers the address; otherwise a VIP that is one address
 * answers it itself, and one that is a prefix leaves it to the kernel. Only requests start flows: a reply nobody asked for is not ku's.
 *
 * @module
 */

import type { MatchTable } from "../table/match.ts";
import { ROUTE_LOCAL } from "../table/route.ts";
import { SERVICE_FLAGS, SERVICE_HOST_VIP, SERVICE_STRIDE } from "../table/service.ts";
import { ICMP_ECHO_REQUEST } from "../wire/icmp.ts";
import { ICMPV6_ECHO_REQUEST } from "../wire/icmpv6.ts";
import { type Context, FRAGMENT_NONE, TRANSPORT_ECHO, TRANSPORT_OTHER } from "./context.ts";
import { hop4, hop6, HOP_ADJACENCY } from "./route.ts";

export const NO_SERVICE = -1;
/** An echo request that ku answers itself. */
export const ANSWER_ECHO = -2;

/** The match key for "some service lives at this address"; as a packet's protocol it is reserved. */
export const PROTOCOL_ANY_SERVICE = 255;

/** Service id of the parsed packet's IPv4 destination, NO_SERVICE or ANSWER_ECHO. */
export function matchService4(c: Context, destination: number): number {
  if (!startsFlow(c)) return NO_SERVICE;
  const port = c.ports & 0xffff; // 0 for an echo request
  const service = c.match.find4(destination, c.protocol, port);
  if (service >= 0 && (isHostVip(c, service) || !isLocal4(c, destination))) return service;
  if (c.transport === TRANSPORT_ECHO) {
    return whoAnswersEcho(c, c.match.find4(destination, PROTOCOL_ANY_SERVICE, 0));
  }
  if (c.transport === TRANSPORT_OTHER) return NO_SERVICE;
  return isLocal4(c, destination) ? c.match.findNodePort(4, c.protocol, port) : NO_SERVICE;
}

/** Service id of the IPv6 destination in words 4…7 of `tuple`, NO_SERVICE or ANSWER_ECHO. */
export function matchService6(c: Context, tuple: Int32Array): number {
  if (!startsFlow(c)) return NO_SERVICE;
  const port = c.ports & 0xffff;
  const service = find6(c.match, tuple, c.protocol, port);
  if (service >= 0 && (isHostVip(c, service) || !isLocal6(c, tuple))) return service;
  if (c.transport === TRANSPORT_ECHO) {
    return whoAnswersEcho(c, find6(c.match, tuple, PROTOCOL_ANY_SERVICE, 0));
  }
  if (c.transport === TRANSPORT_OTHER) return NO_SERVICE;
  return isLocal6(c, tuple) ? c.match.findNodePort(6, c.protocol, port) : NO_SERVICE;
}

/** Whether some VIP covers the IPv4 destination, whatever its protocols and ports. */
export function isInVip4(c: Context, destination: number): boolean {
  return c.match.find4(destination, PROTOCOL_ANY_SERVICE, 0) >= 0;
}

/** The same for the IPv6 destination in words 4…7 of `tuple`. */
export function isInVip6(c: Context, tuple: Int32Array): boolean {
  return find6(c.match, tuple, PROTOCOL_ANY_SERVICE, 0) >= 0;
}

function find6(match: MatchTable, tuple: Int32Array, protocol: number, port: number): number {
  return match.find6(tuple[4], tuple[5], tuple[6], tuple[7], protocol, port);
}

function startsFlow(c: Context): boolean {
  if (c.transport !== TRANSPORT_ECHO) return c.protocol !== PROTOCOL_ANY_SERVICE;
  const type = c.view.getUint8(c.l4);
  return type === ICMP_ECHO_REQUEST || type === ICMPV6_ECHO_REQUEST;
}

function whoAnswersEcho(c: Context, service: number): number {
  if (service < 0 || c.fragment !== FRAGMENT_NONE) return NO_SERVICE;
  return isHostVip(c, service) ? ANSWER_ECHO : NO_SERVICE;
}

/** Whether the service's VIP is one address. */
function isHostVip(c: Context, service: number): boolean {
  return (c.services[service * SERVICE_STRIDE + SERVICE_FLAGS] & SERVICE_HOST_VIP) !== 0;
}

function isLocal4(c: Context, destination: number): boolean {
  return c.hops4[hop4(c, destination) + HOP_ADJACENCY] === ROUTE_LOCAL;
}

function isLocal6(c: Context, tuple: Int32Array): boolean {
  return c.hops6[hop6(c, tuple, 4) + HOP_ADJACENCY] === ROUTE_LOCAL;
}
