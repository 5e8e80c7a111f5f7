/** Words to commands, one table a command; words that fit no command give its usage. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { type Command, ConfigError } from "../../../mod/config/model.ts";
import type { Query } from "../../../mod/control/protocol.ts";
import { parse as parseClear } from "../../../cli/clear.ts";
import { parse as parseConf } from "../../../cli/conf.ts";
import { parseLine } from "../../../cli/exec.ts";
import { parse as parseFlush } from "../../../cli/flush.ts";
import { parse as parseInterface } from "../../../cli/interface.ts";
import { parse as parsePod } from "../../../cli/pod.ts";
import { parse as parseRun } from "../../../cli/run.ts";
import { parse as parseSet } from "../../../cli/set.ts";
import { parse as parseShow } from "../../../cli/show.ts";
import { parse as parseVip } from "../../../cli/vip.ts";
import { UsageError } from "../../../cli/words.ts";

const PARSERS: Record<string, (words: string[]) => Command | Query> = {
  clear: parseClear,
  conf: parseConf,
  flush: parseFlush,
  interface: parseInterface,
  pod: parsePod,
  set: parseSet,
  show: (words) => parseShow(words, false).query,
  vip: parseVip,
};

function parse(line: string): Command | Query {
  const [first, ...words] = line.split(" ");
  return PARSERS[first](words);
}

const COMMANDS: readonly [string, Command | Query][] = [
  ["conf buckets 1024 timeout 40", { method: "conf", params: { buckets: 1024, timeout: 40 } }],
  ["conf buckets-log2 10 tcp-timeout 3600", {
    method: "conf",
    params: { bucketsLog2: 10, tcpTimeout: 3600 },
  }],
  [
    "conf offload off offload-sessions 1000",
    { method: "conf", params: { offload: false, offloadSessions: 1000 } },
  ],
  [
    "conf ip4-src-address 192.0.2.1 ip6-src-address none nat46-prefix 64:ff9b::/96",
    {
      method: "conf",
      params: { ip4SrcAddress: "192.0.2.1", ip6SrcAddress: null, nat46Prefix: "64:ff9b::/96" },
    },
  ],
  ["interface eth0", { method: "interface", params: { name: "eth0" } }],
  ["interface eth0 mode native", { method: "interface", params: { name: "eth0", mode: "native" } }],
  ["interface mode tc veth1", { method: "interface", params: { name: "veth1", mode: "tc" } }],
  ["interface eth0 del", { method: "interface", params: { name: "eth0", del: true } }],
  ["vip 10.0.0.1", { method: "vip", params: { prefix: "10.0.0.1" } }],
  [
    "vip 90.0.0.0/8 nat44 new_len 2048",
    { method: "vip", params: { prefix: "90.0.0.0/8", type: "nat44", newLen: 2048 } },
  ],
  [
    "vip 10.0.0.1 protocol tcp port 80 target_port 8080 node_port 30080 nat6 new_len 64 src_ip_sticky masquerade",
    {
      method: "vip",
      params: {
        prefix: "10.0.0.1",
        protocol: "tcp",
        port: 80,
        targetPort: 8080,
        nodePort: 30080,
        type: "nat6",
        newLen: 64,
        srcIpSticky: true,
        masquerade: true,
      },
    },
  ],
  [
    "vip src_ip_sticky 600 10.0.0.1 source 192.0.2.0/24 port 80 source 198.51.100.7",
    {
      method: "vip",
      params: {
        prefix: "10.0.0.1",
        port: 80,
        srcIpSticky: true,
        stickyTimeout: 600,
        sources: ["192.0.2.0/24", "198.51.100.7"],
      },
    },
  ],
  ["vip src_ip_sticky 10.0.0.1", { method: "vip", params: { prefix: "10.0.0.1", srcIpSticky: true } }],
  [
    "vip masquerade new_len 64 port 80 10.0.0.1 protocol sctp",
    {
      method: "vip",
      params: { masquerade: true, newLen: 64, port: 80, prefix: "10.0.0.1", protocol: "sctp" },
    },
  ],
  ["vip fd00::/64 del", { method: "vip", params: { prefix: "fd00::/64", del: true } }],
  ["vip x protocol any port any", { method: "vip", params: { prefix: "x", protocol: null, port: null } }],
  // What a value is worth is for the state to say.
  ["vip nonsense port 70000 new_len -1", {
    method: "vip",
    params: { prefix: "nonsense", port: 70000, newLen: -1 },
  }],
  ["pod 90.0.0.0/8 10.0.0.1", {
    method: "pod",
    params: { vip: { prefix: "90.0.0.0/8" }, addresses: ["10.0.0.1"] },
  }],
  [
    "pod 2002::/16 2001::2 2001::3 2001::4",
    { method: "pod", params: { vip: { prefix: "2002::/16" }, addresses: ["2001::2", "2001::3", "2001::4"] } },
  ],
  [
    "pod 10.0.0.1 protocol tcp port 80 10.1.0.1 weight 0 10.1.0.2",
    {
      method: "pod",
      params: {
        vip: { prefix: "10.0.0.1", protocol: "tcp", port: 80 },
        addresses: ["10.1.0.1", "10.1.0.2"],
        weight: 0,
      },
    },
  ],
  [
    "pod 10.0.0.1 port any 10.1.0.1 del flush",
    {
      method: "pod",
      params: { vip: { prefix: "10.0.0.1", port: null }, addresses: ["10.1.0.1"], del: true, flush: true },
    },
  ],
  ["set interface nat4 in eth0", { method: "setInterface", params: { feature: "nat4", name: "eth0" } }],
  ["set interface nat6 in eth0 del", {
    method: "setInterface",
    params: { feature: "nat6", name: "eth0", del: true },
  }],
  ["flush vip 10.0.0.1", { method: "flushVip", params: { prefix: "10.0.0.1" } }],
  [
    "flush vip 10.0.0.1 port 53 protocol udp",
    { method: "flushVip", params: { prefix: "10.0.0.1", port: 53, protocol: "udp" } },
  ],
  ["show ku", { method: "show", params: {} }],
  ["show vip", { method: "showVip", params: { verbose: false } }],
  ["show vips verbose", { method: "showVip", params: { verbose: true } }],
  ["show ku vip verbose", { method: "showVip", params: { verbose: true } }],
  ["show node counters", { method: "showNodeCounters", params: {} }],
  ["show ku node counters verbose", { method: "showNodeCounters", params: {} }],
  ["show sessions", { method: "showSessions", params: {} }],
  ["show interface", { method: "showInterface", params: {} }],
  ["clear node counters", { method: "clearNodeCounters", params: {} }],
];

for (const [line, command] of COMMANDS) {
  Deno.test(`"ku ${line}" is a ${command.method}`, () => assertEquals(parse(line), command));
}

Deno.test(`"ku show" alone is the overview`, () => {
  assertEquals(parseShow([], true), { query: { method: "show", params: {} }, verbose: false, json: true });
});

/** A line and why it does not fit. */
const MISUSED: readonly [string, RegExp][] = [
  ["conf", /a parameter is missing/],
  ["conf buckets", /"buckets" wants a value/],
  ["conf bukets 5", /unknown word "bukets": did you mean "buckets"\?/],
  ["conf tcp_timeout 5", /unknown word "tcp_timeout": did you mean "tcp-timeout"\?/],
  ["conf timeout 1 timeout 2", /"timeout" is given twice/],
  ["interface", /the interface is missing/],
  ["interface eth0 mode", /"mode" wants a value/],
  ["interface eth0 eth1", /unknown word "eth1"/],
  ["interface eth0 delete", /unknown word "delete"/],
  ["vip", /the prefix is missing/],
  ["vip del", /the prefix is missing/],
  ["vip 10.0.0.1 port", /"port" wants a value/],
  ["vip 10.0.0.1 prot tcp port 80", /unknown word "prot": did you mean "protocol"\?/],
  ["vip 10.0.0.1 new-len 5", /unknown word "new-len": did you mean "new_len"\?/],
  ["vip masqerade 10.0.0.1", /unknown word "masqerade": did you mean "masquerade"\?/],
  ["vip 10.0.0.1 10.0.0.2", /unknown word "10\.0\.0\.2"/],
  ["vip 10.0.0.1 colour blue", /unknown word "colour"/],
  ["vip 10.0.0.1 nat44 nat66", /"nat44" and "nat66" exclude each other/],
  ["vip 10.0.0.1 del del", /"del" is given twice/],
  ["pod", /the prefix of the VIP is missing/],
  ["pod 10.0.0.1", /the address of a pod is missing/],
  ["pod 10.0.0.1 weight 5", /the address of a pod is missing/],
  ["pod 10.0.0.1 10.1.0.1 wieght 5", /unknown word "wieght": did you mean "weight"\?/],
  ["pod 10.0.0.1 10.1.0.1 weight", /"weight" wants a value/],
  ["set", /"interface" is missing/],
  ["set interfaces nat4 in eth0", /unknown word "interfaces": did you mean "interface"\?/],
  ["set interface", /"nat4" or "nat6" is missing/],
  ["set interface nat5 in eth0", /unknown word "nat5": did you mean "nat4"\?/],
  ["set interface nat4", /"in" is missing/],
  ["set interface nat4 out eth0", /unknown word "out"/],
  ["set interface nat4 in", /the interface is missing/],
  ["set interface nat4 in eth0 dle", /unknown word "dle": did you mean "del"\?/],
  ["set interface nat4 in eth0 del now", /unknown word "now"/],
  ["flush", /"vip" is missing/],
  ["flush pod", /unknown word "pod"/],
  ["flush vip", /the prefix is missing/],
  ["flush vip 10.0.0.1 10.0.0.2", /unknown word "10\.0\.0\.2"/],
  ["show nonsense", /unknown word "nonsense"/],
  ["show sesions", /unknown word "sesions": did you mean "sessions"\?/],
  ["show vip loudly", /unknown word "loudly"/],
  ["show vip verbose verbose", /is given twice|unknown word "verbose"/],
  ["show node", /"counters" is missing/],
  ["show node count", /unknown word "count": did you mean "counters"\?/],
  ["show sessions verbose", /unknown word "verbose"/],
  ["clear", /"node" is missing/],
  ["clear node", /"counters" is missing/],
  ["clear node counters all", /unknown word "all"/],
];

