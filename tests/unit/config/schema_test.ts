/** The JSON Schema and the parser: the same verdict on every document whose fate hangs on single values, and the published copy is current. */

import { assert, assertEquals } from "@std/assert";
import { Ajv2020 } from "ajv";
import { load } from "js-yaml";
import { stateOf } from "../../../mod/config/file.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import { CONFIG_SCHEMA } from "../../../mod/config/schema.ts";
import { Random } from "./random.ts";

const validate = new Ajv2020({ strict: true, strictTypes: false, allErrors: true }).compile(CONFIG_SCHEMA);

function parserTakes(document: unknown): boolean {
  try {
    stateOf(document);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

const verdict = (document: unknown): string =>
  `${JSON.stringify(document)} ${JSON.stringify(validate.errors?.map(({ message }) => message))}`;

Deno.test("docs/ku.schema.json is the schema", () => {
  const file = new URL("../../../docs/ku.schema.json", import.meta.url);
  assertEquals(JSON.parse(Deno.readTextFileSync(file)), JSON.parse(JSON.stringify(CONFIG_SCHEMA)));
});

Deno.test("the schema takes the configuration files in examples/", () => {
  const directory = new URL("../../../examples/", import.meta.url);
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
    /^(?!k8s).*\.(ya?ml|json)$/.test(name)
  );
  assert(names.length > 0);
  for (const name of names) {
    const document = load(Deno.readTextFileSync(new URL(name, directory)));
    assert(validate(document), `${name} ${verdict(document)}`);
  }
});

/** Values for each key: some right, some wrong, for schema and parser alike. */
const PORTS = [1, 80, 65535, null, 0, 65536, -1, 80.5, "80", true, [80]];
const VIP_VALUES: Record<string, readonly unknown[]> = {
  prefix: [
    "10.0.0.1",
    "10.0.0.0/8",
    "2001:db8::/32",
    "2001:DB8::1",
    "::ffff:0:0:1",
    "10.0.0.256",
    "10.0.0",
    "10.0.0.0/33",
    "010.0.0.1",
    "fd00::/129",
    "a",
    "",
    5,
    null,
  ],
  protocol: ["tcp", "udp", "sctp", null, "TCP", "icmp", 6, ["tcp"]],
  port: PORTS,
  targetPort: PORTS,
  nodePort: PORTS,
  type: ["nat44", "nat4", "nat45", "", null, 4],
  newLen: [2, 1024, 1 << 20, 1, 3, 1000, 1 << 21, "1024", null, 0],
  srcIpSticky: [true, false, "true", 1, null],
  masquerade: [true, false, 0, null],
  sources: [[], ["10.0.0.0/8", "192.0.2.1"], ["0.0.0.0/0"], ["10.0.0.0/33"], [5], "10.0.0.0/8", null, {}],
  service: ["default/web:http", "a/b:", null, "web", 5, "a b/c:d", "/:"],
  pods: [
    [],
    null,
    {},
    "10.1.0.1",
    ["10.1.0.1"],
    [5],
    [null],
    [{}],
    [{ address: "10.1.0.1", weight: 2 }],
    [{ address: "10.1.0.1", weight: 101 }],
    [
      { address: "10.1.0.1", weight: "2" },
    ],
    [{ weight: 1 }],
    [{ address: "10.1.0.1", name: "x" }],
    [{ address: "10.1.0.1", weight: 0.5 }],
    ["10.1.0.999"],
  ],
  new_len: [1024],
};
const CONF_VALUES: Record<string, readonly unknown[]> = {
  buckets: [1, 1024, 1 << 20, 1000, 0, 1 << 21, "1024", null],
  timeout: [1, 40, 31_536_000, 0, 31_536_001, 1.5, "40", null],
  tcpTimeout: [7440, 0, null],
  ip4SrcAddress: ["192.0.2.1", null, "192.0.2", "fd00::1", 5],
  ip6SrcAddress: ["2001:db8::1", null, "192.0.2.1", false],
  nat46Prefix: ["64:ff9b:1::/96", "64:ff9b:1::/64", "64:ff9b:1::", null, 5],
  bucketsLog2: [0, 20, 21, -1, 1.5, "3"],
  colour: ["blue"],
};
const INTERFACE_VALUES: Record<string, readonly unknown[]> = {
  name: ["eth0", "a".repeat(15), "a".repeat(16), "", "a b", "a/b", "ku0", ".", 5, null],
  mode: ["auto", "native", "tc", "generic", "fast", 5, null],
  nat4: ["in", null, "out", true],
  nat6: ["in", null, 1],
  speed: [1],
};

Deno.test("schema and parser agree on every single value", () => {
  for (const [key, values] of Object.entries(VIP_VALUES)) {
    for (const value of values) {
      // With a port, so that no rule between two keys decides; an IPv4 VIP for IPv4 pods and types.
      const vip = {
        prefix: "10.0.0.1",
        port: 80,

        [key]: value,
      };
      if (key === "port" && value === null) continue;
      agree({ vips: [vip] });
    }
  }
  for (const [key, values] of Object.entries(CONF_VALUES)) {
    for (const value of values) agree({ conf: { [key]: value } });
  }
  for (const [key, values] of Object.entries(INTERFACE_VALUES)) {
    for (const value of values) agree({ interfaces: [{ name: "veth1", [key]: value }] });
  }
  for (
    const whole of [null, {}, [], "words", 5, true, { vips: {} }, { vips: null }, { conf: [] }, {
      interfaces: "x",
    }, { services: [] }]
  ) agree(whole);
});

function agree(document: unknown): void {
  const schema = validate(document);
  assertEquals(schema, parserTakes(document), verdict(document));
}

Deno.test("schema and parser agree on a sticky VIP's timeout", () => {
  for (const stickyTimeout of [1, 10_800, 0, -1, 1.5, "60", null, 31_536_001]) {
    agree({ vips: [{ prefix: "10.0.0.1", srcIpSticky: true, stickyTimeout }] });
  }
});

Deno.test("what the schema refuses, the parser refuses: random documents", () => {
  const random = new Random(20261128);
  let refused = 0;
  for (let round = 0; round < 20_000; round++) {
    const vip = pickSome(random, VIP_VALUES);
    const document = {
      ...(random.oneIn(3) ? { conf: pickSome(random, CONF_VALUES) } : {}),
      ...(random.oneIn(3) ? { interfaces: [pickSome(random, INTERFACE_VALUES)] } : {}),
      vips: [vip],
    };
    if (validate(document)) continue;
    refused++;
    assert(!parserTakes(document), `the parser takes ${verdict(document)}`);
  }
  assert(refused > 1000 && refused < 20_000, String(refused));
});

function pickSome(random: Random, values: Record<string, readonly unknown[]>): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const [key, choices] of Object.entries(values)) {
    // The first values of each list are right ones.
    if (random.oneIn(3)) {
      picked[key] = random.oneIn(4)
        ? random.pick(choices)
        : choices[random.below(Math.min(2, choices.length))];
    }
  }
  return picked;
}
