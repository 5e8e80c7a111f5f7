/*
 * mod/netlink against a real kernel. Each test has a network namespace of its own (resolvesNeighbors: two):
 *
 *   va (10.1.0.1/24, fd01::1/64) ── vb        vc (10.2.0.1/24) ── vd ── br0        mv0: macvlan on va
 *
 * and runs one scenario of netlink_fixture.ts inside of it.
 */

import { assert } from "@std/assert";

const FIXTURE = new URL("./netlink_fixture.ts", import.meta.url).pathname;
const DENO_JSON = new URL("../../deno.json", import.meta.url).pathname;

async function run(command: string, ...args: string[]): Promise<{ success: boolean; text: string }> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  return { success, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

async function inNamespace(scenario: string): Promise<void> {
  const name = `ku-nl-${crypto.randomUUID().slice(0, 8)}`;
  const far = `${name}-far`;
  try {
    for (const namespace of [name, far]) {
      const { success, text } = await run("ip", "netns", "add", namespace);
      assert(success, `network namespaces need root: ${text}`);
    }
    const deno = ["run", "-A", "--config", DENO_JSON, FIXTURE, scenario, far];
    const { success, text } = await run("ip", "netns", "exec", name, Deno.execPath(), ...deno);
    assert(success, text);
  } finally {
    await run("ip", "netns", "del", name);
    await run("ip", "netns", "del", far);
  }
}

Deno.test("Mirror agrees with ip after every change", () => inNamespace("followsChanges"));
Deno.test("Mirror agrees with ip after bursts of 1,000 changes", () => inNamespace("followsBursts"));
Deno.test("Mirror recovers from lost notifications", () => inNamespace("survivesOverflow"));
Deno.test("Mirror uses no CPU at rest and closes at once", () => inNamespace("idlesAndCloses"));
Deno.test("ensurePair, addRoutes, setNeighbor and setLink do what they say", () =>
  inNamespace("controlsLinks"));
Deno.test("useNeighbors has the kernel resolve, and buildNextHops uses it", () =>
  inNamespace("resolvesNeighbors"));
