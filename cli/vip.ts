/** `ku vip`: adds or deletes a virtual IP. */

import { type Command, PROTOCOLS, type VipParams } from "../mod/config/model.ts";
import { checkProtocol, checkWord } from "../mod/config/rules.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

const TYPES = ["nat4", "nat6", "nat44", "nat46", "nat64", "nat66"] as const;

export const description: Description = {
  command: "vip",
  summary: "add or delete a virtual IP",
  about: [
    'Adds a virtual IP (an address or a prefix) or, with "del", deletes it with its pods and sessions. A VIP is named by ' +
    "prefix, protocol and port: several may share a prefix. Options come in any order.",
  ],
  forms: [{
    lead: [],
    args: [
      {
        value: { name: "<prefix>", completes: "vip" },
        required: true,
        help: "Address or prefix, IPv4 or IPv6.",
      },
      {
        words: ["protocol"],
        value: { name: "tcp|udp|sctp", choices: [...PROTOCOLS, "any"] },
        help: 'With port: this protocol only (default: all three; "any" says so).',
      },
      {
        words: ["port"],
        value: { name: "<n>", completes: "port" },
        help: "Without it the VIP takes every protocol and port, and keeps the port.",
      },
      { words: ["target_port"], value: { name: "<n>" }, help: "Port of the pods (default: port)." },
      {
        words: ["node_port"],
        value: { name: "<n>" },
        help: "The service answers on this port of every node address, too.",
      },
      {
        words: TYPES,
        help: "",
        details: {
          "nat44, nat66": "Clients and pods of one family, as it is without any of these words.",
          "nat46": "IPv4 clients, IPv6 pods.",
          "nat64": "IPv6 clients, IPv4 pods.",
          "nat4, nat6": "Family of the pods alone.",
        },
      },
      {
        words: ["new_len"],
        value: { name: "<n>" },
        help:
          "Slots of the new-connection table, a power of two (default 1024); 10 to 100 for each pod balance well.",
      },
      {
        words: ["src_ip_sticky"],
        value: { name: "<s>", optional: true },
        help:
          "All connections of one client go to one pod; with <s>, until it has made none for so many seconds.",
      },
      { words: ["masquerade"], help: "Pods see the node's address as the source." },
      {
        words: ["source"],
        value: { name: "<prefix>" },
        repeated: true,
        help: "Takes new connections from clients in this prefix only; may come several times.",
      },
      { words: ["del"], help: "Deletes the VIP." },
    ],
  }],
  examples: [
    { line: "ku vip 10.96.0.10 protocol udp port 53 target_port 5353" },
    { line: "ku vip 90.0.0.0/8 nat44 new_len 2048" },
    { line: "ku vip 2003::/16 nat66 new_len 2048" },
    { line: "ku vip 192.0.2.80 protocol tcp port 443 source 198.51.100.0/24 source 203.0.113.7" },
    { line: "ku vip 10.96.0.10 protocol udp port 53 del" },
  ],
};

/** The words after `ku vip` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
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
    case "src_ip_sticky": {
      params.srcIpSticky = true;
      const seconds = reader.numberIfThere(word);
      if (seconds !== null) params.stickyTimeout = seconds;
      break;
    }
    case "source":
      params.sources = [...params.sources ?? [], reader.text(word)];
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
