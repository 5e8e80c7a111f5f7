/**
 * Sessions as people read them, all at once or page by page, with filters.
 *
 * Rule: a page is bounded in what it holds and in what it looks at, so that neither end of the socket ever holds a million sessions
 * and the daemon answers others in between. Pages are no snapshot: a session that comes or goes meanwhile may be in them or not.
 *
 * @module
 */

import { formatAddress } from "../config/address.ts";
import { Fields } from "../config/fields.ts";
import { checkRange, checkWord } from "../config/rules.ts";
import {
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_NOTE_FIN_ORIGINAL,
  SESSION_NOTE_FIN_REPLY,
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_STATE_CLOSING,
  type SessionTable,
} from "../table/session.ts";
import { nowSeconds } from "../worker/clock.ts";
import { parseEndpointRange, sharesBits } from "./endpoint_filter.ts";
import type { Offload } from "./offload.ts";
import type { SessionPage, SessionQuery, ShowSession } from "./protocol.ts";
import { SESSION_STATES } from "./protocol.ts";
import type { SessionMemory } from "./session_memory.ts";

/** Sessions of a page: some 200 KB of JSON. */
const PAGE_SESSIONS = 1000;
/** Entries looked at for one page: a few milliseconds. */
const PAGE_ENTRIES = 1 << 16;
/** A cursor is a table's number times this, and an entry's number. Tables have at most 2^24 entries. */
const CURSOR_TABLE = 1 << 25;

export const PROTOCOL_WORDS: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmp6",
  132: "sctp",
};
const TCP = 6;
const FINS = SESSION_NOTE_FIN_ORIGINAL | SESSION_NOTE_FIN_REPLY;

type Sessions = Pick<SessionMemory, "four" | "six">;
/** Who knows what the kernel has carried. */
type Kernel = Pick<Offload, "countsOf" | "finsOf">;

/** Every session. */
export function showSessions({ sessions, offload }: { sessions: Sessions; offload: Kernel }): ShowSession[] {
  const now = nowSeconds();
  const shown: ShowSession[] = [];
  for (const { table, worker } of tablesOf(sessions)) {
    if (table.used() > 0) {
      table.forEach(now, (entry) => shown.push(describeSession(table, entry, worker, now, offload)));
    }
  }
  return shown;
}

/** Sessions from the query's cursor on that pass its filters, as many as make a page. */
export function listSessions(
  { sessions, offload }: { sessions: Sessions; offload: Kernel },
  params: unknown,
): SessionPage {
  const { cursor, matches } = decodeQuery(params, offload);
  const now = nowSeconds();
  const tables = tablesOf(sessions);
  const found: ShowSession[] = [];
  let at = Math.floor(cursor / CURSOR_TABLE);
  let entry = cursor % CURSOR_TABLE;
  for (let looked = 0; at < tables.length; at++, entry = 0) {
    const { table, worker } = tables[at];
    if (table.used() === 0) continue;
    for (; entry < table.capacity; entry += LOOK_AT_ONCE) {
      if (found.length >= PAGE_SESSIONS || looked >= PAGE_ENTRIES) {
        return { sessions: found, next: at * CURSOR_TABLE + entry };
      }
      table.forEach(
        now,
        (place) => {
          if (matches(table, place, worker)) found.push(describeSession(table, place, worker, now, offload));
        },
        entry,
        LOOK_AT_ONCE,
      );
      looked += LOOK_AT_ONCE;
    }
  }
  return { sessions: found, next: null };
}

/** Entries between two looks at the page's bounds, by which a page may exceed them. */
const LOOK_AT_ONCE = 256;

function tablesOf({ four, six }: Sessions): { table: SessionTable; worker: number }[] {
  return [four, six].flatMap((tables) => tables.map((table, worker) => ({ table, worker })));
}

