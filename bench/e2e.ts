/**
 * End to end in network namespaces (root, dist/ku): ku beside what users run today, same ground, same sender and sink for all.
 *
 *     deno run -A bench/e2e.ts [--quick] [--only packets,round-trip,bulk,requests] [--contestants ku,nftables,…] [--rounds 3]
 *                              [--out records.jsonl]
 *
 * Without `--contestants` every part has those that its comparisons need (BY_DEFAULT).
 *
 * Everything made is gone afterwards, also after Ctrl-C (tests/netns/harness/cleanup.ts).
 */

import { requireGround } from "../tests/netns/harness/requirements.ts";
import { compileTraffic } from "./compile.ts";
import { ALL, type Contestant } from "./e2e/contestants.ts";
import { benchBulk, benchRequests, benchRoundTrip, LATENCY_PLAN, LATENCY_QUICK } from "./e2e/latency.ts";
import { benchPackets, PLAN, QUICK } from "./e2e/packets.ts";
import { Recorder } from "./record.ts";

const BY_DEFAULT: Record<string, string[]> = {
  "packets": ["ku", "ku-ring", "xdp", "nftables", "iptables", "forward", "routing"],
  "round-trip": ["ku", "ku-ring", "ku auto", "nftables", "iptables", "routing"],
  "bulk": ["ku", "ku auto", "nftables", "routing"],
  "requests": ["ku", "ku auto", "nftables", "iptables", "routing"],
};
const PARTS = Object.keys(BY_DEFAULT);

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
const parts = chosen("only", PARTS, PARTS);
const rounds = option("rounds") === undefined ? undefined : Number(option("rounds"));
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
  console.error(`bench/e2e.ts: --rounds : ${option("rounds")}, give a whole number above 0`);
  Deno.exit(2);
}
await requireGround();
await compileTraffic();
const recorder = new Recorder(option("out"));
const BENCHES: Record<string, (running: Contestant[]) => Promise<void>> = {
  "packets": (running) => benchPackets(running, { ...quick ? QUICK : PLAN, ...given }, recorder),
  "round-trip": (running) => benchRoundTrip(running, latency, recorder),
  "bulk": (running) => benchBulk(running, latency, recorder),
  "requests": (running) => benchRequests(running, latency, recorder),
};
const given = rounds === undefined ? {} : { rounds };
const latency = { ...quick ? LATENCY_QUICK : LATENCY_PLAN, ...given };
for (const part of parts) {
  const start = performance.now();
  const wanted = chosen("contestants", names, quick ? ["ku", "nftables"] : BY_DEFAULT[part]);
  await BENCHES[part](ALL.filter(({ name }) => wanted.includes(name)));
  console.log(`· ${part}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
}
const silent = recorder.records.filter(({ median }) => !(median > 0));
for (const { name, params } of silent) console.error(`nothing measured: ${name} ${JSON.stringify(params)}`);
Deno.exit(silent.length === 0 ? 0 : 1); // the cleanup's pipe would keep the process
