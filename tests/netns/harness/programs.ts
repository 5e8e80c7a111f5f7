/** ku's programs on the interfaces of a namespace, asked of the kernel: `tc` of Debian 12 does not know tcx. */

import { checkErrno } from "../../../ffi/errno.ts";
import { listInterfaces } from "../../../ffi/if.ts";
import { libbpf } from "../../../ffi/libbpf.ts";
import { cString } from "../../../ffi/memory.ts";
import { findOwnPrograms } from "../../../mod/xdp/steering_ways.ts";
import type { Namespace } from "./namespace.ts";

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" }, // const char *path, int flags
  close: { parameters: ["i32"], result: "i32" }, // int fd
  setns: { parameters: ["i32", "i32"], result: "i32" }, // int fd, int nstype
}).symbols;
const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

libbpf(); // loaded once, and not within a test, which would have to unload it

export interface OwnProgram {
  /** Name of the interface. */
  link: string;
  /** "ku_tc" and the like. */
  name: string;
  id: number;
}

/** Every program of ku's on an interface of the namespace. */
export function ownPrograms(namespace: Namespace): OwnProgram[] {
  return inside(
    namespace,
    () =>
      listInterfaces().flatMap(({ index, name: link }) =>
        findOwnPrograms(index).map(({ id, name }) => ({ link, name, id }))
      ),
  );
}

/** What `body` returns, called with this thread in the namespace: nothing else runs on it before it is back. */
function inside<T>(namespace: Namespace, body: () => T): T {
  const open = (path: string) => checkErrno(libc.open(cString(path), O_RDONLY_CLOEXEC), "open", path);
  const [here, there] = [open("/proc/thread-self/ns/net"), open(namespace.path)];
  try {
    checkErrno(libc.setns(there, CLONE_NEWNET), "enter", namespace.path);
    return body();
  } finally {
    checkErrno(libc.setns(here, CLONE_NEWNET), "leave", namespace.path);
    for (const fd of [here, there]) libc.close(fd);
  }
}
