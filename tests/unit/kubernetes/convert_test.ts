/** Services as kube-proxy would program them: the cluster of cluster.ts on its first node, VIP by VIP, and what is named because it is not carried over. */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { dump } from "js-yaml";
import { stateOf } from "../../../mod/config/file.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import { SourceText } from "../../../mod/config/source_text.ts";
import { convert } from "../../../mod/kubernetes/convert.ts";
import { sortObjects } from "../../../mod/kubernetes/objects.ts";
import { list, NODE, node, pod, service, SERVICES, slice, SLICES } from "./cluster.ts";

const imported = (documents: unknown[], name = NODE) => convert(sortObjects(documents), name);

/** "10.96.0.20/32 tcp 80 → 8080 [pods] options" of every VIP. */
function lines(documents: unknown[], name = NODE): string[] {
  return imported(documents, name).vips.map((
    { prefix, protocol, port, targetPort, pods, service, ...options },
  ) =>
    [
      `${service} ${prefix} ${protocol} ${port} → ${targetPort ?? port} [${pods.join(" ")}]`,
      ...Object.entries(options).map(([key, value]) => `${key}=${value}`),
    ].join(" ")
  );
}

const noteLines = (documents: unknown[], name = NODE): string[] =>
  imported(documents, name).notes.map(({ object, what, why }) => `${object} : ${what}, ${why}`);

const WHOLE = [list(...SERVICES, ...SLICES, node(1), node(2))];

Deno.test("a cluster's Services become what kube-proxy programs on one of its nodes", () => {
  assertEquals(lines(WHOLE), [
    "default/agent:8125 10.96.0.40/32 udp 8125 → 8125 [10.244.1.10]",
    "default/edge:http 10.96.0.60/32 tcp 80 → 8080 [10.244.2.12]",
    "default/edge:http 198.51.100.60/32 tcp 80 → 8080 [10.244.1.12] nodePort=30080",
    "default/empty:http 10.96.0.98/32 tcp 80 → 8080 []",
    "default/ending:http 10.96.0.31/32 tcp 80 → 8080 [10.244.1.8]",
    "default/kubernetes:https 10.96.0.1/32 tcp 443 → 6443 [192.168.0.9]",
    "default/mixed:http 10.96.0.97/32 tcp 80 → 8080 [10.244.1.16 10.244.1.17]",
    "default/plain:80 10.96.0.70/32 tcp 80 → 8080 [10.244.2.13]",
    "default/plain:80 192.168.0.1/32 tcp 30070 → 8080 [10.244.2.13] masquerade=true",
    "default/rolling:http 10.96.0.30/32 tcp 80 → 8080 [10.244.2.6]",
    "default/shop:https 10.96.0.50/32 tcp 443 → 8443 [10.244.1.11 10.244.2.11]",
    "default/shop:https 198.51.100.50/32 tcp 443 → 8443 [10.244.1.11 10.244.2.11] masquerade=true nodePort=30443",
    "default/shop:https 198.51.100.51/32 tcp 443 → 8443 [10.244.1.11 10.244.2.11] masquerade=true sources=192.0.2.0/24,203.0.113.0/24",
    "default/shop:https fd00:96::50/128 tcp 443 → 8443 [fd00:244:1::11]",
    "default/shop:https 2001:db8::51/128 tcp 443 → 8443 [fd00:244:1::11] masquerade=true sources=2001:db8:1::/48",
    "default/shop:https fd00:168::1/128 tcp 30443 → 8443 [fd00:244:1::11] masquerade=true",
    "default/starting:http 10.96.0.90/32 tcp 80 → 8080 [10.244.1.15]",
    "default/web:http 10.96.0.20/32 tcp 80 → 8080 [10.244.1.4 10.244.2.4] srcIpSticky=true stickyTimeout=600",
    "default/web:http fd00:96::20/128 tcp 80 → 8080 [fd00:244:1::4 fd00:244:2::4] srcIpSticky=true stickyTimeout=600",
    "default/zoned:http 10.96.0.80/32 tcp 80 → 8080 [10.244.1.14]",
    "kube-system/kube-dns:dns 10.96.0.10/32 udp 53 → 53 [10.244.1.2 10.244.2.2]",
    "kube-system/kube-dns:dns-tcp 10.96.0.10/32 tcp 53 → 53 [10.244.1.2 10.244.2.2]",
  ]);
  assertEquals(noteLines(WHOLE), [
    "EndpointSlice default/db-fqdn-8080 : addressType FQDN, only addresses can be pods",
    "Service default/db : headless, clients reach its pods themselves, by DNS",
    "Service default/edge : spec.healthCheckNodePort 31234, ku does not serve health checks of Services",
    "Service default/elsewhere : type ExternalName, a matter of DNS alone",
    "Service default/mesh : label service.kubernetes.io/service-proxy-name, left to mesh-proxy",
    "Service default/mixed:http : pods on port 8081: 10.244.2.16, left out: most are on 8080, and a VIP has one target port",
    "Service default/shop : load balancer lb.example, a name and no address: the load balancer sends to the node ports",
  ]);
});