for (const [line, reason] of MISUSED) {
  Deno.test(`"ku ${line}" prints its usage`, () => {
    const error = assertThrows(() => parse(line), UsageError);
    assertMatch(error.reason, reason);
    assertMatch(error.message, new RegExp(`^usage: ku ${line.split(" ")[0]}\\b[^\\n]* \\([^\\n]+\\)$`));
  });
}

const BAD_VALUES: readonly [string, string][] = [
  ["vip 10.0.0.1 protocol icmp", "protocol : icmp, use tcp, udp or sctp"],
  ["vip 10.0.0.1 port http", "port : http, give a whole number"],
  ["vip 10.0.0.1 port 0x50", "port : 0x50, give a whole number"],
  ["vip 10.0.0.1 port 080", "port : 080, give a whole number"],
  ["vip 10.0.0.1 port 80.0", "port : 80.0, give a whole number"],
  ["vip 10.0.0.1 new_len 99999999999999999999", "new_len : 99999999999999999999, give a whole number"],
  ["conf timeout 40s", "timeout : 40s, give a whole number"],
  ["interface eth0 mode fast", "mode : fast, use auto, native, tc or generic"],
];

for (const [line, message] of BAD_VALUES) {
  Deno.test(`"ku ${line}" is a wrong value, not wrong usage`, () => {
    assertEquals(assertThrows(() => parse(line), ConfigError).message, message);
  });
}

