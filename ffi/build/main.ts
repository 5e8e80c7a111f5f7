/**
 * The build: from a bare machine to dist/ku. `deno run -A ffi/build/main.ts`, or `deno task compile`.
 *
 * packages → modules → bpf → libraries → compile; each step does only what is not done yet, and says so.
 */

import { compileBpf } from "./bpf.ts";
import { compileExecutable } from "./compile.ts";
import { stageLibraries } from "./libraries.ts";
import { fetchModules } from "./modules.ts";
import { installPackages } from "./packages.ts";
import { StepError } from "./steps.ts";

/** All steps. Throws StepError. */
export async function build(): Promise<void> {
  if (Deno.build.os !== "linux") throw new StepError("ku builds on Linux only, use a Linux machine");
  await installPackages();
  await fetchModules();
  await compileBpf();
  await stageLibraries();
  await compileExecutable();
}

if (import.meta.main) {
  try {
    await build();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    console.error(`build: ${error.message}`);
    Deno.exit(1);
  }
}
