/**
 * Many interfaces on one worker: each has its ring, in mode native too, and the last one works like the first.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1…pod30 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assertEquals, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { askTcp, askUdp } from "./harness/identity.ts";
import { Sockets } from "./harness/sockets.ts";
import { attachedDual, WHO_PORT } from "./harness/service.ts";

const PODS = 30;
/** More than one worker has frames for. */
const TOO_MANY = 60;

await requireGround();

for (const mode of MODES) {
  Deno.test(`${PODS} pods, every interface ${mode}`, async () => {
    await using ground = await Ground.create({ pods: PODS });
    const client = Sockets.of(ground, ground.client);
    const some = [0, 6, 7, 15, PODS - 1].map((index) => ground.pods[index]);
    for (const pod of some) {
      for (const protocol of ["udp", "tcp"] as const) {
        await Sockets.of(ground, pod).serve(protocol, WHO_PORT, pod.name);
      }
    }
    const config = { ...attachedDual(ground, mode), vips: some.map(vipOf) };
    await using daemon = await Daemon.start(ground, { config, words: ["--workers", "1"] });
    for (const pod of some) {
      for (const ask of [askUdp, askTcp]) {
        assertEquals((await ask(client, [vipOf(pod).prefix, WHO_PORT])).pod, pod.name);
      }
      // And the pod as a client, whose packets come in by its own ring.
      const other = some.find((each) => each !== pod)!;
      assertEquals((await askUdp(Sockets.of(ground, pod), [vipOf(other).prefix, WHO_PORT])).pod, other.name);
    }
    await daemon.stop();
  });
}

/** A VIP that this pod alone serves. */
function vipOf(pod: Host): { prefix: string; pods: string[] } {
  return { prefix: pod.address.replace(/^10\.2/, "10.96"), pods: [pod.address] };
}

Deno.test("more interfaces in mode native than there is memory for are refused, and those before work", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const [pod] = ground.pods;
  await Sockets.of(ground, pod).serve("udp", WHO_PORT, pod.name);
  const names = Array.from({ length: TOO_MANY }, (_, n) => `extra${n}`);
  await ground.node.ip(
    ...names.flatMap((name) => [`link add ${name} type veth peer name ${name}p`, `link set ${name} up`]),
  );
  const words = ["--workers", "1"];
  await using daemon = await Daemon.start(ground, { config: attachedDual(ground, "native"), words });
  let attached = 0;
  let error = "";
  for (const name of names) {
    const result = await daemon.run("interface", name, "mode", "native");
    if (result.code === 0) attached++;
    else {
      error = result.stderr;
      assertEquals(result.code, 1);
      break;
    }
  }
  assertMatch(
    error,
    /^ku: interface : extra\d+, no packet memory is left for another receiving ring: use mode tc\n$/,
  );
  assertEquals(attached > 30, true, `${attached} beside the first two`);
  await daemon.ku(`interface extra${attached} mode tc`);
  const { prefix, pods } = vipOf(pod);
  await daemon.apply(`vip ${prefix}`, `pod ${prefix} ${pods[0]}`);
  assertEquals((await askUdp(Sockets.of(ground, ground.client), [prefix, WHO_PORT])).pod, pod.name);
  // One goes, and there is room for another.
  await daemon.ku("interface extra0 del");
  await daemon.ku(`interface extra${attached + 1} mode native`);
  await daemon.stop();
});
