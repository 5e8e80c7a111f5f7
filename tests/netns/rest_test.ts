/**
 * At rest the daemon costs nothing.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2
 */

import { assertLess } from "@std/assert";
import { Daemon, MODES } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";
import { runOk } from "./harness/process.ts";
import { requireGround } from "./harness/requirements.ts";
import { POD_WEB_PORT, serving, VIP } from "./harness/service.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";

const REST_SECONDS = 3;

await requireGround();

for (const mode of MODES) {
  Deno.test(`at rest the daemon uses under 2 % of a core, every interface ${mode}`, async () => {
    await using ground = await Ground.create();
    await startWebServers(ground, POD_WEB_PORT);
    await using daemon = await Daemon.start(ground, { config: serving(ground, mode) });
    for (let n = 0; n < 5; n++) await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
    const start = await cpuSeconds(daemon.process.pid);
    await new Promise((resolve) => setTimeout(resolve, REST_SECONDS * 1000)); // the time itself is what is measured here
    const used = await cpuSeconds(daemon.process.pid) - start;
    assertLess(used / REST_SECONDS, 0.02, "part of a core");
    await daemon.stop();
  });
}

/** CPU time of a process, all its threads, user and system: /proc/PID/stat fields 14 and 15 in ticks, proc(5). */
async function cpuSeconds(pid: number): Promise<number> {
  const ticks = Number(await runOk(["getconf", "CLK_TCK"]));
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}
