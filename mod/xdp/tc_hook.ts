/**
 * Attaching programs to where an interface's received packets become skbs: by tcx where the kernel has it, else by clsact. Which of the
 * two an earlier ku took does not matter: it is replaced, and found, in either.
 *
 * @module
 */

import { type InterfaceName } from "../../ffi/if.ts";
import { attachClsact, detachOwnClsact, queryClsactId } from "./clsact_hook.ts";
import { attachTcx, detachOwnTcx, ownTcxIds } from "./tcx_hook.ts";
import { isOwnProgram, programName } from "./xdp_hook.ts";

/** Ids of ku's programs there; none if the interface is gone. */
export function ownTcIds(interfaceIndex: number): number[] {
  const ids = ownTcxIds(interfaceIndex);
  const id = queryClsactId(interfaceIndex);
  if (id !== 0 && isOwnProgram(programName(id))) ids.push(id);
  return ids;
}

/** Attaches `programFd`, in place of an earlier ku's. True if there is a clsact qdisc that is ku's to remove. Throws SystemError. */
export function attachTc(link: InterfaceName, programFd: number): boolean {
  if (!attachTcx(link, programFd)) return attachClsact(link, programFd);
  detachOwnClsact(link.index, true); // afterwards: for a moment there are two, and never none
  return false;
}

/** Detaches ku's programs; with `ownsQdisc` the empty clsact qdisc too. True if there was one. */
export function detachOwnTc(interfaceIndex: number, ownsQdisc: boolean): boolean {
  const hadTcx = detachOwnTcx(interfaceIndex);
  return detachOwnClsact(interfaceIndex, ownsQdisc) || hadTcx;
}
