/** `ku capture`: packets into a file or a pipe, while they pass. */

import { ConfigError } from "../mod/config/model.ts";
import { checkRange } from "../mod/config/rules.ts";
import { decodeBase64 } from "../mod/control/base64.ts";
import type { CapturePiece } from "../mod/control/protocol.ts";
import { DaemonConnection } from "../mod/control/rpc_client.ts";
import { optionsOrHelp } from "./client.ts";
import { printBytes } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError, wholeNumber, WordReader } from "./words.ts";

export const description: Description = {
  command: "capture",
  summary: "capture packets on both sides of the translation",
  about: [
    "Writes every packet that ku receives as pcapng, twice: as it came, and as it leaves, each under its interface's name and with the " +
    "verdict and the reasons in a comment. Ends with Ctrl-C, or after so many seconds. Packets that came too fast to be written are " +
    "told of at the end; none is delayed or dropped for it.",
    "tcpdump before 4.99 does not show comments; tshark and Wireshark do.",
  ],
  forms: [{ lead: [], args: [] }],
  options: [
    {
      words: ["--write", "-w"],
      value: { name: "FILE|-", completes: "file" },
      required: true,
      help: 'Where to; "-" is standard output.',
    },
    {
      words: ["--vip"],
      value: { name: "A", completes: "vip" },
      help: "Only what is sent to this VIP or answered by it: an address, a prefix, or address:port.",
    },
    { words: ["--seconds"], value: { name: "S" }, help: "End after so long." },
  ],
  examples: [
    { line: "ku capture -w ku.pcapng --vip 10.96.0.10:80 --seconds 10" },
    { line: "ku capture -w - | tcpdump -n -r -" },
    { line: "ku capture -w - | tshark -r - -T fields -e frame.interface_name -e ip.dst -e frame.comment" },
  ],
};

const MAX_SECONDS = 86_400;

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  new WordReader(description, options.words).end();
  const target = options.values.get("write")?.[0];
  if (target === undefined) throw usageError(description, "--write is missing");
  const seconds = options.values.get("seconds")?.[0];
  const limit = seconds === undefined
    ? null
    : checkRange("seconds", wholeNumber("seconds", seconds), 1, MAX_SECONDS);
  const connection = await DaemonConnection.connect(options.socket);
  try {
    await capture(connection, { vip: options.values.get("vip")?.[0] }, target, limit);
  } finally {
    connection.close();
  }
}

async function capture(
  connection: DaemonConnection,
  params: { vip?: string },
  target: string,
  seconds: number | null,
): Promise<void> {
  const { id } = await connection.call("captureStart", params);
  const write = writerTo(target);
  let going = true;
  const end = () => going = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, end);
  if (seconds !== null) setTimeout(end, seconds * 1000);
  let piece: CapturePiece = { data: "", lost: 0 };
  while (going) {
    piece = await connection.call("captureRead", { id });
    write(decodeBase64(piece.data));
  }
  piece = await connection.call("captureStop", { id });
  write(decodeBase64(piece.data));
  if (piece.lost > 0) {
    console.error(`ku: capture : ${piece.lost} packets came too fast and are not in it, name a --vip`);
  }
}

function writerTo(target: string): (bytes: Uint8Array) => void {
  if (target === "-") return printBytes;
  try {
    const file = Deno.openSync(target, { write: true, create: true, truncate: true });
    return (bytes) => {
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    };
  } catch (error) {
    throw new ConfigError("file", target, `cannot be written (${(error as Error).message})`);
  }
}
