/* What the steering maps are told: keys, derived entries, prefix lengths, differences. */

import { assertEquals, assertThrows } from "@std/assert";
import { MAX_SLOT, QUEUES_PER_SLOT, RX_SLOTS } from "../../../mod/xdp/steering.ts";
import {
  KEY_BYTES,
  KeyTable,
  LENGTHS_BYTES,
  lengthsValue,
  MAX_KEYS,
  MAX_LENGTHS,
  nodePortAddress,
  PLEN_NODE_PORT,
  type SteeringKey,
  writeKey,
} from "../../../mod/xdp/steering_keys.ts";
import { ipBytes } from "../../packets/builder.ts";
import { property } from "../../packets/random.ts";

function key(address: string, prefixLength: number, protocol: number, port: number): SteeringKey {
  const bytes = ipBytes(address);
  if (bytes.length === 16) return { address: bytes, prefixLength, protocol, port };
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
  return { address: mapped, prefixLength: prefixLength + 96, protocol, port };
}

/** In the kernel's place: the entries as hexadecimal text, and what was said about lengths. */
class FakeMap {
  readonly entries = new Set<string>();
  writes = 0;
  fails = false;
  lengths: readonly [number[], number[]] = [[], []];
  hasNodePorts = false;
  readonly table = new KeyTable(this, (lengths, hasNodePorts) => {
    this.lengths = lengths;
    this.hasNodePorts = hasNodePorts;
  });

