/** Batches on a ConfigState: all of it happens, as if its commands had come one by one, or nothing, to the last pod's order. */

import { assertEquals } from "@std/assert";
import type { Command } from "../../../mod/config/model.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import { ConfigState } from "../../../mod/config/state.ts";
import { property, type Random } from "../../packets/random.ts";

const PREFIXES = ["10.96.0.1", "10.96.0.2", "10.97.0.0/16"];

/** A command that may or may not fit the state: few names, so that they meet again. */
function randomCommand(random: Random): Command {
  const vip = { prefix: PREFIXES[random.below(3)], protocol: "tcp" as const, port: 80 + random.below(2) };
  switch (random.below(8)) {
    case 0:
      return { method: "conf", params: { timeout: 1 + random.below(100) } };
    case 1:
      return {
        method: "interface",
        params: { name: `eth${random.below(2)}`, mode: "tc", del: random.below(2) === 0 },
      };
    case 2:
      return { method: "vip", params: { ...vip, del: true } };
    case 3:
    case 4:
      return { method: "vip", params: { ...vip, nodePort: random.below(2) === 0 ? 30_000 : null } };
    default: {
      const addresses = [`10.2.1.${1 + random.below(3)}`];
      const del = random.below(3) === 0;
      return { method: "pod", params: { vip, addresses, ...del ? { del } : { weight: random.below(3) } } };
    }
  }
}

/** Everything that commands can change, orders included, and what the indexes over it answer. */
function snapshot(state: ConfigState): unknown {
  const vips = [...state.vips].map(([key, vip]) => ({ ...vip, key, pods: [...vip.pods.values()] }));
  const found = PREFIXES.map((prefix) => {
    try {
      return state.selectVip({ prefix: prefix.includes("/") ? prefix : `${prefix}/32` }).port;
    } catch (error) {
      return (error as Error).message.match(/tcp \d+/g)?.sort(); // of several, their order in the index is nobody's business
    }
  });
  const { conf, interfaces, revision } = state;
  return structuredClone({
    conf,
    interfaces: [...interfaces.entries()],
    vips,
    revision,
    found: String(found),
  });
}

/** One by one on `state` until one fails; true if none did. */
function oneByOne(state: ConfigState, commands: readonly Command[]): boolean {
  try {
    for (const command of commands) state.apply(command);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

Deno.test("applyAll does what its commands do one by one, or nothing at all", () => {
  let done = 0, refused = 0;
  property((random) => {
    let state = new ConfigState();
    for (let round = 0; round < 1000; round++) {
      if (round % 20 === 0) {
        state = new ConfigState();
        for (let i = 0; i < 30; i++) oneByOne(state, [randomCommand(random)]);
      }
      const batch = Array.from({ length: 1 + random.below(4) }, () => randomCommand(random));
      const before = snapshot(state);
      const model = state.clone();
      const fits = oneByOne(model, batch);
      try {
        state.applyAll(batch);
        assertEquals(fits, true);
        done++;
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        assertEquals(fits, false);
        refused++;
      }
      assertEquals(snapshot(state), fits ? snapshot(model) : before);
    }
  });
  assertEquals([done > 100, refused > 100], [true, true], `${done} done, ${refused} refused`);
});
