/**
 * Destination → service: hosts exactly, prefixes longest first, and within a length protocol and port before protocol alone before
 * everything. Node ports (any of the node's own addresses) are looked up apart.
 *
 * Open addressing with linear probing over a buffer at most half full; built once per generation, then only read.
 *
 *   word 0   header, HEADER_WORDS: sizes, then for each family its distinct lengths, longest first: length | kinds << 8
 *   v4 at    slots of 4 words:  address, length << 24 | protocol << 16 | port, service id, 0
 *   v6 at    slots of 8 words:  address 4 words, length << 24 | protocol << 16 | port, service id, 0, 0
 *
 * A slot is free when its service id is -1. "Kinds" says which of the three forms exist at a length, so that forms nobody uses cost no
 * probe. Node ports are v4 slots of length NODE_PORT whose address is the family, 4 or 6.
 *
 * Rule: addresses are int32 words. Find never allocates. The hash is unkeyed: the keys come from the configuration, and a packet cannot
 * make a probe longer than the configuration did.
 */

export interface MatchEntry {
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d; bits behind the prefix are ignored. */
  address: Uint8Array;
  /** 0…128, IPv4 prefixes + 96; MATCH_NODE_PORT for a node port (of the address only the family counts). */
  prefixLength: number;
  /** 0 with port 0: every protocol and port. 255 with port 0: "some service lives here" (fragments, echo). */
  protocol: number;
  /** 0: every port of the protocol. */
  port: number;
  serviceId: number;
}

export const MATCH_NODE_PORT = 255;

const HEADER_WORDS = 192;
const HEADER_MAGIC = 0;
const HEADER_SLOTS4 = 1;
const HEADER_SLOTS6 = 2;
const HEADER_LENGTHS4 = 3; // how many lengths
const HEADER_LENGTHS6 = 4;
const LENGTHS4_AT = 8; // ≤ 33 words
const LENGTHS6_AT = 48; // ≤ 129 words
const MAGIC = 0x6b754d31; // "kuM1"
const STRIDE4 = 4;
const STRIDE6 = 8;
const MIN_SLOTS = 8;

const KIND_PORT = 1; // protocol and port
const KIND_PROTOCOL = 2; // protocol, every port
const KIND_ALL = 4;

/** Where an entry goes: prefix words masked, its meta word, its kind. */
interface Placed {
  is4: boolean;
  words: [number, number, number, number];
  length: number;
  kind: number;
  meta: number;
  serviceId: number;
}

/** Services by destination. See the top of the file. */
export class MatchTable {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;

  readonly #lengths4: number;
  readonly #lengths6: number;
  readonly #mask4: number;
  readonly #mask6: number;
  readonly #at6: number;

  /** The table of `entries`; of entries with the same key the last one holds. */
  static build(entries: readonly MatchEntry[]): MatchTable {
    const placed = entries.map(place);
    const count4 = placed.filter((entry) => entry.is4).length;
    const slots4 = slotsFor(count4);
    const slots6 = slotsFor(placed.length - count4);
    const buffer = new SharedArrayBuffer(4 * (HEADER_WORDS + slots4 * STRIDE4 + slots6 * STRIDE6));
    const words = new Int32Array(buffer);
    words[HEADER_MAGIC] = MAGIC;
    words[HEADER_SLOTS4] = slots4;
    words[HEADER_SLOTS6] = slots6;
    const nodePort = (entry: Placed) => entry.length === MATCH_NODE_PORT;
    words[HEADER_LENGTHS4] = writeLengths(words, LENGTHS4_AT, placed.filter((e) => e.is4 && !nodePort(e)));
    words[HEADER_LENGTHS6] = writeLengths(words, LENGTHS6_AT, placed.filter((e) => !e.is4));
    const at6 = HEADER_WORDS + slots4 * STRIDE4;
    for (let i = 0; i < slots4; i++) words[HEADER_WORDS + i * STRIDE4 + 2] = -1;
    for (let i = 0; i < slots6; i++) words[at6 + i * STRIDE6 + 5] = -1;
    for (const entry of placed) {
      if (entry.is4) put4(words, slots4 - 1, entry);
      else put6(words, at6, slots6 - 1, entry);
    }
    return new MatchTable(buffer);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    if (this.words[HEADER_MAGIC] !== MAGIC) throw new TypeError("not a match table");
    this.#lengths4 = this.words[HEADER_LENGTHS4];
    this.#lengths6 = this.words[HEADER_LENGTHS6];
    this.#mask4 = this.words[HEADER_SLOTS4] - 1;
    this.#mask6 = this.words[HEADER_SLOTS6] - 1;
    this.#at6 = HEADER_WORDS + this.words[HEADER_SLOTS4] * STRIDE4;
  }