Deno.test("ku run: options of the contract", () => {
  Deno.env.delete("KU_SOCKET");
  assertEquals(parseRun([]), {
    socket: "/run/ku/ku.sock",
    interfaces: [],
    logLevel: "info",
    logFormat: "text",
  });
  assertEquals(
    parseRun(
      "--config ku.yaml --socket=/tmp/s --workers 2 --interface eth0 --interface=eth1 --metrics [::1]:9753 --log-level debug --log-format json"
        .split(" "),
    ),
    {
      config: "ku.yaml",
      socket: "/tmp/s",
      workers: 2,
      interfaces: ["eth0", "eth1"],
      metrics: "[::1]:9753",
      logLevel: "debug",
      logFormat: "json",
    },
  );
  assertEquals(parseRun(["--help"]), null);
  assertEquals(parseRun(["-h"]), null);
  Deno.env.set("KU_SOCKET", "/tmp/other");
  assertEquals(parseRun([])?.socket, "/tmp/other");
  Deno.env.delete("KU_SOCKET");
});

Deno.test("ku run: misuse is usage, wrong values are errors", () => {
  const misused = [
    "now",
    "--nonsense",
    "--confg x",
    "--workers",
    "--interface",
    "--config=",
    "-x",
    "--log-level",
  ];
  for (const line of misused) {
    assertMatch(assertThrows(() => parseRun(line.split(" ")), UsageError).message, /^usage: ku run /, line);
  }
  assertMatch(assertThrows(() => parseRun(["--confg", "x"]), UsageError).reason, /did you mean "--config"\?/);
  const wrong = [
    "--workers 0",
    "--workers 65",
    "--workers two",
    "--log-level loud",
    "--log-format xml",
    "--metrics 9753",
    "--interface a/b",
  ];
  for (const line of wrong) assertThrows(() => parseRun(line.split(" ")), ConfigError);
});