/** One session for people. */
export function describeSession(
  table: SessionTable,
  entry: number,
  worker: number,
  now: number,
  offload: Kernel,
): ShowSession {
  const { words, addressWords: width } = table;
  const original = entry + SESSION_ORIGINAL;
  const reply = entry + table.replyAt;
  const ports = words[original + 2 * width];
  const protocol = table.protocol(entry);
  const state = stateOf(table, entry, worker, offload);
  return {
    worker,
    protocol: PROTOCOL_WORDS[protocol] ?? String(protocol),
    client: endpointText(words, original, width, ports >>> 16),
    vip: endpointText(words, original + width, width, ports & 0xffff),
    pod: endpointText(words, reply, width, words[reply + 2 * width] >>> 16),
    state: stateWord(protocol, state),
    idleSeconds: Math.max(0, now - words[entry + SESSION_LAST_SEEN]),
    timeoutSeconds: table.timeouts[state],
    kernel: offload.countsOf(worker, words[entry + SESSION_OFFLOAD]),
  };
}

/** The worker's state, or the one that it will see when it next looks into the kernel's notes. */
function stateOf(table: SessionTable, entry: number, worker: number, offload: Kernel): number {
  const { words } = table;
  const fins = offload.finsOf(worker, words[entry + SESSION_OFFLOAD]);
  const isClosed = fins !== 0 && ((words[entry + SESSION_NOTE] | fins) & FINS) === FINS;
  return isClosed ? SESSION_STATE_CLOSING : table.state(entry);
}

function stateWord(protocol: number, state: number): typeof SESSION_STATES[number] {
  if (protocol !== TCP) return "active";
  return state === 3 ? "closing" : state === 2 ? "established" : "transitory";
}

/** "a.b.c.d:port" or "[v6]:port" of `width` words at `at`. */
export function endpointText(words: Int32Array, at: number, width: number, port: number): string {
  const text = formatAddress(bytesOf(words, at, width));
  return text.includes(":") ? `[${text}]:${port}` : `${text}:${port}`;
}

/** Sixteen bytes from one word (IPv4, mapped) or four. */
function bytesOf(words: Int32Array, at: number, width: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  if (width === 1) bytes[10] = bytes[11] = 0xff;
  for (let i = 0; i < width; i++) view.setInt32(16 - 4 * width + 4 * i, words[at + i]);
  return bytes;
}

type Matcher = (table: SessionTable, entry: number, worker: number) => boolean;

function decodeQuery(params: unknown, offload: Kernel): { cursor: number; matches: Matcher } {
  const fields = new Fields(params ?? {}, "", "params");
  const cursor = checkRange("cursor", fields.number("cursor") ?? 0, 0, Number.MAX_SAFE_INTEGER);
  const matchers: Matcher[] = [];
  const endpoint = (key: keyof SessionQuery, place: Place) => {
    const text = fields.string(key);
    if (text !== undefined) matchers.push(endpointMatcher(key, text, place));
  };
  endpoint("client", (table) => [SESSION_ORIGINAL, table.addressWords * 2, 16]);
  endpoint("vip", (table) => [SESSION_ORIGINAL + table.addressWords, table.addressWords, 0]);
  endpoint("pod", (table) => [table.replyAt, table.addressWords * 2, 16]);
  const protocol = fields.string("protocol");
  if (protocol !== undefined) {
    matchers.push((table, entry) => protocolWord(table.protocol(entry)) === protocol);
  }
  const state = fields.string("state");
  if (state !== undefined) {
    checkWord("state", state, SESSION_STATES);
    matchers.push((table, entry, worker) =>
      stateWord(table.protocol(entry), stateOf(table, entry, worker, offload)) === state
    );
  }
  fields.end();
  return { cursor, matches: (...at) => matchers.every((matcher) => matcher(...at)) };
}

const protocolWord = (protocol: number): string => PROTOCOL_WORDS[protocol] ?? String(protocol);

/** Where an address is in an entry, how many words after it the ports are, and how far its port is shifted there. */
type Place = (table: SessionTable) => [address: number, ports: number, shift: number];

/** Passes sessions whose address at `place` is in `text`: an address or a prefix, with a port if need be. */
function endpointMatcher(what: string, text: string, place: Place): Matcher {
  const { network, bits, port } = parseEndpointRange(what, text);
  return (table, entry) => {
    const [address, ports, shift] = place(table);
    const width = table.addressWords;
    if (port !== null && ((table.words[entry + address + ports] >>> shift) & 0xffff) !== port) return false;
    return sharesBits(bytesOf(table.words, entry + address, width), network, bits);
  };
}
