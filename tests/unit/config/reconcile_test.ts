/** From state to state by documents: identity, order, and agreement with the tables that packets see. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { documentOf } from "../../../mod/config/document.ts";
import { stateOf } from "../../../mod/config/file.ts";
import { type Change, ConfigError, vipKeyText } from "../../../mod/config/model.ts";
import { reconcile, reconcileImport } from "../../../mod/config/reconcile.ts";
import type { ConfigState } from "../../../mod/config/state.ts";
import { type Retired, ServiceTables } from "../../../mod/control/service_tables.ts";
import { MatchTable } from "../../../mod/table/match.ts";
import { PodTable } from "../../../mod/table/pod.ts";
import {
  pickPod,
  SERVICE_FLAGS,
  SERVICE_STICKY_SECONDS,
  SERVICE_TARGET_PORT,
  ServiceTable,
} from "../../../mod/table/service.ts";
import { parseAddress } from "../../../mod/config/address.ts";
import { toYaml } from "../../../cli/get.ts";
import { load } from "js-yaml";
import { Random } from "./random.ts";

const PREFIXES = ["10.0.0.1/32", "10.0.0.2/32", "10.9.0.0/16", "fd00::1/128"];
const PROTOCOLS = ["tcp", "udp", undefined];

/** A valid document: few names, so that two of them overlap. */
function randomDocument(random: Random): Record<string, unknown> {
  const vips = new Map<string, unknown>();
  const nodePorts = new Set<number>();
  for (let n = random.below(8); n > 0; n--) {
    const prefix = random.pick(PREFIXES);
    const protocol = random.pick(PROTOCOLS);
    const port = random.oneIn(5) && protocol === undefined ? undefined : random.pick([80, 81]);
    const nodePort = 30_000 + random.below(20);
    const six = prefix.includes(":") !== random.oneIn(4);
    const pods = [1, 2, 3, 4].filter(() => random.oneIn(2)).map((n) => {
      const address = six ? `fd01::${n}` : `10.1.0.${n}`;
      return random.oneIn(2) ? address : { address, weight: random.below(4) };
    });
    vips.set(`${prefix} ${protocol} ${port}`, {
      prefix,
      ...(protocol === undefined ? {} : { protocol }),
      ...(port === undefined
        ? {}
        : { port, ...(random.oneIn(3) ? { targetPort: random.pick([8080, 8081]) } : {}) }),
      ...(port !== undefined && random.oneIn(3) && !nodePorts.has(nodePort) ? { nodePort } : {}),
      type: six ? "nat6" : "nat4",
      ...(random.oneIn(3) ? { newLen: random.pick([16, 64]) } : { newLen: 32 }),
      ...(random.oneIn(4) ? { srcIpSticky: true } : {}),
      ...(random.oneIn(4) ? { masquerade: true } : {}),
      ...(random.oneIn(6) ? { srcIpSticky: true, stickyTimeout: random.pick([60, 10_800]) } : {}),
      ...(random.oneIn(4)
        ? { sources: prefix.includes(":") ? ["fd00::/8"] : ["192.0.2.1", "10.0.0.0/8"] }
        : {}),
      ...(random.oneIn(6) ? { service: random.pick(["default/web:http", "default/dns:53"]) } : {}),
      pods,
    });
    nodePorts.add(nodePort);
  }
  const interfaces = ["eth0", "veth1", "veth2"].filter(() => random.oneIn(2)).map((name) => ({
    name,
    mode: random.pick(["auto", "tc"]),
    ...(random.oneIn(2) ? { nat4: "in" } : {}),
  }));
  return {
    conf: random.oneIn(2) ? { timeout: random.pick([30, 40]) } : {},
    interfaces,
    vips: [...vips.values()],
  };
}

/** A state without what only tells of its history. */
function plain(state: ConfigState): unknown {
  const vips = [...state.vips.values()].map(({ revision: _, pods, ...vip }) => ({
    ...vip,
    pods: [...pods.values()].toSorted((a, b) => a.address < b.address ? -1 : 1),
  }));
  return {
    conf: state.conf,
    interfaces: Object.fromEntries(state.interfaces),
    vips: Object.fromEntries(vips.map((vip) => [vipKeyText(vip), vip])),
  };
}

