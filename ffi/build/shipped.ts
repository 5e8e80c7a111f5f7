/**
 * What the executable is allowed to carry of the packages: those that ku itself imports, and not those of its tests. `deno compile` embeds
 * every package that its lock file names, so it gets one of its own with these only, made from deno.lock, and an import map made from
 * deno.json.
 */

import { ROOT } from "./steps.ts";

/** Names in deno.json's scope that modules outside of tests import values from. */
const SHIPPED = ["js-yaml"];

/** What js-yaml's command-line program needs and the library does not. */
const UNUSED = ["argparse"];

interface Lock {
  version: string;
  specifiers: Record<string, string>;
  npm: Record<string, { integrity: string; dependencies?: string[] }>;
}

/** Writes import map and lock file into `folder`; the flags that make `deno compile` use them. */
export function shippedFlags(folder: string): string[] {
  const { scopes } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)) as {
    scopes: Record<string, Record<string, string>>;
  };
  const own = Object.entries(scopes["./"]).filter(([name]) => SHIPPED.includes(name));
  const lock = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.lock`)) as Lock;
  const importMap = `${folder}/imports.json`;
  const lockFile = `${folder}/deno.lock`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.writeTextFileSync(importMap, JSON.stringify({ imports: Object.fromEntries(own) }));
  Deno.writeTextFileSync(lockFile, JSON.stringify(shippedLock(lock, own.map(([, specifier]) => specifier))));
  return [
    "--no-config",
    "--node-modules-dir=none",
    `--import-map=${importMap}`,
    `--lock=${lockFile}`,
    "--frozen",
  ];
}

/** The part of `lock` that `specifiers` and what they depend on need. */
export function shippedLock(lock: Lock, specifiers: readonly string[]): Lock {
  const kept: Lock = { version: lock.version, specifiers: {}, npm: {} };
  const keep = (id: string): void => {
    const entry = lock.npm[id];
    const dependencies = (entry.dependencies ?? []).filter((name) => !UNUSED.includes(name));
    kept.npm[id] = dependencies.length > 0 ? { ...entry, dependencies } : { integrity: entry.integrity };
    // A dependency is named without its version where there is only one.
    for (const name of dependencies) {
      keep(Object.keys(lock.npm).find((each) => each === name || each.startsWith(`${name}@`))!);
    }
  };
  for (const specifier of specifiers) {
    kept.specifiers[specifier] = lock.specifiers[specifier];
    keep(`${specifier.slice("npm:".length, specifier.lastIndexOf("@"))}@${lock.specifiers[specifier]}`);
  }
  return kept;
}
