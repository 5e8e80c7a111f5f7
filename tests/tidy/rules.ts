/**
 * The rules of the house that a program can check. Each takes files and gives its findings, one line each,
 * `path: what` or `path:line: what`; none means that the rule is kept.
 *
 * References: TigerBeetle's src/tidy.zig; denoland/std's lint:circular.
 */

import { codeOnly, importsOf, isSource, keep, resolve, type SourceFile } from "./source.ts";

const MAX_LINES = 400;

/**
 * Which part may import which, besides itself. Arrows point from the program to its mechanisms and never back:
 * main → cli → control → {worker, netlink, config, xdp}; worker → {datapath, xdp};
 * datapath → {wire, table, metrics}; metrics → table, whose kind of memory it takes; {xdp, netlink} → ffi. Whoever fills tables or reads counters for the datapath
 * (control, worker) knows their layout, so these may import table and metrics as well; both also wake and wait for
 * each other with system calls of their own, hence ffi.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["cli"],
  "cli": ["mod/control", "mod/config", "mod/kubernetes"],
  "mod/control": [
    "mod/worker",
    "mod/netlink",
    "mod/config",
    "mod/xdp",
    "mod/datapath",
    "mod/table",
    "mod/metrics",
    "mod/wire",
    "ffi",
  ],
  "mod/worker": ["mod/datapath", "mod/xdp", "mod/table", "mod/metrics", "mod/wire", "ffi"],
  "mod/datapath": ["mod/wire", "mod/table", "mod/metrics"],
  "mod/config": [],
  "mod/kubernetes": ["mod/config"],
  "mod/metrics": ["mod/table"],
  "mod/table": [],
  "mod/wire": [],
  "mod/xdp": ["ffi"],
  "mod/netlink": ["ffi"],
  "ffi": [],
  "ffi/build": [],
};

/** Packages besides the standard library, and who may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "js-yaml": ["mod/config", "cli", "tests"],
  "ajv": ["tests"],
  // Types only.
  "kubernetes-types/core/v1.d.ts": ["mod/kubernetes", "tests"],
  "kubernetes-types/discovery/v1.d.ts": ["mod/kubernetes", "tests"],
  "kubernetes-types/apps/v1.d.ts": ["tests"],
};

/** Parts that may import anything and that nothing else imports. */
const FREE_PARTS = ["tests", "bench", "examples"];

/** The part a path belongs to: the longest name in MAY_IMPORT, or the top folder. */
function partOf(path: string): string {
  const parts = Object.keys(MAY_IMPORT).filter((part) => path === part || path.startsWith(`${part}/`));
  return parts.sort((a, b) => b.length - a.length)[0] ?? path.split("/")[0];
}

/** Imports against the arrows, imports of unknown parts, and packages where they do not belong. */
export function wrongDirections(files: SourceFile[]): string[] {
  const findings: string[] = [];
  for (const file of typescript(files)) {
    const part = partOf(file.path);
    const free = FREE_PARTS.includes(part);
    const allowed = MAY_IMPORT[part];
    if (allowed === undefined && !free && !file.path.endsWith(".d.ts")) {
      findings.push(`${file.path}: belongs to no known part`);
    }
    for (const target of importsOf(file)) {
      // ku's version is there.
      if (target === "deno.json") continue;
      // NB: one import of node:… would put @types/node into deno.lock, and so 2.5 MB into dist/ku.
      const isPackage = !target.endsWith(".ts") || Object.hasOwn(PACKAGES, target);
      if (isPackage ? target.startsWith("@std/") || PACKAGES[target]?.includes(part) : free) continue;
      const targetPart = partOf(target);
      if (targetPart !== part && !allowed?.includes(targetPart)) {
        findings.push(`${file.path}: ${part} must not import ${target}`);
      }
    }
  }
  return findings;
}

export function longFiles(files: SourceFile[]): string[] {
  return files.filter(isSource).flatMap(({ path, text }) => {
    const lines = text.split("\n").length - 1;
    return lines > MAX_LINES ? [`${path}: ${lines} lines, at most ${MAX_LINES}`] : [];
  });
}

/** Written in two halves, since this file is checked too. */
const LEFTOVER = new RegExp(`\\b(${["FIX" + "ME", "TO" + "DO", "XX" + "X", "HA" + "CK"].join("|")})\\b`);

export function leftovers(files: SourceFile[]): string[] {
  return files.flatMap((file) => linesWith(file, file.text, LEFTOVER, "a leftover"));
}

