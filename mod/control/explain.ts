/**
 * What would happen to a packet: asked of the datapath itself, with the tables the workers run, in memory of its own. No packet is sent, and
 * nothing of the running state is written: the session that the packet belongs to is looked up in the workers' tables and copied.
 *
 * What it does not know: a bucket that is full just now, and a source port that another session holds (masquerade): the worker would take the
 * next one.
 *
 * @module
 */

import {
  type Address,
  formatAddress,
  mappedLength,
  parseAddress,
  parsePrefix,
  to16Bytes,
} from "../config/address.ts";
import { Fields } from "../config/fields.ts";
import { ConfigError, type Protocol, PROTOCOL_NUMBERS } from "../config/model.ts";
import { checkProtocol } from "../config/rules.ts";
import { HEADROOM_BYTES, Processor, type Tables } from "../datapath/processor.ts";
import { Counters, SERVICE_COUNTERS, SERVICE_NO_SERVER } from "../metrics/counters.ts";
import { flowHash4, flowHash6, sourceHash4, sourceHash6 } from "../table/hash.ts";
import { IF_FLAGS, IF_MAC_HIGH, IF_MAC_LOW, IF_PRESENT } from "../table/interface.ts";
import { AffinityTable } from "../table/affinity.ts";
import { SERVICE_FLAGS, SERVICE_STICKY } from "../table/service.ts";
import {
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  SessionTable,
} from "../table/session.ts";
import { TCP_ACK, TCP_SYN } from "../wire/tcp.ts";
import { nowSeconds } from "../worker/clock.ts";
import { sharesBits } from "./endpoint_filter.ts";
import { type Observation, observe } from "./observe.ts";
import { packetFacts, packetText } from "./packet_text.ts";
import { writeProbe } from "./probe.ts";
import type { Explanation } from "./protocol.ts";
import type { PodRecord, ServiceRecord } from "./service_tables.ts";
import { describeSession } from "./session_list.ts";
import type { ShowParts } from "./shows.ts";
import { slotName } from "./trace.ts";

const FRAME_BYTES = 2048;

interface Question {
  client: Address & { port: number };
  vip: Address & { port: number };
  protocol: Protocol;
  slot: number;
}

/** A live session in a worker's table. */
interface Found {
  table: SessionTable;
  entry: number;
  worker: number;
}

/** Answers `ku explain`. Throws a ConfigError for what makes no packet. */
export function explain(parts: ShowParts, params: unknown): Explanation {
  const tables = parts.publisher.tables();
  if (tables === null) throw new ConfigError("tables", "none", "are not published yet: ask again");
  const question = decodeQuestion(parts, tables, params);
  const found = findSession(parts, question);
  const notes = parts.sessions.affinity.map((buffer) => new AffinityTable(buffer));
  const { observation, service, pod, counters } = runProbe(tables, question, found, notes);
  const record = recordOf(parts, service ?? unserved(counters));
  const podRecord = podOf(record, pod);
  return {
    packet: packetText(observation.before),
    interface: slotName(parts, question.slot),
    service: record === null ? null : vipName(record),
    session: found === null
      ? null
      : describeSession(found.table, found.entry, found.worker, nowSeconds(), parts.offload),
    slot: record === null || pod === null || found !== null ? null : slotOf(tables, record, question, pod),
    slots: record === null ? null : record.slotsLength,
    pod: podRecord?.address ?? null,
    rewrite: observation.after === null ? null : packetText(observation.after),
    route: routeOf(parts, tables, observation),
    verdict: verdictOf(observation, question),
    counted: observation.counted.map(({ node, reason, kind }) => ({ node, reason, kind })),
  };
}

function decodeQuestion(parts: ShowParts, tables: Tables, params: unknown): Question {
  const fields = new Fields(params, "", "params");
  const client = parseEndpoint("client", fields.requiredString("client"));
  const vip = parseEndpoint("vip", fields.requiredString("vip"));
  const word = fields.string("protocol");
  const name = fields.string("interface");
  fields.end();
  if (client.family !== vip.family) {
    throw new ConfigError(
      "vip",
      formatAddress(vip.bytes),
      `give an IPv${client.family} address, as the client's is`,
    );
  }
  const protocol = word === undefined ? likelyProtocol(parts, vip) : checkProtocol(word);
  return { client, vip, protocol, slot: slotFor(parts, tables, client, name) };
}

function parseEndpoint(what: string, text: string): Address & { port: number } {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([^:]+)):([1-9]\d{0,4})$/.exec(text) ?? [];
  const address = parseAddress(v6 ?? v4 ?? "");
  if (address === null || Number(digits) > 65535) {
    throw new ConfigError(what, text, "give address:port such as 10.0.0.1:80 or [2001:db8::1]:80");
  }
  return { ...address, port: Number(digits) };
}

