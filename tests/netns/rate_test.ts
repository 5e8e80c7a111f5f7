/**
 * Bulk TCP between a client and a pod, by plain routing, is as fast past attached interfaces as without ku.
 *
 *     client 10.1.1.2 ── uplink  node (ku)  pod1 ── 10.2.1.2 iperf3
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Daemon } from "./harness/daemon.ts";
import { Ground, type Host, offload } from "./harness/ground.ts";
import { untilListening } from "./harness/process.ts";
import { requireGround } from "./harness/requirements.ts";
import { serving, VIP } from "./harness/service.ts";

const IPERF_ROUNDS = { least: 5, most: 15 };
const LEAST_RATIO = 0.95;
const SEGMENTATION = "tcp-segmentation-offload";
const IPERF_PORT = 5201;

await requireGround();

Deno.test("bulk TCP past veths attached in mode auto keeps its rate both ways and their peers their offloads", async () => {
  await using ground = await Ground.create({ pods: 1 });
  const [pod] = ground.pods;
  const server = ground.stack.use(
    pod.namespace.start("iperf3 server", ["iperf3", "-s", "-p", String(IPERF_PORT)]),
  );
  await untilListening(server.pid, "tcp", IPERF_PORT);
  const rates = [new Rates("upload"), new Rates("download")];
  const measure = async (side: "without" | "with") => {
    for (const each of rates) each[side].push(await bitsPerSecond(ground.client, pod, each.direction));
  };
  // A VIP leads to the very port: of what the pod sends from there, only what answers the VIP's clients is ku's.
  const config = serving(ground, "auto");
  config.vips.push({ prefix: `${VIP}/32`, protocol: "tcp", port: IPERF_PORT, pods: [pod.address] });
  const measureWith = async () => {
    await using daemon = await Daemon.start(ground, { config });
    await measure("with");
    assertEquals([await offload(ground.client, SEGMENTATION), await offload(pod, SEGMENTATION)], [
      "on",
      "on",
    ]);
    await daemon.stop();
  };
  await bitsPerSecond(ground.client, pod, "upload"); // the first run warms up
  // On a machine that also does other things a rate jumps by 10 %. The order changes from round to round, so that a drift hits both alike,
  // and when the medians of a few rounds are apart, more rounds tell noise from loss.
  const lost = () => rates.some((each) => each.ratio < LEAST_RATIO);
  for (let round = 0; round < IPERF_ROUNDS.most && (round < IPERF_ROUNDS.least || lost()); round++) {
    if (round % 2 === 1) await measureWith();
    await measure("without");
    if (round % 2 === 0) await measureWith();
  }
  for (const each of rates) console.log(each.text);
  for (const each of rates) assertGreaterOrEqual(each.ratio, LEAST_RATIO, each.text);
});

/** What was measured of one direction, in bits per second. */
class Rates {
  readonly without: number[] = [];
  readonly with: number[] = [];

  constructor(readonly direction: "upload" | "download") {}

  get ratio(): number {
    return median(this.with) / median(this.without);
  }

  get text(): string {
    const show = (list: number[]) => list.map((rate) => (rate / 1e9).toFixed(1)).join(" ");
    return `${this.direction}, Gb/s without ku ${show(this.without)}, with ku ${show(this.with)}; ` +
      `ratio of medians ${this.ratio.toFixed(3)}`;
  }
}

async function bitsPerSecond(client: Host, pod: Host, direction: Rates["direction"]): Promise<number> {
  const words = ["iperf3", "-c", pod.address, "-p", String(IPERF_PORT), "-t", "1", "-J"];
  if (direction === "download") words.push("--reverse");
  const result: { end: { sum_received: { bits_per_second: number } } } = JSON.parse(
    await client.namespace.runOk(words),
  );
  return result.end.sum_received.bits_per_second;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
