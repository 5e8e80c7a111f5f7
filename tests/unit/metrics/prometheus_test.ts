/** The two formats of metrics, letter by letter, and who gets which. */

import { assertEquals } from "@std/assert";
import { exposition, type Family, formatFor } from "../../../mod/metrics/prometheus.ts";

const FAMILIES: Family[] = [
  { name: "ku_build", type: "info", help: "Version.", samples: [{ labels: { version: "1" }, value: 1 }] },
  {
    name: "ku_drop_bytes",
    type: "counter",
    unit: "bytes",
    help: "A \\ and\na line.",
    samples: [{ labels: { reason: 'a "b" \\ c\nd', port: 80 }, value: 2 ** 40 }, { labels: {}, value: 0.5 }],
  },
  {
    name: "ku_load",
    type: "gauge",
    help: "Load.",
    samples: [{ labels: {}, value: Infinity }, { labels: {}, value: NaN }],
  },
  { name: "ku_none", type: "gauge", help: "Nothing.", samples: [] },
];

Deno.test("exposition() in the text format names families by their samples", () => {
  assertEquals(
    exposition(FAMILIES, "text"),
    `# HELP ku_build_info Version.
# TYPE ku_build_info gauge
ku_build_info{version="1"} 1
# HELP ku_drop_bytes_total A \\\\ and\\na line.
# TYPE ku_drop_bytes_total counter
ku_drop_bytes_total{reason="a \\"b\\" \\\\ c\\nd",port="80"} 1099511627776
ku_drop_bytes_total 0.5
# HELP ku_load Load.
# TYPE ku_load gauge
ku_load +Inf
ku_load NaN
# HELP ku_none Nothing.
# TYPE ku_none gauge
`,
  );
});

Deno.test("exposition() in OpenMetrics has units, infos and an end", () => {
  assertEquals(
    exposition(FAMILIES.slice(0, 2), "openMetrics"),
    `# HELP ku_build Version.
# TYPE ku_build info
ku_build_info{version="1"} 1
# HELP ku_drop_bytes A \\\\ and\\na line.
# TYPE ku_drop_bytes counter
# UNIT ku_drop_bytes bytes
ku_drop_bytes_total{reason="a \\"b\\" \\\\ c\\nd",port="80"} 1099511627776
ku_drop_bytes_total 0.5
# EOF
`,
  );
});

Deno.test("formatFor() gives OpenMetrics to those who accept it", () => {
  assertEquals(formatFor(null), "text");
  assertEquals(formatFor("text/plain;version=0.0.4;q=0.3,*/*;q=0.2"), "text");
  assertEquals(formatFor("application/openmetrics-text;version=1.0.0,text/plain;q=0.3"), "openMetrics");
});
