/**
 * TypeScript and C by turns: a batch of packets by one, a batch by the other, and so on, so that whatever else the machine does meets
 * both alike. Ratios come from here; that of two figures taken seconds apart says more about the machine.
 */

import type { Recorder } from "../record.ts";
import { BATCH, type Shape, Traffic } from "./flows.ts";
import { NativeDatapath } from "./native.ts";

const WARM_BATCHES = 1500;
const SAMPLES = 9;
const BATCHES = 150;

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

export function benchRatio(recorder: Recorder, quick: boolean): void {
  const base = { mode: "nat44", frameBytes: 60, protocol: "udp" } as const;
  const shapes: Shape[] = [];
  for (const flows of quick ? [1000] : [1000, 65_536, 1 << 20]) {
    for (const services of quick ? [1] : [1, 1000]) shapes.push({ ...base, flows, services });
  }
  const few = { ...base, flows: 1000, services: 1 };
  shapes.push({ ...few, reply: true }, { ...few, protocol: "tcp" });
  shapes.push({ ...few, protocol: "tcp", frameBytes: 1514, halfDone: true });
  for (const shape of shapes) compare(shape, recorder, quick);
}

function compare(shape: Shape, recorder: Recorder, quick: boolean): void {
  const traffic = new Traffic(shape);
  const native = new NativeDatapath(traffic);
  const runners = [
    { by: "TypeScript", run: () => traffic.run(), samples: [] as number[] },
    { by: "C, phases", run: () => native.run("phases"), samples: [] as number[] },
    { by: "C, single", run: () => native.run("single"), samples: [] as number[] },
  ];
  const round = (batches: number) => {
    const times: number[][] = runners.map(() => []);
    for (let i = 0; i < batches; i++) {
      runners.forEach(({ run }, which) => {
        traffic.fill();
        const start = performance.now();
        const sent = run();
        times[which].push((performance.now() - start) * 1e6 / BATCH);
        if (sent !== BATCH) throw new Error(`${sent} of ${BATCH} packets were sent`);
      });
    }
    return times.map(median);
  };
  round(quick ? 5 : WARM_BATCHES);
  const ratios: number[] = [];
  for (let sample = 0; sample < (quick ? 1 : SAMPLES); sample++) {
    const values = round(quick ? 5 : BATCHES);
    values.forEach((value, which) => runners[which].samples.push(value));
    ratios.push(values[0] / Math.min(values[1], values[2]));
  }
  const { protocol, frameBytes, flows, services } = shape;
  const direction = shape.reply ? "reply" : "request";
  const params = { protocol, direction, bytes: frameBytes === 60 ? 64 : frameBytes, flows, services };
  const head = { suite: "micro", better: "less" as const };
  for (const { by, samples } of runners) {
    recorder.add({ ...head, name: "nat44 by turns", params: { by, ...params }, unit: "ns" }, samples);
  }
  recorder.add({ ...head, name: "TypeScript to the faster C", params, unit: "×" }, ratios);
}
