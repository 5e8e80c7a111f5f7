/**
 * Compiles the steering programs: ffi/bpf/*.bpf.c → dist/build/*.bpf.o, ELF objects that libbpf loads from memory.
 * `-g` is needed for the BTF by which libbpf understands the map definitions.
 */

import { BUILD_FOLDER, filesBelow, makeOnce, ROOT, runCommand, StepError } from "./steps.ts";

const SOURCE_FOLDER = `${ROOT}/ffi/bpf`;
const SOURCE_ENDING = ".bpf.c";

/** Throws StepError. */
export async function compileBpf(): Promise<void> {
  const sources = filesBelow(SOURCE_FOLDER, (path) => path.endsWith(SOURCE_ENDING));
  if (sources.length === 0) {
    throw new StepError(`no *${SOURCE_ENDING} in ffi/bpf, check that the repository is complete`);
  }
  const objects = sources.map(objectOf);
  const headers = filesBelow(SOURCE_FOLDER, (path) => path.endsWith(".h") || path.endsWith(".c"));
  const flags = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v3", ...includeFlags()];
  await makeOnce("bpf", { inputs: headers, outputs: objects, settings: flags.join(" ") }, async () => {
    Deno.mkdirSync(BUILD_FOLDER, { recursive: true });
    for (const source of sources) {
      await runCommand("clang", [...flags, "-c", source, "-o", objectOf(source)], {
        step: "bpf",
        what: `compiling ${source.slice(ROOT.length + 1)}`,
        remedy: "see the compiler's message above (needs clang 14 or newer, libbpf-dev and linux-libc-dev)",
      });
    }
  });
}

function objectOf(source: string): string {
  return `${BUILD_FOLDER}/${source.slice(source.lastIndexOf("/") + 1).replace(/\.c$/, ".o")}`;
}

/** `asm/types.h` is in the host's multiarch folder, where `-target bpf` does not look. */
function includeFlags(): string[] {
  return [`-I/usr/include/${Deno.build.arch}-linux-gnu`, `-I${SOURCE_FOLDER}`];
}