  updateMany(keys: Uint8Array): void {
    if (this.fails) throw new Error("no memory");
    for (const text of this.#texts(keys)) this.entries.add(text);
  }

  deleteMany(keys: Uint8Array): void {
    for (const text of this.#texts(keys)) {
      if (!this.entries.delete(text)) throw new Error(`${text} was not there`);
    }
  }

  *#texts(keys: Uint8Array): Generator<string> {
    for (let at = 0; at < keys.length; at += KEY_BYTES) {
      this.writes++;
      yield hex(keys.slice(at, at + KEY_BYTES));
    }
  }
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("writeKey lays a key out as struct ku_key, without the bits beyond the prefix", () => {
  const bytes = new Uint8Array(KEY_BYTES + 1);
  writeKey(bytes, 1, key("10.96.3.255", 23, 6, 0x1f90));
  assertEquals(hex(bytes.slice(1)), "00000000000000000000ffff0a600200" + "77" + "06" + "1f90");
  writeKey(bytes, 1, key("fd00::ffff", 127, 17, 53));
  assertEquals(hex(bytes.slice(1)), "fd00000000000000000000000000fffe" + "7f" + "11" + "0035");
  for (const family of [4, 6] as const) {
    const address = nodePortAddress(family);
    writeKey(bytes, 1, { address, prefixLength: PLEN_NODE_PORT, protocol: 6, port: 30080 });
    assertEquals(hex(bytes.slice(1)), "00".repeat(15) + `0${family}` + "ff" + "06" + "7580");
  }
});

Deno.test("KeyTable keeps one entry for each key, and one that says that something lives at the address", () => {
  const { table, entries } = new FakeMap();
  table.add([key("10.96.0.1", 32, 6, 80), key("10.96.0.1", 32, 17, 53)]);
  const address = "00000000000000000000ffff0a600001" + "80";
  assertEquals([...entries].sort(), [`${address}060050`, `${address}110035`, `${address}ff0000`]);
  table.remove([key("10.96.0.1", 32, 6, 80)]);
  assertEquals([...entries].sort(), [`${address}110035`, `${address}ff0000`]);
  table.remove([key("10.96.0.1", 32, 17, 53)]);
  assertEquals([entries.size, table.size], [0, 0]);
});

Deno.test("KeyTable counts a key that is wanted twice, and writes only differences", () => {
  const map = new FakeMap();
  map.table.add([key("10.1.0.2", 32, 6, 80), key("10.1.0.2", 32, 6, 80)]);
  map.table.remove([key("10.1.0.2", 32, 6, 80)]);
  assertEquals(map.entries.size, 2);
  map.table.replaceAll([key("10.1.0.2", 32, 6, 80)]);
  assertEquals(map.writes, 2);
  map.table.replaceAll([key("10.1.0.3", 32, 6, 80), key("10.1.0.2", 32, 6, 81)]);
  assertEquals([map.writes, map.entries.size], [6, 4]);
});

Deno.test("KeyTable tells the prefix lengths in use by family, longest first, and of node ports", () => {
  const map = new FakeMap();
  const keys = [
    key("10.0.0.0", 8, 6, 80),
    key("10.96.0.0", 16, 6, 80),
    key("0.0.0.0", 0, 6, 80),
    key("10.96.0.1", 32, 6, 80),
    key("fd00::", 8, 0, 0),
    key("fd00::", 112, 0, 0),
    { address: nodePortAddress(4), prefixLength: PLEN_NODE_PORT, protocol: 6, port: 30080 },
    { address: nodePortAddress(6), prefixLength: PLEN_NODE_PORT, protocol: 6, port: 30080 },
  ];
  map.table.add(keys);
  assertEquals(map.lengths, [[112, 104, 96], [112, 8]]);
  assertEquals(map.hasNodePorts, true);
  map.table.remove(keys.slice(6, 7));
  assertEquals([map.lengths, map.hasNodePorts], [[[112, 104, 96], [112, 8]], true], "one family's are left");
  map.table.replaceAll(keys.slice(1, 5));
  assertEquals(map.lengths, [[112, 96], [8]]);
  assertEquals(map.hasNodePorts, false);
});

Deno.test("KeyTable refuses what does not fit, and is as before", () => {
  const map = new FakeMap();
  map.table.add([key("10.96.0.1", 32, 6, 80)]);
  const many = Array.from({ length: MAX_LENGTHS + 1 }, (_, i) => key("fd00::", 60 + i, 6, 80));
  assertThrows(() => map.table.add(many), RangeError, "33 different lengths, at most 32");
  const services = Array.from({ length: MAX_KEYS }, (_, i) => key("10.96.0.2", 32, 6, i & 0xffff)).map((
    each,
    i,
  ) => ({
    ...each,
    protocol: 1 + (i >> 16),
  }));
  assertThrows(() => map.table.add(services), RangeError, "More than 262144");
  map.fails = true;
  assertThrows(() => map.table.add([key("10.96.0.9", 32, 6, 80)]), Error, "no memory");
  map.fails = false;
  assertEquals(map.entries.size, 2);
  map.table.add([key("10.96.0.9", 32, 6, 80)]);
  assertEquals(map.entries.size, 4);
});

Deno.test("KeyTable agrees with a fresh one after any changes", () => {
  property((random) => {
    const map = new FakeMap();
    const wanted: SteeringKey[] = [];
    for (let round = 0; round < 300; round++) {
      const some = Array.from(
        { length: random.below(4) },
        () =>
          key(
            `10.96.0.${random.below(4)}`,
            [32, 30, 24][random.below(3)],
            random.below(2) * 6,
            random.below(3),
          ),
      );
      if (random.below(2) === 0) {
        map.table.add(some);
        wanted.push(...some);
      } else {
        map.table.remove(wanted.splice(0, some.length));
      }
      const fresh = new FakeMap();
      fresh.table.add(wanted);
      assertEquals([...map.entries].sort(), [...fresh.entries].sort());
      assertEquals(map.lengths, fresh.lengths);
    }
  });
});

Deno.test("lengthsValue and the limits are those of ffi/bpf/maps.h", () => {
  assertEquals(lengthsValue([120, 112]).slice(0, 7), Uint8Array.of(2, 0, 0, 0, 120, 112, 0));
  const header = Deno.readTextFileSync(new URL("../../../ffi/bpf/maps.h", import.meta.url));
  const defined = (name: string) => Number(header.match(new RegExp(`#define ${name} (\\d+)`))?.[1]);
  assertEquals(defined("KU_QUEUES_PER_SLOT"), QUEUES_PER_SLOT);
  assertEquals(defined("KU_RX_SLOTS"), RX_SLOTS);
  assertEquals(defined("KU_MAX_LINKS"), MAX_SLOT + 2);
  assertEquals(defined("KU_MAX_KEYS"), MAX_KEYS);
  assertEquals(defined("KU_MAX_LENGTHS"), MAX_LENGTHS);
  assertEquals(defined("KU_PLEN_NODE_PORT"), PLEN_NODE_PORT);
  assertEquals(LENGTHS_BYTES, 4 + MAX_LENGTHS);
});