Deno.test("documentOf and stateOf are each other's inverse, through YAML and JSON too", () => {
  const random = new Random(1);
  for (let round = 0; round < 500; round++) {
    const state = stateOf(randomDocument(random));
    const document = documentOf(state);
    assertEquals(plain(stateOf(document)), plain(state));
    assertEquals(load(toYaml(document)), JSON.parse(JSON.stringify(document)));
    const { next, changes } = reconcile(state, load(toYaml(document)), true);
    assertEquals([changes, next.revision], [[], state.revision]);
    assertEquals(documentOf(next), document);
  }
});

/** The tables of a node that follows states. */
class Tables {
  readonly tables = new ServiceTables();
  readonly steered = new Map<string, number>();

  follow(state: ConfigState): void {
    const retired: Retired = { services: [], pieces: [] };
    this.tables.sync(state.vips, retired);
    for (const keys of [this.tables.matchKeys, this.tables.podKeys]) {
      for (const key of keys.takeRemoved()) this.#count(JSON.stringify(key), -1);
      for (const key of keys.takeAdded()) this.#count(JSON.stringify(key), 1);
    }
    this.tables.release(retired, () => {});
    // No session lives on removed pods: what is left is what a packet can meet.
    this.tables.releasePods(this.tables.forgetPods(this.tables.removedPods()));
    for (const key of this.tables.podKeys.takeRemoved()) this.#count(JSON.stringify(key), -1);
  }

  #count(key: string, by: number): void {
    const count = (this.steered.get(key) ?? 0) + by;
    assert(count >= 0, `taken out more often than put in: ${key}`);
    if (count === 0) this.steered.delete(key);
    else this.steered.set(key, count);
  }

  /** What packets to every destination of the test meet: service options and the pod of each hash. */
  seen(): unknown {
    const { match, services, pods, slots } = this.tables.publish();
    const matches = new MatchTable(match);
    const rows = new ServiceTable(services);
    const podRows = new PodTable(pods);
    const arena = new Uint32Array(slots);
    const seen: Record<string, unknown> = {};
    for (const address of ["10.0.0.1", "10.0.0.2", "10.9.1.1"]) {
      for (const protocol of [6, 17, 132]) {
        for (const port of [80, 81, 99]) {
          const { bytes } = parseAddress(address)!;
          const service = matches.find4(
            new DataView(bytes.buffer, bytes.byteOffset).getInt32(12),
            protocol,
            port,
          );
          if (service < 0) continue;
          const picked = Array.from({ length: 64 }, (_, hash) => {
            const pod = pickPod(rows, arena, service, hash);
            return pod < 0 ? null : podRows.address4(pod);
          });
          const columns = [SERVICE_FLAGS, SERVICE_TARGET_PORT, SERVICE_STICKY_SECONDS].map((column) =>
            rows.get(service, column)
          );
          seen[`${address} ${protocol} ${port}`] = [columns, picked];
        }
      }
    }
    return { seen, steered: [...this.steered].toSorted() };
  }
}

Deno.test("apply A, then B, is B alone: for the state and for what packets meet", () => {
  const random = new Random(2);
  for (let round = 0; round < 150; round++) {
    const a = stateOf(randomDocument(random));
    const document = randomDocument(random);
    const { next } = reconcile(a, document, true);
    const alone = stateOf(document);
    assertEquals(plain(next), plain(alone));
    const after = new Tables();
    after.follow(a);
    after.follow(next);
    const fresh = new Tables();
    fresh.follow(alone);
    assertEquals(after.seen(), fresh.seen(), JSON.stringify([documentOf(a), document]));
    assertEquals(reconcile(next, document, true).changes, []);
  }
});

/** Changes with their direction turned around, in an order of their own. */
function mirrored(changes: readonly Change[]): string[] {
  const opposite: Record<string, string> = {
    vipAdded: "vipRemoved",
    vipRemoved: "vipAdded",
    podAdded: "podRemoved",
    podRemoved: "podAdded",
    interfaceAdded: "interfaceRemoved",
    interfaceRemoved: "interfaceAdded",
  };
  return changes.map((change) =>
    change.kind === "conf"
      ? "conf"
      : JSON.stringify({ ...change, kind: opposite[change.kind] ?? change.kind })
  ).sort();
}

const sorted = (changes: readonly Change[]): string[] =>
  changes.map((change) => change.kind === "conf" ? "conf" : JSON.stringify(change)).sort();

