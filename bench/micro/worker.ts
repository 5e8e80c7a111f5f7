/** One thread of workers.ts: processes batches of packets of its own for a while, and answers at what rate. Filling frames is not counted. */

import { BATCH, type Shape, Traffic } from "./flows.ts";
import { NativeDatapath } from "./native.ts";

export interface Order {
  shape: Shape;
  by: "TypeScript" | "C, phases";
  ms: number;
}

export interface Answer {
  /** Millions of packets a second, the median of the batches. */
  rate: number;
}

declare const self: Worker;

let traffic: Traffic | undefined;

self.onmessage = ({ data: { shape, by, ms } }: MessageEvent<Order>) => {
  const batch = traffic ??= new Traffic(shape);
  const native = new NativeDatapath(batch);
  const run = by === "TypeScript" ? () => batch.run() : () => native.run("phases");
  const times: number[] = [];
  for (const end = performance.now() + ms; performance.now() < end;) {
    batch.fill();
    const start = performance.now();
    const sent = run();
    times.push(performance.now() - start);
    if (sent !== BATCH) throw new Error(`${sent} of ${BATCH} packets were sent`);
  }
  times.sort((a, b) => a - b);
  const answer: Answer = { rate: BATCH / 1000 / times[times.length >> 1] };
  self.postMessage(answer);
};
