/*
 * Where libbpf and libxdp come from: the node, if it has them under the right name, else copies inside the executable.
 *
 * A copy is loaded without touching the disk: memfd_create(2), then dlopen(3) of /proc/self/fd/N. The loader knows a
 * library by its SONAME, so what is loaded first, from wherever, satisfies those that need it after. For the same
 * reason a second isolate (a worker) finds by name what the first has loaded. The main thread must therefore have
 * loaded them before workers start, or two workers may each load a copy (harmless, a waste).
 */

import { checkErrno } from "./errno.ts";
import { libc, MFD_CLOEXEC } from "./libc.ts";
import { cString } from "./memory.ts";

/** Each needs only earlier ones, and libc. The build puts a copy of each into `dist/build`. */
const LIBRARIES = ["libz.so.1", "libelf.so.1", "libbpf.so.1", "libxdp.so.1"] as const;

/** SONAME of a library ku can load. */
export type LibraryName = typeof LIBRARIES[number];

/** Where a library came from. */
export interface LibraryOrigin {
  name: LibraryName;
  origin: "node" | "embedded";
  /** File on the node; null for an embedded copy. */
  path: string | null;
}

/** Opens the library and those it needs, and binds `symbols`. Throws if it is neither on the node nor embedded. */
export function openLibrary<S extends Deno.ForeignLibraryInterface>(
  name: LibraryName,
  symbols: S,
): Deno.StaticForeignLibraryInterface<S> {
  for (const needed of LIBRARIES) {
    if (!opens(needed)) openEmbedded(needed);
    if (needed === name) break;
  }
  return Deno.dlopen(name, symbols).symbols;
}

function opens(name: string): boolean {
  try {
    Deno.dlopen(name, {}); // never closed: what is loaded stays
    return true;
  } catch {
    return false;
  }
}

function openEmbedded(name: LibraryName): void {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Deno.readFileSync(new URL(`../dist/build/${name}`, import.meta.url));
  } catch (cause) {
    const remedy = "install libxdp1 or run `deno task compile`";
    throw new Error(`Cannot load ${name}: neither on this node nor in dist/build, ${remedy}`, { cause });
  }
  // NB: stays open. The loader takes a path it has seen for the library it loaded from there, so no other library may
  // come by under the same number.
  const fd = checkErrno(libc.memfd_create(cString(name), MFD_CLOEXEC), "create a memory file for", name);
  for (let at = 0; at < bytes.length;) {
    const rest = bytes.subarray(at);
    at += checkErrno(libc.write(fd, rest, BigInt(rest.length)), "write the memory file of", name);
  }
  Deno.dlopen(`/proc/self/fd/${fd}`, {});
}

/** Where the libraries loaded so far came from, for every isolate of this process. */
export function libraryOrigins(): LibraryOrigin[] {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  const origins: LibraryOrigin[] = [];
  for (const name of LIBRARIES) {
    const stem = name.slice(0, name.indexOf("."));
    // "/usr/lib/libelf-0.188.so" or "/memfd:libelf.so.1 (deleted)"
    const path = maps.match(new RegExp(`(/memfd:|/.*/)${stem}[-.].*`))?.[0];
    if (path === undefined) continue;
    const embedded = path.startsWith("/memfd:");
    origins.push({ name, origin: embedded ? "embedded" : "node", path: embedded ? null : path });
  }
  return origins;
}
