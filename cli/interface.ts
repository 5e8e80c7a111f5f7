/** `ku interface`: attaches an interface, changes its mode, detaches it. */

import type { Command, InterfaceParams } from "../mod/config/model.ts";
import { checkMode } from "../mod/config/rules.ts";
import { type Description, sendCommand } from "./client.ts";
import { type Grammar, WordReader } from "./words.ts";

export const description: Description = {
  command: "interface",
  usage: "ku interface <intfc> [mode auto|native|tc|generic] [del]",
  summary: "attach or detach an interface",
  help: `
Attaches ku to an interface: from then on, packets for VIPs that arrive there are ku's, all others
go on to the kernel. On an interface that is attached, "mode" changes the mode.

  mode auto     native on a network card whose driver has it, tc elsewhere (default)
  mode native   XDP in the driver
  mode tc       a clsact program: right for veths, leaves the offloads of pods alone
  mode generic  XDP after the driver, where nothing else works
  del           detaches it and takes every program of ku away from it

examples:
  ku interface eth0
  ku interface veth1 mode tc
  ku interface eth0 del`,
};

const grammar: Grammar = {
  usage: description.usage,
  words: ["mode", "del"],
};

/** The words after `ku interface` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(grammar, words);
  const params: InterfaceParams = { name: "" };
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    if (word === "mode") params.mode = checkMode(reader.text(word));
    else if (word === "del") params.del = true;
    else if (params.name === "") params.name = word;
    else throw reader.unknown(word);
  }
  if (params.name === "") throw reader.missing("the interface");
  return { method: "interface", params };
}

export const run = (args: string[]): Promise<void> => sendCommand(args, description, parse);
