/** What is decided about packets of no session: malformed ones, others' traffic. `deno bench -A bench/parse_bench.ts` */

import { buildFrame, pattern, tcp, udp } from "../tests/packets/builder.ts";
import { FRAME_BYTES, HEADROOM } from "../tests/packets/world.ts";
import { bench } from "./micro/case.ts";
import { UPLINK, worldOf } from "./micro/flows.ts";

const COUNT = 4096;
const FRAMES = 64;

const payload = pattern(18);
const segment = udp({ srcPort: 1234, dstPort: 53, payload });
const four = { src: "198.18.0.1", dst: "203.0.113.7" };
const six = { src: "2001:db8:c::1", dst: "2001:db8:d::1" };

function cut(frame: Uint8Array, bytes: number): Uint8Array {
  return frame.subarray(0, frame.length - bytes);
}

const FRAMES_OF: Record<string, Uint8Array> = {
  "unknown destination, IPv4": buildFrame(four, segment),
  "unknown destination, IPv4 TCP": buildFrame(four, tcp({ srcPort: 1, dstPort: 2, payload })),
  "unknown destination, IPv6": buildFrame(six, segment),
  "malformed: shorter than it says, IPv4": cut(buildFrame(four, segment), 9),
  "malformed: shorter than it says, IPv6": cut(buildFrame(six, segment), 9),
  "no IP": Uint8Array.from({ length: 60 }, (_, i) => i === 12 ? 8 : i === 13 ? 6 : 0),
};

for (const [what, frame] of Object.entries(FRAMES_OF)) {
  bench("parse", { what }, COUNT, () => {
    const world = worldOf({ mode: "nat44", protocol: "udp", frameBytes: 60, flows: 64, services: 1 });
    for (let i = 0; i < FRAMES; i++) world.place(frame, i);
    return {
      run: () => {
        let sum = 0;
        for (let i = 0; i < COUNT; i++) {
          const at = (i & (FRAMES - 1)) * FRAME_BYTES + HEADROOM;
          sum += world.processor.decide(at, frame.length, UPLINK, at - HEADROOM + FRAME_BYTES);
        }
        return sum;
      },
    };
  });
}
