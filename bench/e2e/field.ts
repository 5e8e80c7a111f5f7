/**
 * The ground of the end-to-end bench, one of it for each contestant, all alike; only one has traffic at a time.
 *
 *     client                       node (the contestant)                 pod
 *     eth0 10.1.1.2 ──────── uplink 10.1.1.1   pod1 10.2.1.1 ──────── eth0 10.2.1.2, and 10.244.0.0/16
 *     sender, on CPU 0                                                 sink
 *
 * The flows' source addresses are 10.1.1.2 … and 10.64.0.0/10, all behind the client. All pods of all services are one namespace: what is
 * compared is the node. The uplink has GRO on, without which a veth takes no redirected frames (drivers/net/veth.c veth_xdp_xmit).
 */

import { Ground } from "../../tests/netns/harness/ground.ts";
import { bpfObject } from "../compile.ts";
import { POD_NETWORK } from "../services.ts";
import { Agent } from "../traffic/agent.ts";
import type { Order } from "../traffic/sender.ts";

/** What the sender sends, apart from where. */
export type Load = Pick<Order, "flows" | "services" | "firstClient" | "firstService" | "port">;

export interface Field {
  ground: Ground;
  /** MAC addresses of the client's and the pod's ends, and of the node's. */
  macs: { client: string; uplink: string; pod1: string; pod: string };
}

export async function makeField(): Promise<Field> {
  const ground = await Ground.create({ clients: 1, pods: 1 });
  const [client, pod] = [ground.client, ground.pods[0]];
  const macs = {
    client: await macOf(client.namespace, "eth0"),
    uplink: await macOf(ground.node, "uplink"),
    pod1: await macOf(ground.node, "pod1"),
    pod: await macOf(pod.namespace, "eth0"),
  };
  await ground.node.runOk(["ethtool", "-K", "uplink", "gro", "on"]);
  await ground.node.ip(
    `neigh replace ${pod.address} lladdr ${macs.pod} nud permanent dev pod1`,
    `neigh replace ${client.address} lladdr ${macs.client} nud permanent dev uplink`,
    `route add ${POD_NETWORK} via ${pod.address} dev pod1`,
    `route add 10.64.0.0/10 via ${client.address} dev uplink`,
  );
  await pod.namespace.ip(`route add local ${POD_NETWORK} dev lo`);
  return { ground, macs };
}

type Namespace = Ground["node"];

async function macOf(namespace: Namespace, interfaceName: string): Promise<string> {
  const [link] = await namespace.ipJson<{ address: string }[]>("link", "show", interfaceName);
  return link.address;
}

/** The sink on an interface of a namespace. */
export function startSink(namespace: Namespace, interfaceName: string): Promise<Agent> {
  return Agent.start(namespace, "sink.ts", [bpfObject("sink"), interfaceName]);
}

/** The sender in the client, on CPU 0; it sends from now on until it is disposed of. */
export function startSender(field: Field, load: Load): Promise<Agent> {
  const order: Order = {
    interfaceName: "eth0",
    destinationMac: macBytes(field.macs.uplink),
    sourceMac: macBytes(field.macs.client),
    ...load,
  };
  const args = [bpfObject("sender"), JSON.stringify(order)];
  return Agent.start(field.ground.client.namespace, "sender.ts", args, ["taskset", "-c", "0"]);
}

function macBytes(mac: string): number[] {
  return mac.split(":").map((part) => parseInt(part, 16));
}
