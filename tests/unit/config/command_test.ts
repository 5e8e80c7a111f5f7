/** What arrives over the socket becomes a typed command or a ConfigError, whatever it is. */

import { assertEquals, assertThrows } from "@std/assert";
import { decodeBatch, decodeCommand } from "../../../mod/config/command.ts";
import { type Command, COMMAND_METHODS, ConfigError } from "../../../mod/config/model.ts";
import { ConfigState } from "../../../mod/config/state.ts";
import { parse as parsePod } from "../../../cli/pod.ts";
import { parse as parseVip } from "../../../cli/vip.ts";
import { Random } from "./random.ts";

Deno.test("decodeCommand gives back what the command line built, after a trip through JSON", () => {
  const commands: Command[] = [
    parseVip(
      "10.0.0.1 protocol tcp port 80 target_port 8080 node_port 30080 nat4 new_len 64 src_ip_sticky".split(
        " ",
      ),
    ),
    parseVip("2003::/16 masquerade del".split(" ")),
    parseVip("10.0.0.1 protocol any port any".split(" ")),
    parsePod("10.0.0.1 port 80 10.1.0.1 10.1.0.2 weight 0 del flush".split(" ")),
    {
      method: "conf",
      params: { bucketsLog2: 4, timeout: 1, ip4SrcAddress: null, nat46Prefix: "64:ff9b::/96" },
    },
    { method: "interface", params: { name: "eth0", mode: "tc", del: false } },
    { method: "setInterface", params: { feature: "nat6", name: "eth0" } },
    { method: "flushVip", params: { prefix: "10.0.0.1", protocol: "udp", port: 53 } },
  ];
  for (const { method, params } of commands) {
    assertEquals<unknown>(decodeCommand(method, JSON.parse(JSON.stringify(params))), { method, params });
  }
  assertEquals(decodeBatch(JSON.parse(JSON.stringify({ commands, atomic: true }))), {
    commands,
    atomic: true,
  });
});

const WRONG: readonly [string, unknown, string][] = [
  ["reboot", {}, "method : reboot, use one of conf, "],
  ["constructor", {}, "method : constructor, "],
  ["vip", {}, "prefix : missing, "],
  ["vip", [], "params : a list, give a map"],
  ["vip", "10.0.0.1", `params : "10.0.0.1", `],
  ["vip", { prefix: 5 }, "prefix : 5, give a text"],
  ["vip", { prefix: "10.0.0.1", port: "80" }, `port : "80", give a number`],
  ["vip", { prefix: "10.0.0.1", protocol: "icmp" }, "protocol : icmp, use "],
  ["vip", { prefix: "10.0.0.1", pods: [] }, "pods : unknown key, "],
  ["vip", JSON.parse(`{"prefix": "10.0.0.1", "__proto__": 1}`), "__proto__ : unknown key, "],
  ["pod", { vip: "10.0.0.1", addresses: [] }, `vip : "10.0.0.1", give a map`],
  ["pod", { vip: { prefix: "10.0.0.1" }, addresses: [1] }, "addresses[0] : 1, "],
  ["pod", { vip: { prefix: "10.0.0.1", newLen: 4 }, addresses: [] }, "vip.newLen : unknown key, "],
  ["setInterface", { feature: "nat5", name: "a" }, "feature : nat5, use nat4 or nat6"],
  ["interface", { name: "eth0", mode: "fast" }, "mode : fast, use "],
  ["conf", { timeout: null }, "timeout : null, give a number"],
];

for (const [method, params, message] of WRONG) {
  Deno.test(`decodeCommand refuses ${method} ${JSON.stringify(params)}`, () => {
    assertThrows(() => decodeCommand(method, params), ConfigError, message);
  });
}

Deno.test("decodeBatch names the command by its position", () => {
  const commands = [{ method: "conf", params: {} }, { method: "vip", params: { prefix: 1 } }];
  assertThrows(() => decodeBatch({ commands }), ConfigError, "commands[1] prefix : 1, ");
  assertThrows(
    () => decodeBatch({ commands: [{ method: "conf", param: {} }] }),
    ConfigError,
    "commands[0].param : unknown key",
  );
  assertThrows(() => decodeBatch(null), ConfigError, "params : null, ");
});

/** Any JSON value, with the keys and words of commands made likely. */
function anyValue(random: Random, depth = 0): unknown {
  const words = [
    "10.0.0.1",
    "fd00::/16",
    "tcp",
    "",
    "eth0",
    "nat4",
    "in",
    "🦆\u0000",
    "__proto__",
    "x".repeat(300),
  ];
  const kind = random.below(depth < 3 ? 8 : 5);
  if (kind === 0) return random.pick(words);
  if (kind === 1) return random.pick([0, -1, 80, 1024, 1e300, 0.5, 70000, -0]);
  if (kind === 2) return random.oneIn(2);
  if (kind === 3) return null;
  if (kind === 4) return random.pick(words);
  if (kind === 5) return Array.from({ length: random.below(3) }, () => anyValue(random, depth + 1));
  const keys = [
    "prefix",
    "protocol",
    "port",
    "vip",
    "addresses",
    "name",
    "mode",
    "feature",
    "del",
    "weight",
    "newLen",
  ];
  return Object.fromEntries(
    Array.from({ length: random.below(5) }, () => [random.pick(keys), anyValue(random, depth + 1)]),
  );
}

Deno.test("any JSON is a command or a ConfigError, and so is its way into the state", () => {
  let carriedOut = 0;
  for (let seed = 0; seed < 20_000; seed++) {
    const random = new Random(seed);
    const state = new ConfigState();
    try {
      state.apply(decodeCommand(random.pick(COMMAND_METHODS), anyValue(random)));
      carriedOut++;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw new Error(`seed ${seed}`, { cause: error });
      assertEquals([state.revision, state.vips.size, state.interfaces.size], [0, 0, 0], `seed ${seed}`);
    }
  }
  assertEquals(carriedOut > 100, true, `only ${carriedOut} were commands at all`);
});
