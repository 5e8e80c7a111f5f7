/** Every verdict of `ku doctor`: a good node, and each thing that can be wrong with one. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatChecks } from "../../../cli/doctor.ts";
import { diagnose, type InterfaceFacts, type NodeFacts, passes } from "../../../mod/control/doctor.ts";

const eth0: InterfaceFacts = {
  name: "eth0",
  there: true,
  up: true,
  ethernet: true,
  master: null,
  driver: "virtio_net",
  rxQueues: 2,
  mtuBytes: 1500,
  ways: [{ mode: "native", reason: "driver virtio_net has native XDP" }],
  foreignXdp: [],
  rpFilter: 0,
  largeReceive: false,
};

const good: NodeFacts = {
  uid: 0,
  kernelRelease: "6.1.0-38-amd64",
  machine: "x86_64",
  capabilities: 0x1ffffffffffn,
  memlockBytes: 8 * 2 ** 20,
  availableBytes: 8 * 2 ** 30,
  cores: 4,
  afXdp: null,
  programs: null,
  libraries: "libbpf 1.1",
  bpffs: true,
  ip4Forwarding: 1,
  ip6Forwarding: 1,
  foreignRules: 0,
  pair: { there: false, foreign: null },
  daemon: null,
  version: "0.1.0",
  interfaces: [eth0],
};

Deno.test("diagnose() finds nothing wrong with a good node", () => {
  const checks = diagnose(good);
  assertEquals(checks.filter(({ verdict }) => verdict !== "ok"), []);
  assert(passes(checks));
});

const only = (facts: Partial<InterfaceFacts>): Partial<NodeFacts> => ({
  interfaces: [{ ...eth0, ...facts }],
});
const without = (...bits: number[]): bigint =>
  bits.reduce((all, bit) => all & ~(1n << BigInt(bit)), good.capabilities);

/** What is wrong, how bad it is, which check says so, and what the remedy has. */
const FAULTS: readonly [Partial<NodeFacts>, "warn" | "fail", string, RegExp][] = [
  [{ kernelRelease: "5.10.0" }, "fail", "kernel", /5\.15/],
  [{ kernelRelease: "4.19" }, "fail", "kernel", /5\.15/],
  [{ machine: "aarch64" }, "fail", "machine", /x86-64/],
  [{ capabilities: without(12) }, "fail", "capabilities", /as root/],
  [{ capabilities: without(21) }, "fail", "capabilities", /bounding set/],
  [{ afXdp: "EAFNOSUPPORT" }, "fail", "AF_XDP", /CONFIG_XDP_SOCKETS/],
  [{ programs: "EPERM" }, "fail", "steering programs", /CONFIG_BPF_SYSCALL/],
  [{ capabilities: without(14, 24) }, "fail", "locked memory", /ulimit -l unlimited/],
  [{ availableBytes: 2 ** 20 }, "warn", "memory", /--workers/],
  [{ ip4Forwarding: 0 }, "warn", "IPv4 forwarding", /net\.ipv4\.ip_forward=1/],
  [{ ip6Forwarding: 0 }, "warn", "IPv6 forwarding", /net\.ipv6\.conf\.all\.forwarding=1/],
  [{ foreignRules: 2 }, "warn", "policy routing", /ip rule/],
  [{ pair: { there: true, foreign: "ku0 : is not ku's" } }, "fail", "ku0 and ku1", /rename/],
  [{ daemon: "0.0.9" }, "warn", "daemon", /start it again/],
  [only({ there: false }), "fail", "interface eth0", /ip link/],
  [only({ ethernet: false }), "fail", "interface eth0", /Ethernet/],
  [only({ up: false }), "warn", "interface eth0", /ip link set eth0 up/],
  [only({ rxQueues: 8 }), "warn", "interface eth0: queues", /ethtool -L eth0 combined 4/],
  [only({ mtuBytes: 9000 }), "warn", "interface eth0: MTU", /ip link set eth0 mtu 3480/],
  [only({ largeReceive: true }), "warn", "interface eth0: offloads", /lro off/],
  [only({ foreignXdp: [{ name: "xdp_x", mode: "native" }] }), "warn", "interface eth0: XDP", /xdp off/],
  [only({ master: { name: "br0", kind: "bridge" } }), "warn", "interface eth0: bridge", /attach br0/],
  [only({ rpFilter: 1 }), "warn", "interface eth0: rp_filter", /rp_filter=2/],
];

for (const [fault, verdict, name, remedy] of FAULTS) {
  const [key, value] = Object.entries(fault)[0];
  Deno.test(`diagnose(): ${name} ${verdict}s, with a remedy, for ${key} ${String(value)}`, () => {
    const checks = diagnose({ ...good, ...fault });
    const wrong = checks.filter((check) => check.verdict !== "ok");
    assertEquals(wrong.map((check) => [check.verdict, check.name]), [[verdict, name]]);
    assertMatch(wrong[0].remedy ?? "", remedy);
    assertEquals(passes(checks), verdict === "warn");
  });
}

Deno.test("diagnose(): capabilities that stand for others, and settings that are not there", () => {
  const checks = diagnose({
    ...good,
    capabilities: without(39, 38, 14),
    ip6Forwarding: null,
    daemon: "0.1.0",
    interfaces: [{ ...eth0, rpFilter: null, master: { name: "bond0", kind: "bond" } }],
  });
  assertEquals(checks.filter(({ verdict }) => verdict !== "ok"), []);
});

Deno.test("formatChecks() has remedies below and a sum at the end", () => {
  const text = formatChecks(diagnose({ ...good, ip4Forwarding: 0 }));
  assertMatch(text, /^warn {2}IPv4 forwarding +off: .*\n +→ sysctl -w net\.ipv4\.ip_forward=1\n/m);
  assertMatch(text, /\n\n\d+ ok, 1 warnings, 0 failed\n$/);
});
