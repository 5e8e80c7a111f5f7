/**
 * ku as scripts see it: main.ts in a process of its own against a socket, exit codes, both outputs. The daemon behind
 * the socket has the real state and canned shows.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../../cli/commands.ts";
import { formatKu, formatVipsVerbose } from "../../../cli/format.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { INTERFACES, KU, NODE_COUNTERS, SESSIONS, VERSIONS, VIPS } from "./samples.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

interface Result {
  code: number;
  out: string;
  err: string;
  elapsedMs: number;
}

/** Runs ku with these words. */
async function ku(words: readonly string[], socket: string, stdin?: string): Promise<Result> {
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, ...words],
    env: { KU_SOCKET: socket, NO_COLOR: "1" },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    // ku may have left already, for wrong usage for one.
    await writer.write(new TextEncoder().encode(stdin)).then(() => writer.close()).catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return {
    code,
    out: decoder.decode(stdout),
    err: decoder.decode(stderr),
    elapsedMs: performance.now() - started,
  };
}

/** A failure is one line on stderr and nothing on stdout. */
function assertFails(result: Result, code: number, line: RegExp): void {
  assertEquals([result.code, result.out], [code, ""], result.err);
  assertMatch(result.err, line);
  assertMatch(result.err, code === 2 ? /^usage: ku [^\n]+\n$/ : /^ku: [^\n]+ : [^\n]+, [^\n]+\n$/);
}

/** Several processes at a time: as many as the machine has use for. */
async function ku2(lines: readonly string[], socket: string): Promise<Result[]> {
  const results: Result[] = [];
  for (let index = 0; index < lines.length; index += 2) {
    results.push(
      ...await Promise.all(lines.slice(index, index + 2).map((line) => ku(line.split(" "), socket))),
    );
  }
  return results;
}

Deno.test("success prints nothing and exits 0", async () => {
  await using daemon = await FakeDaemon.start();
  const lines = [
    "conf buckets 2048 timeout 60",
    "interface eth0 mode native",
    "set interface nat4 in veth1",
    "vip 90.0.0.0/8 nat44 new_len 2048",
    "pod 90.0.0.0/8 10.0.0.1 weight 5",
    "flush vip 90.0.0.0/8",
    "clear node counters",
  ];
  for (const line of lines) {
    const { code, out, err } = await ku(line.split(" "), daemon.socket);
    assertEquals({ line, code, out, err }, { line, code: 0, out: "", err: "" });
  }
  assertEquals([daemon.state.conf.buckets, daemon.state.conf.timeout], [2048, 60]);
  assertEquals([...daemon.state.interfaces.keys()], ["eth0", "veth1"]);
  assertEquals(daemon.state.vips.get("90.0.0.0/8")?.pods.get("10.0.0.1")?.weight, 5);
  assertEquals(daemon.calls, [
    "conf",
    "interface",
    "setInterface",
    "vip",
    "pod",
    "flushVip",
    "clearNodeCounters",
  ]);
});

