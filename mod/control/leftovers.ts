/**
 * What a daemon that was killed, or told to let the kernel go on, has left in this network namespace: taken away without a new one.
 *
 * Rule: only while no daemon lives here, and only ku's own: programs by their names, routes by their protocol number, the pair by kind
 * and MAC, a socket that nobody answers at.
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";
import { deleteRoutes, listOwnRoutes } from "../netlink/links.ts";
import { deletePair, findPair } from "../netlink/pair.ts";
import { RequestSocket } from "../netlink/request.ts";
import { detachEverywhere } from "../xdp/steering.ts";
import { NamespaceLock } from "./namespace_lock.ts";

/** False when there was nothing. Throws a ConfigError when a daemon lives in this namespace, or something cannot be removed. */
export async function removeLeftovers(socketPath: string): Promise<boolean> {
  if (Deno.uid() !== 0) {
    throw new ConfigError("stop", `user ${Deno.uid()}`, "run it as root: it takes programs off interfaces");
  }
  const lock = await NamespaceLock.claim(socketPath);
  const requests = new RequestSocket();
  try {
    const interfaces = detachEverywhere();
    const routes = listOwnRoutes(requests);
    for (const error of deleteRoutes(requests, routes)) {
      if (error !== null) throw new ConfigError("route", error.message, "remove it by hand");
    }
    const hasPair = findPair(requests) !== null;
    if (hasPair) deletePair(requests);
    const hadSocket = removeSocket(socketPath);
    return interfaces.length > 0 || routes.length > 0 || hasPair || hadSocket;
  } finally {
    requests.close();
    lock.release();
  }
}

/** The file of a socket that nobody listens at any more. */
function removeSocket(path: string): boolean {
  try {
    if (!Deno.lstatSync(path).isSocket) return false;
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw new ConfigError("socket", path, `cannot be removed (${(error as Error).message})`);
  }
}
