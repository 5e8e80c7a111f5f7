/*
 * Netlink framing: messages and attributes, read and written. Every length that was read is checked against what
 * encloses it before it is used, so any bytes give messages or a NetlinkDecodeError, in time linear in their number.
 * Host byte order is little-endian (see ffi/rtnetlink.ts).
 *
 * References: RFC 3549; include/uapi/linux/netlink.h, rtnetlink.h; lib/nlattr.c nla_ok.
 */

import {
  NLA_F_NESTED,
  NLA_TYPE_MASK,
  NLMSG_FLAGS,
  NLMSG_HEADER_BYTES,
  NLMSG_LEN,
  NLMSG_PID,
  NLMSG_SEQ,
  NLMSG_TYPE,
  RTA_HEADER_BYTES,
  RTA_LEN,
  RTA_TYPE,
} from "../../ffi/rtnetlink.ts";

/** Bytes that are no netlink message, or not the message they claim to be. */
export class NetlinkDecodeError extends Error {
  override name = "NetlinkDecodeError";
}

/** One message inside a received buffer: its header's fields and where its payload lies (bytes, `end` exclusive). */
export interface Message {
  type: number;
  flags: number;
  sequence: number;
  portId: number;
  at: number;
  end: number;
}

/** Lengths of messages and attributes are padded to four bytes, except the last one's. */
function align(length: number): number {
  return (length + 3) & ~3;
}

/** The messages in the first `length` bytes of `view`. Throws NetlinkDecodeError at the first bad header. */
export function readMessages(view: DataView, length: number): Message[] {
  const messages: Message[] = [];
  let at = 0;
  while (at < length) {
    if (length - at < NLMSG_HEADER_BYTES) {
      throw new NetlinkDecodeError(`message header cut off at byte ${at}`);
    }
    const messageLength = view.getUint32(at + NLMSG_LEN, true);
    if (messageLength < NLMSG_HEADER_BYTES || messageLength > length - at) {
      throw new NetlinkDecodeError(`message length ${messageLength} at byte ${at} of ${length}`);
    }
    messages.push({
      type: view.getUint16(at + NLMSG_TYPE, true),
      flags: view.getUint16(at + NLMSG_FLAGS, true),
      sequence: view.getUint32(at + NLMSG_SEQ, true),
      portId: view.getUint32(at + NLMSG_PID, true),
      at: at + NLMSG_HEADER_BYTES,
      end: at + messageLength,
    });
    at += align(messageLength);
  }
  return messages;
}

/** Called with an attribute's type (flag bits removed) and where its value lies. */
export type AttributeVisitor = (type: number, at: number, length: number) => void;

/** Visits the attributes in bytes `at` to `end`. Throws NetlinkDecodeError at the first bad length. */
export function forEachAttribute(view: DataView, at: number, end: number, visit: AttributeVisitor): void {
  while (end - at >= RTA_HEADER_BYTES) {
    const length = view.getUint16(at + RTA_LEN, true);
    if (length < RTA_HEADER_BYTES || length > end - at) {
      throw new NetlinkDecodeError(`attribute length ${length} at byte ${at}, ${end - at} left`);
    }
    const type = view.getUint16(at + RTA_TYPE, true) & NLA_TYPE_MASK;
    visit(type, at + RTA_HEADER_BYTES, length - RTA_HEADER_BYTES);
    at += align(length);
  }
}

/** Asserts that `length` bytes (of `what`) are at least `least`. */
export function need(length: number, least: number, what: string): void {
  if (length < least) throw new NetlinkDecodeError(`${what} has ${length} bytes, needs ${least}`);
}

/** An attribute's value as u8. */
export function readU8(view: DataView, at: number, length: number): number {
  need(length, 1, "u8 attribute");
  return view.getUint8(at);
}

/** An attribute's value as u32. */
export function readU32(view: DataView, at: number, length: number): number {
  need(length, 4, "u32 attribute");
  return view.getUint32(at, true);
}

/** A copy of an attribute's bytes, which outlives the receive buffer. */
export function readBytes(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
}

/** An attribute's text without its closing NUL. */
export function readText(view: DataView, at: number, length: number): string {
  let end = at;
  while (end < at + length && view.getUint8(end) !== 0) end++;
  return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, end - at));
}

/** Where messages are written, one behind the other: memory of its own for each of ten thousand routes would take longer than the rest. */
let room = new Uint8Array(0);
const ROOM_BYTES = 64 * 1024;

/** `length` zero bytes at a multiple of four, nobody else's. */
function takeRoom(length: number): Uint8Array<ArrayBuffer> {
  if (room.length < length) room = new Uint8Array(Math.max(length, ROOM_BYTES));
  const piece = room.subarray(0, length);
  room = room.subarray(align(length));
  return piece;
}

/**
 * Builds one request message: header, then the caller's fields and attributes in order, then `finish()`. A message
 * larger than `capacity` is a programmer's error and throws RangeError.
 */
export class MessageWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  #at = NLMSG_HEADER_BYTES;

  constructor(type: number, flags: number, capacity = 1024) {
    this.#bytes = takeRoom(capacity);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, capacity);
    this.#view.setUint16(NLMSG_TYPE, type, true);
    this.#view.setUint16(NLMSG_FLAGS, flags, true);
  }

  /** Room for a fixed struct of `length` zero bytes; returns a view of it to fill in. */
  struct(length: number): DataView {
    if (this.#at + length > this.#bytes.length) {
      throw new RangeError("The message is larger than its capacity");
    }
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, length);
    this.#at += align(length);
    return view;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#view.setUint16(this.#at + RTA_LEN, RTA_HEADER_BYTES + value.length, true);
    this.#view.setUint16(this.#at + RTA_TYPE, type, true);
    this.#bytes.set(value, this.#at + RTA_HEADER_BYTES);
    this.#at += align(RTA_HEADER_BYTES + value.length);
    return this;
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  attributeU32(type: number, value: number): this {
    this.#view.setUint16(this.#at + RTA_LEN, RTA_HEADER_BYTES + 4, true);
    this.#view.setUint16(this.#at + RTA_TYPE, type, true);
    this.#view.setUint32(this.#at + RTA_HEADER_BYTES, value, true);
    this.#at += RTA_HEADER_BYTES + 4;
    return this;
  }

  /** NUL-terminated text. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, new TextEncoder().encode(text + "\0"));
  }

  /** An attribute whose value is what `fill` writes. */
  nested(type: number, fill: () => void): this {
    const at = this.#at;
    this.#view.setUint16(at + RTA_TYPE, type | NLA_F_NESTED, true);
    this.#at += RTA_HEADER_BYTES;
    fill();
    this.#view.setUint16(at + RTA_LEN, this.#at - at, true);
    return this;
  }

  /** The message, its length set; sequence number and port are the socket's to fill in. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#view.setUint32(NLMSG_LEN, this.#at, true);
    return this.#bytes.subarray(0, this.#at);
  }
}
