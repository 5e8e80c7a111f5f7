/** One of the two workers of workers_thread_test.ts: the datapath over its own tables, in a thread of its own. */

import { SessionTable } from "../../../mod/table/session.ts";
import { buildFrame, udp } from "../../packets/builder.ts";
import { FAMILY4, nodeSpec, UPLINK } from "../../packets/node.ts";
import { World } from "../../packets/world.ts";

export type RacerTables = SharedArrayBuffer;

export type RacerOrder =
  | { kind: "make"; index: number }
  | { kind: "race"; other: RacerTables; barrier: SharedArrayBuffer; flows: number };

/** Flows between two meetings: in few they drift apart less, many let them meet more often in the time there is. */
const BATCH = 32;

let world: World;

/** Both threads leave at the same moment; in between, neither waits in the kernel. */
function meet(arrivals: Int32Array, round: number): void {
  Atomics.add(arrivals, 0, 1);
  while (Atomics.load(arrivals, 0) < 2 * round) Atomics.wait(arrivals, 1, 0, 0);
}

function firstPacket(flow: number): Uint8Array {
  return buildFrame({ src: FAMILY4.client, dst: FAMILY4.vip }, udp({ srcPort: 10_000 + flow, dstPort: 80 }));
}

function race(other: RacerTables, barrier: SharedArrayBuffer, flows: number): number {
  const arrivals = new Int32Array(barrier);
  world.processor.setSessions({
    sessions4: world.sessions4,
    sessions6: world.sessions6,
    others4: [new SessionTable(other)],
  });
  let round = 0;
  for (let first = 0; first < flows; first += BATCH) {
    const frames = Array.from({ length: BATCH }, (_, i) => firstPacket(first + i));
    meet(arrivals, ++round);
    for (const frame of frames) world.run(frame, UPLINK);
    meet(arrivals, ++round);
    meet(arrivals, ++round);
    // What both have yielded, one of them tries again while the other stands still.
    if (world.spec.workerIndex === 0) { for (const frame of frames) world.run(frame, UPLINK); }
  }
  return world.nodeCounts()["ku-session: session left to another worker"] ?? 0;
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<RacerOrder>) => void) | null;
  postMessage: (message: RacerTables | number) => void;
};
scope.onmessage = ({ data }) => {
  if (data.kind === "make") {
    world = new World({ ...nodeSpec(FAMILY4), buckets: 65_536, workerIndex: data.index, workerCount: 2 });
    scope.postMessage(world.sessions4.buffer as SharedArrayBuffer);
  } else {
    scope.postMessage(race(data.other, data.barrier, data.flows));
  }
};
