/**
 * What connections through each contestant are like: round-trips over UDP at light load (a thousand a second, one at a time), TCP in bulk
 * (iperf3, the interfaces' own offloads), HTTP requests with and without a connection of their own (wrk against nginx). One service, one
 * pod; where nothing is translated the client asks the pod itself. The C forwarder, which has no way back, is not among them.
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
  seconds: number;
}

export const LATENCY_PLAN: LatencyPlan = { rounds: 5, pings: 1000, seconds: 2 };
export const LATENCY_QUICK: LatencyPlan = { rounds: 1, pings: 100, seconds: 1 };
const PING_MICROSECONDS = 1000;
const CONNECTIONS = 16;

interface Runner {
  name: string;
  field: Field;
  /** Where the client finds the service. */
  address: string;
  port: number;
}

interface Figure {
  name: string;
  unit: string;
  better: "less" | "more";
  params?: { [name: string]: string };
  values: number[];
}

/** Fields with one service each, called with `use`, and gone afterwards. */
async function withRunners(
  contestants: readonly Contestant[],
  use: (runners: Runner[]) => Promise<void>,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const runners: Runner[] = [];
  for (const contestant of contestants.filter(({ answers }) => answers)) {
    const field = await makeField();
    stack.use(field.ground);
    const pod = field.ground.pods[0].address;
    const services: Service[] = makeServices(1, ["udp", "tcp"]).map((each) => ({ ...each, pods: [pod] }));
    stack.use(await contestant.start(field, services));
    const { translates } = contestant.target;
    const [address, port] = translates ? [services[0].vip, VIP_PORT] : [pod, POD_PORT];
    runners.push({ name: contestant.name, field, address, port });
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
  return withRunners(contestants, async (runners) => {
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
  return withRunners(contestants, async (runners) => {
    for (const { field } of runners) {
      const { namespace } = field.ground.pods[0];
      const server = field.ground.stack.use(
        namespace.start("iperf3", ["iperf3", "-s", "-p", String(POD_PORT)]),
      );
      await untilListening(server.pid, "tcp", POD_PORT);
    }
    await inRounds(runners, plan.rounds, recorder, async ({ field, address, port }) => {
      const figures: Figure[] = [];
      for (const direction of ["to the pod", "from the pod"]) {
        const words = ["-c", address, "-p", String(port), "-t", String(plan.seconds), "-J"];
        if (direction === "from the pod") words.push("-R");
        const text = await field.ground.client.namespace.runOk(["iperf3", ...words]);
        const bits: number = JSON.parse(text).end.sum_received.bits_per_second;
        figures.push({
          name: "TCP bulk",
          unit: "Gb/s",
          better: "more",
          params: { direction },
          values: [bits / 1e9],
        });
      }
      return figures;
    });
  });
}

export function benchRequests(contestants: readonly Contestant[], plan: LatencyPlan, recorder: Recorder) {
  return withRunners(contestants, async (runners) => {
    for (const { field } of runners) await WebServer.start(field.ground, field.ground.pods[0], POD_PORT);
    await inRounds(runners, plan.rounds, recorder, async ({ field, address, port }) => {
      const figures: Figure[] = [];
      for (const connection of ["kept", "new"]) {
        // nginx answers `close` by closing, and wrk then connects anew.
        const header = connection === "new" ? ["-H", "Connection: close"] : [];
        const words = ["-t", "1", "-c", String(CONNECTIONS), "-d", `${plan.seconds}s`, ...header];
        const url = `http://${address}:${port}/who`;
        const text = await field.ground.client.namespace.runOk(["wrk", ...words, url]);
        const rate = Number(text.match(/Requests\/sec:\s*([\d.]+)/)?.[1]);
        if (/Non-2xx|Socket errors: connect [1-9]/.test(text) || !(rate > 0)) throw new Error(text);
        figures.push({
          name: "HTTP requests",
          unit: "requests/s",
          better: "more",
          params: { connection },
          values: [rate],
        });
      }
      return figures;
    });
  });
}
