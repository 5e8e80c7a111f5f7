/**
 * Capture files: reads pcap (either byte order, micro- and nanoseconds) and pcapng, writes pcapng, which has room for comments and for the
 * interface a packet belongs to.
 *
 * Rule: a file that is none, or is cut short, is a ConfigError that says where; blocks of other kinds are stepped over.
 *
 * References: draft-ietf-opsawg-pcap (pcap), draft-ietf-opsawg-pcapng §3, §4 (blocks, options).
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";

export interface CapturedPacket {
  /** Microseconds since the epoch. */
  timeUs: number;
  /** Number of the interface in the file. */
  interfaceId: number;
  bytes: Uint8Array;
  /** What it had on the wire; more than `bytes` when it was cut. */
  originalBytes: number;
}

const LINKTYPE_ETHERNET = 1;
// pcap: magic numbers as read in big-endian order.
const MAGIC_US = 0xa1b2c3d4;
const MAGIC_US_SWAPPED = 0xd4c3b2a1;
const MAGIC_NS = 0xa1b23c4d;
const MAGIC_NS_SWAPPED = 0x4d3cb2a1;
const PCAP_HEADER_BYTES = 24;
const PCAP_LINKTYPE = 20;
const PCAP_RECORD_BYTES = 16;
// pcapng blocks
const BLOCK_SECTION = 0x0a0d0d0a;
const BLOCK_INTERFACE = 1;
const BLOCK_ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const OPTION_END = 0;
const OPTION_COMMENT = 1;
const OPTION_IF_NAME = 2;
const OPTION_IF_TSRESOL = 9;
const OPTION_EPB_FLAGS = 2;
const EPB_INBOUND = 1;
const EPB_OUTBOUND = 2;
/** Largest block that is believed: a packet of 64 KiB and its options, many times over. */
const MAX_BLOCK_BYTES = 1 << 24;

/** Packets of a file's bytes, in order. `source` names it in errors. Throws ConfigError. */
export function* readCapture(bytes: Uint8Array, source: string): Generator<CapturedPacket> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = bytes.length >= 4 ? view.getUint32(0) : 0;
  switch (magic) {
    case MAGIC_US:
    case MAGIC_NS:
      return yield* readPcap(view, bytes, source, false, magic === MAGIC_NS);
    case MAGIC_US_SWAPPED:
    case MAGIC_NS_SWAPPED:
      return yield* readPcap(view, bytes, source, true, magic === MAGIC_NS_SWAPPED);
    case BLOCK_SECTION:
      return yield* readPcapng(view, bytes, source);
    default:
      throw new ConfigError("capture", source, "is neither pcap nor pcapng");
  }
}

function* readPcap(
  view: DataView,
  bytes: Uint8Array,
  source: string,
  little: boolean,
  nanoseconds: boolean,
): Generator<CapturedPacket> {
  if (bytes.length < PCAP_HEADER_BYTES) throw cutShort(source, 0);
  checkLinkType(view.getUint32(PCAP_LINKTYPE, little) & 0xffff, source);
  for (let at = PCAP_HEADER_BYTES; at < bytes.length;) {
    if (at + PCAP_RECORD_BYTES > bytes.length) throw cutShort(source, at);
    const length = view.getUint32(at + 8, little);
    const start = at + PCAP_RECORD_BYTES;
    if (start + length > bytes.length) throw cutShort(source, at);
    const fraction = view.getUint32(at + 4, little);
    yield {
      timeUs: view.getUint32(at, little) * 1e6 + (nanoseconds ? Math.floor(fraction / 1000) : fraction),
      interfaceId: 0,
      bytes: bytes.subarray(start, start + length),
      originalBytes: view.getUint32(at + 12, little),
    };
    at = start + length;
  }
}

function* readPcapng(view: DataView, bytes: Uint8Array, source: string): Generator<CapturedPacket> {
  let little = false;
  /** Time units in a microsecond, by interface. */
  let unitsPerUs: number[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + 12 > bytes.length) throw cutShort(source, at);
    const type = view.getUint32(at, little);
    if (type === BLOCK_SECTION) {
      little = view.getUint32(at + 8) !== BYTE_ORDER_MAGIC;
      unitsPerUs = [];
    }
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0 || length > MAX_BLOCK_BYTES || at + length > bytes.length) {
      throw cutShort(source, at);
    }
    if (type === BLOCK_INTERFACE) {
      checkLinkType(view.getUint16(at + 8, little), source);
      unitsPerUs.push(timeUnits(view, at + 16, at + length - 4, little));
    } else if (type === BLOCK_ENHANCED_PACKET) {
      yield packetOf(view, bytes, at, little, unitsPerUs, source);
    }
    at += length;
  }
}

