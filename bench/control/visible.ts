/** When a change reaches packets: a client asks the VIP, every time as a new flow, until the new pod answers. */

import type { Ground } from "../../tests/netns/harness/ground.ts";
import { until } from "../../tests/netns/harness/wait.ts";
import { program } from "../compile.ts";
import { VIP_PORT } from "../services.ts";

/** Milliseconds from the call of `change` to the first answer, which comes within a millisecond of it being possible. */
export async function untilReached(
  ground: Ground,
  vip: string,
  change: () => Promise<void>,
  limitMs: number,
): Promise<number> {
  const command = [program("ping"), "first", vip, String(VIP_PORT)];
  await using client = ground.client.namespace.start("ping first", command);
  await until("the first question", () => client.stdout.includes("asking"));
  const before = performance.now();
  const changed = change();
  let reached = 0;
  await until(
    "an answer of the new pod",
    () => client.stdout.includes("answered") && (reached = performance.now()),
    limitMs,
    1,
  );
  await changed;
  return reached - before;
}
