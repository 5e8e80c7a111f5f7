/** Prefixes of clients against the plain way of asking. */

import { assertEquals } from "@std/assert";
import { contains, formatPrefix, networkOf, type Prefix } from "../../../mod/config/address.ts";
import { admitsSource, sourcesWords, writeSources } from "../../../mod/table/sources.ts";
import { property, type Random } from "../../packets/random.ts";

Deno.test("admitsSource says what a comparison of every bit says", () => {
  property((random) => {
    for (let round = 0; round < 2000; round++) admits(random);
  });
});

function admits(random: Random): void {
  const prefixes = Array.from({ length: random.below(6) }, () => randomPrefix(random));
  const piece = new Uint32Array(100).fill(0xa5a5a5a5);
  const at = random.below(8);
  const words = prefixes.length === 0 ? 1 : sourcesWords(prefixes.length);
  writeSources(
    piece.subarray(at, at + words),
    prefixes.map(({ bytes, length, family }) => ({ bytes, length: family === 4 ? length + 96 : length })),
  );
  assertEquals(piece[at + words], 0xa5a5a5a5, "nothing is written behind the piece");
  for (let round = 0; round < 8; round++) {
    const near = prefixes[random.below(Math.max(prefixes.length, 1))] ?? randomPrefix(random);
    const bytes = near.bytes.slice();
    // A bit near the end of the prefix, or none.
    const bit = Math.max(0, Math.min(127, (near.family === 4 ? 96 : 0) + near.length + random.below(5) - 3));
    if (random.below(3) > 0) bytes[bit >> 3] ^= 0x80 >> (bit & 7);
    const view = new DataView(bytes.buffer);
    const tuple = Int32Array.from({ length: 9 }, (_, i) => i < 4 ? view.getInt32(4 * i) : 0);
    const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff &&
      bytes[11] === 0xff;
    const host: Prefix = isMapped ? { family: 4, bytes, length: 32 } : { family: 6, bytes, length: 128 };
    const wanted = prefixes.some((prefix) => prefix.family === host.family && contains(prefix, host));
    // An IPv6 prefix short enough to hold the mapped addresses is never beside IPv4 clients: families are not mixed in a VIP.
    if (prefixes.some(({ family, length }) => family === 6 && length < 96)) continue;
    assertEquals(
      admitsSource(piece, at, tuple),
      wanted,
      `${prefixes.map(formatPrefix)} ${formatPrefix(host)}`,
    );
  }
}

function randomPrefix(random: Random): Prefix {
  const four = random.below(2) === 0;
  const bytes = Uint8Array.from(
    { length: 16 },
    (_, i) => four && i < 12 ? (i < 10 ? 0 : 0xff) : random.below(256),
  );
  if (!four) bytes[0] = 0x20;
  return networkOf({ family: four ? 4 : 6, bytes, length: four ? random.below(33) : 96 + random.below(33) });
}
