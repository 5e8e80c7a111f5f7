/*
 * The routes of one family as the kernel holds them. Routes may share their identity (table, prefix, metric …) and
 * differ in where they lead; their order then matters, and rtnetlink's notifications do not always say it. Rule:
 * whatever a notification leaves open is reported as "unsure", and the owner dumps again, rather than guess.
 *
 * References: net/ipv4/fib_trie.c fib_table_insert (replace the first, append, or prepend);
 * net/ipv6/ip6_fib.c fib6_add_rt2node (IPv6 ways of one metric become one multipath route).
 */

import { NLM_F_APPEND, NLM_F_REPLACE } from "../../ffi/rtnetlink.ts";
import { addressKey } from "./address.ts";
import type { Route } from "./messages.ts";

/** What a notification did to the set. */
export type Applied = "same" | "changed" | "unsure";

/** Routes in the kernel's order within each identity. */
export class RouteSet implements Iterable<Route> {
  readonly #lists = new Map<string, Route[]>();

  /** Number of routes. */
  get size(): number {
    let size = 0;
    for (const list of this.#lists.values()) size += list.length;
    return size;
  }

  *[Symbol.iterator](): Iterator<Route> {
    for (const list of this.#lists.values()) yield* list;
  }

  /** Takes a whole dump instead of what was there. */
  reset(routes: readonly Route[]): void {
    this.#lists.clear();
    for (const route of routes) {
      const key = identity(route);
      const list = this.#lists.get(key);
      if (list === undefined) this.#lists.set(key, [route]);
      else list.push(route);
    }
  }

  /** RTM_NEWROUTE with its NLM_F_* flags. */
  added(route: Route, flags: number): Applied {
    const key = identity(route);
    const list = this.#lists.get(key);
    if (list === undefined) {
      this.#lists.set(key, [route]);
      return "changed";
    }
    const wanted = fingerprint(route);
    const index = list.findIndex((other) => fingerprint(other) === wanted);
    if (index >= 0 && list.length === 1) {
      list[index] = route;
      return "same";
    }
    if ((flags & NLM_F_REPLACE) !== 0) {
      if (list.length > 1) return "unsure";
      list[0] = route;
      return "changed";
    }
    if (index >= 0) return "same";
    if (route.address.length === 16) {
      if (hasGateway(route) && list.some(hasGateway)) return "unsure";
      list.push(route);
    } else if ((flags & NLM_F_APPEND) !== 0) {
      list.push(route);
    } else {
      list.unshift(route);
    }
    return "changed";
  }

  /** RTM_DELROUTE. */
  removed(route: Route): Applied {
    const key = identity(route);
    const list = this.#lists.get(key);
    if (list === undefined) return "same";
    if (route.sourcePrefixLength > 0) return "unsure"; // the source prefix itself is not kept
    const wanted = fingerprint(route);
    const index = list.findIndex((other) => fingerprint(other) === wanted);
    if (index < 0) return "unsure";
    if (list.length === 1) this.#lists.delete(key);
    else list.splice(index, 1);
    return "changed";
  }
}

function identity(route: Route): string {
  const { table, prefixLength, tos, metric, sourcePrefixLength } = route;
  return `${table} ${prefixLength} ${tos} ${metric} ${sourcePrefixLength} ${addressKey(route.address)}`;
}

/** What tells routes of one identity apart. NextHop flags are left out: they change without notification. */
function fingerprint(route: Route): string {
  const { type, protocol, scope, nexthopId, mtuBytes, preferredSource } = route;
  let text = `${type} ${protocol} ${scope} ${nexthopId} ${mtuBytes} `;
  if (preferredSource !== null) text += addressKey(preferredSource);
  for (const hop of route.nextHops) {
    text += ` ${hop.ifindex}${hop.encapsulated ? "e" : ""}`;
    if (hop.gateway !== null) text += `via${addressKey(hop.gateway)}`;
  }
  return text;
}

function hasGateway(route: Route): boolean {
  return route.nextHops.length > 1 || route.nextHops.some((hop) => hop.gateway !== null);
}
