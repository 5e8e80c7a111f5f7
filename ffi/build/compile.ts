/**
 * Makes dist/ku: `deno compile` of main.ts, with the worker's entry module (which no import statement names, so
 * deno compile leaves it out by itself) and everything in dist/build embedded. The source reads these files at the
 * same place relative to itself in a checkout and in the executable: `new URL("../dist/build/…", import.meta.url)`.
 */

import { BUILD_FOLDER, filesBelow, makeOnce, progress, ROOT, runCommand, StepError } from "./steps.ts";
import { findDenort } from "./denort.ts";
import { shippedFlags } from "./shipped.ts";

export const EXECUTABLE = `${ROOT}/dist/ku`;

/** Modules started as workers. */
const WORKER_ENTRIES = [`${ROOT}/mod/worker/worker.ts`];

/** denort is 85 MB and ku's own part below 5 MB; more means that something got in by accident. */
const EXECUTABLE_MAX_BYTES = 95_000_000;

/** Throws StepError. */
export async function compileExecutable(): Promise<void> {
  const inputs = [
    ...["deno.json", "deno.lock", "main.ts"].map((name) => `${ROOT}/${name}`),
    ...["cli", "mod", "ffi"].flatMap((folder) =>
      filesBelow(`${ROOT}/${folder}`, (path) => path.endsWith(".ts"))
    ),
    ...filesBelow(BUILD_FOLDER, () => true),
  ];
  const settings = `Deno ${Deno.version.deno} ${Deno.env.get("DENORT_BIN") ?? ""} shipped packages only`;
  await makeOnce("compile", { inputs, outputs: [EXECUTABLE], settings }, compile);
}

async function compile(): Promise<void> {
  const denort = await findDenort();
  // Compiled beside and renamed, since a running ku cannot be written over (ETXTBSY).
  const unfinished = `${EXECUTABLE}.unfinished`;
  const includes = [...WORKER_ENTRIES, BUILD_FOLDER].flatMap((path) => ["--include", path]);
  const args = [
    "compile",
    "-A",
    "--no-check",
    ...shippedFlags(`${ROOT}/dist/shipped`),
    ...includes,
    "--output",
    unfinished,
    `${ROOT}/main.ts`,
  ];
  await runCommand(Deno.execPath(), args, {
    step: "compile",
    what: "deno compile",
    remedy: "see its message above",
    env: denort === null ? {} : { DENORT_BIN: denort },
  });
  const sizeBytes = Deno.statSync(unfinished).size;
  if (sizeBytes > EXECUTABLE_MAX_BYTES) {
    throw new StepError(
      `dist/ku has ${sizeBytes} bytes, over ${EXECUTABLE_MAX_BYTES}: something is embedded that does not belong, ` +
        `look for node_modules or package.json beside main.ts`,
    );
  }
  await runCommand(unfinished, ["version"], {
    step: "compile",
    what: "starting the new executable",
    remedy: "see its message above",
  });
  Deno.renameSync(unfinished, EXECUTABLE);
  progress("compile", `dist/ku, ${(sizeBytes / 1e6).toFixed(1)} MB`);
}
