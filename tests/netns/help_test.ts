/**
 * Help as people meet it: the man page under the formatters' own checks, completion in real shells at a terminal with a daemon that has
 * VIPs, and ku's own shell.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods        no traffic here
 */

import { assertEquals, assertFalse, assertNotMatch, assertStringIncludes } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon, KU } from "./harness/daemon.ts";
import { run, runOk } from "./harness/process.ts";
import { type Dialog, talk } from "./harness/terminal.ts";
import { serving } from "./harness/service.ts";

await requireGround();

Deno.test("the man page pleases mandoc, groff and man", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const page = `${ground.directory}/ku.8`;
  await Deno.writeTextFile(page, await runOk([KU, "help", "--man"]));
  const checks = [
    ["mandoc", "-T", "lint", "-W", "style", page],
    ["groff", "-mdoc", "-ww", "-z", "-T", "utf8", page],
    ["man", "--warnings=all", "-l", page],
  ];
  for (const check of checks) {
    const { code, stderr, text } = await run(check, {
      env: { MANPAGER: "cat", MANWIDTH: "80", LC_ALL: "C.UTF-8" },
    });
    assertEquals({ check, code, stderr }, { check, code: 0, stderr: "" });
    if (check[0] === "man") {
      for (const word of ["SYNOPSIS", "src_ip_sticky"]) assertStringIncludes(text, word);
    }
    if (check[0] === "mandoc") assertEquals(text, "");
  }
});

Deno.test("the completion script pleases shellcheck", async () => {
  const script = await runOk([KU, "completion", "bash"]);
  const { code, text, stderr } = await run(["shellcheck", "-s", "bash", "-"], { stdin: script });
  assertEquals([code, text, stderr], [0, "", ""]);
});

Deno.test("at a terminal", async (t) => {
  await using ground = await Ground.create();
  await using daemon = await Daemon.start(ground, { config: serving(ground, "tc") });
  await daemon.apply("vip fd00:96::10/128 protocol udp port 53");
  const env = {
    KU_SOCKET: daemon.socket,
    HOME: ground.directory,
    XDG_STATE_HOME: `${ground.directory}/state`,
    XDG_CONFIG_HOME: `${ground.directory}/config`,
    PATH: `${KU.slice(0, KU.lastIndexOf("/"))}:${Deno.env.get("PATH")}`,
  };
  // After a Tab the rest of the word appears; what is typed waits for what was shown.
  const words: Dialog = [
    ["", "ku flush vip f"],
    ["vip f", "\t"],
    ["d00:96::10/128", " prot"],
    ["prot", "\t"],
    ["ocol", " ud"],
    ["ud", "\t"],
    ["p", " po"],
    ["po", "\t"],
    ["rt", " \t"],
    ["53", "\r"],
  ];
  await t.step("bash completes a VIP with colons, words, a port", async () => {
    const start: Dialog = [["# ", "source <(ku completion bash); PS1='re''ady>'\r"], ["ready>", ""]];
    await flushes(
      daemon,
      await talk(["bash", "--norc", "-i"], [...start, ...words, ["ready>", "exit\r"]], { env }),
    );
  });
  await t.step("zsh does", async () => {
    const start: Dialog = [
      ["# ", "autoload -U compinit; compinit -D; source <(ku completion zsh); PS1='re''ady>'\r"],
      ["ready>", ""],
    ];
    await flushes(
      daemon,
      await talk(["zsh", "-f", "-i"], [...start, ...words, ["ready>", "exit\r"]], { env }),
    );
  });
  await t.step("fish offers them", async () => {
    const offered = async (line: string) => {
      const script = `ku completion fish | source; complete -C "${line}"`;
      return (await runOk(["fish", "--no-config", "-c", script], { env })).trimEnd().split("\n");
    };
    assertEquals(await offered("ku flush vip fd"), ["fd00:96::10/128\tudp 53, 0 pods"]);
    assertEquals(await offered("ku fl"), ["flush\tdrop the sessions of a VIP"]);
  });
  await t.step("ku alone is a shell: completion, Ctrl-C, errors, history", async () => {
    const first = await talk([KU], [
      ["# ", "flush vip f"],
      ["vip f", "\t"],
      ["d00:96::10/128 ", "\r"],
      ["# ", "vip 10.0.0.1/33\r"],
      ["ku: prefix : 10.0.0.1/33", ""],
      ["# ", "half a line"],
      ["line", "\x03"],
      ["# ", "show vip\r"],
      ["10.96.0.10/32", ""],
      ["# ", "\x04"],
    ], { env });
    assertEquals(first.code, 0);
    const again = await talk([KU], [["# ", "\x1b[A"], ["show vip", "\r"], ["10.96.0.10/32", ""], [
      "# ",
      "exit\r",
    ]], {
      env,
    });
    assertEquals(again.code, 0);
    const history = await Deno.readTextFile(`${env.XDG_STATE_HOME}/ku/history`);
    assertEquals(history.split("\n").slice(0, 3), [
      "flush vip fd00:96::10/128 ",
      "vip 10.0.0.1/33",
      "show vip",
    ]);
  });
  await t.step("styles only at a terminal, and not under NO_COLOR", async () => {
    assertStringIncludes((await talk([KU, "help"], [], { env })).text, "\x1b[1m");
    assertFalse((await talk([KU, "help"], [], { env: { ...env, NO_COLOR: "1" } })).text.includes("\x1b"));
    assertFalse((await talk([KU, "help"], [], { env: { ...env, TERM: "dumb" } })).text.includes("\x1b"));
    assertFalse((await runOk([KU, "help"], { env })).includes("\x1b"));
  });
  await daemon.stop();
});

/** The completed line was carried out: nothing refused, and the shell ended well. */
async function flushes(daemon: Daemon, { code, text }: { code: number; text: string }): Promise<void> {
  assertEquals(code, 0, text);
  assertNotMatch(text, /ku: |usage: /);
  assertEquals(daemon.process.running, true);
  await daemon.summary();
}
