/**
 * The ways in which an interface can be steered, and what programs of ku's are on interfaces.
 *
 * @module
 */

import { driverOf } from "../../ffi/ethtool.ts";
import { type InterfaceName, listInterfaces } from "../../ffi/if.ts";
import { detachOwnTc, ownTcIds } from "./tc_hook.ts";
import { detachOwnXdp, isOwnProgram, programName, queryXdp } from "./xdp_hook.ts";

/** How an interface is steered, and why so. */
export interface Attachment {
  mode: "native" | "tc" | "generic";
  /** One clause, for `ku show interface`. */
  reason: string;
}

/**
 * What `auto` tries, in this order. A device on a bus (PCI, virtio, …) has native XDP more often than not, and says so
 * when asked to attach. A veth has it too, but pays with its peer's segmentation offload, and other virtual interfaces
 * do not see much through it: those are steered by tc.
 */
export function steeringWays(name: string): Attachment[] {
  const { driver, bus } = driverOf(name);
  const tc: Attachment = { mode: "tc", reason: `driver ${driver || "unknown"} is not a NIC's` };
  const generic: Attachment = { mode: "generic", reason: "nothing else works" };
  if (isNic(driver, bus)) {
    const native: Attachment = { mode: "native", reason: `driver ${driver} has native XDP` };
    return [native, { ...tc, reason: `driver ${driver} does not attach native XDP` }, generic];
  }
  if (driver === "veth") tc.reason = "native XDP on a veth takes its peer's segmentation offload away";
  return [tc, generic];
}

function isNic(driver: string, bus: string): boolean {
  // tun says "tun" or "tap", bridges and some others "N/A"
  return driver !== "" && driver !== "veth" && driver !== "tun" && bus !== "" && bus !== "N/A";
}

/** Detaches every ku's programs from all interfaces. Returns the names of those that had one. */
export function detachEverywhere(): string[] {
  return detachFrom(listInterfaces());
}

/** Detaches them from `links`. Returns the names of those that had one. */
export function detachFrom(links: readonly InterfaceName[]): string[] {
  return links.filter(({ index }) => {
    const hadXdp = detachOwnXdp(index);
    return detachOwnTc(index, true) || hadXdp;
  }).map(({ name }) => name);
}

/** ku's programs on the interface, of whichever ku. */
export function findOwnPrograms(interfaceIndex: number): { id: number; name: string }[] {
  const byTc = ownTcIds(interfaceIndex).map((id) => ({ id, name: programName(id) ?? "" }));
  return [...queryXdp(interfaceIndex), ...byTc].filter(({ name }) => isOwnProgram(name));
}

/** Their names: for showing what is there. */
export function ownProgramsOn(interfaceIndex: number): string[] {
  return findOwnPrograms(interfaceIndex).map(({ name }) => name);
}
