/** `ku interface`: attaches an interface, changes its mode, detaches it. */

import { type Command, type InterfaceParams, MODES } from "../mod/config/model.ts";
import { checkMode } from "../mod/config/rules.ts";
import { sendCommand } from "./client.ts";
import type { Description } from "./spec.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "interface",
  summary: "attach or detach an interface",
  about: [
    "Attaches ku to an interface: from then on, packets for VIPs that arrive there are ku's, all others go on to the " +
    'kernel. On an interface that is attached, "mode" changes the mode.',
  ],
  forms: [{
    lead: [],
    args: [
      {
        value: { name: "<intfc>", completes: "interface" },
        required: true,
        help: "Name of an Ethernet interface.",
      },
      {
        words: ["mode"],
        value: { name: MODES.join("|"), choices: MODES },
        help: "",
        details: {
          auto: "Native on a network card whose driver has it, tc elsewhere (default).",
          native: "XDP in the driver.",
          tc:
            "A tc program (tcx, or clsact before Linux 6.6): right for veths, leaves the offloads of pods alone.",
          generic: "XDP after the driver, where nothing else works.",
        },
      },
      { words: ["del"], help: "Detaches it and takes every program of ku away from it." },
    ],
  }],
  examples: [
    { line: "ku interface eth0" },
    { line: "ku interface veth1 mode tc" },
    { line: "ku interface eth0 del" },
  ],
};

/** The words after `ku interface` as a command. */
export function parse(words: readonly string[]): Command {
  const reader = new WordReader(description, words);
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
