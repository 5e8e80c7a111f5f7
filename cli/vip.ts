/** `ku vip`: adds or deletes a virtual IP. */

import type { Command, VipParams } from "../mod/config/model.ts";
import { checkProtocol, checkWord } from "../mod/config/rules.ts";
import { type Description, sendCommand } from "./client.ts";
import { type Grammar, WordReader } from "./words.ts";

const TYPES = ["nat4", "nat6", "nat44", "nat46", "nat64", "nat66"] as const;

export const description: Description = {
  command: "vip",
  usage: "ku vip <prefix> [protocol tcp|udp|sctp] [port <n>] [target_port <n>] [node_port <n>] " +
    "[nat4|nat6|nat44|nat46|nat64|nat66] [new_len <n>] [src_ip_sticky] [masquerade] [del]",
  summary: "add or delete a virtual IP",
  help: `
Adds a virtual IP (an address or a prefix) or, with "del", deletes it with its pods and
sessions. A VIP is named by prefix, protocol and port: several may share a prefix. Options come
in any order.

  protocol tcp|udp|sctp    with port: this protocol only (default: all three; "any" says so)
  port <n>                 without it the VIP takes every protocol and port, and keeps the port
  target_port <n>          port of the pods (default: port)
  node_port <n>            the service answers on this port of every node address, too
  nat44|nat66|nat46|nat64  family of clients, then of pods (default: pods have the VIP's family)
  nat4|nat6                family of the pods alone
  new_len <n>              slots of the new-connection table, a power of two (default 1024);
                           10 to 100 for each pod balance well
  src_ip_sticky            all connections of one client go to one pod
  masquerade               pods see the node's address as the source

examples:
  ku vip 10.96.0.10 protocol udp port 53 target_port 5353
  ku vip 90.0.0.0/8 nat44 new_len 2048
  ku vip 2003::/16 nat66 new_len 2048
  ku vip 10.96.0.10 protocol udp port 53 del`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: [
    "protocol",
    "port",
    "target_port",
    "node_port",
    ...TYPES,
    "new_len",
    "src_ip_sticky",
    "masquerade",
    "del",
  ],
};

/** The words after `ku vip` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
  const params: VipParams = { prefix: "" };
  for (let word = reader.next(); word !== undefined; word = reader.next()) readWord(word, reader, params);
  if (params.prefix === "") throw reader.missing("the prefix");
  return { method: "vip", params };
}

function readWord(word: string, reader: WordReader, params: VipParams): void {
  switch (word) {
    case "protocol":
      params.protocol = readProtocol(reader);
      break;
    case "port":
      params.port = readPort(reader);
      break;
    case "target_port":
      params.targetPort = reader.number(word);
      break;
    case "node_port":
      params.nodePort = reader.number(word);
      break;
    case "new_len":
      params.newLen = reader.number(word);
      break;
    case "src_ip_sticky":
      params.srcIpSticky = true;
      break;
    case "masquerade":
      params.masquerade = true;
      break;
    case "del":
      params.del = true;
      break;
    default:
      readTypeOrPrefix(word, reader, params);
  }
}

function readTypeOrPrefix(word: string, reader: WordReader, params: VipParams): void {
  if ((TYPES as readonly string[]).includes(word)) {
    if (params.type !== undefined) throw reader.usage(`"${params.type}" and "${word}" exclude each other`);
    params.type = checkWord("type", word, TYPES);
  } else if (params.prefix === "") {
    params.prefix = reader.positional(word);
  } else {
    throw reader.unknown(word);
  }
}

/** The value of `protocol`; "any" is every protocol. */
export function readProtocol(reader: WordReader): VipParams["protocol"] {
  const word = reader.text("protocol");
  return word === "any" ? null : checkProtocol(word);
}

/** The value of `port`; "any" is every port. */
export function readPort(reader: WordReader): number | null {
  return reader.textIs("any") ? null : reader.number("port");
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
