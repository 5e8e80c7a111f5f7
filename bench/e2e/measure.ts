/** One measurement of packets: a second of the sender's load, what the sink saw of it, and what the CPUs did meanwhile. */

import type { Agent, Count } from "../traffic/agent.ts";
import { type Field, type Load, startSender, startSink } from "./field.ts";

/** The load runs this long before it counts: tables warm, CPUs awake. */
const WARM_MS = 300;

export interface Packets {
  sentPerSecond: number;
  receivedPerSecond: number;
  /** Seconds of all CPUs a second: user, system, interrupts. */
  cpus: number;
}

/** CPU seconds spent so far, idle and iowait left out. /proc/stat: proc(5); ticks of 10 ms. */
function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = Deno.readTextFileSync("/proc/stat").split("\n")[0]
    .split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs `load` for `windowMs` and looks at what arrives at `sink`. */
export async function measurePackets(
  field: Field,
  sink: Agent,
  load: Load,
  windowMs: number,
  warmMs = WARM_MS,
): Promise<Packets> {
  await using sender = await startSender(field, load);
  await pause(warmMs);
  const look = async () => ({
    received: await sink.count(),
    sent: await sender.count(),
    busy: busySeconds(),
    atMs: performance.now(),
  });
  const before = await look();
  await pause(windowMs);
  const after = await look();
  const rate = (from: Count, to: Count) => (to.packets - from.packets) / (to.atMs - from.atMs) * 1000;
  return {
    sentPerSecond: rate(before.sent, after.sent),
    receivedPerSecond: rate(before.received, after.received),
    cpus: (after.busy - before.busy) / (after.atMs - before.atMs) * 1000,
  };
}

/** What a packet costs the sender alone, in CPU seconds: a run into a drop at the node's end of the client's link. */
export async function senderCost(field: Field, load: Load, windowMs: number): Promise<number> {
  await using sink = await startSink(field.ground.node, "uplink");
  const { sentPerSecond, cpus } = await measurePackets(field, sink, load, windowMs);
  return cpus / sentPerSecond;
}
