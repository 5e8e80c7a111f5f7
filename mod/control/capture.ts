/**
 * `ku capture`: packets as they came and as they leave, as pcapng, handed out in pieces to whoever asks. A capture that nobody asks for any more
 * ends by itself.
 *
 * @module
 */

import { encodeBase64 } from "./base64.ts";
import { Fields } from "../config/fields.ts";
import { ConfigError } from "../config/model.ts";
import { checkRange } from "../config/rules.ts";
import { VERSION } from "../config/version.ts";
import { type EndpointRange, isInRange, parseEndpointRange } from "./endpoint_filter.ts";
import { packetFacts } from "./packet_text.ts";
import { verdictText } from "./observe.ts";
import { PcapngWriter } from "./pcap.ts";
import type { CapturePiece } from "./protocol.ts";
import type { ShowParts } from "./shows.ts";
import type { Seen, Taps, Watcher } from "./taps.ts";
import { slotName } from "./trace.ts";

/** Captures at a time. */
const MAX_CAPTURES = 8;
/** Bytes that wait to be fetched, at most; further packets are counted as lost. */
const MAX_WAITING_BYTES = 32 * 2 ** 20;
/** A piece is not larger, so that a line on the socket stays small. */
const PIECE_BYTES = 4 * 2 ** 20;
/** Nobody has asked for so long: the client has gone. */
const FORGOTTEN_MS = 10_000;
/** How long a question waits for packets. */
const PATIENCE_MS = 500;

export class Captures {
  readonly #parts: ShowParts;
  readonly #taps: Taps;
  readonly #running = new Map<number, Capture>();
  #nextId = 1;

  constructor(parts: ShowParts, taps: Taps) {
    this.#parts = parts;
    this.#taps = taps;
  }

  /** Begins one; the id for `read` and `stop`. */
  async start(params: unknown): Promise<{ id: number }> {
    const fields = new Fields(params, "", "params");
    const vip = fields.string("vip");
    fields.end();
    if (this.#running.size >= MAX_CAPTURES) {
      throw new ConfigError("captures", String(this.#running.size), "are running: end one of them");
    }
    const capture = new Capture(this.#parts, vip === undefined ? null : parseEndpointRange("vip", vip));
    const id = this.#nextId++;
    this.#running.set(id, capture);
    await this.#taps.add(capture);
    return { id };
  }

  /** What has come since, after a moment's wait if there is nothing yet. */
  async read(params: unknown): Promise<CapturePiece> {
    const [capture] = this.#find(params);
    const bytes = await capture.take();
    return { data: encodeBase64(bytes), lost: capture.lost + this.#taps.lost };
  }

  /** Ends it; what has not been read is the answer. */
  async stop(params: unknown): Promise<CapturePiece> {
    const [capture, id] = this.#find(params);
    await this.#taps.remove(capture);
    this.#running.delete(id);
    return { data: encodeBase64(capture.rest()), lost: capture.lost + this.#taps.lost };
  }

  #find(params: unknown): [Capture, number] {
    for (const [id, { forgotten }] of this.#running) if (forgotten) this.#running.delete(id);
    const fields = new Fields(params, "", "params");
    const id = checkRange("id", fields.number("id") ?? NaN, 1, Number.MAX_SAFE_INTEGER);
    fields.end();
    const capture = this.#running.get(id);
    if (capture === undefined) throw new ConfigError("capture", String(id), "has ended: start another");
    return [capture, id];
  }
}

class Capture implements Watcher {
  lost = 0;
  readonly #parts: ShowParts;
  readonly #filter: EndpointRange | null;
  readonly #writer = new PcapngWriter();
  #pieces: Uint8Array[];
  #waitingBytes = 0;
  #askedAt = performance.now();
  #wake: () => void = () => {};

  constructor(parts: ShowParts, filter: EndpointRange | null) {
    this.#parts = parts;
    this.#filter = filter;
    const names = parts.attachments.list().map(({ name }) => name);
    this.#pieces = [this.#writer.header(`ku ${VERSION}`, [...names, "ku0", "kernel"])];
  }

  get ranges(): readonly EndpointRange[] | null {
    return this.#filter === null ? null : [this.#filter];
  }

  get forgotten(): boolean {
    return performance.now() - this.#askedAt > FORGOTTEN_MS;
  }

  see(seen: Seen): void {
    if (!this.#isWanted(seen)) return;
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      this.lost++;
      return;
    }
    const { timeMs, inSlot, outSlot, before, after, inLength, outLength, verdict, reasons } = seen;
    const timeUs = Math.floor(timeMs * 1000);
    const word = verdictText(verdict);
    const why = reasons.map(({ node, reason }) => `${node}: ${reason}`).join("; ") || "session followed";
    const came = { timeUs, bytes: this.#withOwnMac(before, inSlot), originalBytes: inLength };
    this.#push(this.#writer.packet(slotName(this.#parts, inSlot), came, "in", `${word} (${why})`));
    if (after !== null) {
      const way = word === "sent" ? slotName(this.#parts, outSlot) : "kernel";
      const leaves = { timeUs, bytes: this.#withOwnMac(after, inSlot), originalBytes: outLength };
      this.#push(this.#writer.packet(way, leaves, "out", `${word} (${why})`));
    }
    this.#wake();
  }

  goesOn(): boolean {
    return !this.forgotten;
  }

  /** A piece of what waits; empty if nothing has come for a while. */
  async take(): Promise<Uint8Array> {
    this.#askedAt = performance.now();
    if (this.#pieces.length === 0) {
      let timer = 0;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, PATIENCE_MS);
      });
      clearTimeout(timer);
      this.#wake = () => {};
    }
    return this.#shift(PIECE_BYTES);
  }

  /** All that waits. */
  rest(): Uint8Array {
    return this.#shift(Infinity);
  }

  #shift(most: number): Uint8Array {
    let bytes = 0;
    let count = 0;
    while (count < this.#pieces.length && bytes < most) bytes += this.#pieces[count++].length;
    const whole = new Uint8Array(bytes);
    let at = 0;
    for (const piece of this.#pieces.splice(0, count)) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.#waitingBytes -= bytes;
    return whole;
  }

  #push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#waitingBytes += piece.length;
  }

  /** Clients' packets are sent to the VIP, answers leave from it. */
  #isWanted({ before, after }: Seen): boolean {
    if (this.#filter === null) return true;
    const came = packetFacts(before);
    const leaves = after === null ? null : packetFacts(after);
    return (came !== null && isInRange(this.#filter, came.destination, came.destinationPort)) ||
      (leaves !== null && isInRange(this.#filter, leaves.source, leaves.sourcePort));
  }

  /** In mode tc the programs have written the interface's number over its address, where the packet was sent to. */
  #withOwnMac(frame: Uint8Array, slot: number): Uint8Array {
    const isTagged = frame[0] === 2 && frame[1] === 0x6b && frame[2] === 0x75;
    const mac = this.#parts.attachments.list().find((each) => each.slot === slot)?.link?.mac;
    if (isTagged && mac != null) frame.set(mac);
    return frame;
  }
}
