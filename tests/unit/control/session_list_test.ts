/** Sessions page by page: every one once, filters by address, port, protocol and state. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseAddress } from "../../../mod/config/address.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import type { ShowSession } from "../../../mod/control/protocol.ts";
import { listSessions, showSessions } from "../../../mod/control/session_list.ts";
import {
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_STATE_ESTABLISHED,
  SessionTable,
} from "../../../mod/table/session.ts";
import { nowSeconds } from "../../../mod/worker/clock.ts";

const SEED = new Uint32Array(8).fill(7);
const TCP = 6;
const UDP = 17;

interface Tuple {
  client: [string, number];
  vip: [string, number];
  pod: [string, number];
  protocol?: number;
  state?: number;
}

function words(address: string): number[] {
  const { bytes } = parseAddress(address)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const all = [0, 4, 8, 12].map((at) => view.getInt32(at));
  return address.includes(":") ? all : all.slice(3);
}

function add(table: SessionTable, { client, vip, pod, protocol = TCP, state = 0 }: Tuple): void {
  table.key.set([...words(client[0]), ...words(vip[0]), (client[1] << 16) | vip[1]]);
  table.replyKey.set([...words(pod[0]), ...words(client[0]), (pod[1] << 16) | client[1]]);
  const entry = table.insert(protocol, nowSeconds());
  assert(entry >= 0);
  table.setState(entry, state);
}

/** Nothing runs in the kernel. */
const offload = { countsOf: () => null, finsOf: () => 0 };

function memory(buckets: number) {
  const of = (width: 1 | 4) => [0, 1].map(() => SessionTable.create(buckets, width, SEED));
  return { four: of(1), six: of(4) };
}

function all(
  sessions: ReturnType<typeof memory>,
  query: object = {},
): { pages: number; found: ShowSession[] } {
  const found: ShowSession[] = [];
  let pages = 0;
  let cursor: number | null = 0;
  while (cursor !== null) {
    const page: ReturnType<typeof listSessions> = listSessions({ sessions, offload }, { ...query, cursor });
    found.push(...page.sessions);
    cursor = page.next;
    pages++;
  }
  return { pages, found };
}

Deno.test("listSessions() gives every session once, in bounded pages", () => {
  const sessions = memory(1 << 15);
  for (let index = 0; index < 2500; index++) {
    add(sessions.four[index & 1], {
      client: [`10.0.${index >> 8}.${index & 255}`, 4000],
      vip: ["10.96.0.1", 80],
      pod: ["10.1.0.1", 80],
    });
  }
  add(sessions.six[1], {
    client: ["fd00::7", 5],
    vip: ["fd00:96::1", 53],
    pod: ["fd00:1::1", 53],
    protocol: UDP,
  });
  const { pages, found } = all(sessions);
  assertEquals(new Set(found.map(({ client }) => client)).size, 2501);
  assertEquals(found.length, 2501);
  assert(pages > 3 && pages < 12, `${pages} pages`);
  // Idle times are those of the moment they are looked at, and a second may end in between.
  const timeless = (each: ShowSession) => ({ ...each, idleSeconds: 0 });
  const shown = showSessions({ sessions, offload });
  assertEquals(found.map(timeless).toSorted(byClient), shown.map(timeless).toSorted(byClient));
});

const byClient = (a: ShowSession, b: ShowSession): number => a.client < b.client ? -1 : 1;

Deno.test("listSessions() filters by prefix, address, port, protocol, state, all of them", () => {
  const sessions = memory(64);
  const vip = ["10.96.0.1", 80] as [string, number];
  add(sessions.four[0], {
    client: ["10.0.0.1", 1000],
    vip,
    pod: ["10.1.0.1", 8080],
    state: SESSION_STATE_ESTABLISHED,
  });
  add(sessions.four[1], { client: ["10.0.0.2", 1000], vip, pod: ["10.1.0.2", 8080], state: 1 });
  add(sessions.four[0], {
    client: ["10.0.1.1", 2000],
    vip: ["10.96.0.1", 53],
    pod: ["10.1.0.1", 53],
    protocol: UDP,
  });
  add(sessions.six[0], { client: ["fd00::7", 5], vip: ["fd00:96::1", 80], pod: ["fd00:1::1", 80] });
  const clients = (query: object) => all(sessions, query).found.map(({ client }) => client).sort();
  assertEquals(clients({ vip: "10.96.0.1" }), ["10.0.0.1:1000", "10.0.0.2:1000", "10.0.1.1:2000"]);
  assertEquals(clients({ vip: "10.96.0.1:80" }), ["10.0.0.1:1000", "10.0.0.2:1000"]);
  assertEquals(clients({ client: "10.0.0.0/24" }), ["10.0.0.1:1000", "10.0.0.2:1000"]);
  assertEquals(clients({ client: "10.0.0.0/23", protocol: "udp" }), ["10.0.1.1:2000"]);
  assertEquals(clients({ pod: "10.1.0.1:8080" }), ["10.0.0.1:1000"]);
  assertEquals(clients({ vip: "[fd00:96::1]:80" }), ["[fd00::7]:5"]);
  assertEquals(clients({ vip: "fd00::/8" }), ["[fd00::7]:5"]);
  assertEquals(clients({ client: "0.0.0.0/0" }).length, 3);
  assertEquals(clients({ state: "established" }), ["10.0.0.1:1000"]);
  assertEquals(clients({ state: "active" }), ["10.0.1.1:2000"]);
  assertEquals(clients({ state: "closing", vip: "10.96.0.1" }), []);
  assertEquals(clients({ pod: "10.9.9.9" }), []);
});

Deno.test("listSessions(): a connection that both ends have closed in the kernel is closing, before its worker knows", () => {
  const sessions = memory(64);
  const tuple = {
    vip: ["10.96.0.1", 80],
    pod: ["10.1.0.1", 8080],
    state: SESSION_STATE_ESTABLISHED,
  } as const;
  for (const client of ["10.0.0.1", "10.0.0.2"]) {
    add(sessions.four[1], { ...tuple, vip: [...tuple.vip], pod: [...tuple.pod], client: [client, 1000] });
  }
  const table = sessions.four[1];
  table.forEach(nowSeconds(), (entry) => {
    if (table.words[entry + SESSION_ORIGINAL] === words("10.0.0.2")[0]) {
      table.words[entry + SESSION_OFFLOAD] = 5;
    }
  });
  const kernel = {
    countsOf: () => null,
    finsOf: (worker: number, offload: number) => worker === 1 && offload === 5 ? 3 : 0,
  };
  const states = (state?: string) =>
    listSessions({ sessions, offload: kernel }, { cursor: 0, ...(state && { state }) }).sessions
      .map((session) => [session.client, session.state]).sort();
  assertEquals(states(), [["10.0.0.1:1000", "established"], ["10.0.0.2:1000", "closing"]]);
  assertEquals(states("closing"), [["10.0.0.2:1000", "closing"]]);
  assertEquals(states("established"), [["10.0.0.1:1000", "established"]]);
});

Deno.test("listSessions() refuses what it does not understand", () => {
  const sessions = memory(64);
  for (
    const query of [{ vip: "x" }, { vip: "10.0.0.1:99999" }, { state: "open" }, { colour: "blue" }, {
      cursor: -1,
    }]
  ) {
    assertThrows(() => listSessions({ sessions, offload }, query), ConfigError);
  }
  assertEquals(listSessions({ sessions, offload }, { cursor: 2 ** 40 }), { sessions: [], next: null });
});
