/**
 * Cuts a stream of bytes into lines, for both ends of the socket.
 *
 * Rule: memory stays under the bound whatever arrives, and a line that comes in many pieces costs no more than
 * one that comes whole (pieces are joined once, at its end).
 */

const NEWLINE = 0x0a;

/** A line grew over the bound; the stream is of no use any more. */
export class LineTooLongError extends Error {
  override name = "LineTooLongError";
  constructor(maxBytes: number) {
    super(`Line longer than ${maxBytes} bytes`);
  }
}

export class LineSplitter {
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;

  /** `maxBytes` bounds a line without its newline. */
  constructor(readonly maxBytes: number) {}

  /**
   * The lines that `chunk` completes, without newlines, in order. The chunk may be reused once the last one has
   * been taken. Throws LineTooLongError.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#heldBytes + piece.length > this.maxBytes) throw new LineTooLongError(this.maxBytes);
      if (end < 0) {
        this.#hold(piece);
        return;
      }
      yield this.#join(piece);
      start = end + 1;
    }
  }

  /** What came after the last newline. */
  rest(): Uint8Array {
    return this.#join(new Uint8Array(0));
  }

  #hold(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece.slice());
    this.#heldBytes += piece.length;
  }

  #join(last: Uint8Array): Uint8Array {
    if (this.#pieces.length === 0) return last;
    const line = new Uint8Array(this.#heldBytes + last.length);
    let at = 0;
    for (const piece of this.#pieces) {
      line.set(piece, at);
      at += piece.length;
    }
    line.set(last, at);
    this.#pieces = [];
    this.#heldBytes = 0;
    return line;
  }
}