Deno.test("the other node has its own local pods, and its own addresses", () => {
  const there = lines(WHOLE, "worker-2");
  for (
    const line of [
      "default/agent:8125 10.96.0.40/32 udp 8125 → 8125 [10.244.2.10]",
      "default/edge:http 198.51.100.60/32 tcp 80 → 8080 [10.244.2.12] nodePort=30080",
      "default/plain:80 192.168.0.2/32 tcp 30070 → 8080 [10.244.2.13] masquerade=true",
      "default/zoned:http 10.96.0.80/32 tcp 80 → 8080 [10.244.2.14]",
    ]
  ) assertEquals(there.filter((each) => each === line), [line]);
});

Deno.test("without Node objects node ports go with the cluster IP, and it is said what that costs", () => {
  const documents = [...SERVICES, ...SLICES].filter(({ metadata }) =>
    /^(plain|zoned|shop)/.test(metadata!.name!)
  );
  const own = lines(documents);
  assertEquals(own.filter((line) => line.includes("plain")), [
    "default/plain:80 10.96.0.70/32 tcp 80 → 8080 [10.244.2.13] nodePort=30070 masquerade=true",
  ]);
  assertEquals(
    own.find((line) => line.includes("zoned")),
    "default/zoned:http 10.96.0.80/32 tcp 80 → 8080 [10.244.1.14 10.244.2.14]",
  );
  assertEquals(noteLines(documents), [
    "Service default/plain : nodePort 30070 of IPv4, masquerades the cluster IP's clients too: the Node worker-1 with its IPv4 addresses is not in the input",
    "Service default/shop : load balancer lb.example, a name and no address: the load balancer sends to the node ports",
    "Service default/zoned : zone hints, not followed: the Node worker-1 with its zone is not in the input",
  ]);
  const local = service("plain", {
    type: "NodePort",
    clusterIP: "10.96.0.70",
    ports: [{ port: 80, nodePort: 30070, targetPort: 8080 }],
    externalTrafficPolicy: "Local",
  });
  assertMatch(noteLines([local])[0], /nodePort 30070 of IPv4, left out: the Node worker-1/);
});

Deno.test("a node that nothing in the input has to do with is probably called otherwise", () => {
  assertEquals(
    noteLines(WHOLE, "vm")[0],
    "Node vm : no Node and no endpoint has this name, name this node with --node: local policies find no pod",
  );
  assertEquals(noteLines([service("web", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] })], "vm"), []);
});

Deno.test("every conversion is a configuration, and the form of the input does not matter", () => {
  const state = stateOf({ vips: imported(WHOLE).vips });
  assertEquals(state.vips.size, 22);
  const wanted = imported(WHOLE);
  const items = [...SERVICES, ...SLICES, node(1), node(2)];
  const yaml = items.map((item) => `---\n${dump(item, { noRefs: true })}`).join("");
  assertEquals(imported(new SourceText(yaml, "x").documents()), wanted);
  assertEquals(
    imported([
      {
        apiVersion: "v1",
        kind: "ServiceList",
        items: SERVICES.map(({ spec, status, metadata }) => ({ spec, status, metadata })),
      },
      list(...SLICES),
      node(1),
    ]),
    wanted,
  );
  assertEquals(imported(items.toReversed()).vips, wanted.vips);
  assertEquals(imported([list()]), { vips: [], notes: [] });
});

