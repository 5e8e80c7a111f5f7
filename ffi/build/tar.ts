/**
 * Reads the beginning of one file out of a tar archive that streams by, keeping nothing else in memory.
 *
 * References: POSIX.1-2017 pax(1), "ustar Interchange Format": blocks of 512 bytes, a header block (name at 0,
 * size in octal at 124), then the contents padded to whole blocks; a block of zeros ends the archive.
 */

import { StepError } from "./steps.ts";

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const SIZE_AT = 124;
const SIZE_BYTES = 12;

/** The first `lengthBytes` bytes of the file `name`. Throws StepError when it is not there or shorter. */
export async function readTarEntry(
  archive: ReadableStream<Uint8Array>,
  name: string,
  lengthBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const input = new ByteReader(archive);
  try {
    while (true) {
      const header = await input.read(BLOCK_BYTES);
      if (header[0] === 0) {
        throw new StepError(`the package has no file ${name}, get denort another way (DENORT_BIN)`);
      }
      const sizeBytes = parseInt(text(header, SIZE_AT, SIZE_BYTES), 8);
      if (text(header, 0, NAME_BYTES) === name && sizeBytes >= lengthBytes) {
        return await input.read(lengthBytes);
      }
      await input.skip(Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES);
    }
  } finally {
    await input.cancel();
  }
}

function text(block: Uint8Array, at: number, lengthBytes: number): string {
  return new TextDecoder().decode(block.subarray(at, at + lengthBytes)).replace(/\0.*$/s, "");
}

/** Exact counts of bytes from a stream of chunks of any size. */
class ByteReader {
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #chunk = new Uint8Array(0);

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async read(lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(lengthBytes);
    await this.#take(lengthBytes, (part, at) => bytes.set(part, at));
    return bytes;
  }

  async skip(lengthBytes: number): Promise<void> {
    await this.#take(lengthBytes, () => {});
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async #take(lengthBytes: number, use: (part: Uint8Array, at: number) => void): Promise<void> {
    let at = 0;
    while (at < lengthBytes) {
      if (this.#chunk.length === 0) {
        const { value, done } = await this.#reader.read();
        if (done) throw new StepError("the package ends early, fetch it again (npm cache clean --force)");
        this.#chunk = Uint8Array.from(value);
      }
      const part = this.#chunk.subarray(0, lengthBytes - at);
      use(part, at);
      at += part.length;
      this.#chunk = this.#chunk.subarray(part.length);
    }
  }
}
