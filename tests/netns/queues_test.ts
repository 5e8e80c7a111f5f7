/**
 * Queues and workers in any numbers: queue i of an interface is worker i's, modulo the workers; a worker without a queue sends by ku1. And
 * their number changes while ku runs.
 *
 *     client 10.1.1.2 ══ uplink  node (ku)  pod1…pod3 ══ 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assertEquals, assertNotEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { type Agents, askTcp, askUdp, serveIdentity, type Target } from "./harness/identity.ts";
import { until } from "./harness/wait.ts";
import { serving, VIP, WHO_PORT } from "./harness/service.ts";

const WHO: Target = [VIP, WHO_PORT];

interface ShowInterface {
  name: string;
  queues: number;
  queueWorkers: number[];
  rxQueues: number;
  txQueues: number;
}

await requireGround();

async function interfaces(daemon: Daemon): Promise<ShowInterface[]> {
  return JSON.parse((await daemon.run("show", "interface", "--json")).text);
}

async function serves(ground: Ground, agents: Agents): Promise<void> {
  for (let n = 0; n < 8; n++) {
    await askUdp(agents.of(ground.client), WHO);
    await askTcp(agents.of(ground.client), WHO);
  }
}

for (const [queues, counts] of [[1, [2]], [2, [1, 4]], [4, [2, 4]]] as const) {
  Deno.test(`${queues} queues, workers: ${counts.join(" and ")}`, async (t) => {
    await using ground = await Ground.create({ queues });
    const agents = await serveIdentity(ground, WHO_PORT);
    for (const mode of MODES) {
      for (const workers of counts) {
        await t.step(`${workers} workers, every interface ${mode}`, async () => {
          await using daemon = await Daemon.start(ground, {
            config: serving(ground, mode),
            words: ["--workers", String(workers)],
          });
          await serves(ground, agents);
          const open = mode === "tc" ? Math.min(queues, workers) : queues;
          for (const shown of await interfaces(daemon)) {
            assertEquals([shown.queues, shown.rxQueues, shown.txQueues], [open, queues, queues]);
            assertEquals(shown.queueWorkers, Array.from({ length: open }, (_, queue) => queue % workers));
          }
          await daemon.stop();
        });
      }
    }
  });
}

for (const mode of MODES) {
  Deno.test(`the number of queues changes while ku runs, every interface ${mode}`, async () => {
    await using ground = await Ground.create({ queues: 2 });
    const agents = await serveIdentity(ground, WHO_PORT);
    const { namespace, nodeInterface } = ground.client;
    const client = (words: string) => namespace.run(["ethtool", "-L", "eth0", ...words.split(" ")]);
    const node = (words: string) => ground.node.run(["ethtool", "-L", nodeInterface, ...words.split(" ")]);
    assertEquals([(await client("tx 1")).code, (await node("rx 1 tx 1")).code], [0, 0]);
    await using daemon = await Daemon.start(ground, {
      config: serving(ground, mode),
      words: ["--workers", "2"],
    });
    const uplink = async () => (await interfaces(daemon)).find(({ name }) => name === nodeInterface)!;
    await serves(ground, agents);
    assertEquals((await uplink()).queueWorkers, [0]);
    assertEquals([(await node("rx 2 tx 2")).code, (await client("tx 2")).code], [0, 0]);
    await until("the second queue", async () => `${(await uplink()).queueWorkers}` === "0,1", 5_000);
    await serves(ground, agents);
    // The kernel does not take away a queue that has a socket.
    if (mode === "native") assertNotEquals((await node("rx 1 tx 1")).code, 0);
    await serves(ground, agents);
    await daemon.stop();
  });
}
