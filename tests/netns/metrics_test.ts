/**
 * What monitoring sees: /metrics in both formats under promtool's eyes, /healthz, /readyz, docs and dashboard against the names that are
 * really there, and the JSON log.
 *
 *     client ── uplink  node (ku)  pod1…pod3 ── pods: HTTP
 */

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { requireGround } from "./harness/requirements.ts";
import { Ground } from "./harness/ground.ts";
import { Daemon } from "./harness/daemon.ts";
import { run, runOk } from "./harness/process.ts";
import { POD_WEB_PORT, serving, VIP } from "./harness/service.ts";
import { until } from "./harness/wait.ts";
import { fetchUrl, startWebServers } from "./harness/web.ts";

const ROOT = new URL("../../", import.meta.url);
const PORT = 9753;

await requireGround();

Deno.test("metrics, health, readiness, structured log", async (t) => {
  await using ground = await Ground.create();
  await startWebServers(ground, POD_WEB_PORT);
  const words = ["--metrics", `[::]:${PORT}`, "--log-format", "json"];
  await using daemon = await Daemon.start(ground, { config: serving(ground, "tc"), words });
  const base = `http://${ground.client.gateway}:${PORT}`;
  const get = (path: string, ...more: string[]) =>
    ground.client.namespace.runOk(["curl", "-s", "-w", "%{stderr}%{http_code}", ...more, `${base}${path}`]);
  for (let count = 0; count < 4; count++) await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
  const text = await get("/metrics");
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);

  await t.step("promtool finds nothing to say", async () => {
    const { code, text: said, stderr } = await run(["promtool", "check", "metrics"], { stdin: text });
    assertEquals([code, said, stderr], [0, "", ""]);
  });
  await t.step("they count", () => {
    const web = `{vip="${VIP}/32",protocol="tcp",port="80"`;
    assertEquals(valueOf(text, `ku_vip_new_sessions_total${web}}`), 4);
    assertGreater(valueOf(text, `ku_vip_receive_packets_total${web}}`), 12);
    assertGreater(valueOf(text, `ku_vip_reply_bytes_total${web}}`), 400);
    assertEquals(valueOf(text, `ku_sessions{worker="0",family="ip4"}`), 4);
    assertEquals(valueOf(text, `ku_interface_up{interface="uplink"}`), 1);
    const free = valueOf(text, `ku_umem_free_frames{worker="0"}`);
    assert(free > 0 && free < valueOf(text, `ku_umem_frames{worker="0"}`));
    assertMatch(text, /^ku_ring_full_packets_total\{worker="0",interface="ku1",queue="0"\} 0$/m);
    assert(Math.abs(valueOf(text, "process_start_time_seconds") - Date.now() / 1000) < 120);
  });
  await t.step("OpenMetrics for those who ask", async () => {
    const open = await get("/metrics", "-H", "accept: application/openmetrics-text;version=1.0.0");
    assert(open.endsWith("\n# EOF\n"));
    assertMatch(open, /^# TYPE ku_drop_packets counter\n# UNIT ku_drop_packets packets$/m);
    // A unit is the end of its family's name, a counter's samples end in _total: OpenMetrics §5.
    for (const [, name, unit] of open.matchAll(/^# UNIT (\S+) (\S+)$/gm)) {
      assert(name.endsWith(`_${unit}`), name);
    }
    for (const [, name] of open.matchAll(/^# TYPE (\S+) counter$/gm)) {
      for (const [, sample] of open.matchAll(new RegExp(`^(${name}\\w*)[{ ]`, "gm"))) {
        assert(sample === `${name}_total` || names.includes(sample), sample);
      }
    }
  });
  await t.step("docs/metrics.md lists them, with their texts", async () => {
    const docs = await Deno.readTextFile(new URL("docs/metrics.md", ROOT));
    const listed = [...docs.matchAll(/^\| `(\w+)` *\| ([\w, ]*?) *\| (.*?) *\|$/gm)];
    assertEquals(listed.map(([, name, , help]) => `${name} ${help}`), helps(text));
    for (const [, name, labels] of listed) {
      const sample = new RegExp(`^${name}\\{([^}]*)\\}`, "m").exec(text)?.[1] ?? "";
      assertEquals([name, [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label).join(", ")], [
        name,
        labels,
      ]);
    }
  });
  await t.step("every query of the dashboard is PromQL about metrics that are there", async () => {
    const queries = dashboardQueries(
      JSON.parse(await Deno.readTextFile(new URL("examples/grafana/ku.json", ROOT))),
    );
    assertGreater(queries.length, 20);
    for (const query of queries) {
      const used = [...query.matchAll(/\b(?:ku|process)_\w+/g)].map(([name]) => name);
      assertGreater(used.length, 0, query);
      for (const name of used) assert(names.includes(name), `${name} in ${query}`);
    }
    const rules = {
      groups: [{
        name: "dashboard",
        rules: queries.map((query, index) => ({
          record: `query:${index}`,
          expr: query.replaceAll("$__rate_interval", "1m").replaceAll("$node", ".*").replaceAll("$vip", ".*"),
        })),
      }],
    };
    const file = `${ground.directory}/rules.json`;
    await Deno.writeTextFile(file, JSON.stringify(rules));
    assertMatch(await runOk(["promtool", "check", "rules", file]), /SUCCESS/);
  });
  await t.step("health and readiness", async () => {
    assertEquals(await get("/healthz"), "ok\n");
    assertEquals(await get("/readyz"), "ready\n");
    await ground.node.ip("link del pod3");
    await until(
      "not ready without its interface",
      async () => /^interface pod3 : /.test(await get("/readyz")),
    );
    assertEquals(await get("/healthz"), "ok\n");
    assertEquals(await get("/elsewhere"), "see /metrics, /healthz, /readyz\n");
  });
  await t.step("the log is JSON", async () => {
    await daemon.end("SIGTERM"); // the namespace is not as it was: pod3 is gone
    const lines = daemon.process.stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
    const ready = lines.find(({ what }) => what === "ready");
    assertEquals([ready.level, Object.keys(ready)], ["info", ["time", "level", "what", "detail"]]);
    assert(lines.some(({ level, what }) => level === "warn" && what === "interface pod3"));
  });
});

function valueOf(text: string, sample: string): number {
  const line = text.split("\n").find((each) => each.startsWith(`${sample} `));
  assert(line !== undefined, `${sample} in\n${text}`);
  return Number(line.slice(sample.length + 1));
}

function helps(text: string): string[] {
  return [...text.matchAll(/^# HELP (.*)$/gm)].map(([, help]) => help);
}

interface Dashboard {
  panels: { targets: { expr: string }[] }[];
  annotations: { list: { expr: string }[] };
  templating: { list: { query: string | { query: string } }[] };
}

/** The panels' and annotations' queries, and the series that variables take their labels from. */
function dashboardQueries({ panels, annotations, templating }: Dashboard): string[] {
  const variables = templating.list.flatMap(({ query }) => typeof query === "string" ? [] : [query.query]);
  return [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...annotations.list.map(({ expr }) => expr),
    ...variables.map((query) => /^label_values\((.*), \w+\)$/.exec(query)![1]),
  ];
}
