/**
 * What an earlier ku left in the kernel, found by the programs that are still attached: the maps by which these go on repeating
 * established sessions, and the slots of their interfaces. The next ku loads its own programs over the same maps, so that there is no
 * moment without.
 *
 * Nothing is pinned. A map lives as long as a program uses it, and a program as long as it is attached, so the sessions last exactly as
 * long as there is a way they are repeated on: no bpffs is needed, in whatever mount namespace the next ku is started, and none is left
 * behind. Interfaces belong to a network namespace, and so does what is found by them.
 *
 * Maps of another layout (sizes, or the number in ku_flow_conf) are not taken over; attaching replaces their programs.
 *
 * @module
 */

import {
  MAP_INFO_BYTES,
  MAP_INFO_ENTRIES,
  MAP_INFO_KEY_BYTES,
  MAP_INFO_NAME,
  MAP_INFO_NAME_BYTES,
  MAP_INFO_VALUE_BYTES,
  PROGRAM_INFO_BYTES,
  PROGRAM_INFO_MAP_COUNT,
  PROGRAM_INFO_MAP_IDS,
} from "../../ffi/bpf.ts";
import { listInterfaces } from "../../ffi/if.ts";
import { closeBpfFd, libbpf } from "../../ffi/libbpf.ts";
import { bufferAddress, fromCString } from "../../ffi/memory.ts";
import { BpfMap } from "./bpf_map.ts";
import { findOwnPrograms } from "./steering_ways.ts";
import { isOwnProgram, withProgram } from "./xdp_hook.ts";

/** Maps that are taken over, with the bytes of their keys and values as this ku knows them. */
const LAYOUT: Readonly<Record<string, readonly [keyBytes: number, valueBytes: number]>> = {
  ku_links: [4, 12],
  ku_flows: [4, 64],
  ku_flows6: [4, 64],
  ku_flow_notes: [4, 32],
  ku_hops: [4, 32],
  ku_flow_index: [4, 32],
  ku_flow_conf: [4, 128],
  ku_ways: [4, 4],
  ku_ways_tc: [4, 4],
  ku_flow_misses: [4, 8],
  ku_link_counts: [4, 32],
};
/** Word of ku_flow_conf that holds the number, and the number: raised when something means another thing in the same place. */
export const LAYOUT_WORD = 21;
export const LAYOUT_VERSION = 3;
const FLOWS_PER_SESSION = 2;
/** Maps that one program can use (kernel: MAX_USED_MAPS). */
const MAX_MAPS = 64;

/** An earlier ku's maps. */
export interface FormerMaps {
  /** Descriptors by name, open. */
  fds: ReadonlyMap<string, number>;
  /** Sessions that the maps have room for. */
  sessions: number;
  /** Slots of the interfaces that have its programs, by interface index. */
  slots: ReadonlyMap<number, number>;
}

/** Looks for them on all interfaces of this network namespace; null when there are none, or none that this ku knows. */
export function findFormerMaps(): FormerMaps | null {
  const attached = listInterfaces().map(({ index }) => ({ index, programs: ownProgramsOf(index) }))
    .filter(({ programs }) => programs.length > 0);
  for (const { programs } of attached) {
    const fds = mapsOf(programs);
    const sessions = fds === null ? 0 : sessionsOf(fds);
    if (fds === null) continue;
    if (sessions > 0) return { fds, sessions, slots: slotsOf(fds, attached.map(({ index }) => index)) };
    for (const fd of fds.values()) closeBpfFd(fd);
  }
  return null;
}

/** Ids of the programs of ku's on the interface that repeat sessions. */
function ownProgramsOf(interfaceIndex: number): number[] {
  return findOwnPrograms(interfaceIndex).filter(({ name }) => ["ku_xdp", "ku_tc"].includes(name))
    .map(({ id }) => id);
}

/** Descriptors of the maps in LAYOUT that the programs (ids) use; null when one is missing or of another layout. */
export function mapsOf(programs: readonly number[]): Map<string, number> | null {
  const fds = new Map<string, number>();
  for (const id of new Set(programs.flatMap((program) => withProgram(program, mapIds) ?? []))) {
    const fd = libbpf().bpf_map_get_fd_by_id(id);
    if (fd < 0) continue;
    const info = infoOf(fd);
    const bytes = new Uint8Array(info.buffer, MAP_INFO_NAME, MAP_INFO_NAME_BYTES);
    const name = fromCString(bytes);
    const layout = Object.hasOwn(LAYOUT, name) ? LAYOUT[name] : null;
    const same = layout !== null && info.getUint32(MAP_INFO_KEY_BYTES, true) === layout[0] &&
      info.getUint32(MAP_INFO_VALUE_BYTES, true) === layout[1];
    if (same && isOwnProgram(name) && !fds.has(name)) fds.set(name, fd);
    else closeBpfFd(fd);
  }
  // ku_ways is XDP's, ku_ways_tc is tc's: without a program of the type nothing of it is to be taken over.
  const needed = Object.keys(LAYOUT).filter((name) => !name.startsWith("ku_ways"));
  if (needed.every((name) => fds.has(name))) return fds;
  for (const fd of fds.values()) closeBpfFd(fd);
  return null;
}

function mapIds(programFd: number): number[] {
  const ids = new Uint32Array(MAX_MAPS);
  const info = new DataView(new ArrayBuffer(PROGRAM_INFO_BYTES));
  info.setUint32(PROGRAM_INFO_MAP_COUNT, MAX_MAPS, true);
  info.setBigUint64(PROGRAM_INFO_MAP_IDS, bufferAddress(new Uint8Array(ids.buffer)), true);
  const bytes = new Uint8Array(info.buffer);
  if (libbpf().bpf_obj_get_info_by_fd(programFd, bytes, Uint32Array.of(PROGRAM_INFO_BYTES)) < 0) return [];
  return [...ids.subarray(0, Math.min(info.getUint32(PROGRAM_INFO_MAP_COUNT, true), MAX_MAPS))];
}

/** Sessions that the maps have room for; 0: they are of another layout. */
function sessionsOf(fds: ReadonlyMap<string, number>): number {
  const conf = new BpfMap("ku_flow_conf", fds.get("ku_flow_conf")!, ...LAYOUT.ku_flow_conf);
  const value = conf.lookup(new Uint8Array(4));
  if (value === null || new Uint32Array(value.buffer)[LAYOUT_WORD] !== LAYOUT_VERSION) return 0;
  return infoOf(fds.get("ku_flows")!).getUint32(MAP_INFO_ENTRIES, true) / FLOWS_PER_SESSION;
}

/** struct bpf_map_info. */
function infoOf(mapFd: number): DataView<ArrayBuffer> {
  const info = new DataView(new ArrayBuffer(MAP_INFO_BYTES));
  libbpf().bpf_obj_get_info_by_fd(mapFd, new Uint8Array(info.buffer), Uint32Array.of(MAP_INFO_BYTES));
  return info;
}

/** Slots by interface, of those in `indexes`; the entries of others, which may be of interfaces that are gone, are removed. */
function slotsOf(fds: ReadonlyMap<string, number>, indexes: readonly number[]): Map<number, number> {
  const links = new BpfMap("ku_links", fds.get("ku_links")!, ...LAYOUT.ku_links);
  const slots = new Map<number, number>();
  for (const key of links.keys()) {
    const index = new Uint32Array(key.buffer)[0];
    const value = links.lookup(key);
    if (value !== null && indexes.includes(index)) slots.set(index, new Uint16Array(value.buffer)[0]);
    else links.delete(key);
  }
  return slots;
}
