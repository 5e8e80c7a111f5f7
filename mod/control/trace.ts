/**
 * `ku trace add N` and `ku show trace`: the next N packets, kept until the next trace or `ku clear trace`.
 *
 * @module
 */

import { Fields } from "../config/fields.ts";
import { ConfigError } from "../config/model.ts";
import { checkRange } from "../config/rules.ts";
import { verdictText } from "./observe.ts";
import { packetText } from "./packet_text.ts";
import type { TracedPacket } from "./protocol.ts";
import type { ShowParts } from "./shows.ts";
import type { Seen, Taps, Watcher } from "./taps.ts";

/** Packets a trace keeps at most; a few hundred bytes each. */
const MAX_PACKETS = 10_000;

export class Trace implements Watcher {
  readonly ranges = null;
  readonly #parts: ShowParts;
  readonly #taps: Taps;
  #packets: TracedPacket[] = [];
  #wanted = 0;
  #watching = false;

  constructor(parts: ShowParts, taps: Taps) {
    this.#parts = parts;
    this.#taps = taps;
  }

  /** Keeps `count` more packets from now on. */
  async add(params: unknown): Promise<null> {
    const fields = new Fields(params, "", "params");
    const count = checkRange("count", fields.number("count") ?? NaN, 1, MAX_PACKETS);
    fields.end();
    if (this.#wanted + count > MAX_PACKETS) {
      throw new ConfigError(
        "count",
        String(count),
        `with those there are over ${MAX_PACKETS}: ku clear trace`,
      );
    }
    this.#wanted += count;
    if (this.#watching) return null;
    this.#watching = true;
    await this.#taps.add(this);
    return null;
  }

  /** Forgets all, and ends one that is under way. */
  async clear(): Promise<null> {
    this.#wanted = 0;
    this.#packets = [];
    this.#watching = false;
    await this.#taps.remove(this);
    return null;
  }

  show(): TracedPacket[] {
    return this.#packets;
  }

  see(seen: Seen): void {
    if (this.#packets.length < this.#wanted) {
      this.#packets.push(describe(this.#parts, seen, this.#packets.length + 1));
    }
  }

  goesOn(): boolean {
    this.#watching = this.#packets.length < this.#wanted;
    return this.#watching;
  }
}

function describe(parts: ShowParts, seen: Seen, number: number): TracedPacket {
  const { timeMs, worker, inSlot, outSlot, verdict, before, after, reasons } = seen;
  const word = verdictText(verdict);
  return {
    number,
    time: new Date(timeMs).toISOString(),
    worker,
    interface: slotName(parts, inSlot),
    before: packetText(before),
    nodes: reasons.map(({ node, reason }) => ({ node, reason })),
    after: after === null ? null : packetText(after),
    outInterface: word === "sent" ? slotName(parts, outSlot) : null,
    verdict: word,
  };
}

/** Name of the interface with this slot. */
export function slotName({ attachments }: Pick<ShowParts, "attachments">, slot: number): string {
  if (slot === 0) return "ku0";
  return attachments.list().find((each) => each.slot === slot)?.name ?? `slot ${slot}`;
}
