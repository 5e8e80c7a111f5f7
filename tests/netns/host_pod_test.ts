/**
 * A pod on the host's network: the server is a socket of the node itself, on one of the node's own addresses, as an API server's is.
 * Its answers never come in by an interface, so it sees the VIP as its client, and answers by the route to ku0.
 *
 *     client ── uplink │ node (ku; the server :5353, curl) │ pod1 (a client)
 */

import { assert, assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground, type Host } from "./harness/ground.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { Agents, askTcp, askUdp, echoes, greeted } from "./harness/identity.ts";
import { Sockets } from "./harness/sockets.ts";
import { attachedDual, VIP, VIP6, WHO_PORT } from "./harness/service.ts";

const PORT = 443;
/** IPV6_V6ONLY: the IPv4 server has the same port. */
const SIX_ONLY = { family: "inet6", options: [[41, 26, 1]] } as const;

await requireGround();

for (const mode of MODES) {
  Deno.test(`a pod that is the node itself, every interface ${mode}`, async (t) => {
    await using ground = await Ground.create({ pods: 1 });
    const { gateway, gateway6, nodeInterface } = ground.client;
    const addresses = { address: gateway, address6: gateway6, gateway, gateway6 };
    const host: Host = { name: "node", namespace: ground.node, nodeInterface, ...addresses };
    const node = Sockets.of(ground, host);
    for (const protocol of ["udp", "tcp"] as const) {
      await node.serve(protocol, WHO_PORT, "node");
      await node.serve(protocol, WHO_PORT, "node", SIX_ONLY);
    }
    const agents = new Agents(ground);
    await using daemon = await Daemon.start(ground, { config: attachedDual(ground, mode) });
    for (const [vip, own] of [[VIP, gateway], [VIP6, gateway6]]) {
      await daemon.ku(`vip ${vip} port ${PORT} target_port ${WHO_PORT}`);
      await daemon.ku(`pod ${vip} ${own}`);
    }
    const clients: [string, Sockets][] = [
      ["a client", agents.of(ground.client)],
      ["a pod", agents.of(ground.pods[0])],
      ["the node", node],
    ];
    for (const [name, from] of clients) {
      await t.step(`${name} reaches it by TCP and UDP, and it sees the VIP`, async () => {
        for (const vip of [VIP, VIP6]) {
          for (const ask of [askTcp, askUdp]) {
            const identity = await ask(from, [vip, PORT]);
            assertEquals([identity.pod, identity.address], ["node", vip]);
          }
          const { connection } = await greeted(from, [vip, PORT]);
          for (let round = 0; round < 10; round++) await echoes(connection, "b".repeat(50_000));
          await connection.close();
        }
      });
    }
    await t.step("its own address is not affected", async () => {
      const identity = await askTcp(agents.of(ground.client), [gateway, WHO_PORT]);
      assertEquals(identity.address, ground.client.address);
    });
    const sessions = await daemon.sessions();
    assert(sessions.length > 0 && sessions.every((session) => session.vip.endsWith(`:${PORT}`)));
    await daemon.stop();
  });
}
