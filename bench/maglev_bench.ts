/** Maglev tables: ns to fill one, by slots and pods. `deno bench -A bench/maglev_bench.ts` */

import { fillMaglev, type MaglevPod } from "../mod/table/maglev.ts";
import { Random } from "../tests/packets/random.ts";
import { bench } from "./micro/case.ts";

const SERVICES = 16;

function makePods(random: Random, count: number, weighted: boolean): MaglevPod[] {
  return Array.from({ length: count }, (_, id) => {
    const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 244, ...random.bytes(2));
    return { id, address, weight: weighted ? 1 + random.below(100) : 1 };
  });
}

for (
  const [slots, pods, weights] of [[1024, 4, "equal"], [1024, 4, "unequal"], [16_384, 100, "equal"]] as const
) {
  bench("maglev build", { slots, pods, weights }, SERVICES, () => {
    const random = new Random(3);
    const table = new Uint32Array(new SharedArrayBuffer(4 * slots));
    const services = Array.from({ length: SERVICES }, () => makePods(random, pods, weights === "unequal"));
    return {
      run: () => {
        services.forEach((service) => fillMaglev(table, service));
        return table[0];
      },
    };
  }, slots > 10_000 ? 12 : 60);
}
