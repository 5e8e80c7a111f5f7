/*
 * What a daemon holds: memory, descriptors, BPF maps; and a look into the map by which the programs find sessions.
 */

import { MAP_INFO_BYTES, MAP_INFO_ENTRIES, MAP_INFO_NAME, MAP_INFO_NAME_BYTES } from "../../ffi/bpf.ts";
import { closeBpfFd, libbpf } from "../../ffi/libbpf.ts";
import { fromCString } from "../../ffi/memory.ts";
import { BpfMap } from "../../mod/xdp/bpf_map.ts";
import type { Daemon } from "./harness/daemon.ts";
import { until } from "./harness/wait.ts";

const BUCKET_BYTES = 32;

libbpf(); // a library stays loaded, which a test that loads it is blamed for

export interface Resources {
  descriptors: number;
  maps: number;
  /** Resident. */
  memoryBytes: number;
}

/** What it holds at rest: the daemon closes its end of a command's connection a moment after the command has ended. */
export async function resourcesOf(daemon: Daemon): Promise<Resources> {
  const { pid } = daemon.process;
  let descriptors = -1;
  await until(
    "descriptors that stay as many",
    () => {
      const before = descriptors;
      descriptors = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
      return descriptors === before;
    },
    5_000,
    100,
  );
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return {
    descriptors,
    maps: (await mapIds(pid)).length,
    memoryBytes: 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)![1]),
  };
}

/** Whether no session is named in ku_flow_index. */
export async function isEmptyIndex(daemon: Daemon): Promise<boolean> {
  for (const id of await mapIds(daemon.process.pid)) {
    const fd = libbpf().bpf_map_get_fd_by_id(id);
    if (fd < 0) continue;
    const info = new DataView(new ArrayBuffer(MAP_INFO_BYTES));
    libbpf().bpf_obj_get_info_by_fd(fd, new Uint8Array(info.buffer), Uint32Array.of(MAP_INFO_BYTES));
    const name = fromCString(new Uint8Array(info.buffer, MAP_INFO_NAME, MAP_INFO_NAME_BYTES));
    if (name === "ku_flow_index") {
      const memory = new BpfMap(name, fd, 4, BUCKET_BYTES).mapValues(info.getUint32(MAP_INFO_ENTRIES, true));
      const empty = new Int32Array(memory.buffer).every((word) => word === 0);
      memory.unmap();
      closeBpfFd(fd);
      return empty;
    }
    closeBpfFd(fd);
  }
  throw new Error("the daemon has no ku_flow_index");
}

/** Of all BPF maps that the process has descriptors of. */
async function mapIds(pid: number): Promise<number[]> {
  const ids = new Set<number>();
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fdinfo`)) {
    const text = await Deno.readTextFile(`/proc/${pid}/fdinfo/${name}`).catch(() => "");
    const id = /^map_id:\s+(\d+)/m.exec(text)?.[1];
    if (id !== undefined) ids.add(Number(id));
  }
  return [...ids];
}
