/** `ku set interface nat4|nat6 in`: switches the translation of pods' answers on an interface. */

import type { Command, SetInterfaceParams } from "../mod/config/model.ts";
import { type Description, sendCommand } from "./client.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "set",
  usage: "ku set interface nat4|nat6 in <intfc> [del]",
  summary: "translate what pods answer on an interface",
  help: `
Names an interface on which pods answer: there ku gives their IPv4 (nat4) or IPv6 (nat6) answers
the address of the VIP as source. Attaches the interface (mode auto) if it is not attached yet.
With "del" it stays attached and only the translation ends.

examples:
  ku set interface nat4 in veth1
  ku set interface nat6 in veth1
  ku set interface nat4 in veth1 del`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["interface", "nat4", "nat6", "in", "del"],
};

/** The words after `ku set` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
  const [what, feature, direction, name, ...rest] = words;
  if (what === undefined) throw reader.missing(`"interface"`);
  if (what !== "interface") throw reader.unknown(what);
  if (feature === undefined) throw reader.missing(`"nat4" or "nat6"`);
  if (feature !== "nat4" && feature !== "nat6") throw reader.unknown(feature);
  if (direction === undefined) throw reader.missing(`"in"`);
  if (direction !== "in") throw reader.unknown(direction);
  if (name === undefined) throw reader.missing("the interface");
  const params: SetInterfaceParams = { feature, name };
  if (rest.length > 0 && rest[0] !== "del") throw reader.unknown(rest[0]);
  if (rest.length > 1) throw reader.unknown(rest[1]);
  if (rest.length > 0) params.del = true;
  return { method: "setInterface", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
