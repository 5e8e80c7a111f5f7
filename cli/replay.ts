/** `ku replay`: the packets of a capture file through the datapath. */

import { ConfigError } from "../mod/config/model.ts";
import { VERSION } from "../mod/config/version.ts";
import { PcapngWriter, readCapture } from "../mod/control/pcap.ts";
import type { Replayed } from "../mod/control/replay.ts";
import { optionsOrHelp } from "./client.ts";
import { formatNodeCounters } from "./format.ts";
import { print, printBytes, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError, WordReader } from "./words.ts";

export const description: Description = {
  command: "replay",
  summary: "run a capture file through the datapath",
  about: [
    "Reads packets from a pcap or pcapng file, has the datapath decide about them with the VIPs of a configuration file, and says " +
    "what was counted. With -w it writes those that leave, each with the reason in a comment. Needs neither a daemon nor root nor " +
    "a kernel with AF_XDP, and gives the same result every time.",
    "Clients and pods may both be in the file: what comes from a pod is taken for an answer. Everything leaves by one interface with " +
    "an MTU of 1500 bytes; the node's addresses are 192.0.2.1 and 2001:db8::1. Time is that of the packets.",
  ],
  forms: [{
    lead: [],
    args: [{
      value: { name: "FILE", completes: "file" },
      required: true,
      help: 'The capture; "-" is standard input.',
    }],
  }],
  options: [
    {
      words: ["--config"],
      value: { name: "FILE", completes: "file" },
      help: "VIPs and parameters, as for ku run. Without it every packet is the kernel's.",
    },
    {
      words: ["--write", "-w"],
      value: { name: "FILE", completes: "file" },
      help: 'Write what leaves, pcapng; "-" is standard output.',
    },
    { words: ["--json"], help: "Say what was counted as JSON." },
  ],
  local: true,
  examples: [
    { line: "ku replay in.pcap --config ku.yaml -w out.pcap" },
    { line: "tcpdump -w - -c 100 | ku replay - --config ku.yaml --json" },
  ],
};

interface Summary {
  packets: number;
  sent: number;
  kernel: number;
  dropped: number;
  counters: { count: number; node: string; reason: string }[];
}

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  const reader = new WordReader(description, options.words);
  const file = reader.next();
  if (file === undefined) throw usageError(description, "the file is missing");
  reader.end();
  // The datapath is loaded only when it is to run.
  const { loadConfig } = await import("../mod/config/file.ts");
  const { Replay } = await import("../mod/control/replay.ts");
  const config = options.values.get("config")?.[0];
  const state = loadConfig(config === undefined ? "" : new TextDecoder().decode(read(config)), config ?? "");
  const target = options.values.get("write")?.[0];
  const writer = target === undefined ? null : new CaptureFile(target);
  const summary: Summary = { packets: 0, sent: 0, kernel: 0, dropped: 0, counters: [] };
  const replay = new Replay(state, (replayed) => {
    summary[replayed.verdict]++;
    writer?.add(replayed);
  });
  for (const packet of readCapture(read(file), file)) {
    summary.packets++;
    replay.add(packet);
  }
  replay.end();
  writer?.close();
  summary.counters = replay.counted;
  if (target !== "-") options.flags.has("json") ? printJson(summary) : print(formatSummary(summary));
}

function formatSummary({ packets, sent, kernel, dropped, counters }: Summary): string {
  const counted = counters.map((each) => ({ ...each, kind: "" }));
  return `${packets} packets in: ${sent} sent, ${kernel} to the kernel, ${dropped} dropped\n` +
    formatNodeCounters(counted, false);
}

function read(file: string): Uint8Array {
  try {
    return Deno.readFileSync(file === "-" ? "/dev/stdin" : file);
  } catch (error) {
    throw new ConfigError("file", file, `cannot be read (${(error as Error).message})`);
  }
}

/** The packets that leave, "out" by the interface and "kernel" to the kernel. */
class CaptureFile {
  readonly #writer = new PcapngWriter();
  readonly #write: (bytes: Uint8Array) => void;
  readonly close: () => void;

  constructor(path: string) {
    if (path === "-") {
      this.#write = printBytes;
      this.close = () => {};
    } else {
      const file = create(path);
      this.#write = (bytes) => {
        for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      };
      this.close = () => file.close();
    }
    this.#write(this.#writer.header(`ku ${VERSION}`));
  }

  add({ verdict, packet, bytes, reasons }: Replayed): void {
    if (bytes === null) return;
    const name = verdict === "sent" ? "out" : "kernel";
    const record = { timeUs: packet.timeUs, bytes, originalBytes: bytes.length };
    this.#write(this.#writer.packet(name, record, "out", reasons.join("; ") || "session followed"));
  }
}

function create(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { write: true, create: true, truncate: true });
  } catch (error) {
    throw new ConfigError("file", path, `cannot be written (${(error as Error).message})`);
  }
}
