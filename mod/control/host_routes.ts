/**
 * Routes that bring the node's own sockets to the VIPs: `<prefix> dev ku0`, marked with ku's protocol number. What the
 * kernel routes to ku0 arrives on the rings like any other packet, with slot 0.
 *
 * The metric is high: where somebody else has a route to the same prefix, his holds. ku's own routes are left out of
 * the mirror (`mod/netlink/next_hops.ts`), for they would lead ku to itself.
 *
 * @module
 */

import { formatAddress, MAPPED_BYTES, parsePrefix, to16Bytes } from "../config/address.ts";
import { addRoutes, deleteRoutes, listOwnRoutes, type OwnRoute } from "../netlink/links.ts";
import type { RequestSocket } from "../netlink/request.ts";
import type { Route } from "../netlink/messages.ts";
import { KU_ROUTE_PROTOCOL } from "../netlink/next_hops.ts";
import type { Log } from "./log.ts";

/** Behind every route that an administrator or a routing daemon is likely to set. */
const METRIC = 0x6b75;

export class HostRoutes {
  readonly #socket: RequestSocket;
  readonly #ifindex: number;
  readonly #log: Log;
  /** Prefixes that have a route of ku's. */
  readonly #present = new Set<string>();

  /** Takes over routes that an earlier daemon left; those by another link than ku0, whose `ifindex` it is, are taken away. */
  constructor(socket: RequestSocket, ifindex: number, log: Log) {
    this.#socket = socket;
    this.#ifindex = ifindex;
    this.#log = log;
    const left = listOwnRoutes(socket);
    const isOurs = (route: OwnRoute) => route.ifindex === ifindex && route.metric === METRIC;
    this.#report(deleteRoutes(socket, left.filter((route) => !isOurs(route))));
    for (const { address, prefixLength } of left.filter(isOurs)) {
      this.#present.add(`${formatAddress(to16Bytes(address))}/${prefixLength}`);
    }
  }

  /** Makes `prefixes` (canonical text) the ones that lead to ku0. What the kernel refuses is logged. */
  sync(prefixes: ReadonlySet<string>): void {
    const gone = [...this.#present].filter((prefix) => !prefixes.has(prefix));
    const come = [...prefixes].filter((prefix) => !this.#present.has(prefix));
    if (gone.length > 0) this.#report(deleteRoutes(this.#socket, gone.map((prefix) => this.#route(prefix))));
    if (come.length > 0) this.#report(addRoutes(this.#socket, come.map((prefix) => this.#route(prefix))));
    for (const prefix of gone) this.#present.delete(prefix);
    for (const prefix of come) this.#present.add(prefix);
  }

  /** Adds again what somebody else has taken away; `routes` is what the kernel has. */
  restore(routes: Iterable<Route>): void {
    const missing = new Set(this.#present);
    for (const { protocol, address, prefixLength } of routes) {
      if (protocol === KU_ROUTE_PROTOCOL) {
        missing.delete(`${formatAddress(to16Bytes(address))}/${prefixLength}`);
      }
    }
    if (missing.size === 0) return;
    // Those that were added a moment ago may only not have been told of yet: EEXIST is no news.
    addRoutes(this.#socket, [...missing].map((prefix) => this.#route(prefix)));
  }

  /** Takes all of them away. */
  clear(): void {
    this.sync(new Set());
  }

  #route(text: string): OwnRoute {
    const { family, bytes, length } = parsePrefix(text)!;
    return {
      address: family === 4 ? bytes.slice(MAPPED_BYTES) : bytes,
      prefixLength: length,
      ifindex: this.#ifindex,
      metric: METRIC,
    };
  }

  #report(results: readonly (Error | null)[]): void {
    for (const error of results) if (error !== null) this.#log.warn(`host route : ${error.message}`);
  }
}
