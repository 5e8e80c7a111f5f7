/*
 * Questions and orders to the kernel over one netlink socket, of rtnetlink or another protocol. The kernel acts on a request before `send` returns,
 * so a request and its answer are one plain, synchronous call. An order the kernel refuses becomes a SystemError that
 * names the order and carries the kernel's own explanation (extended acknowledgment) when there is one.
 *
 * References: RFC 3549 §2.3; netlink(7); Documentation/userspace-api/netlink/intro.rst (dump consistency, ext ack).
 */

import { EINTR, SystemError } from "../../ffi/errno.ts";
import { NetlinkSocket } from "../../ffi/netlink_socket.ts";
import {
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_FLAGS,
  NLMSG_HEADER_BYTES,
  NLMSG_LEN,
  NLMSG_SEQ,
  NLMSGERR_ATTR_MSG,
} from "../../ffi/rtnetlink.ts";
import { forEachAttribute, type Message, MessageWriter, need, readMessages, readText } from "./codec.ts";

/** A dump is asked for again when something changed meanwhile, but not forever. */
const DUMP_ATTEMPTS = 10;
/** Orders sent at once; their answers (about 1 KiB of socket buffer each) must fit the receive buffer. */
const BATCH_COUNT = 256;

/** An order for `RequestSocket.execute`: a finished message and, for the error text, what it does to what. */
export interface Order {
  message: Uint8Array<ArrayBuffer>;
  /** Reads on after "Cannot ": "add route". */
  action: string;
  /** "10.0.0.1/32 dev ku0" */
  object: string;
}

/** Puts a decoded message of a dump into what is collected; null skips it. */
export type Decoder<T> = (view: DataView, message: Message) => T | null;

/** One socket for requests. Not for notifications. */
export class RequestSocket {
  readonly #socket: NetlinkSocket;
  #sequence = 0;

  /** Throws SystemError. */
  constructor(protocol = NETLINK_ROUTE) {
    this.#socket = new NetlinkSocket([], protocol);
  }

  /** Has the kernel carry out `order`. Throws SystemError. */
  execute(order: Order): void {
    const [error] = this.executeAll([order]);
    if (error !== null) throw error;
  }

  /** Carries out all orders, those after a refused one too; the result has each one's error, or null. */
  executeAll(orders: readonly Order[]): (SystemError | null)[] {
    const results: (SystemError | null)[] = [];
    for (let first = 0; first < orders.length; first += BATCH_COUNT) {
      results.push(...this.#executeBatch(orders.slice(first, first + BATCH_COUNT)));
    }
    return results;
  }

  #executeBatch(orders: readonly Order[]): (SystemError | null)[] {
    const first = this.#sequence + 1;
    // Carried out in order, and a refusal is always told: only the last need be acknowledged.
    const last = orders.length - 1;
    this.#socket.send(
      concatenate(
        orders.map(({ message }, i) =>
          this.#stamp(message, i === last ? NLM_F_REQUEST | NLM_F_ACK : NLM_F_REQUEST)
        ),
      ),
    );
    const results: (SystemError | null)[] = orders.map(() => null);
    this.#receiveUntil((view, message) => {
      const index = message.sequence - first;
      if (message.type !== NLMSG_ERROR || index < 0 || index >= orders.length) return false;
      results[index] = acknowledgment(view, message, orders[index]);
      return message.sequence === this.#sequence;
    });
    return results;
  }

  /**
   * Everything of one kind: `type` is RTM_GET…, `fill` writes the request's struct and attributes. A dump that was
   * interrupted by changes is repeated; the last of many attempts is taken as it is (a mirror hears of the changes).
   */
  dump<T>(type: number, what: string, fill: (writer: MessageWriter) => void, decode: Decoder<T>): T[] {
    for (let attempt = 1;; attempt++) {
      const writer = new MessageWriter(type, 0);
      fill(writer);
      this.#socket.send(this.#stamp(writer.finish(), NLM_F_REQUEST | NLM_F_DUMP));
      const items: T[] = [];
      let interrupted = false;
      this.#receiveUntil((view, message) => {
        if (message.sequence !== this.#sequence) return false; // left over from an earlier, broken-off dump
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          const errno = answerErrno(view, message);
          if (errno === EINTR) interrupted = true;
          else if (errno !== 0) throw new SystemError("list", errno, what);
          return true;
        }
        const item = decode(view, message);
        if (item !== null) items.push(item);
        return false;
      });
      if (!interrupted || attempt === DUMP_ATTEMPTS) return items;
    }
  }

  /** Gives messages to `visit` until it says that it has the last one. */
  #receiveUntil(visit: (view: DataView, message: Message) => boolean): void {
    const view = this.#socket.view;
    for (;;) {
      const length = this.#socket.receive();
      // Every answer is queued before send returns, and a dump goes on inside of receive.
      if (length < 0) throw new Error("rtnetlink gave no answer");
      let last = false;
      for (const message of readMessages(view, length)) last = visit(view, message) || last;
      if (last) return;
    }
  }

  /** Sets the flags and the next sequence number in a message. */
  #stamp(message: Uint8Array<ArrayBuffer>, flags: number): Uint8Array<ArrayBuffer> {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    this.#sequence++;
    view.setUint16(NLMSG_FLAGS, view.getUint16(NLMSG_FLAGS, true) | flags, true);
    view.setUint32(NLMSG_SEQ, this.#sequence, true);
    return message;
  }

  close(): void {
    this.#socket.close();
  }
}

/** Messages behind each other, each padded to four bytes. */
function concatenate(messages: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(messages.reduce((sum, message) => sum + ((message.length + 3) & ~3), 0));
  let at = 0;
  for (const message of messages) {
    bytes.set(message, at);
    at += (message.length + 3) & ~3;
  }
  return bytes;
}

/** The error number in an NLMSG_ERROR or NLMSG_DONE, positive; 0 = success. */
function answerErrno(view: DataView, { at, end }: Message): number {
  if (end - at < 4) return 0; // NLMSG_DONE of old kernels carries nothing
  return -view.getInt32(at, true);
}

function acknowledgment(view: DataView, message: Message, order: Order): SystemError | null {
  const errno = answerErrno(view, message);
  if (errno === 0) return null;
  const explanation = extendedMessage(view, message);
  return new SystemError(order.action, errno, order.object, explanation && `the kernel says: ${explanation}`);
}

/** The kernel's explanation behind a struct nlmsgerr, "" when it gives none. */
function extendedMessage(view: DataView, { flags, at, end }: Message): string {
  if ((flags & NLM_F_ACK_TLVS) === 0) return "";
  need(end - at, 4 + NLMSG_HEADER_BYTES, "nlmsgerr");
  // Unless capped, the whole request is quoted between the error number and the attributes.
  const quoted = (flags & NLM_F_CAPPED) !== 0 ? NLMSG_HEADER_BYTES : view.getUint32(at + 4 + NLMSG_LEN, true);
  need(end - at - 4, quoted, "quoted request");
  let text = "";
  forEachAttribute(view, at + 4 + ((quoted + 3) & ~3), end, (type, at, length) => {
    if (type === NLMSGERR_ATTR_MSG) text = readText(view, at, length);
  });
  return text;
}
