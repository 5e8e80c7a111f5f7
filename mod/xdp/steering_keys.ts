/**
 * What ku_match and ku_pods hold, and the entries that follow from it: with every (address, protocol, port) goes one
 * entry that says "something lives at this address", by which the programs let bystanders go after a single lookup,
 * and the list of prefix lengths in use.
 *
 * The layout is ffi/bpf/maps.h's `struct ku_key`: 16 bytes of address (IPv4 as ::ffff:a.b.c.d), prefix length in 128
 * bits, protocol, port (big-endian).
 *
 * @module
 */

import type { BpfMap } from "./bpf_map.ts";
import { KeyCounts } from "./key_counts.ts";

/** Bytes of one key. */
export const KEY_BYTES = 20;
const KEY_PLEN = 16;
const KEY_PROTOCOL = 17;
const KEY_PORT = 18;

/** Prefix length of a host. */
export const PLEN_HOST = 128;
/** Prefix length that marks a node port; the address is `nodePortAddress` of a family. */
export const PLEN_NODE_PORT = 255;
/** Protocol of the derived entries. */
const PROTOCOL_ANY = 255;
/** IPv4 lengths count from here. */
const IP4_PLEN = 96;
/** Third word of an IPv4 address: two bytes of zeros, two of ones. */
const MAPPED_WORD = 0xffff0000 | 0;
/** Distinct prefix lengths of one family, besides hosts (maps.h KU_MAX_LENGTHS). */
export const MAX_LENGTHS = 32;
/** Entries of a map, derived ones included (maps.h KU_MAX_KEYS). */
export const MAX_KEYS = 262144;
/** Bytes of one value of ku_lens: a u32 count and the lengths. */
export const LENGTHS_BYTES = 4 + MAX_LENGTHS;

/** A service's or pod's address, protocol and port. */
export interface SteeringKey {
  /** 16 bytes; IPv4 as ::ffff:a.b.c.d. Bits beyond the prefix do not matter. */
  address: Uint8Array;
  /** 0 … 128, for IPv4 96 more than usual; PLEN_NODE_PORT for a node port. */
  prefixLength: number;
  /** 0: all protocols and ports (then `port` is 0). */
  protocol: number;
  port: number;
}

/** What stands for "any of the node's own addresses" of a family in a node port's key: ::4 or ::6. */
export function nodePortAddress(family: 4 | 6): Uint8Array {
  const address = new Uint8Array(16);
  address[15] = family;
  return address;
}

/** The key's bytes at `at`. */
export function writeKey(to: Uint8Array, at: number, key: SteeringKey): void {
  const plen = key.prefixLength;
  for (let i = 0; i < 16; i++) {
    const bits = Math.min(8, Math.max(0, plen - i * 8)); // a node port's address is kept whole
    to[at + i] = key.address[i] & (0xff00 >> bits);
  }
  to[at + KEY_PLEN] = plen;
  to[at + KEY_PROTOCOL] = key.protocol;
  to[at + KEY_PORT] = key.port >> 8;
  to[at + KEY_PORT + 1] = key.port & 0xff;
}

const scratch = new Uint8Array(KEY_BYTES);
const scratchWords = new Int32Array(scratch.buffer);
const scratchUnits = new Uint16Array(scratch.buffer);

/** A short text that keys which the maps hold as one have in common, and no others. */
export function keyText(key: SteeringKey): string {
  writeKey(scratch, 0, key);
  const u = scratchUnits; // written out: spreading takes ten times as long
  return String.fromCharCode(u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9]);
}

/** Calls `visit` when `scratch` holds `key`, and again when it holds its derived entry. */
function visitEntries(key: SteeringKey, visit: () => void): void {
  writeKey(scratch, 0, key);
  visit();
  if (key.prefixLength === PLEN_NODE_PORT) return;
  scratch[KEY_PROTOCOL] = PROTOCOL_ANY;
  scratch[KEY_PORT] = scratch[KEY_PORT + 1] = 0;
  visit();
}

/** Entries by prefix length, of IPv4 and IPv6. */
type FamilyCounts = [Map<number, number>, Map<number, number>];

/** Some of the entries that a table counts. */
interface Entries {
  from: KeyCounts;
  places: readonly number[];
}

/** Called with the lengths of IPv4 and IPv6 prefixes in use, longest first, and whether there are node ports. */
export type LengthsChange = (lengths: readonly [number[], number[]], hasNodePorts: boolean) => void;

/** One of the two maps, kept equal to a set of keys. The same key may be given several times (pods of two services). */
export class KeyTable {
  readonly #map: Pick<BpfMap, "updateMany" | "deleteMany">;
  readonly #lengthsChange: LengthsChange;
  /** How often each entry is wanted. */
  #counts = new KeyCounts();
  /** Entries by family (0 IPv4, 1 IPv6) and prefix length. */
  #lengths: FamilyCounts = [new Map(), new Map()];

