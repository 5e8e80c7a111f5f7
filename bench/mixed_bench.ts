/** The other NAT modes, ns a packet: IPv6, and between the families. `deno bench -A bench/mixed_bench.ts -- --group 0` */

import { bench, group, Kept, QUICK } from "./micro/case.ts";
import { BATCH, type Mode, type Shape, Traffic } from "./micro/flows.ts";

const kept = new Kept<Traffic>();

function benchMode(shape: Shape): void {
  group(() => register(shape));
}

function register(shape: Shape): void {
  const { mode, protocol, frameBytes: bytes, flows, services } = shape;
  const direction = shape.reply ? "reply" : "request";
  const checksum = shape.halfDone ? "half done" : "done";
  const params = { by: "TypeScript", mode, protocol, direction, bytes, checksum, flows, services };
  bench("datapath", params, BATCH, () => {
    const batch = kept.get(JSON.stringify(shape), () => new Traffic(shape));
    return {
      before: () => batch.fill(),
      run: () => {
        const sent = batch.run();
        if (sent !== BATCH) throw new Error(`${sent} of ${BATCH} packets were sent`);
        return sent;
      },
    };
  });
}

const small: Record<Mode, number> = { nat44: 60, nat66: 80, nat46: 60, nat64: 80 };
/** What becomes longer must not pass the MTU. */
const large: Record<Mode, number> = { nat44: 1514, nat66: 1514, nat46: 1494, nat64: 1514 };

for (const mode of ["nat66", "nat46", "nat64"] as const) {
  const base: Shape = { mode, protocol: "udp", frameBytes: small[mode], flows: 1000, services: 1 };
  benchMode(base);
  benchMode({ ...base, reply: true });
  benchMode({ ...base, frameBytes: 508 });
  benchMode({ ...base, frameBytes: large[mode] });
  benchMode({ ...base, protocol: "tcp", frameBytes: large[mode], halfDone: true });
  if (!QUICK) benchMode({ ...base, flows: 65_536, services: 1000 });
  if (!QUICK && mode === "nat66") benchMode({ ...base, flows: 1 << 20, services: 1000 });
}
