/**
 * An AF_XDP socket that never gets a packet: bound to another interface than those that redirect to it, so that the kernel drops what they
 * send (net/xdp/xsk.c xsk_rcv_check), while its entry in an XSKMAP looks like any other.
 *
 * @module
 */

import { XskSocket } from "./socket.ts";
import { Umem } from "./umem.ts";

const FRAMES = 64;
const FRAME_BYTES = 4096;

export class ParkedSocket {
  readonly #socket: XskSocket;

  private constructor(socket: XskSocket) {
    this.#socket = socket;
  }

  /** On queue 0 of an interface that has no other AF_XDP socket there. Throws SystemError. */
  static open(interfaceName: string): ParkedSocket {
    const umem = Umem.create(FRAMES, FRAME_BYTES);
    return new ParkedSocket(XskSocket.open(umem, {
      interfaceName,
      queue: 0,
      receive: true,
      ringSize: FRAMES,
      zeroCopy: false,
    }));
  }

  get fd(): number {
    return this.#socket.fd;
  }

  close(): void {
    this.#socket.close();
  }
}
