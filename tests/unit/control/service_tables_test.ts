/** From configured VIPs to tables: what a packet finds there, and that ids and slots come back. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { parseAddress } from "../../../mod/config/address.ts";
import type { Command } from "../../../mod/config/model.ts";
import { vipKeyText } from "../../../mod/config/model.ts";
import { ConfigState } from "../../../mod/config/state.ts";
import { type Retired, ServiceTables } from "../../../mod/control/service_tables.ts";
import { MatchTable } from "../../../mod/table/match.ts";
import { POD_ACTIVE, POD_DRAINING, POD_REMOVED, PodTable } from "../../../mod/table/pod.ts";
import { pickPod, ServiceTable } from "../../../mod/table/service.ts";
import { property, type Random } from "../../packets/random.ts";

/** The tables beside the state they follow, and what has been handed to the steering maps so far. */
class Node {
  readonly state = new ConfigState();
  readonly tables = new ServiceTables();
  readonly steered = new Map<string, number>();

  do(...commands: Command[]): void {
    for (const command of commands) this.state.apply(command);
    const retired: Retired = { services: [], pieces: [] };
    this.tables.sync(this.state.vips, retired);
    for (const keys of [this.tables.matchKeys, this.tables.podKeys]) {
      for (const key of keys.takeRemoved()) this.#count(JSON.stringify(key), -1);
      for (const key of keys.takeAdded()) this.#count(JSON.stringify(key), 1);
    }
    this.tables.release(retired, () => {});
  }

  #count(key: string, by: number): void {
    const count = (this.steered.get(key) ?? 0) + by;
    assert(count >= 0, `taken out more often than put in: ${key}`);
    if (count === 0) this.steered.delete(key);
    else this.steered.set(key, count);
  }

  views() {
    const { match, services, pods, slots } = this.tables.publish();
    return {
      match: new MatchTable(match),
      services: new ServiceTable(services),
      pods: new PodTable(pods),
      slots: new Uint32Array(slots),
    };
  }

  /** Addresses a new flow to this destination may go to, over all slots; null when no service takes it. */
  reach(address: string, protocol: number, port: number): Set<string> | null {
    const { match, services, pods, slots } = this.views();
    const { bytes } = parseAddress(address)!;
    const service = match.find4(new DataView(bytes.buffer, bytes.byteOffset).getInt32(12), protocol, port);
    if (service < 0) return null;
    const found = new Set<string>();
    for (let hash = 0; hash < 4096; hash++) {
      const pod = pickPod(services, slots, service, hash);
      if (pod < 0) continue;
      const word = pods.address4(pod) >>> 0;
      found.add([24, 16, 8, 0].map((shift) => (word >>> shift) & 0xff).join("."));
    }
    return found;
  }
}

const vip = (prefix: string, port?: number): Command => ({
  method: "vip",
  params: port === undefined ? { prefix, newLen: 64 } : { prefix, protocol: "tcp", port, newLen: 64 },
});
const pod = (
  prefix: string,
  addresses: string[],
  more: { weight?: number; del?: boolean } = {},
): Command => ({
  method: "pod",
  params: { vip: { prefix }, addresses, ...more },
});

Deno.test("ServiceTables: a VIP leads to its pods, and to nothing once it is deleted", () => {
  const node = new Node();
  node.do(vip("10.0.0.1", 80));
  assertEquals(node.reach("10.0.0.1", 6, 80), new Set());
  node.do(pod("10.0.0.1", ["10.1.0.1", "10.1.0.2"]));
  assertEquals(node.reach("10.0.0.1", 6, 80), new Set(["10.1.0.1", "10.1.0.2"]));
  assertEquals(node.reach("10.0.0.1", 17, 80), null);
  node.do({ method: "vip", params: { prefix: "10.0.0.1", protocol: "tcp", port: 80, del: true } });
  assertEquals(node.reach("10.0.0.1", 6, 80), null);
  assertEquals(node.steered.size, 0);
});

Deno.test("ServiceTables: what has been published is never written again", () => {
  const node = new Node();
  node.do(vip("10.0.0.1", 80), pod("10.0.0.1", ["10.1.0.1", "10.1.0.2"]));
  const before = node.views();
  const copy = { pods: before.pods.words.slice(), services: before.services.words.slice() };
  const at = before.slots.slice(0, 64);
  node.state.apply(pod("10.0.0.1", ["10.1.0.2"], { del: true }));
  node.tables.sync(node.state.vips, { services: [], pieces: [] });
  node.tables.publish();
  assertEquals(before.pods.words, copy.pods);
  assertEquals(before.services.words, copy.services);
  assertEquals(before.slots.slice(0, 64), at, "the old slots stay until they are given back");
});

