/**
 * The house kept tidy, as a test: the rules of tests/tidy/rules.ts hold for every file of the repository, and each
 * of them is seen to fail on a small sample that breaks it.
 */

import { assertEquals } from "@std/assert";
import {
  anyTypes,
  circularImports,
  leftovers,
  longFiles,
  missingHeads,
  privatePlaces,
  unusedModules,
  wrongDirections,
} from "./tidy/rules.ts";
import { codeOnly, importsOf, type SourceFile, textFiles } from "./tidy/source.ts";

const FILES = textFiles(import.meta.dirname!.replace(/\/tests$/, ""));

/** The rule holds for the repository, finds `expected` in `bad`, and nothing in `good`. */
function rule(
  name: string,
  check: (files: SourceFile[]) => string[],
  samples: { bad: Record<string, string>; expected: string[]; good: Record<string, string> },
): void {
  Deno.test(`tidy: ${name}`, () => assertEquals(check(FILES), []));
  Deno.test(`tidy: the rule "${name}" can fail`, () => {
    assertEquals(check(sample(samples.bad)), samples.expected);
    assertEquals(check(sample(samples.good)), []);
  });
}

function sample(files: Record<string, string>): SourceFile[] {
  return Object.entries(files).map(([path, text]) => ({ path, text }));
}

rule("imports follow the arrows of the design", wrongDirections, {
  bad: {
    "mod/wire/udp.ts": 'import { TABLE } from "../table/session.ts";\n',
    "mod/datapath/nat.ts": 'import type { Libc } from "../../ffi/libc.ts";\n',
    "mod/worker/loop.ts": 'import { a } from "../../tests/a.ts";\n',
    "cli/run.ts": 'import {\n  a,\n  b,\n} from "npm:left-pad@1";\n',
    "tests/a_test.ts": 'import { cpus } from "node:os";\n',
    "ffi/libc.ts": 'export * from "../mod/xdp/ring.ts";\n',
    "mod/new/thing.ts": "export {};\n",
    "mod/control/a.ts": 'import { Ajv } from "ajv";\n',
  },
  expected: [
    "mod/wire/udp.ts: mod/wire must not import mod/table/session.ts",
    "mod/datapath/nat.ts: mod/datapath must not import ffi/libc.ts",
    "mod/worker/loop.ts: mod/worker must not import tests/a.ts",
    "cli/run.ts: cli must not import npm:left-pad@1",
    "tests/a_test.ts: tests must not import node:os",
    "ffi/libc.ts: ffi must not import mod/xdp/ring.ts",
    "mod/new/thing.ts: belongs to no known part",
    "mod/control/a.ts: mod/control must not import ajv",
  ],
  good: {
    "main.ts": 'import { main } from "./cli/main.ts";\n',
    "cli/run.ts": 'import { parse } from "js-yaml";\n',
    "mod/xdp/ring.ts": 'import { view } from "../../ffi/memory.ts";\n',
    "tests/unit/a_test.ts": 'import { view } from "../../ffi/memory.ts";\n',
    "mod/wire/ip.ts": '/**\n * import { a } from "../../ffi/memory.ts";\n */\n',
  },
});

rule("no source is longer than 400 lines", longFiles, {
  bad: { "mod/a.ts": "\n".repeat(401), "ffi/bpf/a.c": "\n".repeat(500) },
  expected: ["mod/a.ts: 401 lines, at most 400", "ffi/bpf/a.c: 500 lines, at most 400"],
  good: { "mod/a.ts": "\n".repeat(400), "README.md": "\n".repeat(500) },
});

rule("nothing is left over for later", leftovers, {
  bad: { "README.md": "fine\nTO" + "DO: more\n", "ffi/bpf/a.c": "// FIX" + "ME\n" },
  expected: ["README.md:2: a leftover", "ffi/bpf/a.c:1: a leftover"],
  good: { "mod/a.ts": "// mastodon, prefixme\n" },
});

