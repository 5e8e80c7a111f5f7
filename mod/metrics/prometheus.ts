/**
 * Metrics as text: families of samples in the Prometheus exposition format, and in OpenMetrics for those who ask for it. Pure; what is
 * measured is the caller's business.
 *
 * References: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4);
 * https://prometheus.io/docs/specs/om/open_metrics_spec/ (1.0: names, units, `# EOF`).
 *
 * @module
 */

export type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  labels: Labels;
  value: number;
}

/** One metric. `name` is the family's, without the `_total` of counters and the `_info` of infos. */
export interface Family {
  name: string;
  type: "counter" | "gauge" | "info";
  /** The base unit that the name ends in. */
  unit?: "bytes" | "seconds" | "packets";
  help: string;
  samples: readonly Sample[];
}

export type Format = "text" | "openMetrics";

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** The format that an Accept header asks for. */
export function formatFor(accept: string | null): Format {
  return accept?.includes("application/openmetrics-text") ? "openMetrics" : "text";
}

/** What the samples of a family are called. */
export function sampleName({ name, type }: Pick<Family, "name" | "type">): string {
  return type === "counter" ? `${name}_total` : type === "info" ? `${name}_info` : name;
}

/** The text of all families, in order. */
export function exposition(families: readonly Family[], format: Format): string {
  const lines: string[] = [];
  for (const family of families) {
    const sample = sampleName(family);
    // The older format knows no infos, and calls the family by its samples' name.
    const name = format === "openMetrics" ? family.name : sample;
    const type = format === "text" && family.type === "info" ? "gauge" : family.type;
    lines.push(`# HELP ${name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
    lines.push(`# TYPE ${name} ${type}`);
    if (format === "openMetrics" && family.unit !== undefined) lines.push(`# UNIT ${name} ${family.unit}`);
    for (const { labels, value } of family.samples) {
      lines.push(`${sample}${labelText(labels)} ${valueText(value)}`);
    }
  }
  if (format === "openMetrics") lines.push("# EOF");
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