Deno.test("ServiceTables: a deleted pod keeps its id until it is forgotten, and gets it back if it returns", () => {
  const node = new Node();
  node.do(vip("10.0.0.1", 80), pod("10.0.0.1", ["10.1.0.1", "10.1.0.2"]));
  const record = [...node.tables.records.values()][0];
  const { id } = record.pods.get("10.1.0.2")!;
  const flags = () => node.views().pods.flags(id);
  node.do(pod("10.0.0.1", ["10.1.0.2"], { del: true }));
  assertEquals(flags(), POD_REMOVED);
  assertEquals(node.tables.removedPods(), new Set([id]));
  node.do(pod("10.0.0.1", ["10.1.0.2"], { weight: 0 }));
  assertEquals([record.pods.get("10.1.0.2")!.id, flags()], [id, POD_DRAINING]);
  node.do(pod("10.0.0.1", ["10.1.0.2"], { weight: 3 }));
  assertEquals(flags(), POD_ACTIVE);
  node.do(pod("10.0.0.1", ["10.1.0.2"], { del: true }));
  assertEquals(node.tables.forgetPods(new Set()), [], "sessions still name it");
  assertEquals(node.tables.forgetPods(new Set([id])), [id]);
  assertEquals(flags(), 0);
});

Deno.test("ServiceTables: tcp 80 goes before any 80, in whatever order they came", () => {
  for (const order of [[0, 1], [1, 0]]) {
    const node = new Node();
    const any: Command = { method: "vip", params: { prefix: "10.0.0.1", port: 80, newLen: 64 } };
    const both = [any, vip("10.0.0.1", 80)];
    node.do(...order.map((index) => both[index]));
    node.do(
      {
        method: "pod",
        params: { vip: { prefix: "10.0.0.1", protocol: null, port: 80 }, addresses: ["10.1.0.1"] },
      },
      {
        method: "pod",
        params: { vip: { prefix: "10.0.0.1", protocol: "tcp", port: 80 }, addresses: ["10.1.0.2"] },
      },
    );
    assertEquals(node.reach("10.0.0.1", 6, 80), new Set(["10.1.0.2"]));
    assertEquals(node.reach("10.0.0.1", 17, 80), new Set(["10.1.0.1"]));
  }
});

Deno.test("ServiceTables: after any commands every VIP reaches just the pods it should, and nothing leaks", () => {
  property((random) => {
    for (let round = 0; round < 30; round++) checkRandomCommands(random);
  });
});

function checkRandomCommands(random: Random): void {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const node = new Node();
  const prefixes = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
  const addresses = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];
  for (let step = 0; step < 60; step++) {
    const prefix = pick(prefixes);
    const command = pick([
      vip(prefix, 80),
      { method: "vip", params: { prefix, protocol: "tcp", port: 80, del: true } } satisfies Command,
      pod(prefix, [pick(addresses)], { weight: random.below(3) }),
      pod(prefix, [pick(addresses)], { del: true }),
    ]);
    try {
      node.do(command);
    } catch {
      continue; // a duplicate, or not there: the state is as it was
    }
    for (const each of prefixes) {
      const spec = node.state.vips.get(vipKeyText({ prefix: `${each}/32`, protocol: "tcp", port: 80 }));
      const wanted = spec === undefined
        ? null
        : new Set([...spec.pods.values()].filter(({ weight }) => weight > 0).map(({ address }) => address));
      assertEquals(node.reach(each, 6, 80), wanted);
    }
  }
  for (const each of prefixes) {
    try {
      node.do({ method: "vip", params: { prefix: each, protocol: "tcp", port: 80, del: true } });
    } catch { /* it was not there */ }
  }
  assertEquals([node.steered.size, node.tables.records.size], [0, 0]);
  node.do(vip("10.0.0.9", 80), pod("10.0.0.9", ["10.1.0.9"]));
  assertEquals([...node.tables.records.values()][0].id, 0, "ids are given out again");
  assertNotEquals(node.reach("10.0.0.9", 6, 80), null);
}
