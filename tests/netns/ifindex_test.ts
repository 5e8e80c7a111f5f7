/**
 * An interface that goes, and another of the same name and index that comes: what the kernel repeated for the one never reaches the other,
 * neither while ku runs nor while it does not, nor when it comes back; and ku steers the new one as it did the old.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1 ── 10.2.1.2 :5353 (who am I, whom do I see)
 *                                           pod1 ── thief (on the node as well)
 */

import { assert, assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, type Mode, MODES } from "./harness/daemon.ts";
import { askOn, openFlow, serveIdentity, type Target } from "./harness/identity.ts";
import { Sockets } from "./harness/sockets.ts";
import { ownPrograms } from "./harness/programs.ts";
import { repeated, VIP, WHO_PORT } from "./harness/service.ts";
import { until } from "./harness/wait.ts";

const TARGET: Target = [VIP, WHO_PORT];
/** Enough to be seen, few enough to be sent in a moment. */
const DATAGRAMS = 200;

await requireGround();

async function indexOf(ground: Ground, name: string): Promise<number> {
  const [link] = await ground.node.ipJson<{ ifindex: number }[]>("link", "show", "dev", name);
  return link.ifindex;
}

/** In one breath: the pod's interface goes, and one of its name and index is there, whose other end hears everything. */
async function steal(ground: Ground, { nodeInterface }: Host, index: number): Promise<void> {
  await ground.node.runOk([
    "bash",
    "-ec",
    `
    ip link del ${nodeInterface}
    ip link add ${nodeInterface} index ${index} type veth peer name thief
    for end in ${nodeInterface} thief; do
      sysctl -qw net.ipv6.conf.$end.disable_ipv6=1
      ip link set $end promisc on up
    done`,
  ]);
  assertEquals(await indexOf(ground, nodeInterface), index);
  // One frame, to see that the thief would hear them.
  const frame =
    `import socket; s = socket.socket(17, 3); s.bind(("${nodeInterface}", 0)); s.send(b"\\xfe" * 60)`;
  await ground.node.runOk(["/usr/bin/python3", "-Ic", frame]);
  assertEquals(await heard(ground), 1);
}

/** A pod's link again, with the addresses it had. */
async function giveBack(ground: Ground, pod: Host, index: number): Promise<void> {
  const { nodeInterface: name, namespace } = pod;
  await ground.node.runOk([
    "bash",
    "-ec",
    `
    ip link del ${name}
    ip link add ${name} index ${index} type veth peer name eth0 netns ${namespace.name}
    ip addr add ${pod.gateway}/24 dev ${name}
    ip link set ${name} up`,
  ]);
  await namespace.runOk([
    "bash",
    "-ec",
    `
    ip addr add ${pod.address}/24 dev eth0
    ip link set eth0 up
    ip route add default via ${pod.gateway}`,
  ]);
}

/** Frames that came to the thief. */
async function heard(ground: Ground): Promise<number> {
  const links = await ground.node.ipJson<{ stats64: { rx: { packets: number } } }[]>(
    ...["-statistics", "link", "show", "dev", "thief"],
  );
  return links[0].stats64.rx.packets;
}

for (const mode of MODES) {
  Deno.test(`another interface of the same index, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const [pod] = ground.pods;
    const agents = await serveIdentity(ground, WHO_PORT);
    const from: Sockets = agents.of(ground.client);
    const index = await indexOf(ground, pod.nodeInterface);
    const start = () => Daemon.start(ground, { config: repeated(ground, mode), quiet: true });
    let daemon = await start();
    const flow = await openFlow(from, TARGET[0], { bind: ["", 20_000] });
    const carried = async (of: Daemon) =>
      (await of.sessions()).find(({ client }) => client.endsWith(":20000"))?.kernel ?? null;
    // Both ways: the kernel repeats one alone while the other's neighbor is not known yet.
    const inKernel = (of: Daemon) =>
      until("the flow in the kernel, both ways", async () => {
        const before = await carried(of);
        await askOn(flow, TARGET);
        const after = await carried(of);
        return before !== null && after !== null && after.packets > before.packets &&
          after.replyPackets > before.replyPackets;
      });
    const sendAll = async () => {
      for (let n = 0; n < DATAGRAMS; n++) await flow.send("anybody?", TARGET);
    };
    await inKernel(daemon);

    await t.step("while ku runs: nothing of it reaches the new one", async () => {
      await steal(ground, pod, index);
      await sendAll();
      await until("the programs on the new one", () => isSteered(ground, pod, mode));
      await sendAll();
      assertEquals(await heard(ground), 1);
    });
    await t.step("and a pod behind it is served", async () => {
      await giveBack(ground, pod, index);
      await until("the programs on the new one", () => isSteered(ground, pod, mode));
      await until("an answer", async () => (await askOn(flow, TARGET)).pod === pod.name);
      await inKernel(daemon);
    });
    await t.step(
      "while nobody runs: nothing of it reaches the new one, and neither when ku comes back",
      async () => {
        await daemon.kill();
        assertEquals((await askOn(flow, TARGET)).pod, pod.name, "the kernel repeats it");
        await steal(ground, pod, index);
        await sendAll();
        assertEquals(await heard(ground), 1);
        let started = false;
        const starting = start().finally(() => started = true);
        while (!started) await sendAll();
        daemon = await starting;
        await sendAll();
        assert(isSteered(ground, pod, mode));
        assertEquals(await heard(ground), 1);
        // The way back to the client is open and may be repeated; the way to the pod is not.
        const { hits } = await daemon.offload();
        await sendAll();
        assertEquals((await daemon.offload()).hits, hits);
      },
    );
    await t.step("and again a pod behind it is served", async () => {
      await giveBack(ground, pod, index);
      await until("the programs on the new one", () => isSteered(ground, pod, mode));
      await until("an answer", async () => (await askOn(flow, TARGET)).pod === pod.name);
      await inKernel(daemon);
      await daemon.end("SIGTERM");
    });
  });
}

/** Whether ku's programs are on the pod's interface. */
function isSteered(ground: Ground, { nodeInterface }: Host, mode: Mode): boolean {
  const wanted = mode === "native" ? "ku_xdp" : "ku_tc";
  return ownPrograms(ground.node).some(({ link, name }) => link === nodeInterface && name === wanted);
}