/** The protocol of the services at this address and port, TCP if there are several or none. */
function likelyProtocol({ services }: ShowParts, vip: Address & { port: number }): Protocol {
  const protocols = new Set<Protocol>();
  for (const { vip: each } of services.records.values()) {
    if ((each.port === vip.port || each.nodePort === vip.port) && each.protocol !== null) {
      const prefix = parsePrefix(each.prefix)!;
      if (each.nodePort === vip.port || sharesBits(prefix.bytes, vip.bytes, mappedLength(prefix))) {
        protocols.add(each.protocol);
      }
    }
  }
  return protocols.size === 1 ? [...protocols][0] : "tcp";
}

/** The slot it comes in by: that of `name`, or the one the way back to the client leads through. */
function slotFor(parts: ShowParts, tables: Tables, client: Address, name: string | undefined): number {
  const attached = parts.attachments.list().filter(({ link }) => link !== null);
  if (name !== undefined) {
    const named = attached.find((each) => each.name === name);
    if (named === undefined) {
      throw new ConfigError("interface", name, `is not attached: "ku show interface" lists those that are`);
    }
    return named.slot;
  }
  const words = wordsOf(client);
  const adjacency = client.family === 4
    ? tables.routes.lookup4(words[3])
    : tables.routes.lookup6(words[0], words[1], words[2], words[3]);
  if (adjacency < -1) return 0; // the node itself: its packets come by ku0
  const slot = adjacency < 0 ? -1 : parts.publisher.adjacencies[adjacency]?.slot ?? -1;
  if (slot >= 0) return slot;
  if (attached.length === 0) throw new ConfigError("interface", "none", "attach one: ku interface <intfc>");
  return attached[0].slot;
}

/** Four big-endian words, IPv4 mapped. */
function wordsOf({ bytes }: Address): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [0, 4, 8, 12].map((at) => view.getInt32(at));
}

/** The session of the question's tuple, in whichever worker's tables. */
function findSession({ sessions }: ShowParts, { client, vip, protocol }: Question): Found | null {
  const now = nowSeconds();
  const number = PROTOCOL_NUMBERS[protocol];
  const tuple = [...wordsOf(client), ...wordsOf(vip), (client.port << 16) | vip.port];
  const short = [tuple[3], tuple[7], tuple[8]];
  for (
    const [tables, key] of [[client.family === 4 ? sessions.four : [], short], [sessions.six, tuple]] as const
  ) {
    for (const [worker, table] of tables.entries()) {
      table.key.set(key);
      const entry = table.findOriginal(number, now);
      if (entry >= 0) return { table, entry, worker };
    }
  }
  return null;
}

/** Runs the datapath over the packet, in tables that hold nothing but a copy of `found`. */
function runProbe(tables: Tables, question: Question, found: Found | null, notes: readonly AffinityTable[]) {
  const frames = new Uint8Array(2 * FRAME_BYTES);
  const seed = crypto.getRandomValues(new Uint32Array(8));
  const own = { sessions4: SessionTable.create(64, 1, seed), sessions6: SessionTable.create(64, 4, seed) };
  if (found !== null) copySession(found, found.table.addressWords === 1 ? own.sessions4 : own.sessions6);
  const counters = Counters.create(tables.services.capacity, tables.pods.capacity);
  // The workers' notes are read, and none is made: the probe's own go into a table that nobody sees.
  const affinity = AffinityTable.create(4);
  const processor = new Processor({ frames, counters, ...own, affinity, othersAffinity: notes });
  processor.setTables(tables);
  processor.now = nowSeconds();
  const { client, vip, protocol, slot } = question;
  const length = writeProbe(frames, HEADROOM_BYTES, {
    source: client,
    destination: vip,
    protocol: PROTOCOL_NUMBERS[protocol],
    sourcePort: client.port,
    destinationPort: vip.port,
    tcpFlags: found === null ? TCP_SYN : TCP_ACK,
    mac: macOf(tables, slot),
  });
  const observation = observe(processor, counters, frames, HEADROOM_BYTES, length, slot, FRAME_BYTES);
  let service: number | null = null;
  let pod: number | null = null;
  for (const table of [own.sessions4, own.sessions6]) {
    table.forEach(processor.now, (entry) => {
      service = table.words[entry + SESSION_SERVICE];
      pod = table.words[entry + SESSION_POD];
    });
  }
  return { observation, service, pod, counters };
}

