/**
 * The steering programs, out of the executable into the kernel.
 *
 * @module
 */

import { BpfObject } from "./bpf_object.ts";
import { offloadEntries } from "./offload_maps.ts";

const OBJECT_URL = new URL("../../dist/build/steering.bpf.o", import.meta.url);

/**
 * Loads them with memory to repeat `sessions`; the maps in `maps` are there already, by their descriptors. Throws SystemError; or an Error,
 * when the executable has been built without them.
 */
export function loadPrograms(sessions: number, maps?: ReadonlyMap<string, number>): BpfObject {
  let image: Uint8Array<ArrayBuffer>;
  try {
    image = Deno.readFileSync(OBJECT_URL);
  } catch (cause) {
    const remedy = "dist/build/steering.bpf.o, run `deno task compile`";
    throw new Error(`Cannot read the steering programs : ${remedy}`, { cause });
  }
  return BpfObject.load("ku_steering", image, offloadEntries(sessions), maps);
}
