/**
 * Session table: find (hit in either direction, miss) and insert into an empty table, at several sizes. Fixed seed.
 *
 *   deno bench -A bench/session_bench.ts
 */

import { PRESENT_LINE_MEMORY } from "../ffi/memory.ts";
import { SessionTable } from "../mod/table/session.ts";
import { Random } from "../tests/packets/random.ts";
import { bench, Kept, QUICK } from "./micro/case.ts";

const SEED = Uint32Array.of(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
const PROTOCOL = 17;
const NOW = 1000;

/** `count` random flows, `width` words each: a client's address and port to one VIP; the pod's answer. */
function makeFlows(count: number, addressWords: 1 | 4): { original: Int32Array; reply: Int32Array } {
  const width = 2 * addressWords + 1;
  const random = new Random(7);
  const original = new Int32Array(count * width);
  const reply = new Int32Array(count * width);
  for (let i = 0; i < count; i++) {
    const at = i * width;
    for (let word = 0; word < addressWords; word++) {
      original[at + word] = random.int32();
      original[at + addressWords + word] = 0x0a000001;
      reply[at + word] = 0x0a010000 + (i & 3);
      reply[at + addressWords + word] = original[at + word];
    }
    const port = random.below(65536);
    original[at + width - 1] = (port << 16) | 53;
    reply[at + width - 1] = (5353 << 16) | port;
  }
  return { original, reply };
}

function load(key: Int32Array, flows: Int32Array, at: number): void {
  for (let i = 0; i < key.length; i++) key[i] = flows[at + i];
}

function insertAll(table: SessionTable, original: Int32Array, reply: Int32Array): number {
  const width = table.key.length;
  let count = 0;
  for (let at = 0; at < original.length; at += width) {
    load(table.key, original, at);
    load(table.replyKey, reply, at);
    if (table.insert(PROTOCOL, NOW) >= 0) count++;
  }
  return count;
}

function findAll4(table: SessionTable, flows: Int32Array): number {
  let sum = 0;
  for (let at = 0; at < flows.length; at += 3) {
    sum = (sum + table.findOriginal4(PROTOCOL, flows[at], flows[at + 1], flows[at + 2], NOW)) | 0;
  }
  return sum;
}

function findRepliesAll4(table: SessionTable, flows: Int32Array): number {
  let sum = 0;
  for (let at = 0; at < flows.length; at += 3) {
    sum = (sum + table.findReply4(PROTOCOL, flows[at], flows[at + 1], flows[at + 2], NOW)) | 0;
  }
  return sum;
}

function findAll6(table: SessionTable, flows: Int32Array): number {
  const key = table.key;
  let sum = 0;
  for (let at = 0; at < flows.length; at += 9) {
    for (let i = 0; i < 9; i++) key[i] = flows[at + i];
    sum = (sum + table.findOriginal(PROTOCOL, NOW)) | 0;
  }
  return sum;
}

function findRepliesAll6(table: SessionTable, flows: Int32Array): number {
  const key = table.key;
  let sum = 0;
  for (let at = 0; at < flows.length; at += 9) {
    for (let i = 0; i < 9; i++) key[i] = flows[at + i];
    sum = (sum + table.findReply(PROTOCOL, NOW)) | 0;
  }
  return sum;
}

interface Filled {
  table: SessionTable;
  original: Int32Array;
  reply: Int32Array;
}

const kept = new Kept<Filled>();

/** A table half full of the flows. */
function filled(addressWords: 1 | 4, sessions: number, fill: boolean): Filled {
  return kept.get(`${addressWords} ${sessions} ${fill}`, () => {
    const buckets = 2 ** Math.ceil(Math.log2(Math.max(256, sessions / 2))); // half full: next to nothing is refused
    const table = SessionTable.create(buckets, addressWords, SEED, PRESENT_LINE_MEMORY);
    const flows = makeFlows(sessions, addressWords);
    if (fill) insertAll(table, flows.original, flows.reply);
    return { table, ...flows };
  });
}

function benchWidth(addressWords: 1 | 4, sessions: number): void {
  const params = { family: addressWords === 1 ? "IPv4" : "IPv6", sessions };
  const n = sessions > 100_000 ? 3 : 40;
  const findOriginals = addressWords === 1 ? findAll4 : findAll6;
  const findReplies = addressWords === 1 ? findRepliesAll4 : findRepliesAll6;
  bench("session insert", params, sessions, () => {
    const { table, original, reply } = filled(addressWords, sessions, false);
    return { before: () => table.clear(), run: () => insertAll(table, original, reply) };
  }, n);
  const look = (name: string, run: (all: Filled) => number) =>
    bench(name, params, sessions, () => {
      const all = filled(addressWords, sessions, true);
      return { run: () => run(all) };
    }, n);
  look("session hit, original", ({ table, original }) => findOriginals(table, original));
  look("session hit, reply", ({ table, reply }) => findReplies(table, reply));
  look("session miss, original", ({ table, reply }) => findOriginals(table, reply));
  look("session miss, reply", ({ table, original }) => findReplies(table, original));
}

for (const sessions of QUICK ? [1000] : [1000, 65_536, 1 << 20]) {
  benchWidth(1, sessions);
  benchWidth(4, sessions);
}