Deno.test("an error is one line and exit 1, misuse is the usage line and exit 2", async () => {
  await using daemon = await FakeDaemon.start();
  const errors: [string, RegExp][] = [
    ["vip 10.0.0.1/33", /^ku: prefix : 10\.0\.0\.1\/33, /],
    ["vip 10.0.0.1 port 70000", /^ku: port : 70000, give a number from 1 to 65535$/m],
    ["vip 10.0.0.1 protocol icmp", /^ku: protocol : icmp, /],
    ["vip 10.0.0.1 del", /is not there/],
    ["interface nowhere0", /is unknown on this node/],
    ["exec /nowhere/file", /^ku: file : \/nowhere\/file, cannot be read/],
    ["run --workers 0", /^ku: workers : 0, /],
  ];
  const misuse: [string, RegExp][] = [
    ["vip", /^usage: ku vip </],
    ["vip 10.0.0.1 prot tcp", /did you mean "protocol"/],
    ["vip 10.0.0.1 --jason", /unknown option "--jason"/],
    ["show vip --jsn", /did you mean "--json"/],
    ["show --socket", /--socket wants a path/],
    ["frobnicate", /"frobnicate"/],
    ["viip", /did you mean "vip"/],
    ["--nonsense", /"--nonsense"/],
    ["run --nonsense", /^usage: ku run /],
    ["exec", /^usage: ku exec /],
    ["exec a b", /"b"/],
    ["help frobnicate", /"frobnicate"/],
    ["version now", /^usage: ku version/],
  ];
  const table = [
    ...errors.map(([line, message]) => ({ line, message, code: 1 })),
    ...misuse.map(([line, message]) => ({ line, message, code: 2 })),
  ];
  const results = await ku2(table.map(({ line }) => line), daemon.socket);
  for (const [index, { message, code }] of table.entries()) assertFails(results[index], code, message);
  assertFails(await ku([], daemon.socket), 2, /^usage: ku </);
  assertEquals(daemon.state.revision, 0);
});

Deno.test("every show prints its text, and with --json what the daemon sent", async () => {
  await using daemon = await FakeDaemon.start();
  const json: [string, unknown][] = [
    ["show --json", KU],
    ["show ku --json", KU],
    ["show vip verbose --json", VIPS],
    ["--json", null],
    ["show node counters --json", NODE_COUNTERS],
    ["show sessions --json", SESSIONS],
    ["show --json interface", INTERFACES],
  ];
  const asked = json.filter(([, expected]) => expected !== null);
  const results = await ku2(asked.map(([line]) => line), daemon.socket);
  for (const [index, [line, expected]] of asked.entries()) {
    assertEquals([line, results[index].code, results[index].err], [line, 0, ""]);
    assertEquals(JSON.parse(results[index].out), expected);
  }
  assertEquals((await ku(["show"], daemon.socket)).out, formatKu(KU));
  assertEquals((await ku(["show", "ku", "vip", "verbose"], daemon.socket)).out, formatVipsVerbose(VIPS));
});

Deno.test("without a daemon a command says how to start one; help and version work", async () => {
  const socket = "/nowhere/ku.sock";
  for (const line of ["show", "vip 10.0.0.1"]) {
    assertFails(
      await ku(line.split(" "), socket),
      1,
      /^ku: daemon : \/nowhere\/ku\.sock, is not running: start it with "ku run"/,
    );
  }
  assertFails(await ku(["show", "--socket", "/nowhere/else"], socket), 1, /\/nowhere\/else/);
  assertMatch((await ku(["version"], socket)).out, /^ku \d+\.\d+\.\d+\ndeno \d+\.\d+\.\d+\nv8 .*\n$/);
  const overview = (await ku(["help"], socket)).out;
  const commands = [...overview.matchAll(/^ {2}ku (\w+) /gm)].map(([, name]) => name);
  assertEquals(commands, [...COMMANDS.keys()]);
  const helps = await ku2(commands.map((name) => `${name} --help`), socket);
  for (const [index, name] of commands.entries()) {
    assertEquals([name, helps[index].code, helps[index].err], [name, 0, ""]);
    if (name !== "help") assertMatch(helps[index].out, new RegExp(`^usage: ku ${name}\\b`));
  }
  assertEquals((await ku(["help", "vip"], socket)).out, (await ku(["vip", "-h"], socket)).out);
});

Deno.test("version asks the daemon for the libraries", async () => {
  await using daemon = await FakeDaemon.start();
  const versions = JSON.parse((await ku(["version", "--json"], daemon.socket)).out);
  assertEquals([versions.ku, versions.daemon], [VERSIONS.ku, VERSIONS]);
});

