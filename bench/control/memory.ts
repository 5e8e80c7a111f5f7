/** What the daemon takes of memory: resident, its share of it, and how much more for services and for sessions. */

import { Daemon } from "../../tests/netns/harness/daemon.ts";
import { Ground } from "../../tests/netns/harness/ground.ts";
import type { Recorder } from "../record.ts";
import { SessionTable } from "../../mod/table/session.ts";
import { kuLines, makeServices } from "../services.ts";

const BUCKETS = 131072;

/** Records the memory of a daemon with one worker, empty and with `count` services. */
export async function daemonMemory(count: number, recorder: Recorder, limitMs: number): Promise<void> {
  await using ground = await Ground.create({ clients: 1, pods: 1 });
  await using daemon = await Daemon.start(ground, { words: ["--workers", "1"], quiet: true });
  await daemon.ku("interface uplink mode native");
  const add = (name: string, services: number, unit: string, value: number) =>
    recorder.add(
      { suite: "control", name, params: { contestant: "ku", services }, unit, better: "less" },
      [value],
    );
  const empty = { ...await residentBytes(daemon), own: (await daemon.summary()).memoryBytes };
  add("resident", 0, "MB", empty.rss / 1e6);
  add("proportional", 0, "MB", empty.pss / 1e6);
  const result = await daemon.runWith(
    { stdin: kuLines(makeServices(count)), timeoutMs: limitMs },
    "exec",
    "--atomic",
    "-",
  );
  if (result.code !== 0) throw new Error(result.stderr);
  const full = { ...await residentBytes(daemon), own: (await daemon.summary()).memoryBytes };
  add("resident", count, "MB", full.rss / 1e6);
  add("proportional", count, "MB", full.pss / 1e6);
  add("a service, resident", count, "bytes", (full.rss - empty.rss) / count);
  add("a service, tables", count, "bytes", (full.own - empty.own) / count);
  add("a session, IPv4", count, "bytes", sessionBytes(1));
  add("a session, IPv6", count, "bytes", sessionBytes(4));
}

/** Of the table of all sessions, both directions, for each place; addresses of so many words. */
function sessionBytes(addressWords: 1 | 4): number {
  const places = 4 * BUCKETS;
  return SessionTable.bytesFor(BUCKETS, addressWords) / places;
}

async function residentBytes(daemon: Daemon): Promise<{ rss: number; pss: number }> {
  const text = await Deno.readTextFile(`/proc/${daemon.process.pid}/smaps_rollup`);
  const of = (name: string) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))![1]) * 1024;
  return { rss: of("Rss"), pss: of("Pss") };
}