rule("no type is any", anyTypes, {
  bad: {
    "a.ts": "let x: any;\n",
    "b.ts": "f(x as any, <any>y);\n",
    "c.ts": "type A = Map<string, any[]>;\n",
    "f.ts": "type A = any;\nfunction f(a?: any, b = <T extends any>() => {}) {}\n",
    "d.ts": "// @ts-" + "ignore\n",
    "e.ts": "// deno-lint-" + "ignore no-explicit-any\n",
  },
  expected: [
    "a.ts:1: type any",
    "b.ts:1: type any",
    "c.ts:1: type any",
    "f.ts:1: type any",
    "f.ts:2: type any",
    "d.ts:1: a silenced type check",
    "e.ts:1: a silenced type check",
  ],
  good: { "a.ts": '// any\nconst a = "any", b = /any/, c = `any`, any = Promise.any([]);\nf(any, "");\n' },
});

rule("every source says at its top what it is", missingHeads, {
  bad: {
    "a.ts": 'import "./b.ts";\n',
    "b.c": "#include <a.h>\n",
    "c.c": "// SPDX-License-Identifier: X\nint a;\n",
  },
  expected: ["a.ts: no comment at the top", "b.c: no comment at the top", "c.c: no comment at the top"],
  good: { "a.ts": "/** A. */\n", "b.c": "// SPDX-License-Identifier: X\n/* B. */\n", "README.md": "# ku\n" },
});

rule("no registry host and no path of one machine is written down", privatePlaces, {
  bad: {
    "a.ts": "// https://registry" + ".example.com/\n",
    "deno.lock": '"/home/' + 'me/ku"\n',
    "b.md": "jsr" + ".io",
  },
  expected: ["a.ts", "deno.lock", "b.md"].map((path) =>
    `${path}:1: a registry host or a path of one machine`
  ),
  good: { "a.ts": "const a = `${home}/bin/x/`; // npm's registry, /usr/lib/\n" },
});

rule("every module is used", unusedModules, {
  bad: { "main.ts": 'import "./a.ts";\n', "a.ts": "", "b.ts": 'import "./c.ts";\n', "c.ts": "" },
  expected: ["b.ts: nobody uses it", "c.ts: nobody uses it"],
  good: {
    "deno.json": "deno run examples/demo.ts",
    "main.ts": 'new Worker(new URL("./mod/worker.ts", import.meta.url));\n',
    "mod/worker.ts": "",
    "tests/a_test.ts": "run(`${import.meta.dirname}/pods/server.ts`);\n",
    "tests/pods/server.ts": "",
    "examples/demo.ts": "",
  },
});

rule("no import comes back to where it started", circularImports, {
  bad: {
    "b.ts": 'import { c } from "./c.ts";\n',
    "c.ts": 'import { a } from "./a.ts";\n',
    "a.ts": 'export { b } from "./b.ts";\n',
    "d.ts": 'import "./d.ts";\n',
  },
  expected: ["a.ts → b.ts → c.ts → a.ts", "d.ts → d.ts"],
  good: { "a.ts": 'import "./b.ts";\nimport "./c.ts";\n', "b.ts": 'import "./c.ts";\n', "c.ts": "" },
});

Deno.test("tidy: codeOnly() blanks comments, strings, templates and regular expressions, and keeps lines", () => {
  const text = 'a("x\\"y", `t ${f(`u`)} /`); // c\nb = /["/]/.test(c) / 2; /* d\n */ e;';
  assertEquals(
    codeOnly(text),
    `a(${" ".repeat(6)}, ${" ".repeat(15)});     \nb = ${" ".repeat(6)}.test(c) / 2;     \n    e;`,
  );
});

Deno.test("tidy: importsOf() sees every way to name a module", () => {
  const text = [
    'import a from "./a.ts";',
    'import {\n  type B,\n  c as d,\n} from "../b.ts";',
    'export * as e from "./e/f.ts";',
    'import "./g.ts";',
    'const h = await import("./h.ts");',
    'new Worker(new URL("./i.ts", import.meta.url));',
    '// import j from "./j.ts";',
    "const k = `import l from './l.ts'`;",
  ].join("\n");
  assertEquals(
    importsOf({ path: "mod/x/y.ts", text }).sort(),
    ["mod/b.ts", "mod/x/a.ts", "mod/x/e/f.ts", "mod/x/g.ts", "mod/x/h.ts", "mod/x/i.ts"],
  );
});
