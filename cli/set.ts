/** `ku set interface nat4|nat6 in`: switches the translation of pods' answers on an interface. */

import type { Command, SetInterfaceParams } from "../mod/config/model.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "set",
  summary: "translate what pods answer on an interface",
  about: [
    "Names an interface on which pods answer: there ku gives their IPv4 (nat4) or IPv6 (nat6) answers the address of the " +
    'VIP as source. Attaches the interface (mode auto) if it is not attached yet. With "del" it stays attached and only ' +
    "the translation ends.",
  ],
  forms: [{
    lead: ["interface", ["nat4", "nat6"], "in"],
    args: [
      {
        value: { name: "<intfc>", completes: "interface" },
        required: true,
        help: "The pods' interface on the node.",
      },
      { words: ["del"], help: "Ends the translation." },
    ],
  }],
  examples: [
    { line: "ku set interface nat4 in veth1" },
    { line: "ku set interface nat6 in veth1" },
    { line: "ku set interface nat4 in veth1 del" },
  ],
};

/** The words after `ku set` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
  const { lead } = reader.form();
  const params: SetInterfaceParams = { feature: lead[1] === "nat4" ? "nat4" : "nat6", name: "" };
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    if (word === "del") params.del = true;
    else if (params.name === "") params.name = word;
    else throw reader.unknown(word);
  }
  if (params.name === "") throw reader.missing("the interface");
  return { method: "setInterface", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
