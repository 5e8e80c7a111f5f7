/**
 * Longest-prefix match from a destination to an adjacency: a multibit trie of stride 8, for both families.
 *
 * A node is 256 words, one for each value of the next byte. A word ≥ 0 is the word offset of the child node, a negative one is a leaf:
 * -3 - value. Leaves are pushed: a shorter prefix is written into every word of the deeper nodes that no longer prefix claims, so
 * a lookup never goes back up: at most 4 reads for IPv4, 16 for IPv6.
 *
 *   word 0      header, 256 words: offsets of the two root nodes
 *   256 …       nodes; the roots first
 *
 * Rule: built once per generation, then only read; addresses are int32 words.
 *
 * References: Srinivasan and Varghese, "Fast address lookups using controlled prefix expansion" (1999), leaf pushing.
 */

export interface RouteEntry {
  /** 4 or 16 bytes; bits behind the prefix are ignored. */
  address: Uint8Array;
  /** 0…32 or 0…128. */
  prefixLength: number;
  /** Index into the adjacency table, ROUTE_NONE or ROUTE_LOCAL. */
  adjacency: number;
}

/** No route, or one that ku does not follow itself: punt. */
export const ROUTE_NONE = -1;
/** An address of the node itself. */
export const ROUTE_LOCAL = -2;

const NODE_WORDS = 256;
const ROOT4 = NODE_WORDS;
const ROOT6 = 2 * NODE_WORDS;
const MAGIC = 0x6b755231; // "kuR1"

function leafOf(value: number): number {
  return -3 - value;
}

/** Longest-prefix table. See the top of the file. */
export class RouteTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;

  /** The table of the routes of both families, in any order; of two with the same prefix the last one holds. */
  static build(routes4: readonly RouteEntry[], routes6: readonly RouteEntry[]): RouteTable {
    const builder = new TrieBuilder();
    for (const route of sortedByLength(routes4)) builder.add(ROOT4, route, 4);
    for (const route of sortedByLength(routes6)) builder.add(ROOT6, route, 16);
    return new RouteTable(builder.finish());
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    if (this.words[0] !== MAGIC) throw new TypeError("not a route table");
  }

  /** Adjacency of the longest prefix that holds `address` (int32), or ROUTE_NONE, ROUTE_LOCAL. */
  lookup4(address: number): number {
    const words = this.words;
    let word = words[ROOT4 + (address >>> 24)];
    if (word >= 0) word = words[word + ((address >>> 16) & 0xff)];
    if (word >= 0) word = words[word + ((address >>> 8) & 0xff)];
    if (word >= 0) word = words[word + (address & 0xff)];
    return -3 - word;
  }

  /** The same for an IPv6 address of four int32 words. */
  lookup6(w0: number, w1: number, w2: number, w3: number): number {
    let word = descend(this.words, ROOT6, w0);
    if (word >= 0) word = descend(this.words, word, w1);
    if (word >= 0) word = descend(this.words, word, w2);
    if (word >= 0) word = descend(this.words, word, w3);
    return -3 - word;
  }
}

/** Four levels down by the bytes of `part`; a leaf ends it early. */
function descend(words: Int32Array, node: number, part: number): number {
  let word = words[node + (part >>> 24)];
  if (word >= 0) word = words[word + ((part >>> 16) & 0xff)];
  if (word >= 0) word = words[word + ((part >>> 8) & 0xff)];
  if (word >= 0) word = words[word + (part & 0xff)];
  return word;
}

function sortedByLength(routes: readonly RouteEntry[]): RouteEntry[] {
  return [...routes].sort((a, b) => a.prefixLength - b.prefixLength); // stable
}

/** Grows the node array. Routes must come shortest prefix first: then a range to be filled never contains a child. */
class TrieBuilder {
  #words = new Int32Array(16 * NODE_WORDS);
  #used = 3 * NODE_WORDS;

  constructor() {
    this.#words.fill(leafOf(ROUTE_NONE), ROOT4, this.#used);
    this.#words[0] = MAGIC;
  }

  add(root: number, route: RouteEntry, addressBytes: number): void {
    const { address, prefixLength, adjacency } = route;
    if (address.length !== addressBytes) throw new RangeError(`route address of ${address.length} bytes`);
    if (prefixLength < 0 || prefixLength > 8 * addressBytes) {
      throw new RangeError(`prefix length ${prefixLength}`);
    }
    let node = root;
    let byte = 0;
    for (; prefixLength > 8 * (byte + 1); byte++) node = this.#child(node + address[byte]);
    const span = 1 << (8 * (byte + 1) - prefixLength);
    const first = node + (byte < addressBytes ? address[byte] & -span : 0);
    this.#words.fill(leafOf(adjacency), first, first + span);
  }

  finish(): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(4 * this.#used);
    new Int32Array(buffer).set(this.#words.subarray(0, this.#used));
    return buffer;
  }

  /** The node below word `at`, made and filled with that word's leaf if there is none. */
  #child(at: number): number {
    const word = this.#words[at];
    if (word >= 0) return word;
    const node = this.#used;
    this.#used += NODE_WORDS;
    if (this.#used > this.#words.length) {
      const grown = new Int32Array(2 * this.#words.length);
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#words.fill(word, node, this.#used);
    this.#words[at] = node;
    return node;
  }
}
