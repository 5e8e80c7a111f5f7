/** Who is compared: each takes a field, makes it serve the services, and gives it up. */

import { Daemon } from "../../tests/netns/harness/daemon.ts";
import { Process } from "../../tests/netns/harness/process.ts";
import { until } from "../../tests/netns/harness/wait.ts";
import { bpfObject, program } from "../compile.ts";
import { iptablesRules } from "../rules_iptables.ts";
import { nftablesRules } from "../rules_nftables.ts";
import { FIRST_POD, FIRST_VIP, kuLines, POD_PORT, type Service, VIP_PORT } from "../services.ts";
import { Agent } from "../traffic/agent.ts";
import type { Field } from "./field.ts";

/** Sessions ku has room for: 4 × this; above the flows of every load, new ones of all rounds included. */
const BUCKETS = 1 << 19;
const APPLY_MS = 120_000;

export interface Contestant {
  name: string;
  /** Where the sender's packets go: to VIPs, or, where nothing is translated, to pods. */
  target: { firstService: number; port: number; translates: boolean };
  /** Whether replies find their way back. */
  answers: boolean;
  /** Serves `services` from then on; what it returns ends it. */
  start(field: Field, services: readonly Service[]): Promise<AsyncDisposable>;
}

const VIPS = { firstService: FIRST_VIP, port: VIP_PORT, translates: true };
const PODS = { firstService: FIRST_POD, port: POD_PORT, translates: false };

/** ku with one worker, all interfaces in `mode`; `conf` is one more command for it. */
function ku(name: string, mode: "native" | "auto", conf?: string): Contestant {
  return {
    name,
    target: VIPS,
    answers: true,
    start: async (field, services) => {
      const daemon = await Daemon.start(field.ground, { words: ["--workers", "1"], quiet: true });
      await daemon.ku(`conf buckets ${BUCKETS}`);
      if (conf !== undefined) await daemon.ku(conf);
      for (const name of field.ground.nodeInterfaces) await daemon.ku(`interface ${name} mode ${mode}`);
      await daemon.ku("set interface nat4 in pod1");
      const options = { stdin: kuLines(services), timeoutMs: APPLY_MS };
      const result = await daemon.runWith(options, "exec", "--atomic", "-");
      if (result.code !== 0) throw new Error(`ku exec: ${result.stderr}`);
      return daemon;
    },
  };
}

/** The kernel with rules that `command` takes. */
function kernel(
  name: string,
  command: string[],
  rules: (services: readonly Service[]) => string,
): Contestant {
  return {
    name,
    target: VIPS,
    answers: true,
    start: async ({ ground }, services) => {
      await ground.node.runOk(command, { stdin: rules(services), timeoutMs: APPLY_MS });
      return { [Symbol.asyncDispose]: () => Promise.resolve() }; // they end with the namespace
    },
  };
}

export const nftables = kernel("nftables", ["nft", "-f", "-"], nftablesRules);
export const iptables = kernel("iptables", ["iptables-restore"], iptablesRules);

/** Plain routing: packets are sent to the pods themselves. */
export const routing: Contestant = {
  name: "routing",
  target: PODS,
  answers: true,
  start: () => Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() }),
};

/** bench/c/forward.c: what the way through the rings allows. One way only. */
export const forward: Contestant = {
  name: "forward",
  target: PODS,
  answers: false,
  start: async ({ ground, macs }) => {
    const words = [program("forward"), bpfObject("to_socket"), "uplink", "pod1", macs.pod, macs.pod1];
    const process: Process = ground.node.start("forward", words);
    await until("forward", () => process.stdout !== "" || !process.running);
    if (!process.running) throw new Error(process.stderr);
    return process;
  },
};

/** bench/bpf/dnat.bpf.c: what the kernel's own way allows, if nothing has to be decided. One way only. */
export const xdp: Contestant = {
  name: "xdp",
  target: VIPS,
  answers: false,
  start: ({ ground, macs }, services) => {
    const words = [bpfObject("dnat"), "uplink", "pod1", macs.pod, macs.pod1, String(services.length)];
    return Agent.start(ground.node, "dnat.ts", words);
  },
};

/**
 * "ku": as on NICs, established sessions repeated by the kernel. "ku-ring": every packet by the rings and TypeScript. "ku auto": the mode
 * that veths get by themselves, which leaves their offloads alone.
 */
export const ALL: readonly Contestant[] = [
  ku("ku", "native"),
  ku("ku-ring", "native", "conf offload off"),
  ku("ku auto", "auto"),
  xdp,
  nftables,
  iptables,
  forward,
  routing,
];
