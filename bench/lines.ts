/** Text in lines, out of bytes in any pieces. */
export class TextLineStream implements TransformStream<Uint8Array, string> {
  readonly readable: ReadableStream<string>;
  readonly writable: WritableStream<Uint8Array>;

  constructor() {
    const decoder = new TextDecoder();
    let rest = "";
    const lines = new TransformStream<Uint8Array, string>({
      transform(bytes, controller) {
        const pieces = (rest + decoder.decode(bytes, { stream: true })).split("\n");
        rest = pieces.pop()!;
        for (const piece of pieces) controller.enqueue(piece);
      },
    });
    this.readable = lines.readable;
    this.writable = lines.writable;
  }
}