Deno.test("the way back has the opposite changes", () => {
  const random = new Random(3);
  for (let round = 0; round < 300; round++) {
    const [a, b] = [stateOf(randomDocument(random)), stateOf(randomDocument(random))];
    // A removed VIP takes its pods with it without saying so.
    const without = (changes: Change[], state: ConfigState) =>
      changes.filter((change) =>
        change.kind !== "podAdded" && change.kind !== "podRemoved" || state.vips.has(vipKeyText(change.key))
      );
    const there = without(reconcile(a, documentOf(b), true).changes, a);
    const back = without(reconcile(b, documentOf(a), true).changes, a).filter((change) =>
      change.kind !== "podAdded" && change.kind !== "podRemoved" || b.vips.has(vipKeyText(change.key))
    );
    assertEquals(mirrored(there), sorted(back));
  }
});

Deno.test("what is the same keeps its revision; prune false keeps what is not named", () => {
  const a = stateOf({
    conf: { timeout: 60, buckets: 2048 },
    interfaces: [{ name: "eth0" }],
    vips: [{ prefix: "10.0.0.1", port: 80, pods: ["10.1.0.1"] }, {
      prefix: "10.0.0.2",
      port: 80,
      nodePort: 30000,
    }],
  });
  const document = {
    conf: { timeout: 50 },
    vips: [{ prefix: "10.0.0.3", port: 80 }, { prefix: "10.0.0.1", port: 80, pods: ["10.1.0.2"] }],
  };
  const { next, changes } = reconcile(a, document, false);
  assertEquals([next.conf.timeout, next.conf.buckets, [...next.interfaces.keys()]], [50, 2048, ["eth0"]]);
  assertEquals([...next.vips.keys()], ["10.0.0.1/32 any 80", "10.0.0.2/32 any 80", "10.0.0.3/32 any 80"]);
  assert(next.vips.get("10.0.0.2/32 any 80") === a.vips.get("10.0.0.2/32 any 80"));
  assertEquals([...next.vips.get("10.0.0.1/32 any 80")!.pods.keys()], ["10.1.0.2"]);
  assertEquals(changes.map(({ kind }) => kind), ["conf", "podRemoved", "podAdded", "vipAdded"]);
  const pruned = reconcile(a, document, true).next;
  assertEquals([pruned.conf.buckets, pruned.vips.size, pruned.interfaces.size], [1024, 2, 1]);
  const error = assertThrows(
    () => reconcile(a, { vips: [{ prefix: "10.0.0.9", port: 81, nodePort: 30000 }] }, false),
    ConfigError,
  );
  assertEquals(error.message.split(" : ")[0], "vips[0].nodePort");
  assertEquals(plain(a), plain(stateOf(documentOf(a))), "the present state stays as it is");
});

Deno.test("an import replaces what the last one brought, and leaves the rest", () => {
  const service = "default/web:http";
  const own = [{ prefix: "10.0.0.1", port: 80, nodePort: 30000, pods: ["10.1.0.1"] }, {
    prefix: "10.9.0.0/16",
  }];
  const start = stateOf({ conf: { timeout: 60 }, interfaces: [{ name: "eth0" }], vips: own });
  const first = reconcileImport(start, {
    vips: [
      { prefix: "10.0.0.1", port: 80, service, pods: ["10.1.0.9"] },
      { prefix: "10.0.0.2", port: 80, service, pods: ["10.1.0.2"] },
      { prefix: "10.0.0.3", port: 80, service, nodePort: 30000 },
    ],
  });
  assertEquals(first.left.map(({ what, why }) => `${what} ${why}`), [
    "VIP 10.0.0.1/32 any 80 is configured otherwise and stays as it is",
    "node port 30000 of VIP 10.0.0.3/32 any 80 is taken by VIP 10.0.0.1/32 any 80",
  ]);
  assertEquals([...first.next.vips.keys()], [
    ...start.vips.keys(),
    "10.0.0.2/32 any 80",
    "10.0.0.3/32 any 80",
  ]);
  assertEquals([first.next.conf.timeout, [...first.next.interfaces.keys()]], [60, ["eth0"]]);
  assertEquals([...first.next.vips.get("10.0.0.1/32 any 80")!.pods.keys()], ["10.1.0.1"]);
  const again = reconcileImport(first.next, {
    vips: [{ prefix: "10.0.0.2", port: 80, service, pods: ["10.1.0.3"] }],
  });
  assertEquals(again.changes.map(({ kind }) => kind), ["podRemoved", "podAdded", "vipRemoved"]);
  const none = reconcileImport(again.next, { vips: [] });
  assertEquals(plain(none.next), plain(start));
  assertThrows(
    () => reconcileImport(start, { vips: [{ prefix: "10.0.0.2", port: 80 }] }),
    ConfigError,
    "vips[0].service : missing",
  );
});
