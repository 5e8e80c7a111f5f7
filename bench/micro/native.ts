/**
 * The datapath in C (bench/c/datapath.c) on the memory of a TypeScript one. One call a burst: some 50 ns, not a nanosecond a packet.
 */

import { COUNT_CHECKSUM_COMPLETED } from "../../mod/metrics/counters.ts";
import { compileDatapath, library } from "../compile.ts";
import { BATCH, BURST, type Traffic } from "./flows.ts";

export type Structure = "single" | "phases";

const HOP_UNKNOWN = -9;

await compileDatapath();
const { symbols } = Deno.dlopen(library("datapath"), {
  datapath_single: { parameters: ["buffer", "i32"], result: "i32" },
  datapath_phases: { parameters: ["buffer", "i32"], result: "i32" },
});

export class NativeDatapath {
  readonly #traffic: Traffic;
  readonly #fields: BigUint64Array<ArrayBuffer>;
  /** Keeps alive what C has pointers to. */
  readonly #kept: ArrayBufferView[];

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
    const { world } = traffic;
    const { sessions4: sessions, tables, counters, processor } = world;
    const { ats, lengths, slots, outSlots } = processor.burst;
    this.#kept = [
      world.memory,
      sessions.words,
      counters.service,
      counters.pod,
      counters.interface,
      counters.node.subarray(COUNT_CHECKSUM_COMPLETED),
      tables.adjacencies.words,
      tables.interfaces.words,
      tables.routes.words,
      new Int32Array(tables.pods.capacity).fill(HOP_UNKNOWN),
      ats,
      lengths,
      slots,
      outSlots,
    ];
    this.#fields = BigUint64Array.from([
      ...this.#kept.map(addressOf),
      ...[
        sessions.bucketMask,
        sessions.lineMask,
        sessions.linesAt,
        sessions.indexMask,
        sessions.entriesAt,
        tables.generation & 0xffffff,
        processor.now,
      ].map((value) => BigInt.asUintN(64, BigInt(value))),
    ]);
  }

  /** Processes the batch; returns how many packets were sent: all of a burst before the first that is no common case. */
  run(structure: Structure): number {
    const traffic = this.#traffic;
    const call = structure === "single" ? symbols.datapath_single : symbols.datapath_phases;
    let sent = 0;
    for (let burst = 0; burst < BATCH / BURST; burst++) {
      traffic.receive(burst);
      sent += call(this.#fields, BURST);
    }
    return sent;
  }
}

/** Address of a view's first byte. The runtime takes shared memory here too; its declaration does not say so. */
function addressOf({ buffer, byteOffset, byteLength }: ArrayBufferView): bigint {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength) as Uint8Array<ArrayBuffer>;
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
