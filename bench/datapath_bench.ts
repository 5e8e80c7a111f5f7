/**
 * nat44, ns a packet: from a received frame to the rewritten one with its verdict; by flows and services, size and direction; and beside
 * it the same work in C, on the same tables. `deno bench -A bench/datapath_bench.ts -- --group 0` (the first shape; see micro/case.ts)
 */

import { bench, group, Kept, QUICK } from "./micro/case.ts";
import { BATCH, type Shape, Traffic } from "./micro/flows.ts";
import { NativeDatapath, type Structure } from "./micro/native.ts";

const kept = new Kept<Traffic>();

function traffic(shape: Shape, known = true): Traffic {
  return kept.get(JSON.stringify([shape, known]), () => new Traffic(shape, known));
}

/** The figure's name for a shape. */
function paramsOf(shape: Shape, by: string) {
  const { mode, protocol, frameBytes, flows, services } = shape;
  const direction = shape.reply ? "reply" : "request";
  const checksum = shape.halfDone ? "half done" : "done";
  const bytes = frameBytes === 60 ? 64 : frameBytes;
  return { by, mode, protocol, direction, bytes, checksum, flows, services };
}

function check(sent: number): number {
  if (sent !== BATCH) throw new Error(`${sent} of ${BATCH} packets were sent`);
  return sent;
}

function benchKnown(shape: Shape): void {
  bench("datapath", paramsOf(shape, "TypeScript"), BATCH, () => {
    const batch = traffic(shape);
    return { before: () => batch.fill(), run: () => check(batch.run()) };
  });
}

function benchNative(shape: Shape, structure: Structure): void {
  bench("datapath", paramsOf(shape, `C, ${structure}`), BATCH, () => {
    const batch = traffic(shape);
    const native = new NativeDatapath(batch);
    return { before: () => batch.fill(), run: () => check(native.run(structure)) };
  });
}

function benchNew(services: number): void {
  const shape: Shape = { ...base, flows: 200 * BATCH, services };
  bench("new sessions", paramsOf(shape, "TypeScript"), BATCH, () => {
    const batch = traffic(shape, false);
    return { before: () => batch.fillInOrder(), run: () => check(batch.run()) };
  }, 190);
}

const base: Shape = { mode: "nat44", protocol: "udp", frameBytes: 60, flows: 1000, services: 1 };
const both: Structure[] = ["single", "phases"];

for (const flows of QUICK ? [1000] : [1000, 65_536, 1 << 20]) {
  for (const services of QUICK ? [1, 1000] : [1, 1000, 10_000]) {
    const shape = { ...base, flows, services };
    group(() => {
      benchKnown(shape);
      if (services <= 1000) both.forEach((structure) => benchNative(shape, structure));
    });
  }
}
const others: Shape[] = [
  { ...base, reply: true },
  { ...base, protocol: "tcp" },
  { ...base, frameBytes: 508 },
  { ...base, frameBytes: 1514 },
  { ...base, frameBytes: 1514, protocol: "tcp", halfDone: true },
];
for (const shape of others) {
  group(() => {
    benchKnown(shape);
    both.forEach((structure) => benchNative(shape, structure));
  });
}
for (const services of QUICK ? [1] : [1, 1000]) group(() => benchNew(services));