Deno.test("exec carries lines out in order and stops at the first that fails; what was before it stays", async () => {
  await using daemon = await FakeDaemon.start();
  const file = `${daemon.directory}/lines`;
  const text = [
    "# services",
    "",
    "ku vip 10.0.0.1 protocol tcp port 80   # web",
    "vip 10.0.0.2",
    "show vip",
    "pod 10.0.0.2 10.1.0.1",
    "vip 10.0.0.3 new_len 1000",
    "vip 10.0.0.4",
  ].join("\r\n");
  await Deno.writeTextFile(file, text);
  const { code, out, err } = await ku(["exec", file], daemon.socket);
  assertEquals([code, err], [
    1,
    `ku: ${file} line 7 new_len : 1000, give a power of two from 2 to 1048576, 512 or 1024 for example\n`,
  ]);
  assertEquals(out.match(/10\.0\.0\.\d\/32.*#pod:\d/g), [
    "10.0.0.1/32 protocol:tcp port:80 target_port:80 new_size:1024 #pod:0",
    "10.0.0.2/32 new_size:1024 #pod:0",
  ]);
  assertEquals([...daemon.state.vips.keys()], ["10.0.0.1/32 tcp 80", "10.0.0.2/32"]);
  assertEquals(daemon.state.vips.get("10.0.0.2/32")?.pods.size, 1);
  assertEquals(daemon.calls, ["batch", "showVip", "batch"], "commands that stand together travel together");
});

Deno.test("exec: misuse in a line exits 2 and names the line; the lines before it stay", async () => {
  await using daemon = await FakeDaemon.start();
  const result = await ku(["exec", "-"], daemon.socket, "vip 10.0.0.1\nvip 10.0.0.2 prot tcp\nvip 10.0.0.3");
  assertFails(
    result,
    2,
    /^usage: ku vip .*\(stdin line 2: unknown word "prot": did you mean "protocol"\?\)$/m,
  );
  assertEquals([...daemon.state.vips.keys()], ["10.0.0.1/32"]);
});

Deno.test("exec --atomic is all or nothing, and shows come after the change", async () => {
  await using daemon = await FakeDaemon.start();
  const bad = "vip 10.0.0.1\nshow vip\n\nvip 10.0.0.2 port 0\nvip 10.0.0.3\n";
  assertFails(await ku(["exec", "--atomic", "-"], daemon.socket, bad), 1, /^ku: stdin line 4 port : 0, /);
  const misuse = "vip 10.0.0.1\npod\n";
  assertFails(
    await ku(["exec", "-", "--atomic"], daemon.socket, misuse),
    2,
    /stdin line 2: the prefix of the VIP is missing/,
  );
  assertEquals([daemon.state.vips.size, daemon.calls], [0, ["batch"]]);
  const good = await ku(["exec", "--atomic", "-"], daemon.socket, "vip 10.0.0.1\nvip\npod 10.0.0.1 10.1.0.1");
  assertEquals([good.code, good.err], [0, ""]);
  assertStringIncludes(good.out, "#pod:1");
  assertEquals(daemon.state.revision, 2);
});

Deno.test("exec carries out what a pipe has brought so far", async () => {
  await using daemon = await FakeDaemon.start();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, "exec", "-"],
    env: { KU_SOCKET: daemon.socket, NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const send = (text: string) => writer.write(new TextEncoder().encode(text));
  await send("vip 10.0.0.1\nshow vip\n");
  assertStringIncludes((await reader.read()).value ?? "", "10.0.0.1/32");
  await send("vip 10.0.0.1 d");
  await send("el\nvip 10.0.0.2\nvip\n");
  assertStringIncludes((await reader.read()).value ?? "", "[0] 10.0.0.2/32");
  await writer.close();
  await reader.cancel();
  assertEquals((await child.status).code, 0);
});

