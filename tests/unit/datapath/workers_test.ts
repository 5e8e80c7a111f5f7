/**
 * Several workers: wherever a packet lands, what becomes of it and of its session is the same as with one worker, which is the model
 * here; and no flow has two sessions.
 */

import { assert, assertEquals } from "@std/assert";
import { FlowCounters } from "../../../mod/datapath/offload.ts";
import { OffloadTable } from "../../../mod/table/offload.ts";
import { CPU_CLOSED, FLOW_CPU, FLOW_WORDS } from "../../../mod/table/offload_layout.ts";
import { createOffloadMemory, prepareOffload, setOffloadEpoch } from "../../../mod/table/offload_memory.ts";
import { SESSION_OFFLOAD, SESSION_ORIGINAL, type SessionTable } from "../../../mod/table/session.ts";
import { buildFrame, tcp, udp } from "../../packets/builder.ts";
import { hexLines, verdictWord } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { property } from "../../packets/random.ts";
import { type World, worldsOfWorkers } from "../../packets/world.ts";

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

function tableOf(world: World, f: Family): SessionTable {
  return f.ip === 4 ? world.sessions4 : world.sessions6;
}

/** Original tuple → state of every live session of these workers; a tuple that is there twice fails. */
function sessionsOf(worlds: World[], f: Family): Map<string, number> {
  const all = new Map<string, number>();
  for (const world of worlds) {
    const table = tableOf(world, f);
    table.forEach(world.processor.now, (entry) => {
      const at = entry + SESSION_ORIGINAL;
      const tuple = `${table.protocol(entry)} ${table.words.subarray(at, at + table.key.length)}`;
      assert(!all.has(tuple), `two sessions of ${tuple}`);
      all.set(tuple, table.state(entry));
    });
  }
  return all;
}

/** The entry of the only session. */
function entryOf(world: World, f: Family): number {
  let only = -1;
  tableOf(world, f).forEach(world.processor.now, (entry) => only = entry);
  return only;
}

/** As a worker does: mail first. */
function run(world: World, frame: Uint8Array, slot: number): string {
  world.processor.readReports();
  return verdictWord(world.run(frame, slot));
}

const client = (f: Family, flags: number, srcPort = 40000, dst = f.vip) =>
  buildFrame({ src: f.client, dst }, tcp({ srcPort, dstPort: 80, flags }));
const pod = (f: Family, flags: number, dstPort = 40000) =>
  buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080, dstPort, flags }));