  /** Id of the service for an IPv4 destination, or -1. `protocol` 255 and `port` 0 ask for "some service". */
  find4(address: number, protocol: number, port: number): number {
    const words = this.words;
    for (let i = 0; i < this.#lengths4; i++) {
      const lengthAndKinds = words[LENGTHS4_AT + i];
      const length = lengthAndKinds & 0xff;
      const masked = length === 0 ? 0 : address & (-1 << (32 - length));
      const found = this.#find4(masked, length, lengthAndKinds >>> 8, protocol, port);
      if (found >= 0) return found;
    }
    return -1;
  }

  /** Id of the service for an IPv6 destination of four int32 words, or -1. */
  find6(w0: number, w1: number, w2: number, w3: number, protocol: number, port: number): number {
    const words = this.words;
    for (let i = 0; i < this.#lengths6; i++) {
      const lengthAndKinds = words[LENGTHS6_AT + i];
      const length = lengthAndKinds & 0xff;
      const kinds = lengthAndKinds >>> 8;
      const m0 = w0 & maskWord(length, 0);
      const m1 = w1 & maskWord(length, 1);
      const m2 = w2 & maskWord(length, 2);
      const m3 = w3 & maskWord(length, 3);
      let found = -1;
      if ((kinds & KIND_PORT) !== 0) found = this.#get6(m0, m1, m2, m3, metaOf(length, protocol, port));
      if (found < 0 && (kinds & KIND_PROTOCOL) !== 0) {
        found = this.#get6(m0, m1, m2, m3, metaOf(length, protocol, 0));
      }
      if (found < 0 && (kinds & KIND_ALL) !== 0) found = this.#get6(m0, m1, m2, m3, metaOf(length, 0, 0));
      if (found >= 0) return found;
    }
    return -1;
  }

  /**
   * Id of the service of a node port of `family` (4 or 6), or -1. Whether the destination is one of the node's addresses is the caller's
   * to know.
   */
  findNodePort(family: number, protocol: number, port: number): number {
    return this.#get4(family, metaOf(MATCH_NODE_PORT, protocol, port));
  }

  #find4(address: number, length: number, kinds: number, protocol: number, port: number): number {
    let found = -1;
    if ((kinds & KIND_PORT) !== 0) found = this.#get4(address, metaOf(length, protocol, port));
    if (found < 0 && (kinds & KIND_PROTOCOL) !== 0) found = this.#get4(address, metaOf(length, protocol, 0));
    if (found < 0 && (kinds & KIND_ALL) !== 0) found = this.#get4(address, metaOf(length, 0, 0));
    return found;
  }

  #get4(address: number, meta: number): number {
    const words = this.words;
    for (let slot = hash4(address, meta) & this.#mask4;; slot = (slot + 1) & this.#mask4) {
      const at = HEADER_WORDS + slot * STRIDE4;
      const found = words[at + 2];
      if (found < 0 || (words[at] === address && words[at + 1] === meta)) return found;
    }
  }

  #get6(w0: number, w1: number, w2: number, w3: number, meta: number): number {
    const words = this.words;
    for (let slot = hash6(w0, w1, w2, w3, meta) & this.#mask6;; slot = (slot + 1) & this.#mask6) {
      const at = this.#at6 + slot * STRIDE6;
      const found = words[at + 5];
      if (
        found < 0 ||
        (words[at + 3] === w3 && words[at + 4] === meta && words[at] === w0 && words[at + 1] === w1 &&
          words[at + 2] === w2)
      ) return found;
    }
  }
}