function packetOf(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  little: boolean,
  unitsPerUs: readonly number[],
  source: string,
): CapturedPacket {
  const interfaceId = view.getUint32(at + 8, little);
  const time = view.getUint32(at + 12, little) * 2 ** 32 + view.getUint32(at + 16, little);
  const length = view.getUint32(at + 20, little);
  const units = unitsPerUs[interfaceId];
  if (units === undefined || at + 32 + length > at + view.getUint32(at + 4, little)) {
    throw cutShort(source, at);
  }
  return {
    timeUs: Math.floor(time / units),
    interfaceId,
    bytes: bytes.subarray(at + 28, at + 28 + length),
    originalBytes: view.getUint32(at + 24, little),
  };
}

/** Units of an interface's clock in a microsecond: option if_tsresol, by default 1. */
function timeUnits(view: DataView, at: number, end: number, little: boolean): number {
  while (at + 4 <= end) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === OPTION_END) break;
    if (code === OPTION_IF_TSRESOL) {
      const value = view.getUint8(at + 4);
      return (value & 0x80) !== 0 ? 2 ** (value & 0x7f) / 1e6 : 10 ** value / 1e6;
    }
    at += 4 + padded(length);
  }
  return 1;
}

function checkLinkType(type: number, source: string): void {
  if (type === LINKTYPE_ETHERNET) return;
  throw new ConfigError("capture", source, `has link type ${type}, give one of Ethernet (1)`);
}

function cutShort(source: string, at: number): ConfigError {
  return new ConfigError("capture", source, `is broken or cut short at byte ${at}`);
}

const padded = (length: number): number => (length + 3) & ~3;

/** The blocks of a pcapng file, little-endian, one by one: first `header`, then each interface before its packets. */
export class PcapngWriter {
  readonly #interfaces = new Map<string, number>();

  /**
   * The section's block, and those of interfaces that are known beforehand: tcpdump shows nothing before it has seen one. `application`
   * is a property of the file.
   */
  header(application: string, interfaces: readonly string[] = []): Uint8Array {
    const blocks = interfaces.map((name) => this.#interface(name));
    const options = [option(4, text(application))]; // shb_userappl
    const fields = [u32(BYTE_ORDER_MAGIC), u16(1), u16(0), u32(0xffffffff), u32(0xffffffff)];
    return joined([block(BLOCK_SECTION, fields, options), ...blocks]);
  }

  /** Blocks for a packet of the interface called `name`; the first time, that interface's block before it. */
  packet(
    name: string,
    { timeUs, bytes, originalBytes }: Omit<CapturedPacket, "interfaceId">,
    direction: "in" | "out",
    comment: string,
  ): Uint8Array {
    const blocks = this.#interfaces.has(name) ? [] : [this.#interface(name)];
    const id = this.#interfaces.get(name)!;
    const fields = [
      u32(id),
      u32(Math.floor(timeUs / 2 ** 32)),
      u32(timeUs >>> 0),
      u32(bytes.length),
      u32(originalBytes),
      bytes,
      new Uint8Array(padded(bytes.length) - bytes.length),
    ];
    const options = [
      option(OPTION_COMMENT, text(comment)),
      option(OPTION_EPB_FLAGS, u32(direction === "in" ? EPB_INBOUND : EPB_OUTBOUND)),
    ];
    return joined([...blocks, block(BLOCK_ENHANCED_PACKET, fields, options)]);
  }

  #interface(name: string): Uint8Array {
    this.#interfaces.set(name, this.#interfaces.size);
    const options = [option(OPTION_IF_NAME, text(name)), option(OPTION_IF_TSRESOL, Uint8Array.of(6))];
    return block(BLOCK_INTERFACE, [u16(LINKTYPE_ETHERNET), u16(0), u32(0)], options);
  }
}

function block(type: number, fields: readonly Uint8Array[], options: readonly Uint8Array[]): Uint8Array {
  const body = joined([...fields, ...options, u32(OPTION_END)]);
  const length = u32(body.length + 12);
  return joined([u32(type), length, body, length]);
}

function option(code: number, value: Uint8Array): Uint8Array {
  return joined([u16(code), u16(value.length), value, new Uint8Array(padded(value.length) - value.length)]);
}

function u16(value: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(value).buffer);
}

/** NB: x86-64 and arm64 are little-endian, and the section says so. */
function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
