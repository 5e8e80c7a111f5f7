/**
 * The session filter's hash again, slow and plain, in whole numbers: what mod/table/filter.ts and ffi/bpf/match.h are compared with.
 * Shares no code with them.
 */

const COUNTERS = 2 ** 20;
const WORD = 2n ** 32n;

/** What a pod's packet is counted by. Addresses of 16 bytes, IPv4 mapped. */
export interface Answer {
  protocol: number;
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
}

/** Number of the answer's counter. `key`: the nineteen words at the filter's start. */
export function counterModel(key: ArrayLike<number>, answer: Answer): number {
  const { protocol, source, destination, sourcePort, destinationPort } = answer;
  const halves: number[] = [];
  for (const bytes of [source, destination]) {
    // The lower half of each word comes first.
    for (let at = 0; at < 16; at += 4) {
      halves.push(bytes[at + 2] * 256 + bytes[at + 3], bytes[at] * 256 + bytes[at + 1]);
    }
  }
  let sum = 0n;
  const sameForBoth = protocol === 58 ? 1 : protocol; // ICMPv6, ICMP
  [sameForBoth, ...halves, destinationPort, sourcePort].forEach((half, i) => {
    sum += BigInt(key[i] >>> 0) * BigInt(half);
  });
  return Number(murmurFinalizer(sum % WORD) % BigInt(COUNTERS));
}

/** fmix32 of MurmurHash3, by Austin Appleby. */
function murmurFinalizer(hash: bigint): bigint {
  hash ^= hash >> 16n;
  hash = hash * 0x85ebca6bn % WORD;
  hash ^= hash >> 13n;
  hash = hash * 0xc2b2ae35n % WORD;
  return hash ^ (hash >> 16n);
}
