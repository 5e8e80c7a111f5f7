/** Flows in shared memory against a model of what is repeated, read as the steering programs read them. */

import { assert, assertEquals } from "@std/assert";
import { keyedHash4 } from "../../../mod/table/hash.ts";
import { OffloadTable } from "../../../mod/table/offload.ts";
import {
  bytesOf,
  createOffloadMemory,
  type OffloadMemory,
  type OffloadShare,
  packetsOf,
  prepareOffload,
  setOffloadEpoch,
} from "../../../mod/table/offload_memory.ts";
import * as layout from "../../../mod/table/offload_layout.ts";
import { SESSION_ORIGINAL, SESSION_REPLY4, SessionTable } from "../../../mod/table/session.ts";
import { property } from "../../packets/random.ts";

const SEED = Uint32Array.of(5, 6, 7, 8);
const UDP = 17;

function memoryFor(sessions: number): OffloadMemory {
  const memory = createOffloadMemory(sessions);
  prepareOffload(memory, SEED);
  return memory;
}

function share(memory: OffloadMemory, first: number, count: number): OffloadShare {
  return { memory, first, count, firstHop: 0, hopCount: 16 };
}

/** Adds up what it is told. */
class Sum {
  packets = 0;
  bytes = 0;
  countFlow(_service: number, _pod: number, _direction: number, packets: number, bytes: number): void {
    this.packets += packets;
    this.bytes += bytes;
  }
}

function insert(table: SessionTable, source: number, ports: number): number {
  table.key.set([source, 0x0a600001, ports]);
  table.replyKey.set([0x0af40005, source, (8080 << 16) | (ports >>> 16)]);
  return table.insert(UDP, 100);
}

/** What the programs do with a tuple (ffi/bpf/flow.h): number of the flow and direction, or -1. */
function find({ conf, index, flows }: OffloadMemory, table: SessionTable, entry: number, at: number): number {
  const [source, destination, ports] = table.words.subarray(entry + at);
  const hash = keyedHash4(conf, layout.OFFLOAD_CONF_KEY, UDP, source, destination, ports);
  const bucket = (hash & conf[layout.OFFLOAD_CONF_MASK]) * layout.OFFLOAD_BUCKET_WORDS;
  const words = [...index.subarray(bucket, bucket + layout.OFFLOAD_BUCKET_WORDS)];
  const same = words.filter((word) => word !== 0 && ((word ^ hash) & layout.OFFLOAD_TAG) === 0);
  assert(same.length <= 1, "a tag only once a bucket");
  if (same.length === 0) return -1;
  const number = (same[0] & ~layout.OFFLOAD_TAG) - 1;
  const flow = (number >> 1) + (number & 1) * conf[layout.OFFLOAD_CONF_SESSIONS];
  return flows[flow * layout.FLOW_WORDS + layout.FLOW_EPOCH] === conf[layout.OFFLOAD_CONF_EPOCH]
    ? number
    : -1;
}

