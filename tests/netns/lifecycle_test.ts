/**
 * The daemon's life and death: kill -9 disturbs nobody, the next start takes over, SIGTERM leaves nothing, and the executable alone is enough.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod3 ── 10.2.n.2
 */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { assertOneLine, Daemon, KU, MODES } from "./harness/daemon.ts";
import { fetchUrl, startWebServers, tryFetch, type WebServer } from "./harness/web.ts";
import { Process, run } from "./harness/process.ts";
import { parseIdentity, Sockets } from "./harness/sockets.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { sha256 } from "./harness/random.ts";
import { until } from "./harness/wait.ts";
import { POD_WEB_PORT, serving, VIP, WHO_PORT } from "./harness/service.ts";

await requireGround();

for (const mode of MODES) {
  Deno.test(`kill -9, restart and SIGTERM, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create();
    const servers = await startWebServers(ground, POD_WEB_PORT);
    const config = serving(ground, mode);
    const before = await footprint(ground.node);
    await using first = await Daemon.start(ground, { config });
    await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
    await t.step(
      "kill -9 in the middle of a bystander's transfer: it goes on",
      () => killDuring(ground, servers, first),
    );
    await t.step("without ku the VIP leads nowhere and everything else works", async () => {
      const { code } = await tryFetch(ground.client.namespace, `http://${VIP}/who`, "--connect-timeout", "1");
      assertNotEquals(code, 0);
      await direct(ground, servers[0]);
      await ground.client.namespace.runOk(["ping", "-c2", "-i0.05", "-W2", "-q", ground.pods[1].address]);
      await ground.client.namespace.runOk(["ping", "-c2", "-i0.05", "-W2", "-q", ground.pods[1].address6]);
    });
    await using second = await Daemon.start(ground, { config });
    await t.step("the next start takes over what it finds", async () => {
      for (let n = 0; n < 5; n++) await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
      await direct(ground, servers[1]);
    });
    await t.step("SIGTERM leaves nothing of either", async () => {
      await second.end("SIGTERM");
      assertEquals(differences(before, await footprint(ground.node)), []);
    });
    await t.step("and it starts again from nothing", async () => {
      await using third = await Daemon.start(ground, { config });
      await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
      await third.stop();
    });
  });
}

async function direct(ground: Ground, server: WebServer): Promise<void> {
  const { host } = server;
  const { text } = await fetchUrl(ground.client.namespace, `http://${host.address}:${POD_WEB_PORT}/who`);
  assertMatch(text, new RegExp(`^${host.name} ${ground.client.address} `));
}

/** A slow download straight from a pod, past the attached interfaces, while the daemon is killed. */
async function killDuring(ground: Ground, servers: WebServer[], daemon: Daemon): Promise<void> {
  const digest = await servers[0].addBlob("long", 9, 512 << 10); // three seconds at 128 KiB a second
  const url = `http://${servers[0].host.address}:${POD_WEB_PORT}/slow/long`;
  const file = `${ground.directory}/long`;
  let done = false;
  const download = fetchUrl(ground.client.namespace, url, "-o", file).finally(() => done = true);
  await until("the first bytes", async () => (await Deno.stat(file)).size > 0);
  await daemon.kill();
  assertEquals(done, false, "the download was still under way");
  await download;
  assertEquals(await sha256(await Deno.readFile(file)), digest);
}

Deno.test("the executable alone, on a node without libxdp, libbpf, libelf and libz", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const [pod] = ground.pods;
  await Sockets.of(ground, pod).serve("udp", WHO_PORT, pod.name);
  const client = Sockets.of(ground, ground.client);
  const alone = `${ground.directory}/alone`;
  await Deno.mkdir(alone);
  await Deno.copyFile(KU, `${alone}/ku`);
  // In a mount namespace of its own the daemon finds nothing but emptiness under every name these libraries have.
  const hide =
    `for file in $(ls /lib/*-linux-gnu/lib{xdp,bpf,elf,z}[.-]*so* /usr/lib/*-linux-gnu/lib{xdp,bpf,elf,z}[.-]*so* 2>/dev/null)
    do [ -L "$file" ] || mount --bind /dev/null "$file"; done
    exec "$0" "$@"`;
  await using daemon = await Daemon.start(ground, {
    config: serving(ground, "tc"),
    binary: `${alone}/ku`,
    before: ["unshare", "--mount", "bash", "-c", hide],
  });
  const maps = await Deno.readTextFile(`/proc/${daemon.process.pid}/maps`);
  assertEquals(/\/lib\/.*lib(xdp|bpf|elf|z)[.-]/.test(maps), false, "a system library is loaded");
  const flow = await client.udp();
  assertEquals(parseIdentity((await flow.ask("alone", [VIP, WHO_PORT])).text).pod, pod.name);
  await daemon.stop();
});

Deno.test("without the right to do it, `ku run` says so in one line", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const before = await footprint(ground.node);
  const file = `${ground.directory}/config.json`;
  await Deno.writeTextFile(file, JSON.stringify(serving(ground, "tc")));
  const words = ["run", "--socket", `${ground.directory}/ku.sock`, "--config", file];
  const powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", KU, ...words];
  const result = await run(["ip", "netns", "exec", ground.node.name, ...powerless], { timeoutMs: 20_000 });
  assertOneLine("ku run", result, 1);
  assertEquals(differences(before, await footprint(ground.node)), []);
});

Deno.test("SIGINT ends it like SIGTERM, also while starting", async () => {
  await using ground = await Ground.create();
  const before = await footprint(ground.node);
  const config = serving(ground, "tc");
  await using running = await Daemon.start(ground, { config });
  await running.end("SIGINT");
  assertEquals(differences(before, await footprint(ground.node)), []);

  const file = `${ground.directory}/config.json`;
  await Deno.writeTextFile(file, JSON.stringify(config));
  const words = [KU, "run", "--socket", running.socket, "--config", file];
  await using starting = new Process("ku run", ["ip", "netns", "exec", ground.node.name, ...words]);
  // The first trace in the kernel: from here on there is something to take back.
  await until(
    "a trace of ku",
    async () => !starting.running || differences(before, await footprint(ground.node)).length > 0,
    10_000,
    1,
  );
  starting.signal("SIGTERM");
  assertEquals((await starting.ended()).code, 0, starting.stderr);
  assertEquals(differences(before, await footprint(ground.node)), []);
});
