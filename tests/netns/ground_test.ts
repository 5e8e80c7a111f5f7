/**
 * The ground itself, without ku: what the other tests take for granted works by plain routing, and with the kernel's own DNAT in ku's
 * place the same checks pass. When this file fails, the fault is not in ku.
 *
 *     client 1 ── uplink  node  pod1…pod3 ── pod 1…3
 */

import { assertEquals } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { fetchAtOnce, fetchUrl, requestsSeen, startWebServers } from "./harness/web.ts";
import { parseIdentity, readGreeting, Sockets } from "./harness/sockets.ts";
import { sha256 } from "./harness/random.ts";
import { startDns, whoAnswers } from "./harness/dns.ts";
import { differences, footprint } from "./harness/footprint.ts";
import { POD_WEB_PORT, VIP, WEB_PORT, WHO_PORT } from "./harness/service.ts";

await requireGround();

Deno.test("the ground routes IPv4 and IPv6 between clients and pods, with real servers", async () => {
  await using ground = await Ground.create({ clients: 2 });
  const [first, second] = ground.clients;
  const pod = ground.pods[0];
  for (const client of [first, second]) {
    for (const address of [pod.address, pod.address6]) {
      await client.namespace.runOk(["ping", "-c1", "-W2", address]);
    }
  }
  const servers = await startWebServers(ground, POD_WEB_PORT);
  const expected = await servers[0].addBlob("blob", 1, 1 << 20);
  const blob = await fetchUrl(first.namespace, `http://${pod.address}:${POD_WEB_PORT}/blob`);
  assertEquals(await sha256(blob.body), expected);
  const seen = await requestsSeen(servers, 1);
  assertEquals([seen[0].clientAddress, seen[0].clientPort], [first.address, blob.localPort]);
  const who = await fetchUrl(second.namespace, `http://[${pod.address6}]:${POD_WEB_PORT}/who`);
  assertEquals(who.text, `pod1 ${second.address6} ${who.localPort}\n`);
  await startDns(ground, pod);
  assertEquals(await whoAnswers(first.namespace, pod.address), "pod1");
  assertEquals(await whoAnswers(first.namespace, pod.address6, "+tcp"), "pod1");
});

Deno.test("the checks of the tests pass with nftables in ku's place, and the footprint shows it", async () => {
  await using ground = await Ground.create();
  const { client } = ground;
  const before = await footprint(ground.node);
  const pick = (port: number) =>
    `numgen random mod 3 map { ${
      ground.pods.map((pod, n) => `${n} : ${pod.address} . ${port}`).join(", ")
    } }`;
  await ground.node.runOk(["nft", "-f", "-"], {
    stdin: `table ip lb { chain pre { type nat hook prerouting priority dstnat;
      ip daddr ${VIP} tcp dport ${WEB_PORT} dnat ip addr . port to ${pick(POD_WEB_PORT)}
      ip daddr ${VIP} meta l4proto { tcp, udp } th dport ${WHO_PORT} dnat ip addr . port to ${pick(WHO_PORT)}
    }
  }
`,
  });
  const servers = await startWebServers(ground, POD_WEB_PORT);
  const expected = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index, 256 << 10)),
  );
  await fetchAtOnce(client.namespace, `http://${VIP}/blob`, 50, `${ground.directory}/bodies`);
  for (let n = 1; n <= 50; n++) {
    const digest = await sha256(await Deno.readFile(`${ground.directory}/bodies/${n}`));
    assertEquals(expected.includes(digest), true, `body ${n}`);
  }
  const seen = await requestsSeen(servers, 50);
  assertEquals(new Set(seen.map((request) => request.clientAddress)), new Set([client.address]));
  for (const pod of ground.pods) {
    const sockets = Sockets.of(ground, pod);
    await sockets.serve("udp", WHO_PORT, pod.name);
    await sockets.serve("tcp", WHO_PORT, pod.name);
  }
  const sockets = Sockets.of(ground, client);
  const flow = await sockets.udp({ bind: ["", 40_000] });
  const answer = parseIdentity((await flow.ask("hello", [VIP, WHO_PORT])).text);
  assertEquals([answer.address, answer.port, answer.payload], [client.address, 40_000, "hello"]);
  const connection = await sockets.connect(VIP, WHO_PORT);
  assertEquals((await readGreeting(connection)).port, connection.port);

  assertEquals(differences(before, await footprint(ground.node)), []);
  await ground.node.ip("link add ku0 type veth peer name ku1", "link set ku0 up");
  await ground.node.runOk(["tc", "qdisc", "add", "dev", "uplink", "clsact"]);
  const left = differences(before, await footprint(ground.node));
  for (const trace of ["+ link ku0", "+ link ku1", "+ qdisc qdisc clsact"]) {
    assertEquals(left.some((line) => line.startsWith(trace)), true, `${trace} in\n${left.join("\n")}`);
  }
});
