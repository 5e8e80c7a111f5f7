/** Commands on a ConfigState: what they do, what is refused with which words, and that a refusal changes nothing. */

import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { type Change, type Command, ConfigError, type VipState } from "../../../mod/config/model.ts";
import { BatchError, type Checks, ConfigState } from "../../../mod/config/state.ts";
import { parse as parseConf } from "../../../cli/conf.ts";
import { parse as parseFlush } from "../../../cli/flush.ts";
import { parse as parseInterface } from "../../../cli/interface.ts";
import { parse as parsePod } from "../../../cli/pod.ts";
import { parse as parseSet } from "../../../cli/set.ts";
import { parse as parseVip } from "../../../cli/vip.ts";

const PARSERS: Record<string, (words: string[]) => Command> = {
  conf: parseConf,
  flush: parseFlush,
  interface: parseInterface,
  pod: parsePod,
  set: parseSet,
  vip: parseVip,
};

/** A command line as a command; the grammar itself is tested beside the command line. */
function command(line: string): Command {
  const [first, ...words] = line.split(" ");
  return PARSERS[first](words);
}

function stateOf(lines: readonly string[], checks: Checks = {}): ConfigState {
  const state = new ConfigState(checks);
  for (const line of lines) state.apply(command(line));
  return state;
}

/** Everything that commands can change, in a form of its own. */
function snapshot(state: ConfigState): unknown {
  return structuredClone({
    conf: state.conf,
    interfaces: state.interfaces,
    vips: state.vips,
    order: [...state.vips.keys()],
    revision: state.revision,
  });
}

function kinds(changes: readonly Change[]): string[] {
  return changes.map((change) => change.kind);
}

const SERVING = [
  "vip 10.96.0.1 protocol tcp port 80 target_port 8080 node_port 30080",
  "pod 10.96.0.1 10.2.1.2 10.2.2.2",
  "vip 10.96.0.1 protocol udp port 53",
  "vip 90.0.0.0/8 nat44 new_len 2048",
  "vip 2003::/16 nat66 new_len 2048",
  "pod 2003::/16 2001::2 2001::3 2001::4",
  "interface eth0",
  "set interface nat4 in veth1",
];

