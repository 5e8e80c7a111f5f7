/** `ku flush vip`: drops the sessions of a VIP. */

import type { Command, VipSelector } from "../mod/config/model.ts";
import { type Description, sendCommand } from "./client.ts";
import { readPort, readProtocol } from "./vip.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "flush",
  usage: "ku flush vip <prefix> [protocol tcp|udp|sctp] [port <n>]",
  summary: "drop the sessions of a VIP",
  help: `
Drops every session of a VIP, TCP included: the next packet of each flow picks a pod anew.
Without protocol and port the prefix means its one VIP.

examples:
  ku flush vip 10.96.0.10
  ku flush vip 10.96.0.10 protocol udp port 53`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["vip", "protocol", "port"],
};

/** The words after `ku flush` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
  const what = reader.next();
  if (what === undefined) throw reader.missing(`"vip"`);
  if (what !== "vip") throw reader.unknown(what);
  const params: VipSelector = { prefix: "" };
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    if (word === "protocol") params.protocol = readProtocol(reader);
    else if (word === "port") params.port = readPort(reader);
    else if (params.prefix === "") params.prefix = reader.positional(word);
    else throw reader.unknown(word);
  }
  if (params.prefix === "") throw reader.missing("the prefix");
  return { method: "flushVip", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
