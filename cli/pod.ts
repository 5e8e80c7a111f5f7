/** `ku pod`: adds, changes or deletes pods of a VIP. */

import type { Command, PodParams } from "../mod/config/model.ts";
import { type Description, sendCommand } from "./client.ts";
import { readPort, readProtocol } from "./vip.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "pod",
  usage: "ku pod <vip-prefix> [protocol tcp|udp|sctp] [port <n>] <address>... [weight <0-100>] [del] [flush]",
  summary: "add, weight or delete pods of a VIP",
  help: `
Adds pods to a VIP. On a pod that is there, "weight" changes its weight. Without protocol and
port the prefix means its one VIP; "port any" means the one without port where there are several.

  weight <0-100>  share of new connections against the other pods (default 1);
                  0: no new ones, those that are there go on
  del             takes the pods away: TCP connections go on until they end, the rest moves
  flush           drops the sessions of these pods at once, alone or with del

examples:
  ku pod 90.0.0.0/8 10.0.0.1
  ku pod 10.96.0.10 protocol udp port 53 10.244.0.5 10.244.0.6
  ku pod 10.96.0.10 10.244.0.5 weight 0
  ku pod 10.96.0.10 10.244.0.5 del flush`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["protocol", "port", "weight", "del", "flush"],
};

/** The words after `ku pod` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
  const params: PodParams = { vip: { prefix: "" }, addresses: [] };
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    switch (word) {
      case "protocol":
        params.vip.protocol = readProtocol(reader);
        break;
      case "port":
        params.vip.port = readPort(reader);
        break;
      case "weight":
        params.weight = reader.number(word);
        break;
      case "del":
        params.del = true;
        break;
      case "flush":
        params.flush = true;
        break;
      default:
        if (params.vip.prefix === "") params.vip.prefix = reader.positional(word);
        else params.addresses.push(reader.positional(word));
    }
  }
  if (params.vip.prefix === "") throw reader.missing("the prefix of the VIP");
  if (params.addresses.length === 0) throw reader.missing("the address of a pod");
  return { method: "pod", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
