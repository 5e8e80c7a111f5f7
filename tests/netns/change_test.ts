/**
 * Interfaces come and go, and routes change, while traffic flows by others: nothing of it is lost.
 *
 *     client1 10.1.1.2 ── uplink   node (ku)  pod1, pod1b ── 10.2.1.2, 10.2.9.2 and 10.99.0.1: nginx, UDP echo
 *     client2 10.1.2.2 ── uplink2             pod2, pod3  ── other pods
 *
 * The VIP's pod is 10.99.0.1, to which two ways lead, over pod1 and over pod1b: both work, and the route changes from one to the other.
 * Meanwhile uplink2 and pod3 are attached and detached, and a network behind the other pods moves between them.
 */

import { assert, assertEquals } from "@std/assert";
import { CountedFlow } from "./harness/counted.ts";
import { Daemon, MODES } from "./harness/daemon.ts";
import { addLink, Ground } from "./harness/ground.ts";
import { sha256 } from "./harness/random.ts";
import { requireGround } from "./harness/requirements.ts";
import { POD_WEB_PORT, VIP, WEB_PORT } from "./harness/service.ts";
import { Sockets } from "./harness/sockets.ts";
import { until } from "./harness/wait.ts";
import { fetchUrl, WebServer } from "./harness/web.ts";

const CHANGES = 50;
const POD = "10.99.0.1";
const WAYS = [`${POD}/32 via 10.2.1.2 dev pod1`, `${POD}/32 via 10.2.9.2 dev pod1b`];
const OTHER = ["10.77.0.0/24 via 10.2.2.2 dev pod2", "10.77.0.0/24 via 10.2.3.2 dev pod3"];
const ECHO_PORT = 7;
const DATAGRAM_MS = 2;
const DOWNLOADS = 4;
const BODY_BYTES = 4 << 20;

await requireGround();

/** The second way to pod1, and the address that both lead to. */
async function addSecondWay(ground: Ground): Promise<void> {
  const [pod] = ground.pods;
  await addLink(ground, pod, "eth1", "pod1b");
  await ground.node.ip("addr add 10.2.9.1/24 dev pod1b");
  await pod.namespace.ip("addr add 10.2.9.2/24 dev eth1", `addr add ${POD}/32 dev lo`);
  // Answers leave by eth0 whichever way the questions came.
  await pod.namespace.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0");
}

/** Packets that arrived at pod1 by each of its ways. */
async function arrived(ground: Ground): Promise<number[]> {
  const [{ namespace }] = ground.pods;
  const counts: number[] = [];
  for (const name of ["eth0", "eth1"]) {
    const [link] = await namespace.ipJson<{ stats64: { rx: { packets: number } } }[]>(
      "-s",
      "link",
      "show",
      name,
    );
    counts.push(link.stats64.rx.packets);
  }
  return counts;
}

for (const mode of MODES) {
  Deno.test(`${mode}: interfaces come and go and routes change under traffic, and nothing else is lost`, async () => {
    await using ground = await Ground.create({ clients: 2, pods: 3 });
    await addSecondWay(ground);
    const { node, pods: [pod], client } = ground;
    const server = await WebServer.start(ground, pod, POD_WEB_PORT);
    const body = await server.addBlob("blob", 1, BODY_BYTES);
    await Sockets.of(ground, pod).serve("udp", ECHO_PORT, "pod1", { bind: [POD, ECHO_PORT] });
    await node.ip(`route add ${WAYS[0]}`, `route add ${OTHER[0]}`);
    await using daemon = await Daemon.start(ground);
    await daemon.apply(
      ...["uplink", "pod1", "pod1b", "pod2"].map((name) => `interface ${name} mode ${mode}`),
      ...["pod1", "pod1b", "pod2"].map((name) => `set interface nat4 in ${name}`),
      `vip ${VIP} protocol tcp port ${WEB_PORT} target_port ${POD_WEB_PORT}`,
      `pod ${VIP} protocol tcp port ${WEB_PORT} ${POD}`,
      `vip ${VIP} protocol udp port ${ECHO_PORT}`,
      `pod ${VIP} protocol udp port ${ECHO_PORT} ${POD}`,
    );

    let changing = true;
    const download = async (): Promise<number> => {
      for (let count = 0;; count++) {
        if (!changing) return count;
        const result = await fetchUrl(client.namespace, `http://${VIP}:${WEB_PORT}/paced/blob`);
        assertEquals(await sha256(result.body), body, `download ${count}: ${result.body.length} bytes`);
      }
    };
    const downloads = Promise.allSettled(Array.from({ length: DOWNLOADS }, download));
    const flow = new CountedFlow(ground, client, VIP, ECHO_PORT, DATAGRAM_MS);
    await until("all of the traffic under way", async () => {
      return (await daemon.sessions()).filter(({ state }) => state !== "closing").length > DOWNLOADS;
    });

    const before = await arrived(ground);
    const others = [
      `interface uplink2 mode ${mode}`,
      `interface pod3 mode ${mode}`,
      "set interface nat4 in pod3",
    ];
    for (let change = 1; change <= CHANGES; change++) {
      await daemon.apply(...change % 2 === 1 ? others : ["interface pod3 del", "interface uplink2 del"]);
      await node.ip(`route replace ${WAYS[change % 2]}`, `route replace ${OTHER[change % 2]}`);
    }
    changing = false;
    const { sent, answered } = await flow.end();
    const results = await downloads;
    const after = await arrived(ground);

    assertEquals(results.filter(({ status }) => status === "rejected"), []);
    assert(sent > CHANGES, `${sent} datagrams only`);
    assertEquals({ lost: sent - answered }, { lost: 0 }, `of ${sent} datagrams`);
    for (const way of [0, 1]) assert(after[way] > before[way], `nothing came by way ${way}`);
    await daemon.stop();
  });
}
