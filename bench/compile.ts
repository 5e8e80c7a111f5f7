/**
 * Compiles what the benches have in C: bench/bpf/*.bpf.c for the kernel's BPF machine, bench/c/*.c for this one, into dist/bench.
 * Nothing is done twice.
 */

import { filesBelow, makeOnce, ROOT, runCommand } from "../ffi/build/steps.ts";

const FOLDER = `${ROOT}/dist/bench`;

/** The BPF object of bench/bpf/<name>.bpf.c. */
export function bpfObject(name: string): string {
  return `${FOLDER}/${name}.bpf.o`;
}

/** The program of bench/c/<name>.c. */
export function program(name: string): string {
  return `${FOLDER}/${name}`;
}

/** The shared library of bench/c/<name>.c. */
export function library(name: string): string {
  return `${FOLDER}/${name}.so`;
}

/** Throws StepError. As for this very processor, since V8 too uses all that it finds in it. */
export async function compileDatapath(): Promise<void> {
  const flags = ["-O2", "-march=native", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
  await compile(`${ROOT}/bench/c/datapath.c`, library("datapath"), flags, []);
}

/** Throws StepError. */
export async function compileTraffic(): Promise<void> {
  const bpf = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf"];
  bpf.push(`-I/usr/include/${Deno.build.arch}-linux-gnu`);
  for (const name of ["sender", "sink", "to_socket", "dnat"]) {
    await compile(`${ROOT}/bench/bpf/${name}.bpf.c`, bpfObject(name), [...bpf, "-c"], []);
  }
  const native = ["-O2", "-Wall", "-Wextra", "-Werror"];
  await compile(`${ROOT}/bench/c/ping.c`, program("ping"), native, []);
  await compile(`${ROOT}/bench/c/forward.c`, program("forward"), native, ["-lxdp", "-lbpf"]);
}

async function compile(source: string, output: string, flags: string[], libraries: string[]): Promise<void> {
  const name = source.slice(source.lastIndexOf("/") + 1);
  const inputs = filesBelow(source.slice(0, source.lastIndexOf("/")), (path) => path === source);
  const settings = [...flags, ...libraries].join(" ");
  await makeOnce(`bench-${name}`, { inputs, outputs: [output], settings }, async () => {
    Deno.mkdirSync(FOLDER, { recursive: true });
    await runCommand("clang", [...flags, source, "-o", output, ...libraries], {
      step: "bench",
      what: `compiling bench/…/${name}`,
      remedy: "see the compiler's message above (needs clang, libbpf-dev and libxdp-dev)",
    });
  });
}
