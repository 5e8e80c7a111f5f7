/*
 * A netlink socket, of NETLINK_ROUTE unless another protocol is named, and waiting for it. Mechanism only: bytes out, bytes in. Sending and receiving are plain
 * calls that do not wait; only `Waiter` waits, on a thread of the runtime's pool, so that the event loop stays free.
 *
 * References: netlink(7), rtnetlink(7), eventfd(2), poll(2); net/netlink/af_netlink.c.
 */

import { checkErrno, EAGAIN, EINTR, lastErrno, SystemError } from "./errno.ts";
import { closeFd, createEventFd, signalEventFd } from "./event_fd.ts";
import { libc, POLLIN, SO_RCVBUF, SO_RCVBUFFORCE, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from "./libc.ts";
import { SOL_SOCKET } from "./libc.ts";
import { AF_NETLINK, NETLINK_EXT_ACK, NETLINK_ROUTE, SOL_NETLINK } from "./rtnetlink.ts";

/** A dump comes in datagrams of at most 32 KiB (netlink_recvmsg); notifications are smaller. */
const RECEIVE_BYTES = 64 * 1024;
const RECEIVE_LENGTH = BigInt(RECEIVE_BYTES);
/** Room for a burst of some ten thousand notifications (each takes 400 to 800 bytes of it). */
const SOCKET_BUFFER_BYTES = 8 * 1024 * 1024;

// struct sockaddr_nl
const NL_FAMILY = 0; // u16
const NL_GROUPS = 8; // u32
const SOCKADDR_NL_BYTES = 12;

/** A bound netlink socket. */
export class NetlinkSocket {
  readonly fd: number;
  readonly #bytes = new Uint8Array(RECEIVE_BYTES);
  /** What `receive` received. */
  readonly view = new DataView(this.#bytes.buffer);

  /** `groups`: RTNLGRP_* (1 … 32) whose notifications to receive. Throws SystemError. */
  constructor(groups: readonly number[], protocol = NETLINK_ROUTE) {
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.fd = checkErrno(libc.socket(AF_NETLINK, type, protocol), "open", "a netlink socket");
    this.#setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1); // Linux 4.12; without it errors are only numbers
    if (!this.#setOption(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)) { // needs CAP_NET_ADMIN
      this.#setOption(SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES); // as much of it as sysctl rmem_max allows
    }
    const socketAddress = new Uint8Array(SOCKADDR_NL_BYTES);
    const view = new DataView(socketAddress.buffer);
    view.setUint16(NL_FAMILY, AF_NETLINK, true);
    view.setUint32(NL_GROUPS, groups.reduce((mask, group) => mask | 1 << (group - 1), 0) >>> 0, true);
    try {
      checkErrno(libc.bind(this.fd, socketAddress, SOCKADDR_NL_BYTES), "bind", "a netlink socket");
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #setOption(level: number, name: number, value: number): boolean {
    return libc.setsockopt(this.fd, level, name, new Uint8Array(Int32Array.of(value).buffer), 4) === 0;
  }

  /** Sends one or more whole messages. The kernel has acted on them when this returns. Throws SystemError. */
  send(messages: Uint8Array<ArrayBuffer>): void {
    while (libc.write(this.fd, messages, BigInt(messages.length)) < 0) {
      const errno = lastErrno();
      if (errno !== EINTR) throw new SystemError("send", errno, "a netlink request");
    }
  }

  /**
   * Length of the next datagram, now in `view`; -1 when there is none. Does not wait. Throws SystemError, with ENOBUFS
   * when datagrams were lost before this one.
   */
  receive(): number {
    for (;;) {
      const length = libc.read(this.fd, this.#bytes, RECEIVE_LENGTH);
      if (length >= 0) return length;
      const errno = lastErrno();
      if (errno === EAGAIN) return -1;
      if (errno !== EINTR) throw new SystemError("receive", errno, "a netlink message");
    }
  }

  close(): void {
    closeFd(this.fd);
  }
}

// struct pollfd
const POLLFD_FD = 0; // i32
const POLLFD_EVENTS = 4; // i16
const POLLFD_REVENTS = 6; // i16
const POLLFD_BYTES = 8;

/** Waits for a file descriptor, interruptibly. */
export class Waiter {
  readonly #eventFd = createEventFd();
  readonly #pollFds = new Uint8Array(2 * POLLFD_BYTES);
  readonly #view = new DataView(this.#pollFds.buffer);

  constructor(fd: number) {
    for (const [i, waited] of [fd, this.#eventFd].entries()) {
      this.#view.setInt32(i * POLLFD_BYTES + POLLFD_FD, waited, true);
      this.#view.setInt16(i * POLLFD_BYTES + POLLFD_EVENTS, POLLIN, true);
    }
  }

  /** Resolves to true when there is something to read (or an error to fetch), to false after `interrupt`. */
  async waitReadable(): Promise<boolean> {
    for (;;) {
      const count = await libc.poll_async(this.#pollFds, 2n, -1);
      if (count < 0) continue; // EINTR: the descriptors and the memory are ours and valid
      if (this.#view.getInt16(POLLFD_BYTES + POLLFD_REVENTS, true) !== 0) return false;
      if (this.#view.getInt16(POLLFD_REVENTS, true) !== 0) return true;
    }
  }

  /** Ends `waitReadable`, now and ever after. */
  interrupt(): void {
    signalEventFd(this.#eventFd);
  }

  close(): void {
    closeFd(this.#eventFd);
  }
}