Deno.test("two Services on one address: the first keeps it, and other kinds are named", () => {
  const twice = ["b", "a"].map((name) =>
    service(name, {
      clusterIP: `10.96.1.${name === "a" ? 1 : 2}`,
      externalIPs: ["198.51.100.1"],
      ports: [{ port: 80 }],
    })
  );
  assertEquals(
    noteLines([...twice, { apiVersion: "v1", kind: "Endpoints" }, {
      apiVersion: "apps/v1",
      kind: "Deployment",
    }]),
    [
      "v1 Endpoints : 1 object, EndpointSlices say the same and are what is read",
      "apps/v1 Deployment : 1 object, says nothing about Services",
      "Service default/b : 198.51.100.1 tcp 80, left out: default/a:80 has it already",
    ],
  );
  const loop = slice("a", "IPv4", [{ port: 80, protocol: "TCP" }], [
    pod("127.0.0.1", 1),
    pod("10.244.1.1", 1),
  ]);
  assertEquals(imported([twice[1], loop]).vips[0].pods, ["10.244.1.1"]);
  assertMatch(noteLines([twice[1], loop])[0], /^Service default\/a:80 : endpoint 127\.0\.0\.1, is loopback/);
});

Deno.test("a Service of many pods has a longer new-connection table", () => {
  const pods = Array.from({ length: 150 }, (_, n) => pod(`10.244.1.${n + 1}`, 1));
  const [vip] = imported([
    service("many", { clusterIP: "10.96.2.1", ports: [{ port: 80 }] }),
    slice("many", "IPv4", [{ port: 80 }], pods),
  ]).vips;
  assertEquals([vip.newLen, vip.pods.length], [2048, 150]);
});

Deno.test("what no API server would print is refused with object and field", () => {
  const web = service("web", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] });
  const wrong: [unknown, RegExp][] = [
    ["words", /^object : "words", give what kubectl get/],
    [[1], /^object : a list, /],
    [{ kind: "Service" }, /^object : a map, /],
    [{ apiVersion: "v1", kind: "List", items: 5 }, /^List items : 5, give a list$/],
    [{ apiVersion: "v1", kind: "Service" }, /^Service metadata\.name : missing, give a text$/],
    [
      { ...web, spec: { ...web.spec, ports: [{ port: "80" }] } },
      /^Service default\/web spec\.ports\[0\]\.port : "80", give a whole number$/,
    ],
    [{ ...web, spec: { ...web.spec, ports: {} } }, /^Service default\/web spec\.ports : a map, give a list$/],
    [{ ...web, spec: { ...web.spec, clusterIPs: [null] } }, /clusterIPs\[0\] : null, leave it out$/],
    [{ ...web, spec: [] }, /^Service default\/web spec : a list, give a map/],
    [{ ...web, metadata: { name: "web", labels: "x" } }, /^Service web metadata\.labels : "x", give a map/],
    [
      { ...slice("web", "IPv4", [], []), endpoints: [{ conditions: { ready: "yes" } }] },
      /endpoints\[0\]\.conditions\.ready : "yes", give true or false$/,
    ],
  ];
  for (const [document, message] of wrong) {
    assertMatch(assertThrows(() => imported([document]), ConfigError).message, message);
  }
});

Deno.test("examples/kubernetes/services.yaml is carried over whole", () => {
  const file = new URL("../../../examples/kubernetes/services.yaml", import.meta.url);
  const documents = new SourceText(Deno.readTextFileSync(file), "services.yaml").documents();
  assertEquals(lines(documents), [
    "default/edge:https 10.96.0.60/32 tcp 443 → 8443 [10.244.1.8 10.244.2.8]",
    "default/edge:https 198.51.100.60/32 tcp 443 → 8443 [10.244.1.8] sources=203.0.113.0/24",
    "default/edge:https 192.168.0.1/32 tcp 30443 → 8443 [10.244.1.8]",
    "default/web:http 10.96.0.20/32 tcp 80 → 8080 [10.244.1.7] srcIpSticky=true stickyTimeout=10800",
    "default/web:http fd00:96::20/128 tcp 80 → 8080 [fd00:244:1::7] srcIpSticky=true stickyTimeout=10800",
  ]);
  assertEquals(noteLines(documents), []);
});
