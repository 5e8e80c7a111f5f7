/** Records of the benches, looked up by what they are about. */

import type { Record as Figure } from "../record.ts";

export type { Figure };

export interface Wanted {
  suite?: string;
  name: string;
  params?: { [name: string]: string | number };
}

/** When the last record of a suite was made, and how many runs its records come from. */
export interface Run {
  suite: string;
  runs: Set<string>;
}

/** The runs that `figures` come from, by suite; records that do not say when they were made are of a run "unknown". */
export function runsOf(figures: readonly Figure[]): Run[] {
  const suites = new Map<string, Set<string>>();
  for (const { suite, run = "unknown" } of figures) {
    suites.set(suite, (suites.get(suite) ?? new Set()).add(run));
  }
  return [...suites].map(([suite, runs]) => ({ suite, runs }));
}

/** The figures of `lines`, records as lines of JSON; the last of several of the same. */
export function readFigures(lines: string): Figure[] {
  const figures = new Map<string, Figure>();
  for (const line of lines.split("\n").filter((line) => line !== "")) {
    const figure: Figure = JSON.parse(line);
    figures.set(JSON.stringify([figure.suite, figure.name, figure.params]), figure);
  }
  return [...figures.values()];
}

export function find(figures: readonly Figure[], { suite, name, params = {} }: Wanted): Figure[] {
  return figures.filter((figure) =>
    (suite === undefined || figure.suite === suite) && figure.name === name &&
    Object.entries(params).every(([key, value]) => figure.params[key] === value)
  );
}

/** Three significant digits, thousands separated. */
export function text(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

/** `median (least … greatest) unit`. */
export function describe({ median, least, greatest, unit }: Figure): string {
  return `${text(median)} (${text(least)} … ${text(greatest)}) ${unit}`;
}
