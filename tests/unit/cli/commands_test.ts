/** The table of commands: what is made of it (usage, help, man page, reference) is whole, true and of the contract. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { takeOptions } from "../../../cli/client.ts";
import { COMMANDS } from "../../../cli/commands.ts";
import { helpText, overviewText } from "../../../cli/help_text.ts";
import { manualPage } from "../../../cli/manual.ts";
import { commandReference } from "../../../cli/reference.ts";
import { type Argument, type Description, descriptionsOf, usageOf, wordsOf } from "../../../cli/spec.ts";
import { styled } from "../../../cli/style.ts";

const ROOT = new URL("../../../", import.meta.url);
const ALL = await descriptionsOf(COMMANDS);

/** The contract's lines; a shape may have grown options since, at its end. */
const CONTRACT = [
  "ku run [--config FILE] [--state-dir DIR] [--socket PATH] [--workers N] [--interface IF]... [--metrics ADDR:PORT] [--log-level L] [--log-format text|json] [--upgrade]",
  "ku conf [buckets <n>] [buckets-log2 <n>] [timeout <s>] [tcp-timeout <s>] [ip4-src-address <a>] [ip6-src-address <a>] [nat46-prefix <p>] [offload on|off] [offload-sessions <n>]",
  "ku interface <intfc> [mode auto|native|tc|generic] [del]",
  "ku vip <prefix> [protocol tcp|udp|sctp] [port <n>] [target_port <n>] [node_port <n>] [nat4|nat6|nat44|nat46|nat64|nat66] [new_len <n>] [src_ip_sticky [<s>]] [masquerade] [source <prefix>]... [del]",
  "ku pod <vip-prefix> [protocol tcp|udp|sctp] [port <n>] <address>... [weight <0-100>] [del] [flush]",
  "ku set interface nat4|nat6 in <intfc> [del]",
  "ku flush vip <prefix> [protocol tcp|udp|sctp] [port <n>]",
  "ku clear node counters | trace",
  "ku exec [--atomic] FILE|-",
];

Deno.test("usageOf() says what the contract says", () => {
  const usages = ALL.map(usageOf);
  for (const line of CONTRACT) assert(usages.includes(line), `${line}\nnot in\n${usages.join("\n")}`);
});

Deno.test("the README has every command's usage, and no other", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  const block = readme.split("## Commands")[1].split("```")[1].trim().split("\n");
  assertEquals(block, ALL.map(usageOf));
});

Deno.test("docs/commands.md is what `deno task docs` makes", async () => {
  assertEquals(await Deno.readTextFile(new URL("docs/commands.md", ROOT)), commandReference(ALL));
});

for (const description of ALL) {
  const { command, forms, options = [], examples, summary, about } = description;

  Deno.test(`ku ${command}: the table's key, texts in the form of texts`, () => {
    assert(COMMANDS.has(command));
    assert(!summary.endsWith("."), summary);
    for (const text of [...about, ...argumentsOf(description).flatMap(textsOf)]) {
      assert(/[.!]$/.test(text), text);
    }
    assert(examples.length > 0, "examples");
    for (const option of options) assert(option.words!.every((word) => word.startsWith("-")));
    for (const form of forms) for (const word of form.lead.flat()) assert(!word.startsWith("-"));
  });

  Deno.test(`ku ${command}: the help fits a terminal and has every word`, () => {
    const text = helpText(description);
    assert(!text.includes("\x1b"));
    for (const line of text.split("\n")) {
      assert(line.length <= 80 || examples.some((example) => line.includes(example.line)), line);
    }
    for (const word of [...wordsOf(description), ...options.flatMap((option) => option.words!)]) {
      assertStringIncludes(text, word);
    }
  });

  Deno.test(`ku ${command}: its examples are understood`, async () => {
    const module = await COMMANDS.get(command)!();
    const parse = "parse" in module && typeof module.parse === "function" ? module.parse : null;
    for (const { line } of examples) {
      const own = line.match(new RegExp(`\\bku ${command}\\b([^|>&)]*)`))?.[1];
      assert(own !== undefined || command === "exec" || command === "run", `${line} shows ku ${command}`);
      const { words, flags, values } = takeOptions((own ?? "").split(" ").filter(Boolean), description);
      const args = command === "run" ? (own ?? "").split(" ").filter(Boolean) : words;
      if (parse !== null) parse(args, flags.has("json"), values);
    }
  });
}

function argumentsOf({ forms, options = [] }: Description): Argument[] {
  return [...forms.flatMap((form) => form.args), ...options];
}

function textsOf({ help, details = {} }: Argument): string[] {
  return [help, ...Object.values(details)].filter((text) => text !== "");
}

Deno.test("the overview has a line for each command", () => {
  for (const { command, summary } of ALL) {
    assert(
      overviewText(ALL).split("\n").some((line) =>
        line.startsWith(`  ku ${command} `) && line.endsWith(summary)
      ),
    );
  }
});

Deno.test("the man page has a section for each command; no line begins with a text's own period", () => {
  const page = manualPage(ALL);
  for (const { command } of ALL) assertStringIncludes(page, `\n.Ss ku ${command}\n`);
  for (const line of page.split("\n")) assert(!/^(\.(?![A-Z])|')/.test(line), line);
});

Deno.test("styled() leaves text alone when off", () => {
  assertEquals([styled("x", "bold", false), styled("x", "bold", true), styled("", "red", true)], [
    "x",
    "\x1b[1mx\x1b[22m",
    "",
  ]);
});
