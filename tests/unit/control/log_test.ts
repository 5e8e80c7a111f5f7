/** The log's two formats. */

import { assertEquals } from "@std/assert";
import { asJson, Log } from "../../../mod/control/log.ts";

Deno.test("the text log is a line an event, from its level on", () => {
  const lines: string[] = [];
  const log = new Log("warn", "text", (line) => lines.push(line));
  log.info("ready : ku");
  log.warn("interface eth0 : is gone\nfor now");
  log.error("a : b");
  assertEquals(lines, ["warn interface eth0 : is gone | for now", "error a : b"]);
});

Deno.test("the JSON log is an object an event, what and detail apart", () => {
  const lines: string[] = [];
  new Log("debug", "json", (line) => lines.push(line)).debug("a\nb : c : d");
  const { time, ...rest } = JSON.parse(lines[0]);
  assertEquals(rest, { level: "debug", what: "a\nb", detail: "c : d" });
  assertEquals(Math.abs(Date.parse(time) - Date.now()) < 60_000, true);
  assertEquals(
    asJson("info", "alone", new Date(0)),
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","what":"alone"}',
  );
});
