/**
 * End to end in network namespaces (root, dist/ku): ku beside what users run today, same ground, same sender and sink for all.
 *
 *     deno run -A bench/e2e.ts [--quick] [--only packets,round-trip,bulk,requests] [--contestants ku,nftables,…] [--out records.jsonl]
 *
 * Everything made is gone afterwards, also after Ctrl-C (tests/netns/harness/cleanup.ts).
 */

import { requireGround } from "../tests/netns/harness/requirements.ts";
import { compileTraffic } from "./compile.ts";
import { ALL } from "./e2e/contestants.ts";
import { benchBulk, benchRequests, benchRoundTrip, LATENCY_PLAN, LATENCY_QUICK } from "./e2e/latency.ts";
import { benchPackets, PLAN, QUICK } from "./e2e/packets.ts";
import { Recorder } from "./record.ts";

const PARTS = ["packets", "round-trip", "bulk", "requests"];

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

function chosen(name: string, all: readonly string[], byDefault: readonly string[]): string[] {
  const words = option(name)?.split(",") ?? [...byDefault];
  const unknown = words.find((word) => !all.includes(word));
  if (unknown === undefined) return words;
  console.error(`bench/e2e.ts: ${unknown} : not one of --${name}, choose from ${all.join(", ")}`);
  Deno.exit(2);
}

const quick = Deno.args.includes("--quick");
const names = ALL.map(({ name }) => name);
const parts = chosen("only", PARTS, quick ? ["packets", "round-trip"] : PARTS);
const contestants = chosen("contestants", names, quick ? ["ku", "nftables"] : names);
await requireGround();
await compileTraffic();
const recorder = new Recorder(option("out"));
const running = ALL.filter(({ name }) => contestants.includes(name));
if (parts.includes("packets")) await benchPackets(running, quick ? QUICK : PLAN, recorder);
const plan = quick ? LATENCY_QUICK : LATENCY_PLAN;
if (parts.includes("round-trip")) await benchRoundTrip(running, plan, recorder);
if (parts.includes("bulk")) await benchBulk(running, plan, recorder);
if (parts.includes("requests")) await benchRequests(running, plan, recorder);
const silent = recorder.records.filter(({ median }) => !(median > 0));
for (const { name, params } of silent) console.error(`nothing measured: ${name} ${JSON.stringify(params)}`);
Deno.exit(silent.length === 0 ? 0 : 1); // the cleanup's pipe would keep the process
