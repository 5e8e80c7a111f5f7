/** `ku flush vip`: drops the sessions of a VIP. */

import { type Command, PROTOCOLS, type VipSelector } from "../mod/config/model.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { readPort, readProtocol } from "./vip.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "flush",
  summary: "drop the sessions of a VIP",
  about: ["Drops every session of a VIP, TCP included: the next packet of each flow picks a pod anew."],
  forms: [{
    lead: ["vip"],
    args: [
      { value: { name: "<prefix>", completes: "vip" }, required: true, help: "The VIP's address or prefix." },
      {
        words: ["protocol"],
        value: { name: "tcp|udp|sctp", choices: [...PROTOCOLS, "any"] },
        help: "Where several VIPs share the prefix.",
      },
      {
        words: ["port"],
        value: { name: "<n>", completes: "port" },
        help: 'The same; "any" means the VIP without port.',
      },
    ],
  }],
  examples: [
    { line: "ku flush vip 10.96.0.10" },
    { line: "ku flush vip 10.96.0.10 protocol udp port 53" },
  ],
};

/** The words after `ku flush` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
  reader.form();
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
