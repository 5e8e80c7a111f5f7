/** `ku pod`: adds, changes or deletes pods of a VIP. */

import { type Command, type PodParams, PROTOCOLS } from "../mod/config/model.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { readPort, readProtocol } from "./vip.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "pod",
  summary: "add, weight or delete pods of a VIP",
  about: [
    'Adds pods to a VIP. On a pod that is there, "weight" changes its weight. Without protocol and port the prefix means ' +
    "its one VIP.",
  ],
  forms: [{
    lead: [],
    args: [
      {
        value: { name: "<vip-prefix>", completes: "vip" },
        required: true,
        help: "The VIP's address or prefix.",
      },
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
      {
        value: { name: "<address>", completes: "pod" },
        required: true,
        repeated: true,
        help: "Addresses of pods, of the family that the VIP's type says.",
      },
      {
        words: ["weight"],
        value: { name: "<0-100>" },
        help:
          "Share of new connections against the other pods (default 1); 0: no new ones, those that are there go on.",
      },
      { words: ["del"], help: "Takes the pods away: TCP connections go on until they end, the rest moves." },
      { words: ["flush"], help: "Drops the sessions of these pods at once, alone or with del." },
    ],
  }],
  examples: [
    { line: "ku pod 90.0.0.0/8 10.0.0.1" },
    { line: "ku pod 10.96.0.10 protocol udp port 53 10.244.0.5 10.244.0.6" },
    { line: "ku pod 10.96.0.10 10.244.0.5 weight 0" },
    { line: "ku pod 10.96.0.10 10.244.0.5 del flush" },
  ],
};

/** The words after `ku pod` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
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
