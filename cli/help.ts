/** `ku help`: the overview, one command's help, the man page, the reference. Also where unknown commands end. */

import { takeOptions } from "./client.ts";
import { helpText, overviewText } from "./help_text.ts";
import { print } from "./output.ts";
import { type Commands, type Description, descriptionsOf } from "./spec.ts";
import { isStyled } from "./style.ts";
import { hint, UsageError, usageError } from "./words.ts";

export const description: Description = {
  command: "help",
  summary: "print this overview, or the help of a command",
  about: ['"ku help <command>" is the same as "ku <command> --help".'],
  forms: [{
    lead: [],
    args: [{ value: { name: "<command>", completes: "command" }, help: "Command to explain." }],
  }],
  options: [
    { words: ["--man"], help: "Print the man page ku(8)." },
    { words: ["--markdown"], help: "Print the reference of all commands, which is docs/commands.md." },
  ],
  local: true,
  examples: [{ line: "ku help vip" }, { line: "ku help --man | man -l -" }],
};

export async function run(args: string[], commands: Commands): Promise<void> {
  const { words, flags } = takeOptions(args, description);
  const [name, second] = words;
  if (second !== undefined) throw usageError(description, `unknown word "${second}"`);
  if (flags.has("man")) {
    return print((await import("./manual.ts")).manualPage(await descriptionsOf(commands)));
  }
  if (flags.has("markdown")) {
    return print((await import("./reference.ts")).commandReference(await descriptionsOf(commands)));
  }
  if (name === undefined) return print(overviewText(await descriptionsOf(commands), isStyled()));
  const load = commands.get(name);
  if (load === undefined) failUnknown(name, commands);
  print(helpText((await load()).description, isStyled()));
}

/** Throws the usage error for a first argument that is no command. */
export function failUnknown(name: string | undefined, commands: Commands): never {
  if (name === undefined) throw new UsageError(`missing: "ku help" lists them`, "ku <command> [...]");
  const meant = hint(name, [...commands.keys()]) || `: "ku help" lists the commands`;
  throw new UsageError(`unknown "${name}"${meant}`, "ku <command> [...]");
}
