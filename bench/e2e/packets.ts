/**
 * 64-byte UDP packets a second through each contestant, in rounds: everybody is measured once before anybody is measured again, so that
 * what else the machine does meanwhile meets all of them.
 *
 * Packets per CPU-second: what arrived, divided by the seconds all CPUs spent (user, system, interrupts) without the sender's part, which
 * is the number of packets sent times what one costs when the node drops it at once. That drop, in the driver, is in the sender's part.
 */

import type { Recorder } from "../record.ts";
import { makeServices, toNumber } from "../services.ts";
import type { Agent } from "../traffic/agent.ts";
import { type Contestant } from "./contestants.ts";
import { type Field, type Load, makeField, startSink } from "./field.ts";
import { measurePackets, type Packets, senderCost } from "./measure.ts";

export interface PacketPlan {
  /** Numbers of flows, by the number of services that they go to; 0: every packet is a flow of its own. */
  loads: readonly { services: number; flows: readonly number[] }[];
  rounds: number;
  windowMs: number;
}

export const PLAN: PacketPlan = {
  loads: [
    { services: 1, flows: [1000, 100_000, 0] },
    { services: 100, flows: [1000] },
    { services: 10_000, flows: [1000, 100_000] },
  ],
  rounds: 3,
  windowMs: 500,
};
export const QUICK: PacketPlan = { loads: [{ services: 10, flows: [100] }], rounds: 1, windowMs: 200 };

/** New flows are measured from the first packet on, and shortly: half a million of them fill the kernel's table. */
const FRESH = { windowMs: 300, warmMs: 100 };
/** Source addresses that one measurement of new flows may use up. */
const FRESH_ADDRESSES = 1024;

interface Runner {
  contestant: Contestant;
  field: Field;
  sink: Agent;
}

/** Records `packets` and `packets per CPU-second` for every contestant, number of services and number of flows. */
export async function benchPackets(
  contestants: readonly Contestant[],
  plan: PacketPlan,
  recorder: Recorder,
): Promise<void> {
  let fresh = 0;
  for (const { services: count, flows: numbers } of plan.loads) {
    await using stack = new AsyncDisposableStack();
    const services = makeServices(count);
    const runners: Runner[] = [];
    let cost = 0;
    for (const contestant of contestants) {
      const field = await makeField();
      stack.use(field.ground);
      if (cost === 0) cost = await senderCost(field, loadOf(contestant, count, numbers[0]), plan.windowMs);
      stack.use(await contestant.start(field, services));
      const sink = stack.use(await startSink(field.ground.pods[0].namespace, "eth0"));
      runners.push({ contestant, field, sink });
    }
    for (const flows of numbers) {
      const results = new Map<string, Packets[]>(contestants.map(({ name }) => [name, []]));
      for (let round = 0; round < plan.rounds; round++) {
        for (const { contestant, field, sink } of runners) {
          const load = loadOf(contestant, count, flows, flows === 0 ? fresh++ : 0);
          const { windowMs, warmMs } = flows === 0 ? FRESH : { windowMs: plan.windowMs, warmMs: undefined };
          results.get(contestant.name)!.push(await measurePackets(field, sink, load, windowMs, warmMs));
        }
      }
      for (const [contestant, samples] of results) {
        report(recorder, { contestant, services: count, flows: flows === 0 ? "new" : flows }, samples, cost);
      }
    }
  }
}

function loadOf({ target }: Contestant, services: number, flows: number, turn = 0): Load {
  const { firstService, port } = target;
  const firstClient = flows === 0 ? toNumber("10.64.0.0") + turn * FRESH_ADDRESSES : toNumber("10.1.1.2");
  return { flows, services, firstClient, firstService, port };
}

function report(
  recorder: Recorder,
  params: { [name: string]: string | number },
  samples: readonly Packets[],
  cost: number,
): void {
  const head = { suite: "e2e", params, better: "more" as const };
  recorder.add(
    { ...head, name: "packets", unit: "packets/s" },
    samples.map((each) => each.receivedPerSecond),
  );
  recorder.add(
    { ...head, name: "packets per CPU", unit: "packets/CPU-s" },
    samples.map((each) => each.receivedPerSecond / Math.max(each.cpus - each.sentPerSecond * cost, 0.01)),
  );
}
