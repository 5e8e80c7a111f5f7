/** How the daemon's threads are scheduled: all in batches, unless somebody has chosen for them. No packets. */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Daemon } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { requireGround } from "./harness/requirements.ts";

// include/uapi/linux/sched.h
const SCHED_BATCH = 3, SCHED_IDLE = 5;
/** Of /proc/PID/task/TID/stat behind the command's name, which may hold blanks: proc(5) field 41, the first there is field 3. */
const POLICY = 41 - 3;

await requireGround();

for (
  const [what, before, expected] of [
    ["are scheduled in batches", [], SCHED_BATCH],
    ["keep a policy that they were started with", ["chrt", "--idle", "0"], SCHED_IDLE],
  ] as const
) {
  Deno.test(`all threads, workers included, ${what}`, async () => {
    await using ground = await Ground.create({ pods: 1 });
    await using daemon = await Daemon.start(ground, { words: ["--workers", "2"], before: [...before] });
    const policies = new Map<string, number[]>();
    for (const { name } of Deno.readDirSync(`/proc/${daemon.process.pid}/task`)) {
      const stat = await Deno.readTextFile(`/proc/${daemon.process.pid}/task/${name}/stat`).catch(() => null);
      if (stat === null) continue; // a thread of the runtime's pool that has ended meanwhile
      const thread = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      const policy = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[POLICY]);
      policies.set(thread, [...policies.get(thread) ?? [], policy]);
    }
    assertGreaterOrEqual([...policies.keys()].filter((name) => name.startsWith("worker-")).length, 2);
    for (const [thread, found] of policies) assertEquals(new Set(found), new Set([expected]), thread);
    await daemon.stop();
  });
}
