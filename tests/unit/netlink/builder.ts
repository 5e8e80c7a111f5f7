/* Links, routes and neighbors from short texts, for the tests of mod/netlink. */

import { ROUTE_TYPES, RT_TABLE_MAIN } from "../../../ffi/rtnetlink.ts";
import { NUD_REACHABLE } from "../../../ffi/rtnetlink.ts";
import { MAPPED_BYTES, parseAddress } from "../../../mod/config/address.ts";
import { parseMac } from "../../../mod/netlink/address.ts";
import type { Link, Neighbor, NextHop, Route, RouteType } from "../../../mod/netlink/messages.ts";

/** 4 or 16 bytes of an address that is one. */
export function ipAddress(text: string): Uint8Array {
  const { family, bytes } = parseAddress(text)!;
  return family === 4 ? bytes.slice(MAPPED_BYTES) : bytes;
}

/** An Ethernet link that is up; its MAC ends with its index. */
export function link(index: number, name: string, changes: Partial<Link> = {}): Link {
  return {
    index,
    name,
    kind: "veth",
    hardwareType: 1,
    mtuBytes: 1500,
    mac: Uint8Array.of(2, 0, 0, 0, 0, index),
    up: true,
    running: true,
    noArp: false,
    loopback: false,
    pointToPoint: false,
    rxQueueCount: 1,
    txQueueCount: 1,
    peerIndex: 0,
    peerNetnsId: null,
    masterIndex: 0,
    xdpMode: "none",
    xdpProgramId: 0,
    ...changes,
  };
}

/** "3 via 10.0.0.1" or "3". */
export function nextHop(text: string, changes: Partial<NextHop> = {}): NextHop {
  const [ifindex, gateway] = text.split(" via ");
  const address = gateway === undefined ? null : ipAddress(gateway);
  return { ifindex: Number(ifindex), gateway: address, flags: 0, encapsulated: false, ...changes };
}

/** "10.0.0.0/8 3 via 10.0.0.1", with more ways after commas; "blackhole 10.0.0.0/8"; "local 10.0.0.1/32 1". */
export function route(text: string, changes: Partial<Route> = {}): Route {
  const words = text.split(" ");
  const type = (ROUTE_TYPES as readonly string[]).includes(words[0]) ? words.shift() as RouteType : "unicast";
  const [address, length] = words.shift()!.split("/");
  return {
    address: ipAddress(address),
    prefixLength: Number(length),
    sourcePrefixLength: 0,
    tos: 0,
    table: RT_TABLE_MAIN,
    type,
    protocol: 3,
    scope: 0,
    metric: 0,
    mtuBytes: 0,
    preferredSource: null,
    nexthopId: 0,
    nextHops: words.length === 0 ? [] : words.join(" ").split(", ").map((hop) => nextHop(hop)),
    ...changes,
  };
}

/** "3 10.0.0.1 02:00:00:00:00:99"; no MAC: still unknown. */
export function neighbor(text: string, state = NUD_REACHABLE): Neighbor {
  const [ifindex, address, mac] = text.split(" ");
  return {
    ifindex: Number(ifindex),
    address: ipAddress(address),
    mac: mac === undefined ? null : parseMac(mac),
    state,
    flags: 0,
  };
}