function copySession({ table, entry }: Found, to: SessionTable): void {
  const tupleWords = 2 * table.addressWords + 1;
  for (let i = 0; i < tupleWords; i++) {
    to.key[i] = table.words[entry + SESSION_ORIGINAL + i];
    to.replyKey[i] = table.words[entry + table.replyAt + i];
  }
  to.timeouts.set(table.timeouts);
  const copy = to.insert(table.protocol(entry), nowSeconds());
  for (const word of [SESSION_LAST_SEEN, SESSION_SERVICE, SESSION_POD, SESSION_NOTE]) {
    to.words[copy + word] = table.words[entry + word];
  }
  to.setState(copy, table.state(entry));
  to.setFlags(copy, table.flags(entry));
}

function macOf({ interfaces }: Tables, slot: number): Uint8Array {
  const mac = new Uint8Array(6);
  if ((interfaces.get(slot, IF_FLAGS) & IF_PRESENT) === 0) return mac;
  const view = new DataView(mac.buffer);
  view.setInt32(0, interfaces.get(slot, IF_MAC_HIGH));
  view.setUint16(4, interfaces.get(slot, IF_MAC_LOW));
  return mac;
}

/** The service that had no pod for it, if one was found. */
function unserved(counters: Counters): number | null {
  for (let id = 0; id < counters.serviceCapacity; id++) {
    if (counters.service[id * SERVICE_COUNTERS + SERVICE_NO_SERVER] > 0) return id;
  }
  return null;
}

function recordOf({ services }: ShowParts, id: number | null): ServiceRecord | null {
  if (id === null) return null;
  return [...services.records.values()].find((record) => record.id === id) ?? null;
}

function podOf(record: ServiceRecord | null, id: number | null): PodRecord | null {
  if (record === null || id === null) return null;
  return [...record.pods.values()].find((pod) => pod.id === id) ?? null;
}

function vipName({ vip }: ServiceRecord): Explanation["service"] {
  const { prefix, protocol, port, type } = vip;
  return { prefix, protocol, port, type, pods: vip.pods.size };
}

/** Number of the slot that a new connection of this tuple takes, counted as new_connection.ts does; null when its client's affinity goes before. */
function slotOf(
  { services, slots }: Tables,
  { id, slotsAt, slotsLength }: ServiceRecord,
  { client, vip, protocol }: Question,
  pod: number,
): number | null {
  const tuple = Int32Array.of(...wordsOf(client), ...wordsOf(vip), (client.port << 16) | vip.port);
  const sticky = (services.get(id, SERVICE_FLAGS) & SERVICE_STICKY) !== 0;
  const number = PROTOCOL_NUMBERS[protocol];
  const hash = client.family === 4
    ? sticky ? sourceHash4(tuple[3]) : flowHash4(number, tuple[3], tuple[7], tuple[8])
    : sticky
    ? sourceHash6(tuple, 0)
    : flowHash6(number, tuple, 0);
  const slot = hash & (slotsLength - 1);
  return slots[slotsAt + slot] === pod ? slot : null;
}

/** How it leaves: interface and neighbor, by the destination it leaves with. */
function routeOf(
  parts: ShowParts,
  tables: Tables,
  { after, verdict, outSlot }: Observation,
): Explanation["route"] {
  const facts = after === null ? null : packetFacts(after);
  if (facts === null || verdict === "punted in") return null; // whichever way the kernel takes
  const destination = parseAddress(facts.destination)!;
  const words = wordsOf(destination);
  const adjacency = destination.family === 4
    ? tables.routes.lookup4(words[3])
    : tables.routes.lookup6(words[0], words[1], words[2], words[3]);
  const hop = adjacency < 0 ? undefined : parts.publisher.adjacencies[adjacency];
  const nextHop = hop?.nextHop === null || hop === undefined ? null : formatAddress(to16Bytes(hop.nextHop));
  return {
    interface: verdict === "sent" ? slotName(parts, outSlot) : null,
    nextHop: nextHop ?? facts.destination,
    mac: verdict === "sent" ? macText(after!.subarray(0, 6)) : null,
  };
}

function macText(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function verdictOf({ verdict, before, after }: Observation, { client }: Question): string {
  const facts = after === null ? null : packetFacts(after);
  if (verdict === "sent" && facts?.destination === formatAddress(client.bytes)) return "answered";
  if (verdict !== "punted in" && verdict !== "punted") return verdict;
  // The kernel gets it as it came, or to send on what has been rewritten.
  return facts?.destination === packetFacts(before)?.destination
    ? "left to the kernel"
    : "sent by the kernel";
}
