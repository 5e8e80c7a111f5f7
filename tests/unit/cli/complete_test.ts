/** What Tab offers: words by the table, names by the daemon. */

import { assertEquals } from "@std/assert";
import { COMMANDS } from "../../../cli/commands.ts";
import { nextWords } from "../../../cli/complete.ts";
import { completeLine } from "../../../cli/complete_live.ts";
import { completeText, wordsOfLine } from "../../../cli/shell.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { VIPS } from "./samples.ts";

/** A line up to the cursor, the words offered, and the kind of name. */
const LINES: readonly [string, string[], string | null][] = [
  ["set ", ["interface"], null],
  ["set interface ", ["nat4", "nat6"], null],
  ["set interface nat6 ", ["in"], null],
  ["set interface nat6 in ", ["del"], "interface"],
  ["set interface nat6 in eth0 ", ["del"], null],
  ["set pod ", ["--socket", "--help"], null],
  ["interface eth0 mode ", ["auto", "native", "tc", "generic"], null],
  ["interface ", ["mode", "del"], "interface"],
  ["vip 10.0.0.1 protocol ", ["tcp", "udp", "sctp", "any"], null],
  ["flush vip 10.0.0.1 port ", [], "port"],
  ["flush vip 10.0.0.1 protocol udp ", ["port"], null],
  ["pod 10.0.0.1 10.1.0.1 ", ["protocol", "port", "weight", "del", "flush"], "pod"],
  ["pod 10.0.0.1 weight 5 10.1.0.1 del ", ["protocol", "port", "flush"], "pod"],
  ["show ", ["vip", "node", "sessions", "interface", "offload", "trace"], null],
  ["show vip ", ["verbose"], null],
  ["show vip verbose ", ["--json", "--watch", "--socket", "--help"], null],
  [
    "show -",
    ["vip", "node", "sessions", "interface", "offload", "trace", "--json", "--watch", "--socket", "--help"],
    null,
  ],
  ["show --json ", ["vip", "node", "sessions", "interface", "offload", "trace"], null],
  ["show --socket ", [], "file"],
  ["run --log-level ", ["error", "warn", "info", "debug"], null],
  ["run --interface ", [], "interface"],
  ["run --interface a --interface ", [], "interface"],
  ["exec ", [], "file"],
  ["completion ", ["bash", "zsh", "fish"], null],
];

for (const [line, words, kind] of LINES) {
  Deno.test(`nextWords() after "ku ${line}"`, async () => {
    const [command, ...rest] = line.split(" ");
    const { description } = await COMMANDS.get(command)!();
    const current = rest.pop()!;
    const { candidates, completes } = nextWords(description, rest, current);
    assertEquals([candidates.map(({ text }) => text), completes], [words, kind]);
  });
}

async function offered(line: string): Promise<string[] | null> {
  return (await completeLine(line.split(" "), COMMANDS))?.map(({ text }) => text) ?? null;
}

Deno.test("completeLine() knows the commands, and the daemon's VIPs, ports and pods", async () => {
  await using daemon = await FakeDaemon.start({ showVip: () => VIPS });
  const at = `--socket ${daemon.socket}`;
  assertEquals(await offered("v"), ["vip", "version"]);
  assertEquals(await offered("frobnicate "), []);
  assertEquals(await offered("exec "), null);
  assertEquals(await offered("exec --a"), ["--atomic"]);
  assertEquals(await offered(`flush ${at} vip `), ["10.96.0.1/32", "2003::/16", "protocol", "port"]);
  assertEquals(await offered(`flush ${at} vip 2`), ["2003::/16"]);
  assertEquals(await offered(`flush ${at} vip 10.96.0.1 port `), ["80"]);
  assertEquals(await offered(`pod ${at} 10.96.0.1 10.244.1`), ["10.244.1.2", "10.244.1.30"]);
  assertEquals(await offered(`pod ${at} 10.96.0.1 10.244.1.2 10.244.1`), ["10.244.1.30"]);
  assertEquals(await offered(`pod --socket=${daemon.socket} 2003::/16 `), [
    "protocol",
    "port",
    "weight",
    "del",
    "flush",
  ]);
  assertEquals(await offered("help v"), ["vip", "version"]);
  assertEquals(await offered("show ku vip v"), ["verbose"]);
});

Deno.test("completeLine() does without a daemon that is not there", async () => {
  assertEquals(await offered("flush --socket /nowhere/ku.sock vip "), ["protocol", "port"]);
});

Deno.test("the shell completes the line's last word and takes lines with or without ku", async () => {
  assertEquals(await completeText("ku sh", COMMANDS), [["show "], "sh"]);
  assertEquals(await completeText("show ku vip v", COMMANDS), [["verbose "], "v"]);
  assertEquals(await completeText("  set ", COMMANDS), [["interface "], ""]);
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/one`);
  await Deno.writeTextFile(`${folder}/two`, "");
  assertEquals((await completeText(`exec ${folder}/`, COMMANDS))[0].toSorted(), [
    `${folder}/one/`,
    `${folder}/two`,
  ]);
  assertEquals((await completeText(`exec ${folder}/o`, COMMANDS))[0], [`${folder}/one/`]);
  await Deno.remove(folder, { recursive: true });
  assertEquals(wordsOfLine("ku show  vip # all"), ["show", "vip"]);
  assertEquals(wordsOfLine("# ku show"), []);
});
