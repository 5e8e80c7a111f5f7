/**
 * The prefixes that a service's clients must be in: a count, then five words for each, the first four of which are the network's address
 * (IPv4 as ::ffff:a.b.c.d) and the fifth its length in these 128 bits. They lie among the Maglev slots, in a piece of their own.
 *
 * Rule: looked through one by one, and for new connections only; a service has a few.
 */

export interface SourcePrefix {
  /** 16 bytes, network order, without host bits. */
  bytes: Uint8Array;
  /** 0 … 128. */
  length: number;
}

const PREFIX_WORDS = 5;

/** Words of a piece for `count` prefixes, a power of two as all pieces. */
export function sourcesWords(count: number): number {
  return 1 << (32 - Math.clz32(PREFIX_WORDS * count));
}

export function writeSources(piece: Uint32Array, prefixes: readonly SourcePrefix[]): void {
  piece[0] = prefixes.length;
  prefixes.forEach(({ bytes, length }, index) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
    const at = 1 + PREFIX_WORDS * index;
    for (let word = 0; word < 4; word++) piece[at + word] = view.getUint32(4 * word);
    piece[at + 4] = length;
  });
}

/** Whether the address in the first four words of `tuple` is in one of the prefixes at `at`. */
export function admitsSource(words: Uint32Array, at: number, tuple: Int32Array): boolean {
  const end = at + 1 + PREFIX_WORDS * words[at];
  for (let entry = at + 1; entry < end; entry += PREFIX_WORDS) {
    if (isIn(words, entry, tuple)) return true;
  }
  return false;
}

function isIn(words: Uint32Array, entry: number, tuple: Int32Array): boolean {
  let left = words[entry + 4];
  for (let word = 0; left > 0; word++, left -= 32) {
    const difference = words[entry + word] ^ tuple[word];
    if (left >= 32 ? difference !== 0 : difference >>> (32 - left) !== 0) return false;
  }
  return true;
}
