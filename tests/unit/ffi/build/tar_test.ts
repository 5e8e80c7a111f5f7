/** ffi/build/tar.ts against archives made here: ustar headers with a name, a size and contents in whole blocks. */

import { assertEquals, assertRejects } from "@std/assert";
import { StepError } from "../../../../ffi/build/steps.ts";
import { readTarEntry } from "../../../../ffi/build/tar.ts";

/** An archive of `files`, cut into chunks of `chunkBytes` as a network would. */
function archive(files: Record<string, Uint8Array>, chunkBytes: number): ReadableStream<Uint8Array> {
  const blocks: Uint8Array[] = [];
  for (const [name, contents] of Object.entries(files)) {
    const header = new Uint8Array(512);
    const write = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
    write(name, 0);
    write(contents.length.toString(8).padStart(11, "0"), 124);
    const padded = new Uint8Array(Math.ceil(contents.length / 512) * 512);
    padded.set(contents);
    blocks.push(header, padded);
  }
  blocks.push(new Uint8Array(1024));
  const whole = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
  blocks.reduce((at, block) => (whole.set(block, at), at + block.length), 0);
  return ReadableStream.from(
    Array.from(
      { length: Math.ceil(whole.length / chunkBytes) },
      (_, i) => whole.subarray(i * chunkBytes, (i + 1) * chunkBytes),
    ),
  );
}

function bytes(lengthBytes: number, factor: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => i * factor);
}

Deno.test("readTarEntry() gives the first bytes of the named file, whatever the chunks", async () => {
  const files = { "a/empty": bytes(0, 1), "a/first": bytes(700, 3), "a/wanted": bytes(5000, 7) };
  for (const chunkBytes of [1, 13, 512, 4096, 100_000]) {
    assertEquals(await readTarEntry(archive(files, chunkBytes), "a/wanted", 1234), bytes(1234, 7));
  }
});

Deno.test("readTarEntry() says so when the file is missing, shorter than wanted, or the archive is cut", async () => {
  const files = { "a": bytes(600, 3) };
  await assertRejects(() => readTarEntry(archive(files, 512), "b", 1), StepError, "has no file b");
  await assertRejects(() => readTarEntry(archive(files, 512), "a", 601), StepError, "has no file a");
  const cut = ReadableStream.from([new TextEncoder().encode("a".repeat(300))]);
  await assertRejects(() => readTarEntry(cut, "a", 1), StepError, "ends early");
});
