/** The files of examples/, and ku run with them. */

import { Daemon, type DaemonOptions } from "./daemon.ts";
import type { Ground, Host } from "./ground.ts";
import type { Namespace } from "./namespace.ts";
import { fetchUrl } from "./web.ts";

export const EXAMPLES = new URL("../../../examples/", import.meta.url).pathname;

/** Every file below examples/, its path from there. */
export function exampleFiles(folder = ""): string[] {
  return [...Deno.readDirSync(EXAMPLES + folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? exampleFiles(`${folder}${name}/`) : [folder + name]
  ).sort();
}

/** `ku run --config` with one of them. */
export function startExample(
  ground: Pick<Ground, "node" | "directory">,
  file: string,
  options: DaemonOptions = {},
): Promise<Daemon> {
  return Daemon.start(ground, { ...options, words: ["--config", EXAMPLES + file, ...(options.words ?? [])] });
}

/** Which pods answered `count` requests, and whom they saw; each request is a connection of its own. */
export async function whoAnswered(
  from: Namespace,
  url: string,
  count: number,
): Promise<{ pods: Set<string>; clients: Set<string> }> {
  const pods = new Set<string>();
  const clients = new Set<string>();
  for (let n = 0; n < count; n++) {
    const [pod, client] = (await fetchUrl(from, `${url}/who`)).text.split(" ");
    pods.add(pod);
    clients.add(client);
  }
  return { pods, clients };
}

/** Gives an interface of the node the name that an example has for it, with its addresses. */
export async function renameInterface(ground: Ground, host: Host, name: string): Promise<void> {
  await ground.node.ip(
    `link set ${host.nodeInterface} down`,
    `link set ${host.nodeInterface} name ${name}`,
    `link set ${name} up`,
    `addr replace ${host.gateway6}/64 dev ${name} nodad`,
  );
  host.nodeInterface = name;
}

/** Gives a pod addresses of an example's own, and the node a way to them. */
export async function addAddresses(ground: Ground, pod: Host, ...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const six = address.includes(":");
    await pod.namespace.ip(`addr add ${address}/${six ? 128 : 32} dev eth0${six ? " nodad" : ""}`);
    await ground.node.ip(`route add ${address} via ${six ? pod.address6 : pod.address}`);
  }
}
