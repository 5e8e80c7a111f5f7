/**
 * Kubernetes objects, as kubectl prints them, into a running node: VIPs of a dual-stack Service with named ports, local policy, source ranges
 * and affinity; a new import replaces the last one, and what was configured by hand stays.
 *
 *     client 10.1.1.2 ── uplink  node (ku, worker-1)  pod1…pod3 ── 10.2.n.2 :5353 (who am I, whom do I see)
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Endpoint } from "kubernetes-types/discovery/v1.d.ts";
import { DRAINING, list, NODE, pod, service, SERVICES, slice, SLICES } from "../unit/kubernetes/cluster.ts";
import { node as nodeOf } from "../unit/kubernetes/cluster.ts";
import { dump } from "js-yaml";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { assertOneLine, Daemon } from "./harness/daemon.ts";
import type { RunResult } from "./harness/process.ts";
import { readGreeting, SocketError, Sockets } from "./harness/sockets.ts";
import { attachedDual, WHO_PORT } from "./harness/service.ts";

await requireGround();

const WEB = "10.96.0.20";
const WEB6 = "fd00:96::20";
const EDGE = "198.51.100.60";
const SIX_ONLY = { family: "inet6", options: [[41, 26, 1]] } as const; // IPV6_V6ONLY, include/uapi/linux/in6.h

const load = (daemon: Daemon, document: unknown, ...words: string[]): Promise<RunResult> =>
  daemon.runWith(
    { stdin: typeof document === "string" ? document : JSON.stringify(document) },
    "import",
    "-f",
    "-",
    "--node",
    NODE,
    ...words,
  );

/** Two Services with the ground's pods: dual stack with affinity, and a load balancer with local policy. */
function services(ground: Ground, webPods: number[]): unknown {
  const [one, two, three] = ground.pods;
  const who = [{ name: "who", port: WHO_PORT, protocol: "TCP" }];
  const ends = (addresses: string[]): Endpoint[] =>
    addresses.map((address, index) => pod(address, index === 0 ? 1 : 2));
  return list(
    service("web", {
      clusterIPs: [WEB, WEB6],
      ports: [{ name: "who", port: 80, targetPort: "who" }],
      sessionAffinity: "ClientIP",
    }),
    slice("web", "IPv4", who, ends(webPods.map((n) => ground.pods[n].address))),
    slice("web", "IPv6", who, ends(webPods.map((n) => ground.pods[n].address6))),
    service("edge", {
      type: "LoadBalancer",
      clusterIP: "10.96.0.60",
      ports: [{ name: "who", port: 80, targetPort: WHO_PORT, nodePort: 30080 }],
      externalTrafficPolicy: "Local",
    }, { status: { loadBalancer: { ingress: [{ ip: EDGE }] } } }),
    // The local pod drains; external clients have nobody else here, the cluster's have.
    slice("edge", "IPv4", who, [pod(one.address, 1, DRAINING), pod(two.address, 2), pod(three.address, 2)]),
  );
}

