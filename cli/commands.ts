/** Every command, in the order of the overview: one line each, and one file each beside this one. */

import type { CommandModule, Commands } from "./spec.ts";

// Literal imports, so that `deno compile` finds them; lazy, so that a command loads itself only.
export const COMMANDS: Commands = new Map<string, () => Promise<CommandModule>>([
  ["run", () => import("./run.ts")],
  ["stop", () => import("./stop.ts")],
  ["conf", () => import("./conf.ts")],
  ["interface", () => import("./interface.ts")],
  ["vip", () => import("./vip.ts")],
  ["pod", () => import("./pod.ts")],
  ["set", () => import("./set.ts")],
  ["flush", () => import("./flush.ts")],
  ["show", () => import("./show.ts")],
  ["sessions", () => import("./sessions.ts")],
  ["top", () => import("./top.ts")],
  ["explain", () => import("./explain.ts")],
  ["trace", () => import("./trace.ts")],
  ["capture", () => import("./capture.ts")],
  ["clear", () => import("./clear.ts")],
  ["apply", () => import("./apply.ts")],
  ["diff", () => import("./diff.ts")],
  ["get", () => import("./get.ts")],
  ["import", () => import("./import.ts")],
  ["exec", () => import("./exec.ts")],
  ["schema", () => import("./schema.ts")],
  ["doctor", () => import("./doctor.ts")],
  ["selftest", () => import("./selftest.ts")],
  ["replay", () => import("./replay.ts")],
  ["completion", () => import("./completion.ts")],
  ["version", () => import("./version.ts")],
  ["help", () => import("./help.ts")],
]);