Deno.test("exec sends ten thousand services in a few requests", async () => {
  await using daemon = await FakeDaemon.start();
  const lines = Array.from(
    { length: 10_000 },
    (_, index) =>
      `vip 10.${index >> 8}.${index & 255}.1 protocol tcp port 80\npod 10.${index >> 8}.${
        index & 255
      }.1 10.1.0.1`,
  );
  const result = await ku(["exec", "-"], daemon.socket, lines.join("\n"));
  assertEquals([result.code, result.err, daemon.state.vips.size], [0, "", 10_000]);
  assert(daemon.calls.length < 200, `${daemon.calls.length} requests`);
});

Deno.test("a failing daemon is one line, too", async () => {
  const crash = () => {
    throw new TypeError("cannot read\nproperties");
  };
  await using daemon = await FakeDaemon.start({ show: crash });
  assertFails(await ku(["show"], daemon.socket), 1, /^ku: daemon : cannot read properties, look at the log/);
});

Deno.test("sessions are printed page by page, as a table or as lines of JSON", async () => {
  const queries: unknown[] = [];
  await using daemon = await FakeDaemon.start({
    listSessions: (params) => {
      queries.push(params);
      const { cursor } = params as { cursor?: number };
      if (cursor === undefined) return { sessions: [SESSIONS[0]], next: 5 };
      return cursor === 5 ? { sessions: [], next: 9 } : { sessions: [SESSIONS[1]], next: null };
    },
  });
  const json = await ku(["sessions", "--vip", "10.96.0.1", "--state=established", "--json"], daemon.socket);
  assertEquals(json.out, SESSIONS.map((session) => JSON.stringify(session) + "\n").join(""));
  const filters = { vip: "10.96.0.1", state: "established" };
  assertEquals(queries, [filters, { ...filters, cursor: 5 }, { ...filters, cursor: 9 }]);
  const text = (await ku(["sessions"], daemon.socket)).out.split("\n");
  assertMatch(text[0], /^Worker {2}Protocol {2}Client/);
  assertEquals([text.length, text[1].includes("192.0.2.7:40123"), text[2].includes("[2001:db8::7]:5353")], [
    4,
    true,
    true,
  ]);
});

Deno.test("show --watch asks again and again; with --json a line each", async () => {
  await using daemon = await FakeDaemon.start();
  for (
    const [words, pieces] of [[["--json"], /^(\{.*\}\n){2}/], [
      [],
      /^ku 0\.1\.0 [^]*\n\nku 0\.1\.0 /,
    ]] as const
  ) {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, "show", "--watch", ...words],
      env: { KU_SOCKET: daemon.socket },
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let out = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      out += text;
      if (pieces.test(out)) break;
    }
    child.kill("SIGTERM");
    await child.status;
    assertMatch(out, pieces);
  }
});

Deno.test("a reader that leaves early ends the command quietly", async () => {
  const many = Array.from({ length: 20_000 }, () => SESSIONS[0]);
  await using daemon = await FakeDaemon.start({ showSessions: () => many });
  const script = `"$0" run -A --no-check "$1" show sessions | head -1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script, Deno.execPath(), MAIN],
    env: { KU_SOCKET: daemon.socket, NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals(decoder.decode(stderr), "");
  assertMatch(decoder.decode(stdout), /^Worker .*\n0\n$/);
});

Deno.test("a command loads little: it starts as fast as an empty program, give or take", async () => {
  await using daemon = await FakeDaemon.start();
  const empty = `${daemon.directory}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  // The least of many is what it costs on a quiet machine: as many rounds as a busy one needs.
  let bare = Infinity;
  let full = Infinity;
  for (let round = 0; round < 40 && !(round >= 3 && full - bare < 80); round++) {
    const started = performance.now();
    await new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", empty] }).output();
    bare = Math.min(bare, performance.now() - started);
    full = Math.min(full, (await ku(["vip", `10.0.0.${round + 1}`], daemon.socket)).elapsedMs);
  }
  // The compiled executable's 100 ms are measured end to end; here it is about what the modules add.
  assert(full - bare < 80, `${full} ms against ${bare} ms of an empty program`);
});