Deno.test("Services and EndpointSlices become VIPs, and a new import replaces them", async (t) => {
  await using ground = await Ground.create();
  for (const each of ground.pods) {
    await Sockets.of(ground, each).serve("tcp", WHO_PORT, each.name);
    await Sockets.of(ground, each).serve("tcp", WHO_PORT, each.name, SIX_ONLY);
  }
  const client = Sockets.of(ground, ground.client);
  await using daemon = await Daemon.start(ground, { config: attachedDual(ground, "tc") });
  await daemon.ku("vip 10.99.0.1/32 protocol tcp port 99");
  await daemon.ku("pod 10.99.0.1/32 10.2.1.2");

  const ask = async (address: string, port = 80): Promise<string> => {
    const connection = await client.connect(address, port);
    const { pod } = await readGreeting(connection);
    await connection.close();
    return pod;
  };

  await t.step(
    "the cluster of the unit tests: 22 VIPs, and a line for each thing that is left out",
    async () => {
      const { code, text, stderr } = await load(daemon, list(...SERVICES, ...SLICES, nodeOf(1), nodeOf(2)));
      assertEquals(code, 0);
      assertMatch(text, /^vip 10\.96\.0\.40\/32 udp 8125 added with 1 pod\n/);
      assertMatch(text, /\n22 added, 0 changed, 0 removed, 5 unchanged\n$/);
      const lines = stderr.trimEnd().split("\n");
      assertEquals(lines.length, 7, stderr);
      for (const line of lines) assertMatch(line, /^ku: \S+ \S+ : .+, .+$/);
      const again = await load(
        daemon,
        dump(list(...SERVICES, ...SLICES, nodeOf(1)), { noRefs: true }),
        "--json",
      );
      const { vips, unchanged, notes } = JSON.parse(again.text);
      assertEquals([vips, unchanged.vips, notes.length, again.stderr], [[], 23, 7, ""]);
    },
  );
  await t.step(
    "another import: what it does not bring goes, what was configured otherwise stays",
    async () => {
      const { code, stderr } = await load(daemon, services(ground, [0, 1, 2]));
      assertEquals([code, stderr], [0, ""]);
      const vips = await daemon.vips();
      assertEquals(vips.map(({ prefix, port }) => `${prefix} ${port}`).sort(), [
        "10.96.0.20/32 80",
        "10.96.0.60/32 80",
        "10.99.0.1/32 99",
        "198.51.100.60/32 80",
        "fd00:96::20/128 80",
      ]);
    },
  );
  await t.step("clients reach both families, and the draining local pod from outside", async () => {
    const first = await ask(WEB);
    for (let n = 0; n < 5; n++) assertEquals(await ask(WEB), first, "affinity");
    const connection = await client.connect(WEB6, 80);
    await readGreeting(connection);
    await connection.close();
    for (let n = 0; n < 4; n++) assertEquals(await ask(EDGE), "pod1");
    assertEquals(await ask(ground.client.gateway, 30080), "pod1");
  });
  await t.step("source ranges: who is outside gets no new connection, and it is counted", async () => {
    const shop = (...loadBalancerSourceRanges: string[]) =>
      list(
        service("shop", {
          type: "LoadBalancer",
          clusterIP: "10.96.0.50",
          ports: [{ name: "who", port: 80 }],
          loadBalancerSourceRanges,
        }, { status: { loadBalancer: { ingress: [{ ip: "198.51.100.51" }] } } }),
        slice("shop", "IPv4", [{ name: "who", port: WHO_PORT, protocol: "TCP" }], [
          pod(ground.pods[0].address, 1),
        ]),
      );
    assertEquals((await load(daemon, shop(`${ground.client.address}/24`))).code, 0);
    const held = await client.connect("198.51.100.51", 80);
    await readGreeting(held);
    assertEquals((await load(daemon, shop("203.0.113.0/24"))).code, 0);
    const refused = await client.tcp();
    const error = await assertRejects(() => refused.connect("198.51.100.51", 80, 300), SocketError);
    assertEquals(error.code, "ETIMEDOUT");
    const counters = await daemon.nodeCounters();
    assert(counters.find(({ reason }) => reason.includes("source prefixes"))!.count > 0);
    assertEquals(await ask("10.96.0.50"), "pod1", "the cluster IP has no ranges");
    await held.send("still there");
    assertEquals((await held.receive(3_000, 11)).text, "still there");
    for (const each of [held, refused]) await each.close();
    assertEquals((await load(daemon, services(ground, [0, 1, 2]))).code, 0);
  });
  await t.step(
    "the marks are part of the configuration: get | apply changes nothing, the next import knows its own",
    async () => {
      const text = (await daemon.run("get")).text;
      assertMatch(text, /service: default\/web:who/);
      const same = await daemon.runWith({ stdin: text }, "apply", "-f", "-");
      assertEquals([same.code, same.text], [0, "no change\n"]);
      assertEquals((await load(daemon, services(ground, [0, 1, 2]))).text, "no change\n");
      const { text: said } = await load(daemon, services(ground, [1]));
      assertMatch(said, /vip 10\.96\.0\.20\/32 tcp 80 changed: -10\.2\.1\.2, -10\.2\.3\.2\n/);
      assertEquals(await ask(WEB), "pod2");
      assertEquals((await load(daemon, services(ground, [0, 1, 2]))).code, 0);
      for (let n = 0; n < 6; n++) assertEquals(await ask(WEB), "pod2", "the client stays for three hours");
    },
  );
  await t.step("a VIP of one's own goes before a Service's, and that is said", async () => {
    const { stderr, code } = await load(
      daemon,
      list(service("thief", { clusterIP: "10.99.0.1", ports: [{ port: 99 }] })),
    );
    assertEquals([code, stderr], [
      0,
      "ku: Service default/thief:99 : VIP 10.99.0.1/32 tcp 99, is configured otherwise and stays as it is\n",
    ]);
    assertEquals((await daemon.vips()).map(({ prefix }) => prefix), ["10.99.0.1/32"]);
  });
  await t.step("what is no object of kubectl's changes nothing", async () => {
    for (
      const text of [
        "",
        "words",
        '{"kind": "Service"',
        "kind: Service\napiVersion: v1\nmetadata: {name: x}\nspec: {ports: 5}",
      ]
    ) {
      assertOneLine(text, await load(daemon, text), 1);
    }
    await daemon.fails(2, "import");
    assertEquals((await daemon.vips()).length, 1);
  });
  await daemon.stop();
});
