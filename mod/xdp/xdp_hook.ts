/**
 * Attaching XDP programs, and never over anybody else's: a program is replaced only if it is an earlier ku's, and the
 * kernel checks that it still is that one (XDP_FLAGS_REPLACE). ku attaches directly, without libxdp's dispatcher, which
 * would need bpffs and a second object file; where something is attached already, ku steers by tc instead.
 *
 * References: include/uapi/linux/if_link.h XDP_FLAGS_*; net/core/dev.c dev_xdp_attach.
 *
 * @module
 */

import {
  PROGRAM_INFO_BYTES,
  PROGRAM_INFO_ID,
  PROGRAM_INFO_NAME,
  PROGRAM_INFO_NAME_BYTES,
  XDP_ATTACH_OPTS_BYTES,
  XDP_ATTACH_OPTS_OLD_FD,
  XDP_QUERY_OPTS_BYTES,
  XDP_QUERY_OPTS_GENERIC_ID,
  XDP_QUERY_OPTS_HARDWARE_ID,
  XDP_QUERY_OPTS_NATIVE_ID,
} from "../../ffi/bpf.ts";
import { EBUSY, SystemError } from "../../ffi/errno.ts";
import { type InterfaceName } from "../../ffi/if.ts";
import { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, XDP_FLAGS_UPDATE_IF_NOEXIST } from "../../ffi/if_link.ts";
import { closeBpfFd, libbpf, withLibbpfMessages } from "../../ffi/libbpf.ts";
import { fromCString } from "../../ffi/memory.ts";

/** Where in the receive path a program runs: in the driver, or after the kernel has made an skb. */
export type XdpMode = "native" | "generic";

/** ku's programs are all called like this, and so an earlier ku's are known. */
const OWN_PREFIX = "ku_";

/** Whether a program of this name is ku's. */
export function isOwnProgram(name: string | null): boolean {
  return name !== null && name.startsWith(OWN_PREFIX);
}

/** A program found attached. */
export interface AttachedProgram {
  id: number;
  name: string;
  /** "hardware": offloaded to the NIC. */
  mode: XdpMode | "hardware";
}

/** Calls `use` with a descriptor of the program, which is closed after. Null if the program is gone. */
export function withProgram<T>(id: number, use: (fd: number) => T): T | null {
  const fd = libbpf().bpf_prog_get_fd_by_id(id);
  if (fd < 0) return null;
  try {
    return use(fd);
  } finally {
    closeBpfFd(fd);
  }
}

/** Name of the program with this id; null if it is gone. */
export function programName(id: number): string | null {
  return withProgram(id, (fd) => {
    const info = programInfo(fd);
    if (info === null) return null;
    return fromCString(info.subarray(PROGRAM_INFO_NAME, PROGRAM_INFO_NAME + PROGRAM_INFO_NAME_BYTES));
  });
}

/** Id of the program behind a descriptor; 0 if it is not one. */
export function programId(fd: number): number {
  const info = programInfo(fd);
  return info === null ? 0 : new DataView(info.buffer).getUint32(PROGRAM_INFO_ID, true);
}

/** struct bpf_prog_info of the program behind a descriptor. */
function programInfo(fd: number): Uint8Array<ArrayBuffer> | null {
  const info = new Uint8Array(new ArrayBuffer(PROGRAM_INFO_BYTES));
  return libbpf().bpf_obj_get_info_by_fd(fd, info, Uint32Array.of(PROGRAM_INFO_BYTES)) < 0 ? null : info;
}

/** XDP programs on the interface; none if it is gone. */
export function queryXdp(interfaceIndex: number): AttachedProgram[] {
  const options = new DataView(new ArrayBuffer(XDP_QUERY_OPTS_BYTES));
  options.setBigUint64(0, BigInt(XDP_QUERY_OPTS_BYTES), true);
  if (libbpf().bpf_xdp_query(interfaceIndex, 0, new Uint8Array(options.buffer)) < 0) return [];
  const found: AttachedProgram[] = [];
  const look = (at: number, mode: AttachedProgram["mode"]) => {
    const id = options.getUint32(at, true);
    if (id !== 0) found.push({ id, name: programName(id) ?? "", mode });
  };
  look(XDP_QUERY_OPTS_NATIVE_ID, "native");
  look(XDP_QUERY_OPTS_GENERIC_ID, "generic");
  look(XDP_QUERY_OPTS_HARDWARE_ID, "hardware");
  return found;
}

/** Attaches `programFd`, in place of an earlier ku's. Throws SystemError; over a stranger's program too. */
export function attachXdp(link: InterfaceName, programFd: number, mode: XdpMode): void {
  const call = `attach a${mode === "native" ? " native" : " generic"} XDP program to`;
  const found = queryXdp(link.index);
  const foreign = found.find((program) => !isOwnProgram(program.name));
  if (foreign !== undefined) {
    const remedy = `program "${foreign.name}" (id ${foreign.id}) is there: remove it or use mode tc`;
    throw new SystemError(call, EBUSY, `"${link.name}"`, remedy);
  }
  // Native and generic exclude each other.
  for (const other of found) if (other.mode !== mode) detachXdp(link.index, other);
  const old = found.find((program) => program.mode === mode);
  const attach = (oldFd: number) => {
    const flags = modeFlag(mode) | (oldFd === 0 ? XDP_FLAGS_UPDATE_IF_NOEXIST : 0);
    return withLibbpfMessages(() =>
      libbpf().bpf_xdp_attach(link.index, programFd, flags, attachOptions(oldFd))
    );
  };
  const { result, messages } = (old && withProgram(old.id, attach)) ?? attach(0);
  if (result < 0) {
    throw new SystemError(call, -result, `"${link.name}"`, kernelWords(messages) || "use mode tc");
  }
}

/** Detaches `program`, if it is still the one that is attached. */
export function detachXdp(interfaceIndex: number, program: AttachedProgram): void {
  if (program.mode === "hardware") return;
  const flag = modeFlag(program.mode);
  withProgram(program.id, (fd) => libbpf().bpf_xdp_detach(interfaceIndex, flag, attachOptions(fd)));
}

/** Detaches every XDP program of ku's from the interface. True if there was one. */
export function detachOwnXdp(interfaceIndex: number): boolean {
  const own = queryXdp(interfaceIndex).filter((program) => isOwnProgram(program.name));
  for (const program of own) detachXdp(interfaceIndex, program);
  return own.length > 0;
}

function modeFlag(mode: XdpMode): number {
  return mode === "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

/** `oldFd`: the program expected there; 0 for none. */
function attachOptions(oldFd: number): Uint8Array<ArrayBuffer> {
  const options = new DataView(new ArrayBuffer(XDP_ATTACH_OPTS_BYTES));
  options.setBigUint64(0, BigInt(XDP_ATTACH_OPTS_BYTES), true);
  options.setInt32(XDP_ATTACH_OPTS_OLD_FD, oldFd, true);
  return new Uint8Array(options.buffer);
}

/** What the kernel said, out of "libbpf: Kernel error message: …". */
function kernelWords(messages: readonly string[]): string {
  const marker = "Kernel error message: ";
  for (const message of messages) {
    const at = message.indexOf(marker);
    if (at >= 0) return message.slice(at + marker.length);
  }
  return "";
}