  constructor(map: Pick<BpfMap, "updateMany" | "deleteMany">, lengthsChange: LengthsChange = () => {}) {
    this.#map = map;
    this.#lengthsChange = lengthsChange;
  }

  /** Entries in the map, derived ones included. */
  get size(): number {
    return this.#counts.size;
  }

  /** Makes `keys` the whole content; writes only the difference. Throws RangeError or SystemError. */
  replaceAll(keys: readonly SteeringKey[]): void {
    const before = this.#counts;
    const after = new KeyCounts();
    after.reserve(2 * keys.length);
    before.reserve(2 * keys.length);
    const added: number[] = [];
    const kept = new Set<number>();
    const count = () => {
      const place = after.placeOf(scratchWords);
      after.set(place, after.get(place) + 1);
      const own = before.placeOf(scratchWords);
      if (before.get(own) > 0) kept.add(own);
      else if (after.get(place) === 1) added.push(place);
    };
    for (const key of keys) visitEntries(key, count);
    const removed = before.places().filter((place) => !kept.has(place));
    this.#write({ from: after, places: added }, { from: before, places: removed }, after.size);
    this.#counts = after;
  }

  /** Adds keys. Throws RangeError or SystemError, and then has changed nothing of its own. */
  add(keys: readonly SteeringKey[]): void {
    this.#change(keys, 1);
  }

  /** Takes keys out, each as often as it was added. Throws SystemError, and then has changed nothing of its own. */
  remove(keys: readonly SteeringKey[]): void {
    this.#change(keys, -1);
  }

  /** Counts first, and back if the kernel's map was not written. */
  #change(keys: readonly SteeringKey[], by: number): void {
    const counts = this.#counts;
    counts.reserve(2 * keys.length);
    const places: number[] = [], befores: number[] = [], added: number[] = [], removed: number[] = [];
    const count = () => {
      const place = counts.placeOf(scratchWords);
      const before = counts.get(place);
      places.push(place);
      befores.push(before);
      counts.set(place, before + by);
      if (before === 0 && by > 0) added.push(place);
      if (before > 0 && before + by === 0) removed.push(place);
    };
    for (const key of keys) visitEntries(key, count);
    try {
      this.#write({ from: counts, places: added }, { from: counts, places: removed }, counts.size);
    } catch (error) {
      for (let i = places.length - 1; i >= 0; i--) counts.set(places[i], befores[i]);
      throw error;
    }
  }

  /** Writes entries, of which there are `size` then, and the lengths. */
  #write(added: Entries, removed: Entries, size: number): void {
    if (size > MAX_KEYS) throw new RangeError(`More than ${MAX_KEYS} addresses and ports to steer`);
    const lengths: FamilyCounts = [new Map(this.#lengths[0]), new Map(this.#lengths[1])];
    countLengths(lengths, added, 1);
    countLengths(lengths, removed, -1);
    const lists: [number[], number[]] = [lengthsInUse(lengths[0]), lengthsInUse(lengths[1])];
    // Entries are there before their length is looked for, and go after it.
    const count = added.places.length;
    this.#map.updateMany(
      added.from.bytesAt(added.places),
      new Uint8Array(new ArrayBuffer(count * 4)).fill(1),
    );
    if (count + removed.places.length > 0) this.#lengthsChange(lists, lengths[1].has(PLEN_NODE_PORT));
    this.#map.deleteMany(removed.from.bytesAt(removed.places));
    this.#lengths = lengths;
  }
}

/** Prefix lengths, longest first, without hosts and node ports. Throws RangeError if there are too many. */
function lengthsInUse(counts: ReadonlyMap<number, number>): number[] {
  const list = [...counts.keys()].filter((plen) => plen < PLEN_HOST).sort((a, b) => b - a);
  if (list.length > MAX_LENGTHS) {
    throw new RangeError(`VIP prefixes of ${list.length} different lengths, at most ${MAX_LENGTHS}`);
  }
  return list;
}

function countLengths(lengths: FamilyCounts, { from, places }: Entries, by: number): void {
  for (const place of places) {
    const plen = from.word(place, KEY_PLEN / 4) & 0xff; // words are little-endian, as the host
    const isMapped = from.word(place, 0) === 0 && from.word(place, 1) === 0 &&
      from.word(place, 2) === MAPPED_WORD;
    const map = lengths[isMapped && plen >= IP4_PLEN ? 0 : 1];
    const count = (map.get(plen) ?? 0) + by;
    if (count > 0) map.set(plen, count);
    else map.delete(plen);
  }
}

/** The value of ku_lens for one family. */
export function lengthsValue(lengths: readonly number[]): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(new ArrayBuffer(LENGTHS_BYTES));
  new DataView(value.buffer).setUint32(0, lengths.length, true);
  value.set(lengths, 4);
  return value;
}
