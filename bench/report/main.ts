/**
 * Writes bench/RESULTS.md and the charts beside it from records: `deno run -A bench/report/main.ts records.jsonl … [--to FOLDER]`.
 * Of figures that are in several files the last one counts; the report says which runs its parts come from.
 */

import { ROOT } from "../../ffi/build/steps.ts";
import { type Chart, drawChart, type Line } from "./chart.ts";
import { claims, nat44 } from "./claims.ts";
import { describe, type Figure, find, readFigures, runsOf, text } from "./figures.ts";
import { machine } from "./machine.ts";

const SUITES: [string, string][] = [
  ["micro", "Micro: nanoseconds an operation"],
  ["e2e", "End to end, in network namespaces"],
  ["control", "Control plane"],
];

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n") + "\n";
}

/** A table for each name, a column for each parameter that is not the same everywhere. */
function tables(figures: readonly Figure[]): string {
  const parts: string[] = [];
  for (const name of new Set(figures.map((figure) => figure.name))) {
    const rows = figures.filter((figure) => figure.name === name);
    const keys = [...new Set(rows.flatMap(({ params }) => Object.keys(params)))];
    const told = keys.filter((key) =>
      rows.length === 1 || rows.some((row) => row.params[key] !== rows[0].params[key])
    );
    const cells = (row: Figure) => told.map((key) => cell(row.params[key]));
    const same = keys.filter((key) => !told.includes(key)).map((key) =>
      `${key} ${cell(rows[0].params[key])}`
    );
    parts.push(`### ${name}${same.length > 0 ? ` (${same.join(", ")})` : ""}\n`);
    const head = [...told, "median (least … greatest)", "samples"];
    parts.push(table(head, rows.map((row) => [...cells(row), describe(row), String(row.samples.length)])));
  }
  return parts.join("\n");
}

function cell(value: string | number | undefined): string {
  return typeof value === "number" ? text(value) : value ?? "";
}

/** A line of the figures, by one of their parameters. */
function lineOf(name: string, figures: readonly Figure[], x: string): Line {
  const points = figures.map(({ params, median, least, greatest }) => ({
    x: Number(params[x]),
    median,
    least,
    greatest,
  }));
  return { name, points: points.sort((a, b) => a.x - b.x) };
}

function chartOfServices(figures: readonly Figure[]): Chart {
  const contestants = [
    ...new Set(find(figures, { suite: "e2e", name: "packets" }).map((f) => f.params.contestant)),
  ];
  return {
    title: "UDP packets of 64 bytes, 1 k flows, one sender",
    xName: "services",
    yName: "packets/s",
    lines: contestants.map((contestant) =>
      lineOf(
        String(contestant),
        find(figures, { suite: "e2e", name: "packets", params: { contestant, flows: 1000 } }),
        "services",
      )
    ),
  };
}

function chartOfSessions(figures: readonly Figure[]): Chart {
  // By turns where that was measured: the same shapes, and the figures of one process may be compared.
  const params = { protocol: "udp", direction: "request", bytes: 64, services: 1000 };
  const turns = { suite: "micro", name: "nat44 by turns", params };
  const alone = nat44("", 0, 1000).params!;
  const { flows: _, ...single } = alone;
  const lines = ["TypeScript", "C, phases", "C, single"].map((by) => {
    const points = find(figures, { ...turns, params: { ...params, by } });
    const wanted = { suite: "micro", name: "datapath", params: { ...single, by } };
    return lineOf(by, points.length > 1 ? points : find(figures, wanted), "flows");
  });
  return {
    title: "nat44, UDP of 64 bytes, random flows over 1,000 services",
    xName: "sessions",
    yName: "ns/packet",
    lines,
  };
}

const NOTES =
  `Written by \`deno task bench --report\`. Every figure is the median of its samples, with the least and the greatest. A sample
of the micro part is one process (the 75th percentile of its runs), so the spread is that between processes; one of the end-to-end part
is one round, in which every contestant is measured once.

The C version is bench/c/datapath.c, compiled with \`clang -O2 -march=native\`, on the very tables, counters and frames of the TypeScript
one, with which it is compared byte by byte first. It is called once a burst of 64 packets. It forwards known TCP and UDP flows over
IPv4 and nothing else. Ratios are measured by turns, batch by batch.
`;

const words = [...Deno.args];
const toAt = words.indexOf("--to");
const folder = toAt < 0 ? `${ROOT}/bench` : words.splice(toAt, 2)[1];
if (words.length === 0) {
  console.error("usage: bench/report/main.ts records.jsonl … [--to FOLDER]");
  Deno.exit(2);
}
const figures = readFigures(words.map((path) => Deno.readTextFileSync(path)).join("\n"));
const runs = runsOf(figures).map(({ suite, runs }) => [suite, [...runs].sort().join(", ")]);
const merged = new Set(runs.map(([, when]) => when)).size > 1 || runs.some(([, when]) => when.includes(","))
  ? "The figures come from more than one run. Within a run contestants take turns; across runs the machine may have been another.\n\n"
  : "";
const parts = [`# Measured\n\n${NOTES}`, table(["machine", ""], await machine())];
parts.push(merged + table(["suite", "begun (UTC)"], runs));
parts.push(`## It holds when\n\n${table(["what", "bound", "measured", "holds"], claims(figures))}`);
const charts: [string, Chart][] = [["services", chartOfServices(figures)], [
  "sessions",
  chartOfSessions(figures),
]];
for (const [name, chart] of charts) {
  if (!chart.lines.some(({ points }) => points.length > 1)) continue;
  Deno.writeTextFileSync(`${folder}/${name}.svg`, drawChart(chart));
  parts.push(`![${chart.title}](${name}.svg)\n`);
}
for (const [suite, title] of SUITES) {
  const own = figures.filter((figure) => figure.suite === suite);
  if (own.length > 0) parts.push(`## ${title}\n\n${tables(own)}`);
}
Deno.writeTextFileSync(`${folder}/RESULTS.md`, parts.join("\n"));
await new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", `${folder}/RESULTS.md`], cwd: ROOT }).output();
console.log(`${folder}/RESULTS.md: ${figures.length} figures`);
