/** Maglev tables: ns to fill one, by size. `deno run bench/maglev_bench.ts [--quick]` */

import { fillMaglev, type MaglevPod } from "../mod/table/maglev.ts";
import { measure, Random } from "./harness.ts";

function makePods(random: Random, count: number, weighted: boolean): MaglevPod[] {
  return Array.from({ length: count }, (_, id) => {
    const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 244, ...random.bytes(2));
    return { id, address, weight: weighted ? 1 + random.below(100) : 1 };
  });
}

function benchFill(slotCount: number, podCount: number, weighted: boolean): void {
  const random = new Random(3);
  const slots = new Uint32Array(new SharedArrayBuffer(4 * slotCount));
  const services = Array.from({ length: 64 }, () => makePods(random, podCount, weighted));
  let next = 0;
  measure(`maglev fill, ${slotCount} slots, ${podCount} pods${weighted ? ", weighted" : ""}`, 1, () => {
    fillMaglev(slots, services[next++ & 63]);
    return slots[0];
  });
}

/** The whole of 10,000 services × 4 pods × 1024 slots, in milliseconds. */
function benchAll(serviceCount: number): void {
  const random = new Random(3);
  const services = Array.from({ length: serviceCount }, () => makePods(random, 4, false));
  const arena = new Uint32Array(new SharedArrayBuffer(4 * 1024 * serviceCount));
  const start = performance.now();
  services.forEach((pods, i) => fillMaglev(arena.subarray(1024 * i, 1024 * (i + 1)), pods));
  console.log(
    `maglev fill, ${serviceCount} services of 1024 slots, 4 pods: ${
      (performance.now() - start).toFixed(0)
    } ms`,
  );
}

benchFill(1024, 4, false);
benchFill(1024, 4, true);
benchFill(16384, 100, false);
benchAll(Deno.args.includes("--quick") ? 1000 : 10_000);
