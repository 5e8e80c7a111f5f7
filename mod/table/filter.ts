/**
 * Which answers of pods are expected: counters of reply tuples, shared by all workers and read by the steering programs, which leave
 * to the kernel whatever a pod sends and no session awaits (connections to the pod itself, those it begins).
 *
 *   word 0      key        HASH_KEY_WORDS words, the rest of the 4096 bytes unused
 *   1024        counters   2^20; a tuple's is the one that the low bits of its hash name
 *
 * Rule: every session and every note of an untracked flow counts once, from before its first packet reaches the pod until it is freed.
 * So 0 says surely that a tuple is nobody's; anything else, that it may be somebody's. Tuples that meet in a counter cost the wrong one
 * its speed, nothing more: a worker compares exactly and gives it back to the kernel. Writers are several threads: atomic adds only.
 *
 * The hash is keyedHash6 of hash.ts, with IPv4 as ::ffff:a.b.c.d and ICMPv6 as ICMP, so that a tuple has the same counter in tables of
 * either width, and also when client and pod are of different families. Its key is the filter's own, not that of the tables: the
 * kernel's map shows it.
 *
 * References: ffi/bpf/match.h ku_session_holds (the reader), ffi/bpf/maps.h ku_filter; RFC 4291 §2.5.5.2 (mapped addresses).
 */

import { expandSeed, keyedHash6, mix32 } from "./hash.ts";

const KEY = 0;
const COUNTERS = 1024;
const FILTER_COUNTERS = 1 << 20;

const IP_PROTOCOL_ICMP = 1;
const IP_PROTOCOL_ICMPV6 = 58;

/** Bytes of a filter. */
export const FILTER_BYTES = 4 * (COUNTERS + FILTER_COUNTERS);

// V8 folds constants of the own module into the code: see session.ts.
const mix = mix32;
const hash6 = keyedHash6;

/** keyedHash6 of the IPv4 tuple's mapped form, whose words are 0, 0, 0xffff and the address. */
function hash4(
  key: Int32Array,
  protocol: number,
  source: number,
  destination: number,
  ports: number,
): number {
  const sum = (Math.imul(key[KEY], protocol) + Math.imul(key[KEY + 5] + key[KEY + 13], 0xffff) +
    Math.imul(key[KEY + 7], source & 0xffff) + Math.imul(key[KEY + 8], source >>> 16) +
    Math.imul(key[KEY + 15], destination & 0xffff) + Math.imul(key[KEY + 16], destination >>> 16) +
    Math.imul(key[KEY + 17], ports & 0xffff) + Math.imul(key[KEY + 18], ports >>> 16)) | 0;
  return mix(sum);
}

/** Counters of expected answers. See the top of the file. */
export class SessionFilter {
  readonly words: Int32Array;

  /** Makes `words` (FILTER_BYTES, all zero) an empty filter. `seed`: at least four random words. */
  static create(words: Int32Array, seed: Uint32Array): SessionFilter {
    expandSeed(seed, words, KEY);
    return new SessionFilter(words);
  }

  /** A view of an existing filter, in any thread. */
  constructor(words: Int32Array) {
    if (words.byteLength !== FILTER_BYTES) {
      throw new TypeError(`not a session filter: ${words.byteLength} bytes`);
    }
    this.words = words;
  }

  /** One reply tuple, 2A + 1 words of `tuple` from `at`, more (`by` 1) or less (-1). */
  count(protocol: number, tuple: Int32Array, at: number, addressWords: 1 | 4, by: 1 | -1): void {
    Atomics.add(this.words, this.#counterOf(protocol, tuple, at, addressWords), by);
  }

  /** Whether the tuple may be expected. */
  holds(protocol: number, tuple: Int32Array, at: number, addressWords: 1 | 4): boolean {
    return Atomics.load(this.words, this.#counterOf(protocol, tuple, at, addressWords)) !== 0;
  }

  /** Word of the counter of an IPv4 reply tuple. */
  counterOf4(protocol: number, source: number, destination: number, ports: number): number {
    return COUNTERS + (hash4(this.words, protocol, source, destination, ports) & (FILTER_COUNTERS - 1));
  }

  #counterOf(protocol: number, tuple: Int32Array, at: number, addressWords: 1 | 4): number {
    if (protocol === IP_PROTOCOL_ICMPV6) protocol = IP_PROTOCOL_ICMP;
    const hash = addressWords === 1
      ? hash4(this.words, protocol, tuple[at], tuple[at + 1], tuple[at + 2])
      : hash6(this.words, KEY, protocol, tuple, at);
    return COUNTERS + (hash & (FILTER_COUNTERS - 1));
  }
}