for (const f of FAMILIES) {
  Deno.test(`${f.name}: replies at another worker move the TCP state: handshake, both FINs, RST`, () => {
    const [owner, other] = worldsOfWorkers(2, () => nodeSpec(f));
    const state = () => {
      owner.processor.readReports();
      return [...sessionsOf([owner, other], f).values()];
    };
    run(owner, client(f, SYN), UPLINK);
    assertEquals(run(other, pod(f, SYN | ACK), PODS), "tx");
    run(owner, client(f, ACK), UPLINK);
    assertEquals(state(), [2]);
    run(other, pod(f, FIN | ACK), PODS);
    assertEquals(state(), [2]);
    run(owner, client(f, FIN | ACK), UPLINK);
    assertEquals(state(), [3]);
    // The port used again: a new connection.
    run(owner, client(f, SYN), UPLINK);
    assertEquals(state(), [1]);
    run(other, pod(f, SYN | ACK), PODS);
    run(owner, client(f, ACK), UPLINK);
    run(other, pod(f, RST), PODS);
    assertEquals(state(), [3]);
    run(other, pod(f, ACK), PODS);
    assertEquals(state(), [2], "a reset that was none");
    assertEquals(
      owner.nodeCounts()["ku-session: report to another worker lost, its mailbox full"],
      undefined,
    );
  });

  Deno.test(`${f.name}: a port used again finds at any worker that both ends have closed the connection in the kernel`, () => {
    for (const marks of [[0], [1], [0, 1]]) {
      const memory = createOffloadMemory(64);
      prepareOffload(memory, Uint32Array.of(1, 2, 3, 4));
      setOffloadEpoch(memory, 1);
      const share = (index: number) => ({
        memory,
        first: 32 * index,
        count: 32,
        firstHop: 32 * index,
        hopCount: 32,
      });
      const [other, owner] = worldsOfWorkers(
        2,
        () => nodeSpec(f),
        (index, counters) => new OffloadTable(share(index), index, new FlowCounters(counters)),
      );
      run(owner, client(f, SYN), UPLINK);
      run(owner, pod(f, SYN | ACK), PODS);
      run(owner, client(f, ACK), UPLINK);
      const [flow] = tableOf(owner, f).words.subarray(entryOf(owner, f) + SESSION_OFFLOAD);
      assert(flow > 0, "the kernel has it");
      for (const direction of marks) {
        memory.flows[(32 + flow - 1 + 64 * direction) * FLOW_WORDS + FLOW_CPU] |= CPU_CLOSED;
      }
      run(other, client(f, SYN), UPLINK);
      owner.processor.readReports();
      // Of the old connection there is nothing left; the new one's SYN goes untracked, as behind any session that ends.
      assertEquals(sessionsOf([owner, other], f).size, marks.length === 2 ? 0 : 1, `FINs of ${marks}`);
      if (marks.length < 2) continue;
      run(other, client(f, SYN), UPLINK);
      run(other, pod(f, SYN | ACK), PODS);
      run(other, client(f, ACK), UPLINK);
      for (const world of [owner, other]) world.processor.followOffload(0, 32);
      assertEquals([...sessionsOf([owner, other], f).values()], [2], "established, and stays so");
    }
  });

  Deno.test(`${f.name}: conversations spread over three workers become what they become on one`, () => {
    property((random) => {
      const [model] = worldsOfWorkers(1, () => nodeSpec(f));
      const workers = worldsOfWorkers(3, () => nodeSpec(f));
      const ports = 6;
      const states = new Set<number>();
      for (let step = 0; step < 6000; step++) {
        const srcPort = 40000 + random.below(ports);
        const flags = [SYN, ACK, ACK, FIN | ACK, RST][random.below(5)];
        const isReply = random.below(2) === 0;
        const slot = isReply ? PODS : UPLINK;
        const frame = isReply
          ? pod(f, flags === SYN ? SYN | ACK : flags, srcPort)
          : client(f, flags, srcPort, f.vip);
        const at = workers[random.below(3)];
        // A connection that begins anew is left untracked by a worker that does not keep the old one: its next packet has a session.
        const before = [...sessionsOf(workers, f)].filter(([, state]) => state === 3).length;
        if (flags === SYN && before > 0) continue;
        const expected = run(model, frame, slot);
        const found = run(at, frame, slot);
        assertEquals(found, expected, `step ${step}`);
        if (found === "tx") assertEquals(hexLines(at.result()), hexLines(model.result()), `step ${step}`);
        for (const world of workers) world.processor.readReports();
        const now = sessionsOf(workers, f);
        assertEquals(now, sessionsOf([model], f), `step ${step}`);
        for (const state of now.values()) states.add(state);
        if (random.below(200) === 0) {
          for (const world of [model, ...workers]) world.processor.now += 500;
        }
      }
      assertEquals(states.size, 3);
    });
  });

  Deno.test(`${f.name}: a client's packets that change the worker follow the session, and begin none`, () => {
    const worlds = worldsOfWorkers(2, () => nodeSpec(f));
    const frame = buildFrame({ src: f.client, dst: f.vipMasquerade }, udp({ dstPort: 80 }));
    run(worlds[0], frame, UPLINK);
    const first = hexLines(worlds[0].result());
    for (let i = 0; i < 3; i++) {
      assertEquals(run(worlds[1], frame, UPLINK), "tx");
      assertEquals(hexLines(worlds[1].result()), first, "the same pod, the same source port");
    }
    assertEquals(sessionsOf(worlds, f).size, 1);
    assertEquals(worlds[1].nodeCounts(), { "ku-session: session of another worker": 3 });
    // It is kept alive from there.
    for (const world of worlds) world.processor.now += 30;
    run(worlds[1], frame, UPLINK);
    for (const world of worlds) world.processor.now += 30;
    assertEquals(sessionsOf(worlds, f).size, 1);
  });

  Deno.test(`${f.name}: a connection that begins anew at another worker ends the old session there`, () => {
    const worlds = worldsOfWorkers(2, () => nodeSpec(f));
    const [owner, other] = worlds;
    run(owner, client(f, SYN), UPLINK);
    run(owner, pod(f, SYN | ACK), PODS);
    run(owner, client(f, RST), UPLINK);
    assertEquals([...sessionsOf(worlds, f).values()], [3]);
    assertEquals(run(other, client(f, SYN), UPLINK), "tx");
    assertEquals(other.processor.takeWakes(), true);
    assertEquals(run(other, pod(f, SYN | ACK), PODS), "tx", "its answer is known, though no session is");
    owner.processor.readReports();
    assertEquals(sessionsOf(worlds, f).size, 0);
    assertEquals(run(other, client(f, ACK), UPLINK), "tx");
    run(owner, pod(f, ACK), PODS);
    run(other, client(f, ACK), UPLINK);
    assertEquals([...sessionsOf(worlds, f).values()], [2]);
    assertEquals([owner, other].map((world) => tableOf(world, f).used()), [0, 1]);
  });

  Deno.test(`${f.name}: a mailbox that nobody reads fills up, counted, and packets go on`, () => {
    const [owner, other] = worldsOfWorkers(2, () => ({ ...nodeSpec(f), buckets: 4096 }));
    for (let port = 0; port < 100; port++) run(owner, client(f, SYN, 41000 + port), UPLINK);
    for (let port = 0; port < 100; port++) {
      assertEquals(verdictWord(other.run(pod(f, SYN | ACK, 41000 + port), PODS)), "tx");
    }
    assertEquals(other.nodeCounts()["ku-session: report to another worker lost, its mailbox full"], 36);
    assertEquals(other.processor.takeWakes(), true);
  });
}