Deno.test("OffloadTable agrees with a model of what is repeated, over random beginnings and ends", () =>
  property((random) => {
    const memory = memoryFor(64);
    const sum = new Sum();
    const offload = new OffloadTable(share(memory, 16, 48), 3, sum);
    const table = new SessionTable(SessionTable.create(64, 1, SEED).buffer);
    const model = new Map<number, number>();
    let carried = 0, ended = 0;
    setOffloadEpoch(memory, 9);
    for (let round = 0; round < 20_000; round++) {
      offload.now = 100 + Math.floor(round / 40);
      offload.reclaim();
      if (random.below(2) === 0) {
        const entry = insert(table, random.int32(), random.int32());
        if (entry < 0) continue;
        const flow = offload.begin(table, entry);
        if (flow < 0) table.remove(entry);
        else model.set(flow, entry);
        continue;
      }
      const [flow, entry] = random.pick([...model.entries(), [-1, -1]]);
      if (flow < 0) continue;
      const number = 16 + flow + random.below(2) * 64;
      if (random.below(2) === 0) memory.flows[number * layout.FLOW_WORDS + layout.FLOW_PACKETS]++;
      else memory.notes[number * layout.NOTE_WORDS + layout.NOTE_PACKETS]++; // by another CPU
      carried++;
      offload.end(flow);
      ended++;
      assertEquals(find(memory, table, entry, SESSION_ORIGINAL), -1);
      table.remove(entry);
      model.delete(flow);
      if (round % 100 !== 0) continue;
      for (const [each, of] of model) {
        assertEquals(offload.entryOf(each), of);
        assertEquals(find(memory, table, of, SESSION_ORIGINAL), 2 * (16 + each));
        assertEquals(find(memory, table, of, SESSION_REPLY4), 2 * (16 + each) + 1);
      }
      assertEquals(offload.used, model.size);
    }
    assert(ended > 500, `${ended} ended`);
    assertEquals(sum.packets, carried);
    assert(memory.flows.subarray(0, 16 * layout.FLOW_WORDS).every((word) => word === 0), "others' flows");
  }));

Deno.test("OffloadTable goes over to other memory, with nothing uncounted and nothing left of the old", () => {
  const [memory, larger] = [memoryFor(2), memoryFor(8)];
  const sum = new Sum();
  const offload = new OffloadTable(share(memory, 0, 2), 0, sum);
  const table = new SessionTable(SessionTable.create(4, 1, SEED).buffer);
  setOffloadEpoch(memory, 1);
  const entries = [1, 2, 3, 4].map((n) => insert(table, n, n));
  for (const entry of entries) offload.begin(table, entry);
  assertEquals([offload.used, offload.refused], [2, 2]);
  setOffloadEpoch(memory, 0);
  for (const flow of [0, 1]) offload.end(flow);
  memory.flows[layout.FLOW_PACKETS] = 3; // late, while it rested
  offload.moveTo(share(larger, 4, 4));
  assertEquals([sum.packets, offload.used, offload.capacity, offload.limit], [3, 0, 4, 4]);
  assertEquals(offload.begin(table, entries[0]), -1, "not before there is an epoch");
  setOffloadEpoch(larger, 2);
  const flows = entries.map((entry) => offload.begin(table, entry));
  assertEquals(flows, [0, 1, 2, 3]);
  entries.forEach((entry, i) =>
    assertEquals(find(larger, table, entry, SESSION_ORIGINAL), 2 * (4 + flows[i]))
  );
  offload.now += 10;
  offload.reclaim();
  assertEquals([sum.packets, offload.begun], [3, 6]);
});

Deno.test("OffloadTable uses a flow's place again only after it has rested, and counts what came late", () => {
  const memory = memoryFor(1);
  const sum = new Sum();
  const offload = new OffloadTable(share(memory, 0, 1), 0, sum);
  const table = new SessionTable(SessionTable.create(4, 1, SEED).buffer);
  const first = insert(table, 1, 1), second = insert(table, 2, 2);
  assertEquals(offload.begin(table, first), -1, "nothing is repeated before there is an epoch");
  setOffloadEpoch(memory, 1);
  offload.now = 50;
  assertEquals(offload.begin(table, first), 0);
  assertEquals(offload.begin(table, second), -1, "full");
  memory.flows[layout.FLOW_PACKETS] = 3;
  memory.flows[layout.FLOW_BYTES + 1] = 1; // 2^32
  offload.end(0);
  assertEquals([sum.packets, sum.bytes], [3, 2 ** 32]);
  memory.flows[layout.FLOW_PACKETS] = 4;
  offload.now = 51;
  offload.reclaim();
  assertEquals(offload.begin(table, second), -1, "it rests");
  offload.now = 52;
  offload.reclaim();
  assertEquals(sum.packets, 4, "a program that had found it counted once more");
  assertEquals(offload.begin(table, second), 0);
  assertEquals([packetsOf(memory, 0), bytesOf(memory, 0)], [0, 0], "a new flow begins at nothing");
});
