/**
 * Fetches the modules that deno.json names, as deno.lock pins them, into Deno's cache, so that later steps and the
 * tests need no network.
 */

import { LOCK_FLAGS, makeOnce, ROOT, runCommand } from "./steps.ts";

/** Together they import every package. */
const ENTRIES = ["main.ts", "tests/unit/config/schema_test.ts"];

/** Throws StepError. */
export async function fetchModules(): Promise<void> {
  const inputs = [`${ROOT}/deno.json`, `${ROOT}/deno.lock`];
  const settings = Deno.version.deno;
  await makeOnce("modules", { inputs, outputs: [], settings }, async () => {
    await runCommand(Deno.execPath(), ["cache", ...LOCK_FLAGS, ...ENTRIES], {
      step: "modules",
      what: "fetching the Deno modules",
      remedy: "check the network, and npm's registry and proxy settings (.npmrc)",
      // For a registry or proxy whose certificate only this machine knows.
      env: { DENO_TLS_CA_STORE: "system,mozilla" },
    });
  });
}
