/** `ku help`: the overview, and one command's help. Also where unknown commands end. */

import { type Description, helpText, takeOptions } from "./client.ts";
import { print } from "./output.ts";
import { closest } from "./suggest.ts";
import { UsageError } from "./words.ts";

export const description: Description = {
  command: "help",
  usage: "ku help [<command>]",
  summary: "print this overview, or the help of a command",
  help: `
The same as "ku <command> --help".`,
};

/** Every command's description, in the order of the overview. */
export async function descriptions(): Promise<Description[]> {
  const modules = await Promise.all([
    import("./run.ts"),
    import("./conf.ts"),
    import("./interface.ts"),
    import("./vip.ts"),
    import("./pod.ts"),
    import("./set.ts"),
    import("./flush.ts"),
    import("./show.ts"),
    import("./clear.ts"),
    import("./exec.ts"),
    import("./version.ts"),
  ]);
  return [...modules.map((module) => module.description), description];
}

function overview(all: readonly Description[]): string {
  const widest = Math.max(...all.map(({ command }) => command.length));
  const lines = all.map(({ command, summary }) => `  ku ${command.padEnd(widest)}  ${summary}`);
  return [
    "ku is a kube-proxy data plane in user space: virtual IPs, pods, sessions.",
    "",
    "usage: ku <command> [...] [--socket PATH]",
    "",
    ...lines,
    "",
    `"ku <command> --help" explains a command. The socket is /run/ku/ku.sock, KU_SOCKET or --socket.`,
  ].join("\n") + "\n";
}

export async function run(args: string[]): Promise<void> {
  const { words } = takeOptions(args, description);
  const all = await descriptions();
  const [name, second] = words;
  if (second !== undefined) throw new UsageError(`unknown word "${second}"`, description.usage);
  if (name === undefined) return print(overview(all));
  const found = all.find(({ command }) => command === name);
  if (!found) throw unknownCommand(name, all);
  print(helpText(found));
}

function unknownCommand(name: string, all: readonly Description[]): UsageError {
  const meant = closest(name, all.map(({ command }) => command));
  const hint = meant === undefined ? `: "ku help" lists the commands` : `: did you mean "${meant}"?`;
  return new UsageError(`unknown "${name}"${hint}`, "ku <command> [...]");
}

/** Ends with the usage error for a first argument that is no command. */
export async function runUnknown(name: string | undefined): Promise<void> {
  if (name === undefined) {
    throw new UsageError(`missing: "ku help" lists them`, "ku <command> [...]");
  }
  throw unknownCommand(name, await descriptions());
}