function slotsFor(count: number): number {
  let slots = MIN_SLOTS;
  while (slots < 2 * count) slots *= 2;
  return slots;
}

function metaOf(length: number, protocol: number, port: number): number {
  return (length << 24) | (protocol << 16) | port;
}

/** The part of word `index` of an address that a prefix of `length` bits covers. */
function maskWord(length: number, index: number): number {
  const bits = length - 32 * index;
  return bits >= 32 ? -1 : bits <= 0 ? 0 : -1 << (32 - bits);
}

function hash4(address: number, meta: number): number {
  let hash = Math.imul(address ^ (address >>> 16), 0x85ebca6b) ^ Math.imul(meta, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function hash6(w0: number, w1: number, w2: number, w3: number, meta: number): number {
  let hash = Math.imul(w0 ^ (w0 >>> 16), 0x85ebca6b) ^ Math.imul(w1, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ w2, 0xc2b2ae35);
  return hash4(w3 ^ hash ^ (hash >>> 16), meta);
}

function wordAt(address: Uint8Array, index: number): number {
  const at = 4 * index;
  return (address[at] << 24) | (address[at + 1] << 16) | (address[at + 2] << 8) | address[at + 3];
}

function isMapped4(address: Uint8Array): boolean {
  return wordAt(address, 0) === 0 && wordAt(address, 1) === 0 && wordAt(address, 2) === 0xffff;
}

function place(entry: MatchEntry): Placed {
  const { address, prefixLength, protocol, port, serviceId } = entry;
  const kind = port !== 0 || protocol === 255 ? KIND_PORT : protocol !== 0 ? KIND_PROTOCOL : KIND_ALL;
  const nodePort = prefixLength === MATCH_NODE_PORT;
  const is4 = nodePort || (prefixLength >= 96 && isMapped4(address));
  const length = nodePort ? MATCH_NODE_PORT : is4 ? prefixLength - 96 : prefixLength;
  const masked = (index: number) => wordAt(address, index) & maskWord(prefixLength, index);
  return {
    is4,
    words: nodePort ? [0, 0, 0, isMapped4(address) ? 4 : 6] : [masked(0), masked(1), masked(2), masked(3)],
    length,
    kind,
    meta: metaOf(length, protocol, port),
    serviceId,
  };
}

/** Writes the distinct lengths with their kinds, longest first; returns how many. */
function writeLengths(words: Int32Array, at: number, placed: readonly Placed[]): number {
  const kinds = new Map<number, number>();
  for (const { length, kind } of placed) kinds.set(length, (kinds.get(length) ?? 0) | kind);
  const lengths = [...kinds.keys()].sort((a, b) => b - a);
  lengths.forEach((length, i) => words[at + i] = length | (kinds.get(length)! << 8));
  return lengths.length;
}

function put4(words: Int32Array, mask: number, entry: Placed): void {
  const address = entry.words[3];
  for (let slot = hash4(address, entry.meta) & mask;; slot = (slot + 1) & mask) {
    const at = HEADER_WORDS + slot * STRIDE4;
    if (words[at + 2] >= 0 && (words[at] !== address || words[at + 1] !== entry.meta)) continue;
    words[at] = address;
    words[at + 1] = entry.meta;
    words[at + 2] = entry.serviceId;
    return;
  }
}

function put6(words: Int32Array, at6: number, mask: number, entry: Placed): void {
  const [w0, w1, w2, w3] = entry.words;
  for (let slot = hash6(w0, w1, w2, w3, entry.meta) & mask;; slot = (slot + 1) & mask) {
    const at = at6 + slot * STRIDE6;
    const same = words[at] === w0 && words[at + 1] === w1 && words[at + 2] === w2 && words[at + 3] === w3;
    if (words[at + 5] >= 0 && !(same && words[at + 4] === entry.meta)) continue;
    words.set([w0, w1, w2, w3, entry.meta, entry.serviceId], at);
    return;
  }
}
