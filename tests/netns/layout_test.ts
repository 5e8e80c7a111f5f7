/**
 * What a killed ku of another layout left is not taken over but replaced: its sessions are not guessed at, its maps go with its programs.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1 ── 10.2.1.2 :5353 (who am I, whom do I see)
 */

import { assertEquals } from "@std/assert";
import { closeBpfFd } from "../../ffi/libbpf.ts";
import { OFFLOAD_CONF_LAYOUT, OFFLOAD_CONF_WORDS, OFFLOAD_LAYOUT } from "../../mod/table/offload_layout.ts";
import { BpfMap } from "../../mod/xdp/bpf_map.ts";
import { mapsOf } from "../../mod/xdp/former_maps.ts";
import { programName } from "../../mod/xdp/xdp_hook.ts";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { askOn, openFlow, serveIdentity, type Target } from "./harness/identity.ts";
import { ownPrograms } from "./harness/programs.ts";
import { attached, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
const FIRST = new Uint8Array(4);

await requireGround();

/** Id of the program on the uplink. */
function programId(ground: Ground): number {
  return ownPrograms(ground.node).find(({ link, name }) => link === "uplink" && name === "ku_tc")!.id;
}

/** Gives the maps of a program another number of their layout. */
function falsifyLayout(program: number): void {
  const fds = mapsOf([program])!;
  const conf = new BpfMap("ku_flow_conf", fds.get("ku_flow_conf")!, 4, 4 * OFFLOAD_CONF_WORDS);
  const value = conf.lookup(FIRST)!;
  const words = new Uint32Array(value.buffer);
  assertEquals(words[OFFLOAD_CONF_LAYOUT], OFFLOAD_LAYOUT);
  words[OFFLOAD_CONF_LAYOUT] = OFFLOAD_LAYOUT + 1;
  conf.update(FIRST, value);
  for (const fd of fds.values()) closeBpfFd(fd);
}

for (const mode of MODES) {
  Deno.test(`maps of another layout are replaced, every interface ${mode}`, async () => {
    await using ground = await Ground.create({ pods: 1 });
    const agents = await serveIdentity(ground, WHO_PORT);
    const config = {
      ...attached(ground, mode),
      conf: { offload: true },
      vips: [{ prefix: `${VIP}/32`, port: WHO_PORT, pods: [ground.pods[0].address] }],
    };
    const clean = await footprint(ground.node);
    let daemon = await Daemon.start(ground, { config, quiet: true });
    const used = async () => (await daemon.offload()).used;
    const flow = await openFlow(agents.of(ground.client), VIP);
    await until("a flow in the kernel", async () => {
      await askOn(flow, TARGET);
      return await used() === 1;
    });
    await daemon.kill();
    const former = programId(ground);
    falsifyLayout(former);
    daemon = await Daemon.start(ground, { config, quiet: true });
    assertEquals(await used(), 0);
    assertEquals(/took over/.test(daemon.process.stderr), false, daemon.process.stderr);
    await until("the end of the old programs", () => programName(former) === null);
    await until("the flow in the new ones", async () => {
      await askOn(flow, TARGET);
      return await used() === 1;
    });
    await daemon.end("SIGTERM");
    assertEquals(differences(clean, await footprint(ground.node)), []);
  });
}
