/**
 * Prometheus text: families of samples to the exposition format. Pure; what is measured is the caller's business.
 *
 * References: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4); names and units as
 * https://prometheus.io/docs/practices/naming/ wants them.
 *
 * @module
 */

export type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  labels: Labels;
  value: number;
}

/** One metric: counters' names end in `_total`. */
export interface Family {
  name: string;
  type: "counter" | "gauge";
  help: string;
  samples: readonly Sample[];
}

/** Content type of what `prometheusText` returns. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The text of all families, in order. */
export function prometheusText(families: readonly Family[]): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    lines.push(`# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
    lines.push(`# TYPE ${name} ${type}`);
    for (const { labels, value } of samples) lines.push(`${name}${labelText(labels)} ${valueText(value)}`);
  }
  return lines.join("\n") + "\n";
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(String(value))}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escape(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
}
