/**
 * What connections through each contestant are like: round-trips over UDP at light load (a thousand a second, one at a time), TCP in bulk
 * (iperf3, the interfaces' own offloads), HTTP requests with and without a connection of their own (wrk against nginx). One pod; where
 * nothing is translated the client asks the pod itself. Who has no way back (the C forwarder, the static XDP program) is not among them.
 *
 * "bystander" is TCP in bulk between the same two through a node that translates for others: the pod's own address, and a port that no
 * service leads to.
 */

import { untilListening } from "../../tests/netns/harness/process.ts";
import { WebServer } from "../../tests/netns/harness/web.ts";
import { program } from "../compile.ts";
import type { Recorder } from "../record.ts";
import { makeServices, POD_PORT, type Service, VIP_PORT } from "../services.ts";
import { type Contestant } from "./contestants.ts";
import { type Field, makeField } from "./field.ts";

export interface LatencyPlan {
  rounds: number;
  pings: number;
  /** Of one iperf3, of one wrk. */
  bulkSeconds: number;
  requestSeconds: number;
  /** Services that are there while wrk asks one of them. */
  services: readonly number[];
}

export const LATENCY_PLAN: LatencyPlan = {
  rounds: 3,
  pings: 1000,
  bulkSeconds: 2,
  requestSeconds: 1,
  services: [1, 10_000],
};
export const LATENCY_QUICK: LatencyPlan = {
  rounds: 1,
  pings: 100,
  bulkSeconds: 1,
  requestSeconds: 1,
  services: [10],
};
/** Where no service leads to. */
const BYSTANDER_PORT = 5201;
const PING_MICROSECONDS = 1000;
const CONNECTIONS = 16;

interface Runner {
  name: string;
  translates: boolean;
  field: Field;
  /** Where the client finds the service. */
  address: string;
  port: number;
}

interface Figure {
  name: string;
  unit: string;
  better: "less" | "more";
  params?: { [name: string]: string | number };
  values: number[];
}

/** Fields with `count` services each, called with `use`, and gone afterwards; the one in the middle is asked, and has one pod. */
async function withRunners(
  contestants: readonly Contestant[],
  count: number,
  use: (runners: Runner[]) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const runners: Runner[] = [];
  for (const contestant of contestants.filter(({ answers }) => answers)) {
    const field = await makeField();
    stack.use(field.ground);
    const pod = field.ground.pods[0].address;
    const { vip } = makeServices(count)[count >> 1];
    const services: Service[] = makeServices(count, ["tcp"]);
    for (const service of services) if (service.vip === vip) service.pods = [pod];
    services.push({ ...makeServices(count)[count >> 1], pods: [pod] });
    stack.use(await contestant.start(field, services));
    const { translates } = contestant.target;
    const [address, port] = translates ? [vip, VIP_PORT] : [pod, POD_PORT];
    runners.push({ name: contestant.name, translates, field, address, port });
  }
  await use(runners);
}

/** Every runner once a round; each figure's values of all rounds become one record. */
async function inRounds(
  runners: readonly Runner[],
  rounds: number,
  recorder: Recorder,
  measure: (runner: Runner) => Promise<Figure[]>,
): Promise<void> {
  const figures = new Map<string, Figure & { contestant: string }>();
  for (let round = 0; round < rounds; round++) {
    for (const runner of runners) {
      for (const figure of await measure(runner)) {
        const key = JSON.stringify([runner.name, figure.name, figure.params]);
        const known = figures.get(key);
        if (known === undefined) figures.set(key, { ...figure, contestant: runner.name });
        else known.values.push(...figure.values);
      }
    }
  }
  for (const { contestant, name, unit, better, params, values } of figures.values()) {
    recorder.add({ suite: "e2e", name, params: { contestant, ...params }, unit, better }, values);
  }
}

