/** The configuration file: every key of the contract, and for every mistake the file, the key's path and what to do. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { loadConfig } from "../../../mod/config/file.ts";
import { ConfigError } from "../../../mod/config/model.ts";

const FULL = `
conf:
  buckets: 2048
  timeout: 60
  tcpTimeout: 3600
  ip4SrcAddress: 192.0.2.1
  ip6SrcAddress: 2001:DB8::1
  nat46Prefix: 64:ff9b:1::/96
  offload: false
  offloadSessions: 1000
interfaces:
  - {name: eth0, mode: native}
  - {name: veth1, mode: tc, nat4: in, nat6: in}
  - name: veth2
vips:
  - prefix: 10.96.0.10
    protocol: udp
    port: 53
    targetPort: 5353
    nodePort: 30053
    newLen: 2048
    srcIpSticky: true
    masquerade: true
    pods: [10.244.0.5, {address: 10.244.0.6, weight: 0}]
  - prefix: 10.96.0.10
    protocol: tcp
    port: 53
  - prefix: 2003::/16
    type: nat64
    protocol: null
    port: null
    pods:
      - 10.0.0.1
`;

Deno.test("loadConfig reads every key of the contract", () => {
  const state = loadConfig(FULL, "ku.yaml");
  assertEquals(state.conf, {
    buckets: 2048,
    timeout: 60,
    tcpTimeout: 3600,
    ip4SrcAddress: "192.0.2.1",
    ip6SrcAddress: "2001:db8::1",
    nat46Prefix: "64:ff9b:1::/96",
    offload: false,
    offloadSessions: 1000,
  });
  assertEquals([...state.interfaces.values()], [
    { name: "eth0", mode: "native", nat4: false, nat6: false },
    { name: "veth1", mode: "tc", nat4: true, nat6: true },
    { name: "veth2", mode: "auto", nat4: false, nat6: false },
  ]);
  const [dns, ...others] = [...state.vips.values()];
  assertEquals([dns.prefix, dns.protocol, dns.port, dns.targetPort, dns.nodePort], [
    "10.96.0.10/32",
    "udp",
    53,
    5353,
    30053,
  ]);
  assertEquals([dns.newLen, dns.srcIpSticky, dns.masquerade], [2048, true, true]);
  assertEquals([...dns.pods.values()], [
    { address: "10.244.0.5", weight: 1 },
    { address: "10.244.0.6", weight: 0 },
  ]);
  assertEquals(others.map(({ prefix, type, port }) => [prefix, type, port]), [
    ["10.96.0.10/32", "nat44", 53],
    ["2003::/16", "nat64", null],
  ]);
  assertEquals([...others[1].pods.keys()], ["10.0.0.1"]);
});

Deno.test("loadConfig takes JSON, and files with next to nothing in them", () => {
  const json = loadConfig(`{"vips": [{"prefix": "10.0.0.1", "port": 80,\t"pods": ["10.1.0.1"]}]}`, "ku.json");
  assertEquals([...json.vips.keys()], ["10.0.0.1/32 any 80"]);
  for (const empty of ["", "# nothing\n", "---\n", "{}", "conf:\nvips:\ninterfaces:\n", "vips: []"]) {
    assertEquals(loadConfig(empty, "ku.yaml").vips.size, 0, JSON.stringify(empty));
  }
});

/** A file and its error. */
const WRONG: readonly [string, RegExp][] = [
  [
    "vips: [{prefix: 10.0.0.1, port: 70000}]",
    /^ku\.yaml:1:33: vips\[0\]\.port : 70000, give a number from 1 to 65535$/,
  ],
  [`vips: [{prefix: 10.0.0.1, port: "80"}]`, /^ku\.yaml:1:33: vips\[0\]\.port : "80", give a number$/],
  ["vips: [{prefix: 10.0.0.1, port: 80.5}]", /vips\[0\]\.port : 80\.5, /],
  ["vips: [{port: 80}]", /vips\[0\]\.prefix : missing, /],
  ["vips: [{prefix: 10.0.0.1/24}]", /vips\[0\]\.prefix : 10\.0\.0\.1\/24, has host bits set/],
  [
    "vips: [{prefix: 10.0.0.1}, {prefix: 10.0.0.1/32}]",
    /^ku\.yaml:1:28: vips\[1\] : 10\.0\.0\.1\/32, is there already/,
  ],
  ["vips: [{prefix: 10.0.0.1, newLen: 1000}]", /vips\[0\]\.newLen : 1000, give a power of two/],
  [
    "vips: [{prefix: 10.0.0.1, new_len: 1024}]",
    /vips\[0\]\.new_len : unknown key, use one of prefix, protocol, /,
  ],
  [
    "vips: [{prefix: 10.0.0.1, protocol: icmp, port: 1}]",
    /vips\[0\]\.protocol : icmp, use tcp, udp or sctp$/,
  ],
  ["vips: [{prefix: 10.0.0.1, protocol: tcp}]", /vips\[0\]\.protocol : tcp, give a port too/],
  ["vips: [{prefix: 10.0.0.1, type: nat55}]", /vips\[0\]\.type : nat55, use /],
  ["vips: [{prefix: 10.0.0.1, srcIpSticky: 1}]", /vips\[0\]\.srcIpSticky : 1, give true or false/],
  ["vips: [{prefix: 10.0.0.1, pods: 10.0.0.2}]", /vips\[0\]\.pods : "10\.0\.0\.2", give a list/],
  [
    "vips: [{prefix: 10.0.0.1, pods: [10.0.0.2, 10.0.0.2]}]",
    /vips\[0\]\.pods\[1\] : 10\.0\.0\.2, is there already/,
  ],
  ["vips: [{prefix: 10.0.0.1, pods: [fd00::2]}]", /vips\[0\]\.pods\[0\] : fd00::2, give an IPv4 address/],
  [
    "vips: [{prefix: 10.0.0.1, pods: [{address: 10.0.0.2, weight: 101}]}]",
    /vips\[0\]\.pods\[0\]\.weight : 101, /,
  ],
  ["vips: [{prefix: 10.0.0.1, pods: [{weight: 1}]}]", /vips\[0\]\.pods\[0\]\.address : missing, /],
  ["vips: [{prefix: 10.0.0.1, pods: [5]}]", /vips\[0\]\.pods\[0\] : 5, give a map/],
  ["vips: [{prefix: 10.0.0.1, pods: [{address: 10.0.0.2, name: x}]}]", /pods\[0\]\.name : unknown key, /],
  ["vips: {prefix: 10.0.0.1}", /^ku\.yaml:\d+:\d+: vips : a map, give a list/],
  ["vips: [{prefix: 10.0.0.1, stickyTimeout: 60}]", /vips\[0\]\.stickyTimeout : 60, give srcIpSticky too/],
  ["vips: [{prefix: 10.0.0.1, srcIpSticky: true, stickyTimeout: 0}]", /vips\[0\]\.stickyTimeout : 0, /],
  [
    "vips: [{prefix: 10.0.0.1, sources: [10.1.0.0/8]}]",
    /vips\[0\]\.sources : 10\.1\.0\.0\/8, has host bits set: write 10\.0\.0\.0\/8/,
  ],
  [
    "vips: [{prefix: 10.0.0.1, sources: ['fd00::/8']}]",
    /vips\[0\]\.sources : fd00::\/8, give an IPv4 address or prefix/,
  ],
  ["vips: [{prefix: 10.0.0.1, sources: [5]}]", /vips\[0\]\.sources\[0\] : 5, give a text/],
  ["vips: [{prefix: 10.0.0.1, service: web}]", /vips\[0\]\.service : web, give namespace\/name:port/],
  ["vips: [10.0.0.1]", /vips\[0\] : "10\.0\.0\.1", give a map/],
  ["conf: {buckets: 1000}", /^ku\.yaml:\d+:\d+: conf\.buckets : 1000, give a power of two/],
  ["conf: {tcpTimeout: 0}", /^ku\.yaml:\d+:\d+: conf\.tcpTimeout : 0, /],
  ["conf: {ip4SrcAddress: '::1'}", /^ku\.yaml:\d+:\d+: conf\.ip4SrcAddress : ::1, /],
  ["conf: {nat46Prefix: 'fd00::/64'}", /^ku\.yaml:\d+:\d+: conf\.nat46Prefix : /],
  ["conf: {colour: blue}", /^ku\.yaml:1:8: conf\.colour : unknown key, use one of buckets, /],
  ["conf: [1]", /^ku\.yaml:\d+:\d+: conf : a list, give a map/],
  [
    "interfaces: [{name: eth0, mode: fast}]",
    /^ku\.yaml:\d+:\d+: interfaces\[0\]\.mode : fast, use auto, native, tc or generic/,
  ],
  ["interfaces: [{name: eth0, nat4: true}]", /^ku\.yaml:\d+:\d+: interfaces\[0\]\.nat4 : true, give a text/],
  ["interfaces: [{name: eth0, nat4: out}]", /^ku\.yaml:\d+:\d+: interfaces\[0\]\.nat4 : out, use in/],
  [
    "interfaces: [{name: eth0}, {name: eth0}]",
    /^ku\.yaml:\d+:\d+: interfaces\[1\] : eth0, is attached already/,
  ],
  ["interfaces: [{mode: tc}]", /^ku\.yaml:\d+:\d+: interfaces\[0\]\.name : missing, /],
  [
    "interfaces: [{name: nowhere0}]",
    /^ku\.yaml:\d+:\d+: interfaces\[0\] : nowhere0, is unknown on this node/,
  ],
  ["services: []", /^ku\.yaml:\d+:\d+: services : unknown key, use one of conf, interfaces, vips$/],
  ["- vips", /^ku\.yaml:\d+:\d+: the document : a list, give a map/],
  ["just words", /^ku\.yaml:\d+:\d+: the document : "just words", give a map/],
  ["vips:\n  - prefix: a\n prefix: b", /^ku\.yaml:3:2: syntax : .*indentation.*, write YAML or JSON$/],
  ["conf: {timeout: 1}\nconf: {timeout: 2}", /^ku\.yaml:2:1: syntax : .*duplicated mapping key, /],
  ['{"vips": [}', /^ku\.yaml:\d+:\d+: syntax : /],
];

for (const [text, message] of WRONG) {
  Deno.test(`loadConfig refuses ${JSON.stringify(text)}`, () => {
    const checks = { interfaceExists: (name: string) => name !== "nowhere0" };
    const error = assertThrows(() => loadConfig(text, "ku.yaml", checks), ConfigError);
    assertMatch(error.message, message);
    assertMatch(error.message, /^[^\n]+ : [^\n]+, [^\n]+$/);
  });
}

Deno.test("the configuration files in examples/ are valid", () => {
  const directory = new URL("../../../examples/", import.meta.url);
  const files = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
    /\.(ya?ml|json)$/.test(name)
  );
  assert(files.length > 0, "there are examples");
  for (const name of files) {
    const state = loadConfig(Deno.readTextFileSync(new URL(name, directory)), name);
    assert(state.vips.size > 0, `${name} has a VIP`);
  }
});
