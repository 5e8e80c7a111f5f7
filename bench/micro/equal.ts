/** The C datapath does what the TypeScript does: frames, sessions and counters are equal after the same packets. */

import { BATCH, type Shape, Traffic } from "./flows.ts";
import { NativeDatapath } from "./native.ts";

const BASE: Shape = { mode: "nat44", protocol: "udp", frameBytes: 60, flows: 3000, services: 5 };
const SHAPES: Shape[] = [
  BASE,
  { ...BASE, flows: 900, frameBytes: 61 },
  { ...BASE, reply: true },
  { ...BASE, protocol: "tcp" },
  { ...BASE, halfDone: true, frameBytes: 1513 },
  { ...BASE, protocol: "tcp", halfDone: true, frameBytes: 1514, reply: true },
];

function same(what: string, one: Uint8Array, other: Uint8Array): void {
  for (let i = 0; i < one.length; i++) {
    if (one[i] !== other[i]) {
      throw new Error(`${what}: byte ${i} is ${one[i]} by TypeScript, ${other[i]} by C`);
    }
  }
}

function bytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Throws an Error that says what differs. */
function requireEqual(): void {
  for (const shape of SHAPES) {
    for (const structure of ["single", "phases"] as const) {
      const [one, other] = [new Traffic(shape), new Traffic(shape)];
      const native = new NativeDatapath(other);
      const what = `${structure} ${JSON.stringify(shape)}`;
      for (let batch = 0; batch < 3; batch++) {
        for (const traffic of [one, other]) traffic.fill();
        const sent = [one.run(), native.run(structure)];
        if (sent.some((count) => count !== BATCH)) {
          throw new Error(`${sent.join(" and ")} sent of ${BATCH}, ${what}`);
        }
        same(`frames, ${what}`, one.frames, other.frames);
        for (const kind of ["node", "service", "pod", "interface"] as const) {
          const [mine, its] = [one, other].map(({ world }) => bytes(world.counters[kind]));
          same(`${kind} counters, ${what}`, mine, its);
        }
      }
    }
  }
}

if (import.meta.main) requireEqual();