export function benchRoundTrip(contestants: readonly Contestant[], plan: LatencyPlan, recorder: Recorder) {
  return withRunners(contestants, 1, async (runners) => {
    for (const { field } of runners) {
      const { namespace } = field.ground.pods[0];
      const server = field.ground.stack.use(
        namespace.start("ping", [program("ping"), "serve", String(POD_PORT)]),
      );
      await untilListening(server.pid, "udp", POD_PORT);
    }
    await inRounds(runners, plan.rounds, recorder, async ({ field, address, port }) => {
      const words = ["ask", address, port, plan.pings, PING_MICROSECONDS].map(String);
      const text = await field.ground.client.namespace.runOk([program("ping"), ...words]);
      const times = text.trim().split("\n").map(Number);
      const answered = times.filter((ns) => ns >= 0).sort((a, b) => a - b).map((ns) => ns / 1000);
      if (answered.length < 0.99 * times.length) {
        throw new Error(`${times.length - answered.length} of ${times.length} pings got no answer`);
      }
      const at = (share: number) => answered[Math.floor(share * (answered.length - 1))];
      const figure = (name: string, value: number): Figure => ({
        name,
        unit: "µs",
        better: "less",
        values: [value],
      });
      return [figure("round-trip", at(0.5)), figure("round-trip p99", at(0.99))];
    });
  });
}

export function benchBulk(contestants: readonly Contestant[], plan: LatencyPlan, recorder: Recorder) {
  return withRunners(contestants, 1, async (runners) => {
    for (const { field } of runners) {
      const { namespace } = field.ground.pods[0];
      for (const port of [POD_PORT, BYSTANDER_PORT]) {
        const server = field.ground.stack.use(
          namespace.start("iperf3", ["iperf3", "-s", "-p", String(port)]),
        );
        await untilListening(server.pid, "tcp", port);
      }
    }
    await inRounds(runners, plan.rounds, recorder, async ({ field, translates, address, port }) => {
      const figures: Figure[] = [];
      const ways = [{ who: "client", address, port }];
      if (translates) {
        ways.push({ who: "bystander", address: field.ground.pods[0].address, port: BYSTANDER_PORT });
      }
      for (const { who, address, port } of ways) {
        for (const direction of ["to the pod", "from the pod"]) {
          const words = ["-c", address, "-p", String(port), "-t", String(plan.bulkSeconds), "-J"];
          if (direction === "from the pod") words.push("-R");
          const text = await field.ground.client.namespace.runOk(["iperf3", ...words]);
          const bits: number = JSON.parse(text).end.sum_received.bits_per_second;
          const params = { who, direction };
          figures.push({ name: "TCP bulk", unit: "Gb/s", better: "more", params, values: [bits / 1e9] });
        }
      }
      return figures;
    });
  });
}

export async function benchRequests(
  contestants: readonly Contestant[],
  plan: LatencyPlan,
  recorder: Recorder,
): Promise<void> {
  for (const services of plan.services) {
    await withRunners(contestants, services, async (runners) => {
      for (const { field } of runners) await WebServer.start(field.ground, field.ground.pods[0], POD_PORT);
      const both = async (runner: Runner) => [
        ...await askForPages(runner, plan, { services, connection: "kept" }),
        ...await askForPages(runner, plan, { services, connection: "new" }),
      ];
      // As before packets are counted: once for nothing. nginx has its memory, the kernel its caches, and V8 has compiled what it runs.
      for (const runner of runners) await both(runner);
      await inRounds(runners, plan.rounds, recorder, both);
    });
  }
}

/** One run of wrk: requests a second, and the time that 99 of 100 stayed below. */
async function askForPages(
  { field, address, port }: Runner,
  plan: LatencyPlan,
  params: { services: number; connection: "kept" | "new" },
): Promise<Figure[]> {
  // nginx answers `close` by closing, and wrk then connects anew.
  const header = params.connection === "new" ? ["-H", "Connection: close"] : [];
  const words = [
    "--latency",
    "-t",
    "1",
    "-c",
    String(CONNECTIONS),
    "-d",
    `${plan.requestSeconds}s`,
    ...header,
  ];
  const url = `http://${address}:${port}/who`;
  const text = await field.ground.client.namespace.runOk(["wrk", ...words, url]);
  const rate = Number(text.match(/Requests\/sec:\s*([\d.]+)/)?.[1]);
  const [, number, unit] = text.match(/\n\s*99%\s+([\d.]+)(us|ms|s)\b/) ?? [];
  const p99 = Number(number) * { us: 1, ms: 1000, s: 1e6 }[unit as "us" | "ms" | "s"];
  if (/Non-2xx|Socket errors: connect [1-9]/.test(text) || !(rate > 0) || !(p99 > 0)) throw new Error(text);
  return [
    { name: "HTTP requests", unit: "requests/s", better: "more", params, values: [rate] },
    { name: "HTTP p99", unit: "µs", better: "less", params, values: [p99] },
  ];
}
