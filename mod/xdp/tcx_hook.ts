/**
 * Attaching programs to an interface's tcx ingress hook (Linux 6.6), behind those that are there. What hangs there runs ahead of clsact's
 * filters and needs no qdisc: a packet that passes costs a call instead of a walk through qdisc, chain and classifier, which a
 * bystander's bulk transfer feels. A program attached in this way stays when its process ends, as a filter does.
 *
 * References: kernel/bpf/tcx.c; kernel/bpf/mprog.c; include/uapi/linux/bpf.h BPF_TCX_INGRESS, BPF_F_REPLACE.
 *
 * @module
 */

import {
  BPF_F_REPLACE,
  BPF_TCX_INGRESS,
  PROGRAM_ATTACH_OPTS_BYTES,
  PROGRAM_ATTACH_OPTS_FLAGS,
  PROGRAM_ATTACH_OPTS_REPLACE_FD,
} from "../../ffi/bpf.ts";
import { EEXIST, EINVAL, ENOENT, EOPNOTSUPP, SystemError } from "../../ffi/errno.ts";
import { type InterfaceName } from "../../ffi/if.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { isOwnProgram, programId, programName, withProgram } from "./xdp_hook.ts";

/** Programs that one hook holds (kernel/bpf/mprog.c BPF_MPROG_MAX). */
const MAX_PROGRAMS = 64;

/** Ids of the programs on the hook that are ku's; none if the interface is gone, or the kernel has no such hook. */
export function ownTcxIds(interfaceIndex: number): number[] {
  const ids = new Uint32Array(MAX_PROGRAMS);
  const count = Uint32Array.of(MAX_PROGRAMS);
  const result = libbpf().bpf_prog_query(interfaceIndex, BPF_TCX_INGRESS, 0, null, ids, count);
  if (result < 0) return [];
  return [...ids.subarray(0, count[0])].filter((id) => isOwnProgram(programName(id)));
}

/** Attaches `programFd`, in place of an earlier ku's. False: the kernel has no such hook. Throws SystemError. */
export function attachTcx(link: InterfaceName, programFd: number): boolean {
  const own = programId(programFd);
  const [earlier, ...others] = ownTcxIds(link.index).filter((id) => id !== own);
  const attach = (replacedFd: number | null) =>
    libbpf().bpf_prog_attach_opts(programFd, link.index, BPF_TCX_INGRESS, attachOptions(replacedFd));
  let result = (earlier === undefined ? null : withProgram(earlier, attach)) ?? attach(null);
  if (result === -ENOENT) result = attach(null); // the earlier one has just been detached
  if (result === -EEXIST) { // it is there already, and not put in the earlier one's place
    if (earlier !== undefined) detachTcx(link.index, earlier);
    result = 0;
  }
  if (result === -EINVAL || result === -EOPNOTSUPP) return false;
  if (result < 0) throw new SystemError("attach a tc program to", -result, `"${link.name}"`);
  for (const id of others) detachTcx(link.index, id);
  return true;
}

/** Detaches every program of ku's. True if there was one. */
export function detachOwnTcx(interfaceIndex: number): boolean {
  const own = ownTcxIds(interfaceIndex);
  for (const id of own) detachTcx(interfaceIndex, id);
  return own.length > 0;
}

function detachTcx(interfaceIndex: number, programId: number): void {
  withProgram(programId, (fd) => libbpf().bpf_prog_detach2(fd, interfaceIndex, BPF_TCX_INGRESS));
}

function attachOptions(replacedFd: number | null): Uint8Array<ArrayBuffer> {
  const options = new DataView(new ArrayBuffer(PROGRAM_ATTACH_OPTS_BYTES));
  options.setBigUint64(0, BigInt(PROGRAM_ATTACH_OPTS_BYTES), true);
  if (replacedFd !== null) {
    options.setUint32(PROGRAM_ATTACH_OPTS_FLAGS, BPF_F_REPLACE, true);
    options.setInt32(PROGRAM_ATTACH_OPTS_REPLACE_FD, replacedFd, true);
  }
  return new Uint8Array(options.buffer);
}
