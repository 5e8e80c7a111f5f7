/** `ku top` without a terminal: rates from two looks, order, screens that fit, keys. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { press } from "../../../cli/top.ts";
import { type Look, type Model, Rater, sorted } from "../../../cli/top_model.ts";
import { scaled, screenLines, sparkline, type View } from "../../../cli/top_view.ts";
import { KU, NODE_COUNTERS, VIPS } from "./samples.ts";

function look(atMs: number, more = 0): Look {
  const [web, rest] = VIPS;
  const { counters, pods } = web;
  const busy = {
    ...web,
    counters: {
      ...counters,
      firstPacket: counters.firstPacket + more,
      replyPackets: counters.replyPackets + 3 * more,
      bytes: counters.bytes + 100 * more,
    },
    pods: pods.map((pod, index) => index === 1 ? { ...pod, packets: pod.packets + more } : pod),
  };
  return {
    atMs,
    ku: KU,
    vips: [busy, rest],
    counters: NODE_COUNTERS.map((one) => ({ ...one, count: one.count + more })),
  };
}

function twoLooks(): Model {
  const rater = new Rater();
  rater.look(look(0));
  return rater.look(look(2000, 10));
}

const VIEW: View = {
  screen: "vips",
  sort: "packets",
  cursor: 0,
  vip: null,
  columns: 100,
  rows: 20,
  style: false,
};

Deno.test("Rater: the first look has no rates, the second has them per second", () => {
  assertEquals(new Rater().look(look(0)).vips[0].packets, 0);
  const [web, rest] = twoLooks().vips;
  assertEquals([web.packets, web.bits, web.newSessions, web.unserved, web.sessions], [20, 4000, 5, 0, 113]);
  assertEquals([rest.packets, rest.sessions], [0, 0]);
  assertEquals(web.pods.map((pod) => pod.packets), [0, 5, 0, 0]);
  assertEquals(web.history, [20]);
  assertEquals([twoLooks().total.packets, twoLooks().total.sessions], [20, 12]);
  assertEquals(twoLooks().counters[0].rate, 5);
});

Deno.test("Rater: counters that were set back give no negative rate; what is new begins at 0", () => {
  const rater = new Rater();
  rater.look(look(0, 50));
  const model = rater.look(look(1000));
  assertEquals([model.vips[0].packets, model.counters[0].rate], [0, 0]);
  const fresh = new Rater();
  fresh.look({ ...look(0), vips: [] });
  assertEquals(fresh.look(look(1000)).vips[0].newSessions, 56);
});

Deno.test("sorted() puts the largest first, or names in order", () => {
  const { vips } = twoLooks();
  const prefixes = (by: Parameters<typeof sorted>[1]) =>
    sorted(vips.toReversed(), by).map(({ name }) => name[0]);
  assertEquals(prefixes("packets"), ["10.96.0.1/32", "2003::/16"]);
  assertEquals(prefixes("unserved"), ["10.96.0.1/32", "2003::/16"]);
  assertEquals(prefixes("name"), ["10.96.0.1/32", "2003::/16"]);
});

Deno.test("scaled() and sparkline()", () => {
  const numbers: [number, string][] = [
    [0, "0"],
    [0.25, "0.3"],
    [9.94, "9.9"],
    [12.4, "12"],
    [999, "999"],
    [
      999.6,
      "1.0k",
    ],
    [12_345, "12.3k"],
    [123_456, "123k"],
    [999_600, "1.0M"],
    [5e12, "5.0T"],
  ];
  for (const [value, text] of numbers) assertEquals(scaled(value), text);
  assertEquals(sparkline([]), "");
  assertEquals(sparkline([0, 0]), "");
  assertEquals(sparkline([0, 1, 4, 8]), " ▁▄█");
  assertEquals([...sparkline(Array(50).fill(1))].length, 20);
});

Deno.test("screenLines() fits every terminal, and marks the line that the cursor is on", () => {
  const model = twoLooks();
  for (const screen of ["vips", "pods", "counters"] as const) {
    for (const [columns, rows] of [[20, 5], [80, 24], [200, 60]]) {
      const lines = screenLines(model, { ...VIEW, screen, vip: model.vips[0].key, columns, rows, cursor: 1 });
      assert(lines.length <= rows, `${lines.length} lines of ${rows}`);
      for (const line of lines) assert([...line].length <= columns, line);
    }
  }
  const lines = screenLines(model, { ...VIEW, cursor: 1 });
  assertEquals(lines.find((line) => line.startsWith("> "))?.slice(0, 11), "> 2003::/16");
  assertStringIncludes(lines.join("\n"), "VIPs by packets");
  const styled = screenLines(model, { ...VIEW, style: true });
  assertEquals(styled.filter((line) => line.includes("\x1b[7m")).length, 1);
});

Deno.test("screenLines() keeps the marked one of many in sight", () => {
  const vips = Array.from(
    { length: 100 },
    (_, index) => ({ ...VIPS[1], prefix: `2003:${index + 100}::/32` }),
  );
  const model = new Rater().look({ ...look(0), vips });
  for (const cursor of [0, 50, 99]) {
    const marked = screenLines(model, { ...VIEW, sort: "name", cursor }).filter((line) =>
      line.startsWith("> ")
    );
    assertEquals(marked.map((line) => line.slice(2, 12)), [`2003:${cursor + 100}::`]);
  }
});

Deno.test("press(): down, Enter to the pods, back, sort, counters, leave", () => {
  const model = twoLooks();
  const view = { ...VIEW };
  assert(press("\x1b[A", view, model));
  assertEquals(view.cursor, 0);
  for (const key of ["j", "\x1b[B", "j"]) press(key, view, model);
  assertEquals(view.cursor, 1);
  press("k", view, model);
  press("\r", view, model);
  assertEquals([view.screen, view.vip, view.cursor], ["pods", model.vips[0].key, 0]);
  press("\x1b", view, model);
  press("s", view, model);
  assertEquals([view.screen, view.sort], ["vips", "bits"]);
  press("c", view, model);
  assertEquals(view.screen, "counters");
  press("c", view, model);
  assertEquals(view.screen, "vips");
  assertEquals([press("x", view, model), press("q", view, model), press("\x03", view, model)], [
    true,
    false,
    false,
  ]);
});