Deno.test("a line of exec may leave out ku and show, and has comments", async () => {
  for (const line of ["", "   ", "# vip", "  # x", "\t"]) assertEquals(await parseLine(line), null, line);
  const vip = { command: { method: "vip", params: { prefix: "10.0.0.1" } } };
  for (const line of ["vip 10.0.0.1", "ku vip 10.0.0.1", "  ku\tvip  10.0.0.1 # a # b", "vip 10.0.0.1 #"]) {
    assertEquals<unknown>(await parseLine(line), vip, line);
  }
  const show = (method: string, params: object, more = {}) => ({
    request: { query: { method, params }, verbose: false, json: false, ...more },
  });
  const verbose = show("showVip", { verbose: true }, { verbose: true });
  for (
    const line of [
      "show vip verbose",
      "ku show vip verbose",
      "show ku vip verbose",
      "vip verbose",
      "vips verbose",
    ]
  ) {
    assertEquals<unknown>(await parseLine(line), verbose, line);
  }
  for (const line of ["ku", "show", "ku show", "show ku"]) {
    assertEquals<unknown>(await parseLine(line), show("show", {}), line);
  }
  assertEquals<unknown>(await parseLine("sessions --json"), show("showSessions", {}, { json: true }));
  assertEquals<unknown>(await parseLine("node counters"), show("showNodeCounters", {}));
  assertEquals<unknown>(await parseLine("interface"), show("showInterface", {}));
  assertEquals<unknown>(await parseLine("vip"), show("showVip", { verbose: false }));
  assertEquals<unknown>(await parseLine("clear node counters"), show("clearNodeCounters", {}));
});

Deno.test("a line of exec that is no command, or not one for a line, is misuse", async () => {
  for (
    const line of [
      "run",
      "exec x",
      "help",
      "version",
      "frobnicate",
      "constructor",
      "vip 10.0.0.1 --json",
      "ku ku vip x",
    ]
  ) {
    await assertRejects(() => parseLine(line), UsageError, undefined, line);
  }
  const reason = async (line: string) => (await assertRejects(() => parseLine(line), UsageError)).reason;
  assertMatch(await reason("vpi 10.0.0.1"), /did you mean "vip"\?/);
  assertMatch(await reason("explian 10.0.0.1:1 10.0.0.2:2"), /did you mean "explain"\?/);
  assertMatch(await reason("capture -w x"), /"capture" runs by itself, not in exec: use ku capture/);
  assertMatch(await reason("show vip --watch"), /"show --watch" runs by itself/);
  assertMatch(await reason("apply -f -"), /"-f -" does not fit a line/);
  assertMatch(await reason("get --socket /x"), /--socket does not fit a line/);
  // The grammar of each command is its own.
  for (
    const line of ["explain 10.0.0.1:1", "trace remove 3", "sessions --pdo x", "get -o xml", "diff", "apply"]
  ) {
    await assertRejects(() => parseLine(line), UsageError, undefined, line);
  }
});

Deno.test("a line of exec may ask and change what exceeds one line of the configuration", async () => {
  for (
    const line of [
      "explain 10.1.1.2:40000 10.96.0.10:80 tcp --json",
      "ku trace add 10",
      "sessions --vip 10.96.0.10 --json",
      "get -o json",
    ]
  ) {
    assertEquals(Object.keys(await parseLine(line) ?? {}), ["task"], line);
  }
  assertEquals(Object.keys(await parseLine("trace") ?? {}), ["request"]);
  assertEquals(Object.keys(await parseLine("offload --json") ?? {}), ["request"]);
});

Deno.test("the lines of examples/services.ku are commands", async () => {
  const text = Deno.readTextFileSync(new URL("../../../examples/services.ku", import.meta.url));
  const lines = await Promise.all(text.split("\n").map((line) => parseLine(line)));
  assertEquals(lines.filter((line) => line !== null).length, 8);
});
