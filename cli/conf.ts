/** `ku conf`: sets global parameters. */

import type { Command, ConfParams } from "../mod/config/model.ts";
import { checkWord } from "../mod/config/rules.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "conf",
  summary: "set global parameters",
  about: ["Sets what is named and leaves the rest."],
  forms: [{
    lead: [],
    args: [
      {
        words: ["buckets"],
        value: { name: "<n>" },
        help:
          "Buckets of each worker's session table, a power of two (default 1024); a bucket holds 4 sessions.",
      },
      { words: ["buckets-log2"], value: { name: "<n>" }, help: "The same as an exponent: 10 is 1024." },
      {
        words: ["timeout"],
        value: { name: "<s>" },
        help: "Seconds of silence after which a session goes, TCP apart (default 40).",
      },
      {
        words: ["tcp-timeout"],
        value: { name: "<s>" },
        help: "The same for an established TCP connection (default 7440).",
      },
      {
        words: ["ip4-src-address"],
        value: { name: "<a>" },
        help: 'Source in nat64, hairpin and masquerade; "none", the default, takes the egress interface\'s.',
      },
      { words: ["ip6-src-address"], value: { name: "<a>" }, help: "The same for IPv6." },
      {
        words: ["nat46-prefix"],
        value: { name: "<p>" },
        help: "IPv6 prefix of length 96 for clients' addresses in nat46 (default 64:ff9b:1::/96).",
      },
      {
        words: ["offload"],
        value: { name: "on|off", choices: ["on", "off"] },
        help: "Whether the kernel repeats established sessions (default on); off changes nothing but speed.",
      },
      {
        words: ["offload-sessions"],
        value: { name: "<n>" },
        help: "How many it repeats at most (default 262144, at most 1048575); the rest pass the rings.",
      },
    ],
  }],
  examples: [
    { line: "ku conf buckets 65536 timeout 60" },
    { line: "ku conf ip4-src-address 192.0.2.1" },
  ],
};

/** The words after `ku conf` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
  if (words.length === 0) throw reader.missing("a parameter");
  const params: ConfParams = {};
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    switch (word) {
      case "buckets":
        params.buckets = reader.number(word);
        break;
      case "buckets-log2":
        params.bucketsLog2 = reader.number(word);
        break;
      case "timeout":
        params.timeout = reader.number(word);
        break;
      case "tcp-timeout":
        params.tcpTimeout = reader.number(word);
        break;
      case "ip4-src-address":
        params.ip4SrcAddress = reader.textIs("none") ? null : reader.text(word);
        break;
      case "ip6-src-address":
        params.ip6SrcAddress = reader.textIs("none") ? null : reader.text(word);
        break;
      case "nat46-prefix":
        params.nat46Prefix = reader.text(word);
        break;
      case "offload":
        params.offload = checkWord("offload", reader.text(word), ["on", "off"]) === "on";
        break;
      case "offload-sessions":
        params.offloadSessions = reader.number(word);
        break;
      default:
        throw reader.unknown(word);
    }
  }
  return { method: "conf", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
