/** ku: the first argument names the command, the rest is the command's. */

import { guard } from "./cli/output.ts";

interface CommandModule {
  run(args: string[]): Promise<void>;
}

// Literal imports, so that `deno compile` finds them; lazy, so that a command loads itself only.
const COMMANDS = new Map<string, () => Promise<CommandModule>>([
  ["run", () => import("./cli/run.ts")],
  ["conf", () => import("./cli/conf.ts")],
  ["interface", () => import("./cli/interface.ts")],
  ["vip", () => import("./cli/vip.ts")],
  ["pod", () => import("./cli/pod.ts")],
  ["set", () => import("./cli/set.ts")],
  ["flush", () => import("./cli/flush.ts")],
  ["show", () => import("./cli/show.ts")],
  ["clear", () => import("./cli/clear.ts")],
  ["exec", () => import("./cli/exec.ts")],
  ["version", () => import("./cli/version.ts")],
  ["--version", () => import("./cli/version.ts")],
  ["help", () => import("./cli/help.ts")],
  ["--help", () => import("./cli/help.ts")],
  ["-h", () => import("./cli/help.ts")],
]);

const [name, ...args] = Deno.args;
const load = COMMANDS.get(name ?? "");
Deno.exit(
  await guard(async () => {
    if (load) await (await load()).run(args);
    else await (await import("./cli/help.ts")).runUnknown(name);
  }),
);
