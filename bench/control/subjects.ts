/** Whose control planes are compared: each is given all services at once, and then another pod for one of them. */

import { parse as parsePod } from "../../cli/pod.ts";
import { DaemonConnection } from "../../mod/control/rpc_client.ts";
import { Daemon } from "../../tests/netns/harness/daemon.ts";
import type { Ground } from "../../tests/netns/harness/ground.ts";
import { iptablesPodChange, iptablesRules } from "../rules_iptables.ts";
import { nftablesPodChange, nftablesRules } from "../rules_nftables.ts";
import { kuLines, type Service, VIP_PORT } from "../services.ts";

export interface Running extends AsyncDisposable {
  apply(services: readonly Service[]): Promise<void>;
  /** Ways of giving the first pod's place in `service` to `pod`, by the name of the figure. */
  changes: Record<string, (service: Service, pod: string) => Promise<void>>;
}

export interface Subject {
  name: string;
  /** A command of it that takes longer than `limitMs` is ended and is an error. */
  start(ground: Ground, limitMs: number): Promise<Running>;
}

const ku: Subject = {
  name: "ku",
  start: async (ground, limitMs) => {
    const daemon = await Daemon.start(ground, { words: ["--workers", "1"], quiet: true });
    for (const name of ground.nodeInterfaces) await daemon.ku(`interface ${name} mode native`);
    await daemon.ku("set interface nat4 in pod1");
    const connection = await DaemonConnection.connect(daemon.socket);
    const exec = async (text: string) => {
      const result = await daemon.runWith({ stdin: text, timeoutMs: limitMs }, "exec", "--atomic", "-");
      if (result.code !== 0) throw new Error(`ku exec: ${result.stderr}`);
    };
    return {
      apply: (services) => exec(kuLines(services)),
      changes: {
        "one pod": (service, pod) => exec(podChange(service, pod).join("\n") + "\n"),
        "one pod, connected": async (service, pod) => {
          const commands = podChange(service, pod).map((line) => parsePod(line.split(" ").slice(1)));
          const { failed } = await connection.call("batch", { commands, atomic: true });
          if (failed !== null) throw new Error(failed.message);
        },
      },
      [Symbol.asyncDispose]: async () => {
        connection.close();
        await daemon[Symbol.asyncDispose]();
      },
    };
  },
};

function podChange({ vip, protocol, pods }: Service, pod: string): string[] {
  const service = `pod ${vip} protocol ${protocol} port ${VIP_PORT}`;
  return [`${service} ${pod}`, `${service} ${pods[0]} del`];
}

/** The kernel, told by the programs that kube-proxy calls. */
function kernel(
  name: string,
  all: { command: string[]; rules(services: readonly Service[]): string },
  one: { command: string[]; rules(service: Service, pod: string): string },
): Subject {
  return {
    name,
    start: ({ node }, limitMs) => {
      const give = async (command: string[], stdin: string) => {
        await node.runOk(command, { stdin, timeoutMs: limitMs });
      };
      return Promise.resolve({
        apply: (services) => give(all.command, all.rules(services)),
        changes: { "one pod": (service, pod) => give(one.command, one.rules(service, pod)) },
        [Symbol.asyncDispose]: () => Promise.resolve(), // the rules end with the namespace
      });
    },
  };
}

const nft = ["nft", "-f", "-"];
export const SUBJECTS: readonly Subject[] = [
  ku,
  kernel("nftables", { command: nft, rules: nftablesRules }, { command: nft, rules: nftablesPodChange }),
  kernel("iptables", { command: ["iptables-restore"], rules: iptablesRules }, {
    command: ["iptables-restore", "--noflush"],
    rules: iptablesPodChange,
  }),
];
