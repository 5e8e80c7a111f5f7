/** A real UDP service: dnsmasq in the pods, dig in the client. Each pod's `who.ku.test` TXT names the pod. */

import type { Ground, Host } from "./ground.ts";
import { type Process, untilListening } from "./process.ts";
import type { Namespace } from "./namespace.ts";

export const DNS_NAME = "who.ku.test";

/** dnsmasq in one pod, for names of its own alone: no upstream server, no files of the machine. */
export async function startDns(ground: Ground, host: Host, port = 53): Promise<Process> {
  const process = ground.stack.use(host.namespace.start(`dnsmasq of ${host.name}`, [
    "dnsmasq",
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--no-resolv",
    "--no-hosts",
    "--user=root",
    "--pid-file=",
    `--port=${port}`,
    `--txt-record=${DNS_NAME},${host.name}`,
    `--host-record=${host.name}.ku.test,${host.address},${host.address6}`,
  ]));
  await untilListening(process.pid, "udp", port);
  return process;
}

/** Asks the server at `address` for the TXT record and returns its text; over TCP when told so. */
export async function whoAnswers(from: Namespace, address: string, ...options: string[]): Promise<string> {
  const command = ["dig", `@${address}`, "+short", "+tries=1", "+time=3", ...options, DNS_NAME, "TXT"];
  return (await from.runOk(command)).trim().replaceAll('"', "");
}
