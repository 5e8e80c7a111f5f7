/**
 * Session table: find (hit in either direction, miss) and insert into an empty table, at several sizes. Prints ns an operation and a hash of the
 * results; fixed seed.
 *
 *   deno run bench/session_bench.ts [--quick]
 */

import { SessionTable } from "../mod/table/session.ts";
import { measure, Random } from "./harness.ts";

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

function benchWidth(addressWords: 1 | 4, sessions: number): void {
  const name = `${addressWords === 1 ? "v4" : "v6"} ${sessions} sessions`;
  const { original, reply } = makeFlows(sessions, addressWords);
  const buckets = Math.max(256, sessions / 2); // half full: next to nothing is refused
  const power = 2 ** Math.ceil(Math.log2(buckets));
  const table = SessionTable.create(power, addressWords, SEED);
  const findOriginals = addressWords === 1 ? findAll4 : findAll6;
  const findReplies = addressWords === 1 ? findRepliesAll4 : findRepliesAll6;
  const empty = SessionTable.create(power, addressWords, SEED);
  measure(`session insert, ${name}`, sessions, () => {
    empty.clear();
    return insertAll(empty, original, reply);
  });
  insertAll(table, original, reply);
  measure(`session hit original, ${name}`, sessions, () => findOriginals(table, original));
  measure(`session hit reply, ${name}`, sessions, () => findReplies(table, reply));
  measure(`session miss original, ${name}`, sessions, () => findOriginals(table, reply));
  measure(`session miss reply, ${name}`, sessions, () => findReplies(table, original));
}

if (import.meta.main) {
  const sizes = Deno.args.includes("--quick") ? [1000, 65536] : [1000, 65536, 1 << 20];
  for (const sessions of sizes) {
    benchWidth(1, sessions);
    benchWidth(4, sessions);
  }
}
