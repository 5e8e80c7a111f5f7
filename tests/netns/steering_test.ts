/*
 * The steering programs and AF_XDP sockets of mod/xdp against a real kernel. Each test has two namespaces of its own:
 *
 *   client: c0 (10.77.0.2/24, fd77::2/64) ──── node: n0 (10.77.0.1 and .3, .5, fd77::1)     ku0 ── ku1
 *
 * and runs one scenario of steering_fixture.ts inside of the node's.
 */

import { assert } from "@std/assert";

const FIXTURE = new URL("./steering_fixture.ts", import.meta.url).pathname;
const DENO_JSON = new URL("../../deno.json", import.meta.url).pathname;

async function run(...command: string[]): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(command[0], { args: command.slice(1) }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert(success, `${command.join(" ")}: ${text}`);
  if (Deno.env.has("KU_VERBOSE")) console.log(text);
}

async function inNamespaces(scenario: string): Promise<void> {
  const id = crypto.randomUUID().slice(0, 8);
  const client = `ku-st-${id}-client`, node = `ku-st-${id}-node`;
  const ipIn = (namespace: string, ...args: string[]) => run("ip", "-n", namespace, ...args);
  try {
    await run("ip", "netns", "add", client);
    await run("ip", "netns", "add", node);
    await ipIn(node, "link", "add", "n0", "type", "veth", "peer", "name", "c0", "netns", client);
    for (const address of ["10.77.0.1/24", "10.77.0.3/24", "10.77.0.5/24", "fd77::1/64"]) {
      const options = address.includes(":") ? ["nodad"] : [];
      await ipIn(node, "addr", "add", address, "dev", "n0", ...options);
    }
    await ipIn(client, "addr", "add", "10.77.0.2/24", "dev", "c0");
    await ipIn(client, "addr", "add", "fd77::2/64", "dev", "c0", "nodad");
    for (const link of ["lo", "n0"]) await ipIn(node, "link", "set", link, "up");
    for (const link of ["lo", "c0"]) await ipIn(client, "link", "set", link, "up");
    // Packets that come back by ku0 have sources that are not routed there.
    await run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0");
    await run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.conf.default.rp_filter=0");
    const deno = [Deno.execPath(), "run", "-A", "--config", DENO_JSON, FIXTURE, scenario, client];
    await run("ip", "netns", "exec", node, ...deno);
  } finally {
    await new Deno.Command("ip", { args: ["netns", "del", node] }).output();
    await new Deno.Command("ip", { args: ["netns", "del", client] }).output();
  }
}

Deno.test("Steering in mode tc takes ku's packets, and they come back every way", () =>
  inNamespaces("steers-tc"));
Deno.test("Steering in mode tc does the same by clsact", () => inNamespaces("steers-clsact"));
Deno.test("Steering in mode native does the same", () => inNamespaces("steers-native"));
Deno.test("Steering in mode generic does the same", () => inNamespaces("steers-generic"));
Deno.test("Steering matches fragments, prefixes, pods and node ports, and nothing else", () =>
  inNamespaces("matches"));
Deno.test("ku_xdp and ku_tc decide alike, and as the rules say, over packets of every kind", () =>
  inNamespaces("verdicts"));
Deno.test("ku_xdp and ku_tc repeat a session as the datapath would, byte for byte, or leave the packet alone", () =>
  inNamespaces("repeats"));
Deno.test("Steering leaves other people's programs alone", () => inNamespaces("strangers"));
Deno.test("Steering by clsact leaves other people's filters and qdiscs alone, and gives way to tcx", () =>
  inNamespaces("clsact"));
Deno.test("Steering adopts what an earlier ku left, in whatever mode, and removes leftovers", () =>
  inNamespaces("adopts"));
Deno.test("Steering in mode tc lets everything pass after kill -9", () => inNamespaces("kill-tc"));
Deno.test("Steering in mode native lets everything pass after kill -9", () => inNamespaces("kill-native"));
Deno.test("Steering in mode auto leaves a veth's offloads as they were", () => inNamespaces("offloads"));
Deno.test("XskSocket refuses what cannot be, with the reason, and gives frames back", () =>
  inNamespaces("sockets"));
