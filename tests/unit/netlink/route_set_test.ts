/* mod/netlink/route_set.ts against the notifications the kernel sends. */

import { assertEquals } from "@std/assert";
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "../../../ffi/rtnetlink.ts";
import { addressText } from "../../../mod/netlink/address.ts";
import { RouteSet } from "../../../mod/netlink/route_set.ts";
import { route } from "./builder.ts";

const ADD = NLM_F_CREATE | NLM_F_EXCL;

function gateways(set: RouteSet): string {
  return [...set].map(({ nextHops: [hop] }) => hop.gateway === null ? "-" : addressText(hop.gateway)).join(
    " ",
  );
}

Deno.test("RouteSet.added and removed follow plain routes", () => {
  const set = new RouteSet();
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.1"), ADD), "changed");
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.1"), ADD), "same");
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.9", { metric: 5 }), ADD), "changed");
  assertEquals(set.size, 2);
  assertEquals(set.removed(route("10.0.0.0/8 3 via 10.1.0.1")), "changed");
  assertEquals(set.removed(route("10.0.0.0/8 3 via 10.1.0.1")), "same");
  assertEquals(gateways(set), "10.1.0.9");
});

Deno.test("RouteSet.added keeps the kernel's order of IPv4 routes to one prefix", () => {
  const set = new RouteSet();
  set.added(route("10.0.0.0/8 3 via 10.1.0.1"), ADD);
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.2"), NLM_F_CREATE | NLM_F_APPEND), "changed");
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.3"), NLM_F_CREATE), "changed");
  assertEquals(gateways(set), "10.1.0.3 10.1.0.1 10.1.0.2");
  assertEquals(set.removed(route("10.0.0.0/8 3 via 10.1.0.1")), "changed");
  assertEquals(gateways(set), "10.1.0.3 10.1.0.2");
});

Deno.test("RouteSet.added replaces, and is unsure which of several", () => {
  const set = new RouteSet();
  set.added(route("10.0.0.0/8 3 via 10.1.0.1"), ADD);
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.2"), NLM_F_REPLACE), "changed");
  assertEquals(gateways(set), "10.1.0.2");
  set.added(route("10.0.0.0/8 3 via 10.1.0.3"), NLM_F_CREATE);
  assertEquals(set.added(route("10.0.0.0/8 3 via 10.1.0.4"), NLM_F_REPLACE), "unsure");
});

Deno.test("RouteSet is unsure about IPv6 ways that join one multipath route, not about routes on other links", () => {
  const set = new RouteSet();
  set.added(route("fe80::/64 3"), ADD);
  assertEquals(set.added(route("fe80::/64 4"), ADD), "changed");
  set.added(route("fd00::/8 3 via fe80::1"), ADD);
  assertEquals(set.added(route("fd00::/8 3 via fe80::2, 3 via fe80::1"), NLM_F_APPEND), "unsure");
  assertEquals(set.removed(route("fd00::/8 3 via fe80::2")), "unsure");
  assertEquals(set.removed(route("fe80::/64 3")), "changed");
});

Deno.test("RouteSet.reset takes a dump as it is", () => {
  const set = new RouteSet();
  set.added(route("10.9.0.0/16 3"), ADD);
  set.reset([route("10.0.0.0/8 3 via 10.1.0.1"), route("10.0.0.0/8 3 via 10.1.0.2"), route("0.0.0.0/0 3")]);
  assertEquals(gateways(set), "10.1.0.1 10.1.0.2 -");
  assertEquals(set.size, 3);
});
