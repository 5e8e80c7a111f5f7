/**
 * The translations of mod/datapath run on single packets, without tables: a context, a frame, and the tuples of
 * translations.ts.
 */

import { HEADROOM_BYTES } from "../../mod/datapath/processor.ts";
import { Context } from "../../mod/datapath/context.ts";
import { parse4, parse6, PARSED_FLOW, PARSED_FRAGMENT } from "../../mod/datapath/parse.ts";
import { refusal46, REFUSE_NOTHING, translate46 } from "../../mod/datapath/translate46.ts";
import { refusal64, translate64 } from "../../mod/datapath/translate64.ts";
import { translateError46 } from "../../mod/datapath/translate_error46.ts";
import { translateError64 } from "../../mod/datapath/translate_error64.ts";
import { findQuotedTransport6, quotedProtocol6 } from "../../mod/datapath/icmp_error6.ts";
import { Counters } from "../../mod/metrics/counters.ts";
import { SessionTable } from "../../mod/table/session.ts";
import { addressWords, mappedBytes } from "./world.ts";
import { ROUTER4, ROUTER6, WIDE_MTU_BYTES } from "./error_translations.ts";
import * as pairs from "./translations.ts";

const FRAME_BYTES = 8192;
const HEADROOM = 256;
const SEED = Uint32Array.of(1, 2, 3, 4);

/** A context with one frame, which is 0xa5 wherever nothing was written. */
export class Translator {
  readonly context: Context;
  readonly #memory = new Uint8Array(FRAME_BYTES);
  #end = 0;

  constructor() {
    this.context = new Context({
      frames: this.#memory,
      counters: Counters.create(1, 1),
      sessions4: SessionTable.create(1, 1, SEED),
      sessions6: SessionTable.create(1, 4, SEED),
    });
    this.context.frameEnd = FRAME_BYTES;
  }

  #place(packet: Uint8Array): number {
    this.#memory.fill(0xa5);
    this.#memory.set(packet, HEADROOM);
    this.#end = HEADROOM + packet.length;
    return HEADROOM;
  }

  #result(): Uint8Array {
    const { l3, end } = this.context;
    const clean = (from: number, to: number) =>
      this.#memory.subarray(from, to).every((byte) => byte === 0xa5);
    // Nothing was written but what translations may write: less than the 64 bytes before the packet, nothing behind it.
    if (!clean(0, HEADROOM - HEADROOM_BYTES) || !clean(this.#end, FRAME_BYTES)) {
      throw new Error("bytes outside the packet were written");
    }
    return this.#memory.slice(l3, end);
  }

  /** Parses an IPv4 packet, which must be one of a flow or a later fragment. */
  parse4(packet: Uint8Array): void {
    const at = this.#place(packet);
    expectFlow(parse4(this.context, at, at + packet.length));
  }

  parse6(packet: Uint8Array): void {
    const at = this.#place(packet);
    expectFlow(parse6(this.context, at, at + packet.length));
  }

  /** The IPv6 packet of an IPv4 one; or which REFUSE_… it meets. */
  to6(packet: Uint8Array, tuple: Int32Array, hopStep = 0): Uint8Array | number {
    this.parse4(packet);
    const refusal = refusal46(this.context);
    if (refusal !== REFUSE_NOTHING) return refusal;
    translate46(this.context, tuple, 0, hopStep);
    return this.#result();
  }

  /** The IPv4 packet of an IPv6 one; or which REFUSE_… it meets. */
  to4(packet: Uint8Array, tuple: Int32Array, hopStep = 0): Uint8Array | number {
    this.parse6(packet);
    const refusal = refusal64(this.context);
    if (refusal !== REFUSE_NOTHING) return refusal;
    translate64(this.context, tuple, 0, hopStep, pairs.IDENTIFICATION);
    return this.#result();
  }

  /** The ICMPv6 error of an ICMP one; or which REFUSE_… it meets. */
  errorTo6(packet: Uint8Array, tuple: Int32Array, hopStep = 0): Uint8Array | number {
    const at = this.#place(packet);
    const c = this.context;
    parse4(c, at, at + packet.length);
    const quote = c.l4 + 8;
    const quotedL4 = quote + (c.bytes[quote] & 15) * 4;
    const source = Int32Array.from(addressWords(ROUTER6));
    const mtu = WIDE_MTU_BYTES;
    const refusal = translateError46(c, quotedL4, tuple, source, 0, hopStep, mtu, mtu);
    return refusal === REFUSE_NOTHING ? this.#result() : refusal;
  }

  /** The ICMP error of an ICMPv6 one; or which REFUSE_… it meets. */
  errorTo4(packet: Uint8Array, tuple: Int32Array, hopStep = 0): Uint8Array | number {
    const at = this.#place(packet);
    const c = this.context;
    parse6(c, at, at + packet.length);
    const quote = c.l4 + 8;
    const quotedL4 = findQuotedTransport6(c.view, quote, c.end);
    const protocol = quotedProtocol6(c.view, quote, quotedL4);
    const [source] = addressWords(ROUTER4);
    const mtu = WIDE_MTU_BYTES;
    const id = pairs.IDENTIFICATION;
    const refusal = translateError64(c, quotedL4, protocol, tuple, source, hopStep, id, mtu, mtu);
    return refusal === REFUSE_NOTHING ? this.#result() : refusal;
  }
}

function expectFlow(parsed: number): void {
  if (parsed !== PARSED_FLOW && parsed !== PARSED_FRAGMENT) throw new Error(`parsed as ${parsed}`);
}

/** Nine words: two addresses in text, IPv4 as ::ffff:a.b.c.d, and ports. */
export function tuple(a: string, b: string, aPort: number, bPort: number): Int32Array {
  const words = (text: string) => {
    const view = new DataView(mappedBytes(text).buffer);
    return [0, 4, 8, 12].map((at) => view.getInt32(at));
  };
  return Int32Array.from([...words(a), ...words(b), (aPort << 16) | bPort]);
}

/** Addresses and ports that the packets of translations.ts get, in the order that `translate…` takes: turned round. */
export function opposite(family: 4 | 6, echoType?: number): Int32Array {
  const four = family === 4;
  const src = four ? pairs.SRC4 : pairs.SRC6;
  const dst = four ? pairs.DST4 : pairs.DST6;
  const id = four ? pairs.ECHO_ID4 : pairs.ECHO_ID6;
  if (echoType === 8 || echoType === 128) return tuple(dst, src, 0, id);
  if (echoType !== undefined) return tuple(dst, src, id, 0);
  return tuple(dst, src, four ? pairs.DST_PORT4 : pairs.DST_PORT6, pairs.SRC_PORT);
}

/** The same in the order that `translateError…` takes: as the sender of the quoted packet sent it. */
export function asSent(family: 4 | 6, echo: boolean): Int32Array {
  const four = family === 4;
  const src = four ? pairs.SRC4 : pairs.SRC6;
  const dst = four ? pairs.DST4 : pairs.DST6;
  if (echo) return tuple(src, dst, four ? pairs.ECHO_ID4 : pairs.ECHO_ID6, 0);
  return tuple(src, dst, pairs.SRC_PORT, four ? pairs.DST_PORT4 : pairs.DST_PORT6);
}
