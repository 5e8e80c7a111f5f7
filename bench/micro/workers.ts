/**
 * Two workers beside one: threads with tables, packets and counters of their own, as the daemon's are, all at work at the same time. What
 * C gets out of the second processor says what the machine has to give: two hyperthreads are not two cores.
 */

import type { Recorder } from "../record.ts";
import type { Answer, Order } from "./worker.ts";

const ROUNDS = 5;

/** Millions of packets a second by each of `workers` at the same time. */
async function rates(workers: Worker[], order: Order): Promise<number[]> {
  const answers = workers.map((worker) =>
    new Promise<number>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data.rate);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage(order);
    })
  );
  return await Promise.all(answers);
}

export async function benchWorkers(recorder: Recorder, quick: boolean): Promise<void> {
  const shape = { mode: "nat44", protocol: "udp", frameBytes: 60, services: 1000 } as const;
  for (const flows of quick ? [1000] : [1000, 65_536]) {
    for (const by of ["TypeScript", "C, phases"] as const) {
      const workers = [1, 2].map(() => new Worker(import.meta.resolve("./worker.ts"), { type: "module" }));
      const order: Order = { shape: { ...shape, flows }, by, ms: quick ? 20 : 400 };
      await rates(workers, order); // builds the tables, and has everything compiled
      const one: number[] = [], two: number[] = [], ratio: number[] = [];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        const [alone] = await rates(workers.slice(0, 1), order);
        const together = (await rates(workers, order)).reduce((sum, rate) => sum + rate);
        one.push(alone);
        two.push(together);
        ratio.push(together / alone);
      }
      const record = (name: string, unit: string, samples: number[]) =>
        recorder.add(
          { suite: "micro", name, params: { by, flows, services: 1000 }, unit, better: "more" },
          samples,
        );
      record("one worker", "M packets/s", one);
      record("two workers", "M packets/s", two);
      record("two workers to one", "×", ratio);
      workers.forEach((worker) => worker.terminate());
    }
  }
}
