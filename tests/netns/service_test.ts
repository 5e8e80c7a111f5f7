/**
 * The systemd unit of examples/: systemd-analyze has nothing to say, and ku works with no more capabilities than it gives, also over what a
 * killed daemon has left.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods: HTTP
 */

import { assertEquals, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU, MODES } from "./harness/daemon.ts";
import { run } from "./harness/process.ts";
import { POD_WEB_PORT, serving, VIP } from "./harness/service.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";

await requireGround();

const UNIT = await Deno.readTextFile(new URL("../../examples/systemd/ku.service", import.meta.url));

Deno.test("systemd-analyze verify is content with the unit", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const file = `${ground.directory}/ku.service`;
  // The executable has to be where the unit says.
  assertMatch(UNIT, /^ExecStart=\/usr\/local\/bin\/ku run /m);
  await Deno.writeTextFile(file, UNIT.replace("ExecStart=/usr/local/bin/ku", `ExecStart=${KU}`));
  const { code, text, stderr } = await run(["systemd-analyze", "verify", "--man=no", file]);
  assertEquals([code, text, stderr], [0, "", ""]);
});

/** The unit's bounding set as options of setpriv. */
function capabilityOptions(): string[] {
  const names = /^CapabilityBoundingSet=(.*)$/m.exec(UNIT)![1].split(" ");
  const set = ["-all", ...names.map((name) => name.replace("CAP_", "+").toLowerCase())].join(",");
  return [`--bounding-set=${set}`, `--inh-caps=${set}`, "--no-new-privs"];
}

for (const mode of MODES) {
  Deno.test(`ku runs with the unit's capabilities, every interface ${mode}`, async () => {
    await using ground = await Ground.create();
    await startWebServers(ground, POD_WEB_PORT);
    const before = ["setpriv", ...capabilityOptions()];
    const config = serving(ground, mode);
    await using first = await Daemon.start(ground, { config, before, quiet: true });
    await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
    await first.kill();
    await using second = await Daemon.start(ground, { config, before });
    await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
    const doctor = await run(["ip", "netns", "exec", ground.node.name, ...before, KU, "doctor"], {
      env: { KU_SOCKET: second.socket },
    });
    assertEquals(doctor.code, 0, doctor.text);
    await second.end("SIGTERM");
  });
}