/** `any` where a type stands; as the name of a variable it is a word like others. */
const ANY = /([:<|&]|\b(as|extends|satisfies|type [\w<>, ]+=))\s*any\b|\bany\s*(\[\]|>|\|)/;
const SILENCED = /@ts-(ignore|nocheck|expect-error)|deno-lint-ignore\S*\s.*no-explicit-any/;

/** The type `any`, and comments that switch the checks off which would find one. */
export function anyTypes(files: SourceFile[]): string[] {
  return typescript(files).flatMap((file) => [
    ...linesWith(file, codeOnly(file.text), ANY, "type any"),
    ...linesWith(file, keep(file.text, ["comment"]), SILENCED, "a silenced type check"),
  ]);
}

/** Every source begins with a comment that says what it is. */
export function missingHeads(files: SourceFile[]): string[] {
  return files.filter(isSource).flatMap(({ path, text }) => {
    const start = text.replace(/^#!.*\n/, "").replace(/^\/\/ SPDX.*\n/, "").replace(/^\/\* SPDX.*\*\/\n/, "");
    return /^\s*(\/\*|\/\/)/.test(start) ? [] : [`${path}: no comment at the top`];
  });
}

/** Hosts that fetch packages (the user's configuration decides) and folders of one machine. */
const PRIVATE_PLACES = new RegExp(
  [
    String.raw`\bregistry\.[a-z]`,
    String.raw`\bnpmjs\.`,
    String.raw`\bjsr\.io\b`,
    String.raw`\bdeb\.debian\.org`,
    String.raw`(?<![\w.$}])/(root|home/\w+|work/\w+)/`,
  ].join("|"),
);

export function privatePlaces(files: SourceFile[]): string[] {
  return files
    .filter(({ path }) => path !== "tests/tidy/rules.ts" && path !== "tests/tidy_test.ts")
    .flatMap((file) =>
      linesWith(file, file.text, PRIVATE_PLACES, "a registry host or a path of one machine")
    );
}

/** Modules that cannot be reached from an entry: main.ts, a test, a bench, or a path that deno.json names. */
export function unusedModules(files: SourceFile[]): string[] {
  const modules = new Map(typescript(files).map((file) => [file.path, file]));
  const config = files.find(({ path }) => path === "deno.json")?.text ?? "";
  const isEntry = (path: string) =>
    path === "main.ts" || /_(test|bench)\.ts$/.test(path) || config.includes(path) ||
    path.startsWith("bench/");
  const reached = new Set<string>();
  const visit = (path: string) => {
    const file = modules.get(path);
    if (file === undefined || reached.has(path)) return;
    reached.add(path);
    [...importsOf(file), ...namedModules(file)].forEach(visit);
  };
  [...modules.keys()].filter(isEntry).forEach(visit);
  return [...modules.keys()].filter((path) => !reached.has(path)).map((path) => `${path}: nobody uses it`);
}

/** Modules named in strings, as programs to start: `${folder}/server.ts`. */
function namedModules(file: SourceFile): string[] {
  const strings = keep(file.text, ["string", "template"]);
  return [...strings.matchAll(/([\w./-]+\.ts)["`]/g)].flatMap(([, name]) => {
    const bare = name.replace(/^\/+/, "");
    return [bare, resolve(file.path, bare.startsWith(".") ? bare : `./${bare}`)];
  });
}

/** Circles of imports, each named once, beginning with its first path in the alphabet. */
export function circularImports(files: SourceFile[]): string[] {
  const edges = new Map(typescript(files).map((file) => [file.path, importsOf(file)]));
  const circles = new Set<string>();
  const finished = new Set<string>();
  const visit = (path: string, way: string[]) => {
    const start = way.indexOf(path);
    if (start >= 0) {
      circles.add(describeCircle(way.slice(start)));
      return;
    }
    if (finished.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...way, path]);
    finished.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return [...circles];
}

function describeCircle(circle: string[]): string {
  const first = circle.indexOf([...circle].sort()[0]);
  const turned = [...circle.slice(first), ...circle.slice(0, first)];
  return `${turned.join(" → ")} → ${turned[0]}`;
}

function typescript(files: SourceFile[]): SourceFile[] {
  return files.filter(({ path }) => path.endsWith(".ts"));
}

function linesWith({ path }: SourceFile, text: string, pattern: RegExp, what: string): string[] {
  return text.split("\n").flatMap((line, index) =>
    pattern.test(line) ? [`${path}:${index + 1}: ${what}`] : []
  );
}
