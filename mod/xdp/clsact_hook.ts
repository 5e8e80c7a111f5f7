/**
 * Attaching programs to an interface's clsact ingress hook, beside other people's filters: on kernels without tcx_hook.ts.
 *
 * ku's filter has a place of its own (priority and handle), by which it is found again. The clsact qdisc is created
 * where there is none, and removed with ku's filter only if ku's earlier or present self may have created it and
 * nothing else hangs there.
 *
 * References: tc-bpf(8); net/sched/cls_bpf.c; include/uapi/linux/pkt_sched.h TC_H_CLSACT.
 *
 * @module
 */

import {
  BPF_TC_EGRESS,
  BPF_TC_F_REPLACE,
  BPF_TC_INGRESS,
  TC_HOOK_ATTACH_POINT,
  TC_HOOK_BYTES,
  TC_HOOK_IFINDEX,
  TC_OPTS_BYTES,
  TC_OPTS_FLAGS,
  TC_OPTS_HANDLE,
  TC_OPTS_PRIORITY,
  TC_OPTS_PROGRAM_FD,
  TC_OPTS_PROGRAM_ID,
} from "../../ffi/bpf.ts";
import { EEXIST, SystemError } from "../../ffi/errno.ts";
import { type InterfaceName } from "../../ffi/if.ts";
import { libbpf, withLibbpfMessages } from "../../ffi/libbpf.ts";
import { NetlinkSocket } from "../../ffi/netlink_socket.ts";
import { NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HEADER_BYTES, NLMSG_TYPE } from "../../ffi/rtnetlink.ts";
import { isOwnProgram, programName } from "./xdp_hook.ts";

/** Before filters without a priority of their own (49152 and down), behind those an administrator put first. */
const PRIORITY = 107;
/** "ku". */
const HANDLE = 0x6b75;

// linux/rtnetlink.h, pkt_sched.h
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCM_IFINDEX = 4;
const TCM_PARENT = 12;
const TCMSG_BYTES = 20;
const CLSACT_INGRESS = 0xfffffff2;
const CLSACT_EGRESS = 0xfffffff3;

/** Id of the program in ku's place on the interface; 0 if there is none. */
export function queryClsactId(interfaceIndex: number): number {
  const options = tcOptions(0, 0);
  if (libbpf().bpf_tc_query(tcHook(interfaceIndex, BPF_TC_INGRESS), options) < 0) return 0;
  return new DataView(options.buffer).getUint32(TC_OPTS_PROGRAM_ID, true);
}

/** Name of that program; null if there is none. */
export function queryClsact(interfaceIndex: number): string | null {
  const id = queryClsactId(interfaceIndex);
  return id === 0 ? null : programName(id);
}

/** Attaches `programFd`, in place of an earlier ku's. True if the qdisc is ku's to remove. Throws SystemError. */
export function attachClsact(link: InterfaceName, programFd: number): boolean {
  const call = "attach a tc program to";
  const hook = tcHook(link.index, BPF_TC_INGRESS);
  const { result: created, messages } = withLibbpfMessages(() => libbpf().bpf_tc_hook_create(hook));
  if (created < 0 && created !== -EEXIST) {
    throw new SystemError(call, -created, `"${link.name}"`, messages.at(-1) ?? "");
  }
  const earlier = queryClsact(link.index);
  if (earlier !== null && !isOwnProgram(earlier)) {
    const remedy = `program "${earlier}" has priority ${PRIORITY}: give it another`;
    throw new SystemError(call, EEXIST, `"${link.name}"`, remedy);
  }
  const options = tcOptions(programFd, earlier === null ? 0 : BPF_TC_F_REPLACE);
  const { result, messages: words } = withLibbpfMessages(() => libbpf().bpf_tc_attach(hook, options));
  if (result < 0) throw new SystemError(call, -result, `"${link.name}"`, words.at(-1) ?? "");
  return created === 0 || earlier !== null;
}

/** Detaches ku's program, if one is there; with `ownsQdisc` the empty clsact qdisc too. True if there was one. */
export function detachOwnClsact(interfaceIndex: number, ownsQdisc: boolean): boolean {
  if (!isOwnProgram(queryClsact(interfaceIndex))) return false;
  const hook = tcHook(interfaceIndex, BPF_TC_INGRESS);
  if (libbpf().bpf_tc_detach(hook, tcOptions(0, 0)) < 0) return false;
  if (ownsQdisc && !hasFilters(interfaceIndex)) {
    libbpf().bpf_tc_hook_destroy(tcHook(interfaceIndex, BPF_TC_INGRESS | BPF_TC_EGRESS));
  }
  return true;
}

/** Whether any filter hangs at the interface's clsact qdisc. */
function hasFilters(interfaceIndex: number): boolean {
  const socket = new NetlinkSocket([]);
  try {
    return [CLSACT_INGRESS, CLSACT_EGRESS].some((parent) => {
      socket.send(filterDump(interfaceIndex, parent));
      let found = false;
      for (let length = socket.receive(); length >= 0; length = socket.receive()) {
        if (length >= NLMSG_HEADER_BYTES && socket.view.getUint16(NLMSG_TYPE, true) === RTM_NEWTFILTER) {
          found = true;
        }
      }
      return found;
    });
  } finally {
    socket.close();
  }
}

function filterDump(interfaceIndex: number, parent: number): Uint8Array<ArrayBuffer> {
  const request = new DataView(new ArrayBuffer(NLMSG_HEADER_BYTES + TCMSG_BYTES));
  request.setUint32(0, request.byteLength, true);
  request.setUint16(NLMSG_TYPE, RTM_GETTFILTER, true);
  request.setUint16(NLMSG_TYPE + 2, NLM_F_REQUEST | NLM_F_DUMP, true);
  request.setInt32(NLMSG_HEADER_BYTES + TCM_IFINDEX, interfaceIndex, true);
  request.setUint32(NLMSG_HEADER_BYTES + TCM_PARENT, parent, true);
  return new Uint8Array(request.buffer);
}

function tcHook(interfaceIndex: number, attachPoint: number): Uint8Array<ArrayBuffer> {
  const hook = new DataView(new ArrayBuffer(TC_HOOK_BYTES));
  hook.setBigUint64(0, BigInt(TC_HOOK_BYTES), true);
  hook.setInt32(TC_HOOK_IFINDEX, interfaceIndex, true);
  hook.setUint32(TC_HOOK_ATTACH_POINT, attachPoint, true);
  return new Uint8Array(hook.buffer);
}

function tcOptions(programFd: number, flags: number): Uint8Array<ArrayBuffer> {
  const options = new DataView(new ArrayBuffer(TC_OPTS_BYTES));
  options.setBigUint64(0, BigInt(TC_OPTS_BYTES), true);
  options.setInt32(TC_OPTS_PROGRAM_FD, programFd, true);
  options.setUint32(TC_OPTS_FLAGS, flags, true);
  options.setUint32(TC_OPTS_HANDLE, HANDLE, true);
  options.setUint32(TC_OPTS_PRIORITY, PRIORITY, true);
  return new Uint8Array(options.buffer);
}
