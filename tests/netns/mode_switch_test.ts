/**
 * An interface's mode changes under traffic: established connections live on, and bulk passes in every mode, also in the one that is
 * handed uncut packets (generic).
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2 nginx :8080
 */

import { assert, assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon } from "./harness/daemon.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";
import { sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, serving, VIP, WEB_PORT } from "./harness/service.ts";

const BODY_BYTES = 4 << 20;
/** Where the servers send at 1 MB/s, so that a download lasts over the changes. */
const SLOWLY = "paced/blob";
const DOWNLOADS = 6;

await requireGround();

Deno.test("changing modes under traffic breaks no connection", async (t) => {
  await using ground = await Ground.create();
  const servers = await startWebServers(ground, POD_WEB_PORT);
  const bodies = new Set<string>();
  for (const [index, server] of servers.entries()) {
    bodies.add(await server.addBlob("blob", index + 1, BODY_BYTES));
  }
  await using daemon = await Daemon.start(ground, { config: serving(ground, "tc") });
  const interfaces = [...ground.clients, ...ground.pods].map((host) => host.nodeInterface);
  const fetchBody = async (path: string) => {
    const { body } = await fetchUrl(ground.client.namespace, `http://${VIP}:${WEB_PORT}/${path}`);
    assert(bodies.has(await sha256(body)), `${body.length} bytes that no pod has`);
  };
  for (const mode of ["native", "tc", "auto", "generic", "native", "generic", "tc"]) {
    await t.step(`to ${mode}`, async () => {
      const downloads = Promise.allSettled(Array.from({ length: DOWNLOADS }, () => fetchBody(SLOWLY)));
      await until("all downloads under way", async () => {
        const sessions = await daemon.sessions();
        return sessions.filter((session) => session.state === "established").length >= DOWNLOADS;
      }, 3_000);
      for (const name of interfaces) await daemon.ku(`interface ${name} mode ${mode}`);
      const results = await downloads;
      assertEquals(results.filter((result) => result.status === "rejected"), []);
      await fetchBody("blob");
    });
  }
  await daemon.stop();
});
