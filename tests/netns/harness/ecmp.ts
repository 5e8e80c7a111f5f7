/**
 * A second node beside the ground's, between the same client and pods; the client has a route over both, by ports.
 *
 *     client eth0 ── node 1  ── eth0 pods 10.2.1.2 …
 *     client eth1 ── node 2  ── eth1 the same pods
 *            10.3.0.2    10.3.0.1, 10.3.1.1 …
 */

import type { Ground } from "./ground.ts";
import { Namespace } from "./namespace.ts";

export interface Spread extends AsyncDisposable {
  /** The second node; its interfaces have the names that the first one's have. */
  node: Namespace;
  /** From now on flows go by one of them alone. */
  only(which: "first" | "second"): Promise<void>;
}

/** Makes it, and routes the client's way to `prefix` over both. */
export async function spreadOverNodes(ground: Ground, prefix: string): Promise<Spread> {
  const node = await Namespace.create("node2");
  await node.sysctl("net.ipv4.ip_forward=1");
  const { client, pods } = ground;
  for (const [index, { namespace, nodeInterface, address }] of [client, ...pods].entries()) {
    await node.ip(
      `link add name ${nodeInterface} type veth peer name eth1 netns ${namespace.name}`,
      `link set ${nodeInterface} up`,
      `addr add 10.3.${index}.1/24 dev ${nodeInterface}`,
    );
    // One address of every host's, whatever the way.
    await namespace.ip(
      "link set eth1 up",
      `addr add 10.3.${index}.2/24 dev eth1 noprefixroute`,
      `route add 10.3.${index}.0/24 dev eth1 src ${address}`,
    );
  }
  for (const [index, host] of [client, ...pods].entries()) {
    await node.ip(`route add ${host.address} via 10.3.${index}.2`);
  }
  const ways = { first: client.gateway, second: "10.3.0.1" };
  await client.namespace.sysctl("net.ipv4.fib_multipath_hash_policy=1");
  await client.namespace.ip(
    `route add ${prefix} src ${client.address} nexthop via ${ways.first} nexthop via ${ways.second}`,
  );
  return {
    node,
    only: (which) => client.namespace.ip(`route replace ${prefix} src ${client.address} via ${ways[which]}`),
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}