/** A line that is refused on SERVING, and what its message has to contain. */
const REFUSED: readonly [string, RegExp][] = [
  // values
  ["vip 10.96.0.300", /^prefix : 10\.96\.0\.300, give an address or a prefix/],
  ["vip 10.96.0.1/33", /^prefix : /],
  ["vip ::ffff:10.0.0.1", /^prefix : /],
  ["vip 10.96.7.1/24", /^prefix : 10\.96\.7\.1\/24, .*10\.96\.7\.0\/24 .*10\.96\.7\.1 /],
  ["vip 2001:db8::1/64", /2001:db8::\/64 .*2001:db8::1 /],
  ["vip 224.0.0.1", /multicast/],
  ["vip ff02::/16", /multicast/],
  ["vip 127.0.0.1", /loopback/],
  ["vip 0.0.0.0", /unspecified/],
  ["vip 10.96.0.9 port 70000", /^port : 70000, give a number from 1 to 65535$/],
  ["vip 10.96.0.9 port 0", /^port : 0, /],
  ["vip 10.96.0.9 port -1", /^port : -1, /],
  ["vip 10.96.0.9 port 80 target_port 65536", /^target_port : 65536, /],
  ["vip 10.96.0.9 port 80 node_port 0", /^node_port : 0, /],
  ["vip 10.96.0.9 new_len 1000", /^new_len : 1000, give a power of two .*512 or 1024/],
  ["vip 10.96.0.9 new_len 0", /^new_len : 0, give a power of two from 2 to 1048576$/],
  ["vip 10.96.0.9 new_len 1", /^new_len : 1, /],
  ["vip 10.96.0.9 new_len 2097152", /^new_len : /],
  ["conf buckets 1000", /^buckets : 1000, .*512 or 1024/],
  ["conf buckets 0", /^buckets : 0, /],
  ["conf buckets 2097152", /^buckets : /],
  ["conf buckets-log2 40", /^buckets-log2 : 40, give a number from 0 to 20/],
  ["conf buckets 1024 buckets-log2 10", /either/],
  ["conf timeout 0", /^timeout : 0, /],
  ["conf timeout -5", /^timeout : -5, /],
  ["conf tcp-timeout 0", /^tcp-timeout : 0, /],
  ["conf timeout 99 tcp-timeout 0", /^tcp-timeout : 0, /],
  ["conf ip4-src-address fd00::1", /^ip4-src-address : fd00::1, give an IPv4 address/],
  ["conf ip6-src-address 10.0.0.1", /^ip6-src-address : 10\.0\.0\.1, give an IPv6 address/],
  ["conf ip6-src-address fe80::1", /link-local/],
  ["conf nat46-prefix 10.0.0.0/8", /length 96/],
  ["conf nat46-prefix 64:ff9b::/64", /length 96/],
  ["conf nat46-prefix 64:ff9b::1/96", /host bits/],
  ["pod 10.96.0.1 port 80 10.2.1.256", /^pod : 10\.2\.1\.256, /],
  ["pod 10.96.0.1 port 80 10.2.1.0/24", /^pod : /],
  ["pod 10.96.0.1 port 80 10.2.1.9 weight 101", /^weight : 101, give a number from 0 to 100$/],
  ["pod 10.96.0.1 port 80 10.2.1.9 weight -1", /^weight : -1, /],
  [
    "pod 10.96.0.1 port 80 fd00::9",
    /^pod : fd00::9, give an IPv4 address: VIP 10\.96\.0\.1\/32 tcp 80 is nat44/,
  ],
  ["pod 2003::/16 10.0.0.9", /give an IPv6 address/],
  ["pod 2003::/16 fe80::9", /link-local/],
  ["interface a-name-of-16-chs", /^interface : .*15 characters/],
  ["interface ..", /^interface : /],
  ["interface a/b", /^interface : /],
  ["interface ku0", /ku's own/],
  ["set interface nat4 in ku1", /ku's own/],
  // options against each other
  ["vip 10.96.0.9 protocol tcp", /^protocol : tcp, give a port too/],
  ["vip 10.96.0.9 target_port 80", /^target_port : 80, give a port too/],
  ["vip 10.96.0.9 node_port 30000", /^node_port : 30000, give a port too/],
  ["vip 10.96.0.9 nat66", /^type : nat66, use nat44 or nat46 on an IPv4 VIP/],
  ["vip 10.96.0.9 nat64", /^type : nat64, /],
  ["vip fd00::9 nat44", /^type : nat44, use nat66 or nat64 on an IPv6 VIP/],
  // against what is there
  [
    "vip 10.96.0.1/32 port 80 protocol tcp target_port 8080 node_port 30080",
    /10\.96\.0\.1\/32 tcp 80, is there already/,
  ],
  ["vip 10.96.0.1 protocol tcp port 80", /with other options: delete it first/],
  ["vip 10.96.0.8 port 80 node_port 30080", /^node_port : 30080, is taken by VIP 10\.96\.0\.1\/32 tcp 80/],
  ["vip 10.96.0.77 del", /10\.96\.0\.77\/32, is not there: nothing to delete/],
  ["vip 10.96.0.1 del", /is not there: that prefix has 10\.96\.0\.1\/32 tcp 80; 10\.96\.0\.1\/32 udp 53/],
  ["vip 10.96.0.1 protocol tcp port 81 del", /10\.96\.0\.1\/32 tcp 81, is not there/],
  ["pod 10.96.0.77 10.2.1.9", /10\.96\.0\.77\/32, is not there: add it with "ku vip" first/],
  ["pod 10.96.0.1 10.2.1.9", /ambiguous.*10\.96\.0\.1\/32 tcp 80; 10\.96\.0\.1\/32 udp 53/],
  ["pod 10.96.0.1 port any 10.2.1.9", /is not there/],
  ["pod 10.96.0.1 protocol sctp 10.2.1.9", /10\.96\.0\.1\/32 sctp, is not there/],
  ["pod 10.96.0.1 port 80 10.2.1.2", /^pod : 10\.2\.1\.2, is there already .* with weight 1/],
  ["pod 10.96.0.1 port 80 10.2.1.2 weight 1", /is there already/],
  ["pod 10.96.0.1 port 80 10.2.1.9 10.2.1.2", /is there already/],
  ["pod 10.96.0.1 port 80 10.2.1.9 10.2.1.9", /^pod : 10\.2\.1\.9, is given twice/],
  ["pod 2003::/16 2001::9 2001:0::9", /given twice/],
  ["pod 10.96.0.1 port 80 10.2.1.9 del", /is no pod of VIP 10\.96\.0\.1\/32 tcp 80/],
  ["pod 10.96.0.1 port 80 10.2.1.2 10.2.1.9 del", /is no pod/],
  ["pod 10.96.0.1 port 80 10.2.1.9 flush", /is no pod/],
  ["interface eth0", /is attached already \(mode auto\)/],
  ["interface eth0 mode auto", /is attached already/],
  ["interface eth9 del", /is not attached/],
  ["interface nowhere0", /is unknown on this node/],
  ["set interface nat4 in nowhere0", /is unknown on this node/],
  ["set interface nat4 in veth1", /has nat4 in already/],
  ["set interface nat6 in veth1 del", /has no nat6 in/],
  ["set interface nat4 in eth9 del", /is not attached/],
  ["flush vip 10.96.0.77", /is not there/],
  ["flush vip 10.96.0.1", /ambiguous/],
  ["flush vip 10.96.0.1 protocol tcp port 81", /is not there/],
];

const onThisNode: Checks = { interfaceExists: (name) => !name.startsWith("nowhere") };

for (const [line, message] of REFUSED) {
  Deno.test(`ConfigState refuses "${line}" and stays as it was`, () => {
    const state = stateOf(SERVING, onThisNode);
    const before = snapshot(state);
    const error = assertThrows(() => state.apply(command(line)), ConfigError);
    assertMatch(error.message, message);
    assertMatch(error.message, /^[^\n]+ : [^\n]+, [^\n]+$/, "one line of the contract's form");
    assertEquals(snapshot(state), before);
    const batch = ["vip 10.99.0.1", line, "vip 10.99.0.2"].map(command);
    assertEquals(assertThrows(() => state.applyAll(batch), BatchError).index, 1);
    assertEquals(snapshot(state), before, "nor does a batch that contains it change anything");
  });
}

Deno.test("a VIP gets the contract's defaults and canonical text", () => {
  const state = stateOf(["vip 10.0.0.1", "vip 2001:DB8:0::1 protocol tcp port 80 nat4"]);
  const [first, second] = [...state.vips.values()];
  const expected: VipState = {
    prefix: "10.0.0.1/32",
    protocol: null,
    port: null,
    targetPort: null,
    nodePort: null,
    type: "nat44",
    newLen: 1024,
    srcIpSticky: false,
    stickyTimeout: null,
    sources: [],
    service: null,
    masquerade: false,
    pods: new Map(),
    revision: 1,
  };
  assertEquals(first, expected);
  assertEquals([second.prefix, second.targetPort, second.type], ["2001:db8::1/128", 80, "nat64"]);
});

Deno.test("nat4 and nat6 name the family of the pods", () => {
  const state = stateOf(["vip 10.0.0.1 nat4", "vip 10.0.0.2 nat6", "vip fd00::1 nat4", "vip fd00::2 nat6"]);
  assertEquals([...state.vips.values()].map(({ type }) => type), ["nat44", "nat46", "nat64", "nat66"]);
});

Deno.test("the commands of VPP's document work word for word", () => {
  const state = stateOf([
    "vip 90.0.0.0/8 nat44 new_len 2048",
    "vip 2003::/16 nat66 new_len 2048",
    "vip 2002::/16",
    "pod 90.0.0.0/8 10.0.0.1",
    "pod 2002::/16 2001::2 2001::3 2001::4",
    "set interface nat4 in eth1",
  ]);
  assertEquals([...state.vips.get("2002::/16")!.pods.keys()], ["2001::2", "2001::3", "2001::4"]);
  assertEquals(state.interfaces.get("eth1"), { name: "eth1", mode: "auto", nat4: true, nat6: false });
});

Deno.test("a pod's weight is set by naming it again", () => {
  const state = stateOf(SERVING);
  assertEquals(kinds(state.apply(command("pod 10.96.0.1 port 80 10.2.1.2 10.2.9.9 weight 0"))), [
    "podChanged",
    "podAdded",
  ]);
  const vip = state.vips.get("10.96.0.1/32 tcp 80")!;
  assertEquals([...vip.pods.values()].map(({ address, weight }) => [address, weight]), [
    ["10.2.1.2", 0],
    ["10.2.2.2", 1],
    ["10.2.9.9", 0],
  ]);
  assertEquals(vip.revision, state.revision);
});

Deno.test("flush names the pods whose sessions go, alone and with del", () => {
  const state = stateOf(SERVING);
  const before = snapshot(state);
  assertEquals(kinds(state.apply(command("pod 10.96.0.1 port 80 10.2.1.2 flush"))), ["flushPod"]);
  assertEquals(kinds(state.apply(command("flush vip 90.0.0.0/8"))), ["flushVip"]);
  assertEquals(snapshot(state), before, "flushing changes no state");
  assertEquals(kinds(state.apply(command("pod 10.96.0.1 port 80 10.2.1.2 weight 5 flush"))), [
    "podChanged",
    "flushPod",
  ]);
  assertEquals(kinds(state.apply(command("pod 10.96.0.1 port 80 10.2.1.2 del flush"))), [
    "podRemoved",
    "flushPod",
  ]);
  assertEquals(kinds(state.apply(command("pod 10.96.0.1 port 80 10.2.2.2 del"))), ["podRemoved"]);
});

Deno.test("a VIP may be deleted and added again with other options", () => {
  const state = stateOf([
    ...SERVING,
    "vip 10.96.0.1 port 80 protocol tcp del",
    "vip 10.96.0.8 port 80 node_port 30080",
  ]);
  assertEquals(kinds(state.apply(command("vip 10.96.0.1 protocol tcp port 80 new_len 64"))), ["vipAdded"]);
  assertEquals(state.vips.get("10.96.0.1/32 tcp 80")?.pods.size, 0, "its pods went with it");
});

Deno.test("selectVip: half a key finds the only one, an exact key wins, any is a word of its own", () => {
  const state = stateOf(["vip 10.0.0.1 protocol tcp port 80", "vip 10.0.0.1 protocol udp port 53"]);
  const selected = (line: string) => {
    const { method, params } = command(`flush vip ${line}`);
    assert(method === "flushVip");
    const { protocol, port } = state.selectVip(params);
    return [protocol, port];
  };
  assertEquals(selected("10.0.0.1 port 80"), ["tcp", 80]);
  assertEquals(selected("10.0.0.1 protocol udp"), ["udp", 53]);
  state.apply(command("vip 10.0.0.1 port 80"));
  assertEquals(selected("10.0.0.1 port 80"), [null, 80]);
  assertEquals(selected("10.0.0.1 port 80 protocol tcp"), ["tcp", 80]);
  state.apply(command("vip 10.0.0.1"));
  assertThrows(() => selected("10.0.0.1"), ConfigError, "ambiguous");
  assertEquals(selected("10.0.0.1 port any"), [null, null]);
  assertEquals(selected("10.0.0.1 protocol any port 80"), [null, 80]);
});

Deno.test("one node port serves different protocols, and both families of a dual-stack service", () => {
  const state = stateOf([
    "vip 10.0.0.1 protocol tcp port 53 node_port 30053",
    "vip 10.0.0.1 protocol udp port 53 node_port 30053",
    "vip fd00::1 protocol tcp port 53 node_port 30053",
  ]);
  for (
    const line of ["vip 10.0.0.2 port 53 node_port 30053", "vip fd00::2 protocol tcp port 1 node_port 30053"]
  ) {
    assertThrows(() => state.apply(command(line)), ConfigError, "is taken by VIP");
  }
});

Deno.test("conf changes what is named, and nothing when nothing differs", () => {
  const state = new ConfigState();
  assertEquals(kinds(state.apply(command("conf buckets-log2 12 timeout 60 ip4-src-address 192.0.2.1"))), [
    "conf",
  ]);
  assertEquals([state.conf.buckets, state.conf.timeout, state.conf.tcpTimeout], [4096, 60, 7440]);
  assertEquals(state.apply(command("conf buckets 4096 timeout 60")), []);
  const [change] = state.apply(command("conf ip4-src-address none nat46-prefix 64:FF9B::/96"));
  assert(change.kind === "conf");
  assertEquals([change.before.ip4SrcAddress, change.after.ip4SrcAddress], ["192.0.2.1", null]);
  assertEquals(change.after.nat46Prefix, "64:ff9b::/96");
});

Deno.test("interfaces: attached by set interface, mode changed, feature deleted, detached", () => {
  const state = new ConfigState();
  const steps: [string, Change["kind"]][] = [
    ["set interface nat4 in veth1", "interfaceAdded"],
    ["set interface nat6 in veth1", "interfaceChanged"],
    ["interface veth1 mode tc", "interfaceChanged"],
    ["set interface nat4 in veth1 del", "interfaceChanged"],
    ["interface eth0 mode native", "interfaceAdded"],
  ];
  for (const [line, kind] of steps) assertEquals(kinds(state.apply(command(line))), [kind], line);
  assertEquals(state.interfaces.get("veth1"), { name: "veth1", mode: "tc", nat4: false, nat6: true });
  assertEquals(kinds(state.apply(command("interface veth1 del"))), ["interfaceRemoved"]);
  assertEquals([...state.interfaces.keys()], ["eth0"]);
});

Deno.test("clone and original do not touch each other", () => {
  const state = stateOf(SERVING);
  const before = snapshot(state);
  const copy = state.clone();
  assertEquals(snapshot(copy), before);
  copy.applyAll(
    [
      "pod 90.0.0.0/8 10.2.1.1",
      "vip 10.96.0.1 protocol udp port 53 del",
      "conf timeout 1",
      "interface eth0 del",
    ]
      .map(command),
  );
  assertNotEquals(snapshot(copy), before);
  assertEquals(snapshot(state), before);
  assertThrows(() => copy.apply(command("vip 10.7.7.7 port 80 node_port 30080")), ConfigError, "is taken");
});

Deno.test("applyAll tells all changes in order", () => {
  const state = new ConfigState();
  const lines = ["vip 10.0.0.1", "pod 10.0.0.1 10.1.0.1 10.1.0.2", "vip 10.0.0.1 del"];
  assertEquals(kinds(state.applyAll(lines.map(command))), ["vipAdded", "podAdded", "podAdded", "vipRemoved"]);
  assertEquals(state.vips.size, 0);
});

Deno.test("ten thousand services are added one by one within a second", () => {
  const state = new ConfigState();
  const started = performance.now();
  for (let index = 0; index < 10_000; index++) {
    const prefix = `10.${96 + (index >> 16)}.${index >> 8 & 255}.${index & 255}`;
    state.apply({ method: "vip", params: { prefix, protocol: "tcp", port: 80, nodePort: 20_000 + index } });
    state.apply({ method: "pod", params: { vip: { prefix }, addresses: ["10.2.1.1", "10.2.1.2"] } });
  }
  assert(performance.now() - started < 2000, `${performance.now() - started} ms`);
  assertEquals(state.vips.size, 10_000);
});

Deno.test("an error stays one line of bounded length whatever it repeats", () => {
  const error = new ConfigError("prefix", "a\nb\u001b[2J\u202e" + "x".repeat(5000), "give less");
  assertMatch(error.message, /^prefix : a\\u\{a\}b\\u\{1b\}\[2J\\u\{202e\}x+…, give less$/);
  assert(error.message.length < 250);
});
