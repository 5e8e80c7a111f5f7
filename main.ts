/** ku: the first argument names the command, the rest is the command's. */

import { COMMANDS } from "./cli/commands.ts";
import { guard } from "./cli/output.ts";

/** Other ways to say a command. */
const ALIASES: Readonly<Record<string, string>> = { "--version": "version", "--help": "help", "-h": "help" };

async function main([name, ...args]: string[]): Promise<number | void> {
  const load = COMMANDS.get(Object.hasOwn(ALIASES, name ?? "") ? ALIASES[name] : name);
  if (load !== undefined) return await (await load()).run(args, COMMANDS);
  if (name === "__complete") return await (await import("./cli/complete_live.ts")).run(args, COMMANDS);
  if (name === "__selftest") return await (await import("./cli/selftest_peer.ts")).run(args);
  if (name === undefined && Deno.stdin.isTerminal() && Deno.stdout.isTerminal()) {
    return await (await import("./cli/shell.ts")).runShell(COMMANDS);
  }
  (await import("./cli/help.ts")).failUnknown(name, COMMANDS);
}

Deno.exit(await guard(() => main(Deno.args)));
