/**
 * The ground of every end-to-end test and of `ku selftest`: clients, a node, pods; veth pairs with the offloads they are born with.
 *
 *     client 1                        node                          pod 1
 *     eth0 10.1.1.2 ───── 10.1.1.1 uplink    pod1 10.2.1.1 ───── eth0 10.2.1.2
 *          fd00:1:1::2      fd00:1:1::1              fd00:2:1::1        fd00:2:1::2
 *     client 2                                                      pod 2
 *     eth0 10.1.2.2 ───── 10.1.2.1 uplink2   pod2 10.2.2.1 ───── eth0 10.2.2.2
 *     …                                                             …
 *
 * Clients and pods have their default route through the node, which forwards IPv4 and IPv6. VIPs are addresses that nothing here owns:
 * what the clients send there arrives at the node, and without ku it goes no further.
 *
 * @module
 */

import { Namespace } from "./namespace.ts";
import { TemporaryDirectory } from "./cleanup.ts";

export interface GroundOptions {
  clients?: number;
  pods?: number;
  /** MTU of every link, both ends. */
  mtuBytes?: number;
  /** RX and TX queues of every veth end. */
  queues?: number;
  /** The namespaces are called by this and their part: "x-client1", "x-node", "x-pod1". Default: something unique. */
  stem?: string;
  /** Names for the namespaces instead of unique ones: the demo shows them to people. Used only if all are free. */
  names?: { client: string; node: string; pods: string[] };
}

/** A client or a pod: a namespace with `eth0`, whose other end on the node is called `nodeInterface`. */
export interface Host {
  name: string;
  namespace: Namespace;
  nodeInterface: string;
  address: string;
  address6: string;
  /** The node's addresses on this link. */
  gateway: string;
  gateway6: string;
}

export class Ground implements AsyncDisposable {
  clients: Host[] = [];
  pods: Host[] = [];

  private constructor(
    readonly node: Namespace,
    readonly directory: string,
    readonly mtuBytes: number,
    readonly queues: number,
    readonly stack: AsyncDisposableStack,
  ) {}

  /** The first client; most tests have no other. */
  get client(): Host {
    return this.clients[0];
  }

  static async create(options: GroundOptions = {}): Promise<Ground> {
    const names = await freeNames(options.names);
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await TemporaryDirectory.create());
    const create = async (label: string, name?: string) =>
      stack.use(
        await Namespace.create(
          label,
          name ?? (options.stem === undefined ? undefined : `${options.stem}-${label}`),
        ),
      );
    const node = await create("node", names?.node);
    await node.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
    const ground = new Ground(
      node,
      directory.path,
      options.mtuBytes ?? 1500,
      options.queues ?? 1,
      new AsyncDisposableStack(),
    );
    for (let index = 1; index <= (options.clients ?? 1); index++) {
      const nodeInterface = index === 1 ? "uplink" : `uplink${index}`;
      const namespace = await create(`client${index}`, index === 1 ? names?.client : undefined);
      ground.clients.push(await ground.#connect(`client${index}`, namespace, nodeInterface, `1.${index}`));
    }
    for (let index = 1; index <= (options.pods ?? 3); index++) {
      const namespace = await create(`pod${index}`, names?.pods[index - 1]);
      ground.pods.push(await ground.#connect(`pod${index}`, namespace, `pod${index}`, `2.${index}`));
    }
    ground.stack.use(stack.move());
    return ground;
  }

  async #connect(name: string, namespace: Namespace, nodeInterface: string, subnet: string): Promise<Host> {
    const [network, number] = subnet.split(".");
    const host: Host = {
      name,
      namespace,
      nodeInterface,
      address: `10.${subnet}.2`,
      address6: `fd00:${network}:${number}::2`,
      gateway: `10.${subnet}.1`,
      gateway6: `fd00:${network}:${number}::1`,
    };
    await addLink(this, host, "eth0", nodeInterface);
    await this.node.ip(
      `addr add ${host.gateway}/24 dev ${nodeInterface}`,
      `addr add ${host.gateway6}/64 dev ${nodeInterface} nodad`,
    );
    await host.namespace.ip(
      `addr add ${host.address}/24 dev eth0`,
      `addr add ${host.address6}/64 dev eth0 nodad`,
      `route add default via ${host.gateway}`,
      `route add default via ${host.gateway6}`,
    );
    return host;
  }

  /** The names of all interfaces of the node. */
  get nodeInterfaces(): string[] {
    return [...this.clients, ...this.pods].map((host) => host.nodeInterface);
  }

  /** Ends what was put on the stack (servers, agents), then the namespaces, then the directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.disposeAsync();
  }
}

/** One more veth pair between a host and the node, up at both ends, without addresses. */
export async function addLink(
  ground: Ground,
  host: Host,
  name: string,
  nodeInterface: string,
): Promise<void> {
  const queues = ground.queues === 1 ? "" : ` numrxqueues ${ground.queues} numtxqueues ${ground.queues}`;
  const { node, mtuBytes } = ground;
  await node.ip(
    `link add name ${nodeInterface} mtu ${mtuBytes}${queues} type veth ` +
      `peer name ${name} mtu ${mtuBytes}${queues} netns ${host.namespace.name}`,
    `link set ${nodeInterface} up`,
  );
  await host.namespace.ip(`link set ${name} up`);
}

/** A feature of a host's eth0 as `ethtool -k` tells it: "on", "off", "on [fixed]" … */
export async function offload(host: Host, feature: string): Promise<string | undefined> {
  const text = await host.namespace.runOk(["ethtool", "-k", "eth0"]);
  return text.split("\n").map((line) => line.trim().split(": ")).find(([name]) => name === feature)?.[1];
}

async function freeNames(names: GroundOptions["names"]): Promise<GroundOptions["names"]> {
  if (names === undefined) return undefined;
  for (const name of [names.client, names.node, ...names.pods]) {
    try {
      await Deno.lstat(`/run/netns/${name}`);
      return undefined;
    } catch {
      // Free.
    }
  }
  return names;
}
