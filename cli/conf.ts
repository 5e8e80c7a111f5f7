/** `ku conf`: sets global parameters. */

import type { Command, ConfParams } from "../mod/config/model.ts";
import { type Description, sendCommand } from "./client.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "conf",
  usage: "ku conf [buckets <n>] [buckets-log2 <n>] [timeout <s>] [tcp-timeout <s>] [ip4-src-address <a>] " +
    "[ip6-src-address <a>] [nat46-prefix <p>]",
  summary: "set global parameters",
  help: `
Sets what is named and leaves the rest.

  buckets <n>          buckets of each worker's session table, a power of two (default 1024);
                       a bucket holds 4 sessions
  buckets-log2 <n>     the same as an exponent: 10 is 1024
  timeout <s>          seconds of silence after which a session goes, TCP apart (default 40)
  tcp-timeout <s>      the same for an established TCP connection (default 7440)
  ip4-src-address <a>  source in nat64, hairpin and masquerade; "none", the default, takes the
                       egress interface's
  ip6-src-address <a>  the same for IPv6
  nat46-prefix <p>     IPv6 prefix of length 96 for clients' addresses in nat46
                       (default 64:ff9b:1::/96)

examples:
  ku conf buckets 65536 timeout 60
  ku conf ip4-src-address 192.0.2.1`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: [
    "buckets",
    "buckets-log2",
    "timeout",
    "tcp-timeout",
    "ip4-src-address",
    "ip6-src-address",
    "nat46-prefix",
  ],
};

/** The words after `ku conf` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
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
      default:
        throw reader.unknown(word);
    }
  }
  return { method: "conf", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
