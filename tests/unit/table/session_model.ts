/**
 * The session table beside a slow model: a Map from original tuple to what the table should know, and the same operations on both.
 *
 * The model knows nothing of buckets, so `insert` may be refused (SESSION_FULL) where the model has room; it may not be refused while
 * the bucket of the table has free or expired entries, or closed connections, which `session_test.ts` checks by filling. That a
 * closed connection has made room is something else it cannot know: it looks, and forgets one that is gone.
 */

import { assert, assertEquals } from "@std/assert";
import {
  SESSION_FULL,
  SESSION_LAST_SEEN,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_REPLY_TAKEN,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SessionTable,
} from "../../../mod/table/session.ts";
import { moveSessions } from "../../../mod/table/session_move.ts";
import type { Random } from "../../packets/random.ts";

export const SEED = Uint32Array.of(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
export const TIMEOUTS = [40, 240, 7440, 120];

interface Known {
  protocol: number;
  original: number[];
  reply: number[];
  state: number;
  lastSeen: number;
  service: number;
  pod: number;
}

export class Model {
  table: SessionTable;
  now = 1000;
  refused = 0;
  taken = 0;
  evicted = 0;
  readonly #random: Random;
  readonly #addressWords: 1 | 4;
  readonly #byOriginal = new Map<string, Known>();
  readonly #byReply = new Map<string, Known>();

  constructor(random: Random, buckets: number, addressWords: 1 | 4) {
    this.#random = random;
    this.#addressWords = addressWords;
    this.table = this.#create(buckets);
  }

  #create(buckets: number): SessionTable {
    const table = SessionTable.create(buckets, this.#addressWords, SEED, {
      allocate: (bytes) =>
        this.#random.below(2) === 0 ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes),
      lineOffsetOf: () => 4 * this.#random.below(16),
    });
    table.timeouts.set(TIMEOUTS);
    return table;
  }

  /** A tuple from a pool that is small enough to come again and to collide. */
  #tuple(pool: number): number[] {
    const random = this.#random;
    const address = () => [0, 0, 0xffff, 0x0a000000 + random.below(pool)].slice(4 - this.#addressWords);
    return [...address(), ...address(), (random.below(pool) << 16) | random.below(4)];
  }

  #protocol(): number {
    return [0, 6, 17, 132, 255][this.#random.below(5)];
  }

  #expired(known: Known): boolean {
    return this.now - known.lastSeen > TIMEOUTS[known.state];
  }

  #forget(known: Known): void {
    this.#byOriginal.delete(keyOf(known.protocol, known.original));
    this.#byReply.delete(keyOf(known.protocol, known.reply));
  }

  /** Inserts a random session into both. */
  insert(pool: number): void {
    const { table, now } = this;
    const holding = this.#random.below(8) === 0 ? this.#known() : undefined; // now and then a reply tuple that is taken
    const protocol = holding?.protocol ?? this.#protocol();
    const original = this.#tuple(pool);
    const reply = holding?.reply ?? this.#tuple(pool);
    table.key.set(original);
    table.replyKey.set(reply);
    const used = table.used();
    const entry = table.insert(protocol, now);
    const holder = this.#byReply.get(keyOf(protocol, reply));
    const same = this.#byOriginal.get(keyOf(protocol, original));
    if (holder !== undefined && holder !== same && !this.#expired(holder)) {
      assertEquals(entry, SESSION_REPLY_TAKEN);
      this.taken++;
      return;
    }
    if (holder !== undefined) this.#forget(holder);
    if (same !== undefined) this.#forget(same);
    if (table.used() <= used) this.#forgetEvicted();
    if (entry === SESSION_FULL) {
      this.refused++;
      return;
    }
    assert(entry >= 0, `insert returned ${entry}`);
    assertEquals([table.protocol(entry), table.state(entry), table.flags(entry)], [protocol, 0, 0]);
    const known = { protocol, original, reply, state: 0, lastSeen: now, service: table.used(), pod: entry };
    table.words[entry + SESSION_SERVICE] = known.service;
    table.words[entry + SESSION_POD] = known.pod;
    table.setFlags(entry, 0x1234);
    this.#byOriginal.set(keyOf(protocol, original), known);
    this.#byReply.set(keyOf(protocol, reply), known);
  }

  /** At most two connections have made room: one in the bucket, one in the line of reply slots. */
  #forgetEvicted(): void {
    const gone = [...this.#byOriginal.values()].filter((known) => {
      if (known.protocol !== 6 || known.state !== SESSION_STATE_CLOSING || this.#expired(known)) return false;
      this.table.key.set(known.original);
      return this.table.findOriginal(known.protocol, this.now) < 0;
    });
    assert(gone.length <= 2, `${gone.length} closed connections are gone at once`);
    for (const known of gone) this.#forget(known);
    this.evicted += gone.length;
  }

  #known(): Known | undefined {
    let skip = this.#random.below(this.#byOriginal.size || 1);
    for (const known of this.#byOriginal.values()) if (skip-- === 0) return known;
  }

  /** Looks for a known session, by both directions, and a random one; the answers must be the model's. */
  find(pool: number): void {
    const known = this.#known();
    if (known !== undefined) this.#checkFound(known);
    const protocol = this.#protocol();
    const tuple = this.#tuple(pool);
    this.table.key.set(tuple);
    const byOriginal = this.#byOriginal.get(keyOf(protocol, tuple));
    const byReply = this.#byReply.get(keyOf(protocol, tuple));
    const isLive = (found: Known | undefined) => found !== undefined && !this.#expired(found);
    assertEquals(this.table.findOriginal(protocol, this.now) >= 0, isLive(byOriginal));
    assertEquals(this.table.findReply(protocol, this.now) >= 0, isLive(byReply));
  }

  #checkFound(known: Known): void {
    const { table, now } = this;
    table.key.set(known.original);
    const entry = table.findOriginal(known.protocol, now);
    table.key.set(known.reply);
    assertEquals(table.findReply(known.protocol, now), entry);
    const copy = new Int32Array(table.stride);
    assertEquals(table.readReply(known.protocol, now, copy), entry);
    if (this.#expired(known)) return assertEquals(entry, -1);
    assertEquals([...table.words.subarray(entry, entry + table.stride)], [...copy]);
    assertEquals([table.words[entry + SESSION_SERVICE], copy[SESSION_POD]], [known.service, known.pod]);
    assertEquals([table.state(entry), table.flags(entry)], [known.state, 0x1234]);
    assertEquals([...copy.slice(SESSION_ORIGINAL)], [...known.original, ...known.reply]);
  }

  /** A packet of a known session: last seen now, a random state. */
  touch(): void {
    const known = this.#known();
    if (known === undefined || this.#expired(known)) return;
    this.table.key.set(known.original);
    const entry = this.table.findOriginal(known.protocol, this.now);
    known.state = this.#random.below(4);
    known.lastSeen = this.now;
    this.table.setState(entry, known.state);
    this.table.words[entry + SESSION_LAST_SEEN] = this.now;
  }

  remove(): void {
    const known = this.#known();
    if (known === undefined || this.#expired(known)) return;
    this.table.key.set(known.original);
    this.table.remove(this.table.findOriginal(known.protocol, this.now));
    this.#forget(known);
  }

  /** Once round the table, in steps: afterwards only live sessions are in use. */
  sweep(): void {
    let cursor = this.#random.below(this.table.capacity);
    for (let looked = 0; looked < this.table.capacity; looked += 7) {
      cursor = this.table.sweep(cursor, 7, this.now);
    }
    for (const known of [...this.#byOriginal.values()]) if (this.#expired(known)) this.#forget(known);
    assertEquals(this.table.used(), this.#byOriginal.size);
  }

  /** To a table of another size; what did not fit is forgotten by the model too. */
  migrate(buckets: number): void {
    const next = this.#create(buckets);
    const lost = moveSessions(this.table, next, this.now);
    this.table = next;
    let missing = 0;
    for (const known of [...this.#byOriginal.values()]) {
      next.key.set(known.original);
      const entry = next.findOriginal(known.protocol, this.now);
      if (entry < 0) {
        if (!this.#expired(known)) missing++;
        this.#forget(known);
      } else known.pod = next.words[entry + SESSION_POD];
    }
    assertEquals(lost, missing);
    assertEquals(next.used(), this.#byOriginal.size);
  }

  /** Everything at once: each session is where both directions find it, and `forEach` visits exactly the live ones. */
  checkAll(): void {
    let live = 0;
    for (const known of this.#byOriginal.values()) {
      this.#checkFound(known);
      if (!this.#expired(known)) live++;
    }
    let visited = 0;
    this.table.forEach(this.now, () => visited++);
    assertEquals(visited, live);
  }
}

function keyOf(protocol: number, tuple: number[]): string {
  return `${protocol} ${tuple.join(" ")}`;
}
