/**
 * The datapath of one worker: a frame in, a verdict out. It decides from the tables of one generation, keeps sessions, rewrites the
 * frame in place, and counts. It never throws, never allocates, and writes nowhere but in the frame it was given: from its headroom
 * (up to HEADROOM_BYTES before `at`) to `frameEnd`.
 *
 * @module
 */

import {
  COUNT_MALFORMED,
  COUNT_NOT_IP,
  INTERFACE_COUNTERS,
  INTERFACE_DROPS,
  INTERFACE_PUNTS,
  INTERFACE_RX_BYTES,
  INTERFACE_RX_PACKETS,
  INTERFACE_TX_BYTES,
  INTERFACE_TX_PACKETS,
} from "../metrics/counters.ts";
import { IF_FLAGS, IF_IP4, IF_IP6, IF_STRIDE } from "../table/interface.ts";
import {
  SERVICE_FLAGS,
  SERVICE_IN_USE,
  SERVICE_NAT46,
  SERVICE_NAT64,
  SERVICE_TYPE,
} from "../table/service.ts";
import {
  ETHERNET_HEADER_BYTES,
  ETHERNET_TYPE,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_QINQ,
  ETHERTYPE_VLAN,
  VLAN_INNER_TYPE,
  VLAN_TAG_BYTES,
} from "../wire/ethernet.ts";
import {
  Context,
  count,
  drop,
  type ProcessorOptions,
  type SessionViews,
  type Tables,
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PIECES,
  VERDICT_TX,
} from "./context.ts";
import { burst } from "./burst.ts";
import { receive4, receive6 } from "./flow.ts";
import { makeForward4 } from "./known4.ts";
import { makeForward6 } from "./known6.ts";
import { makeLookAhead4 } from "./look_ahead4.ts";
import { makeLookAhead6 } from "./look_ahead6.ts";
import { adoptFlows, type HandedFlows } from "./adopt.ts";
import { followFlows, reviseFlows, withdrawAll } from "./offload.ts";
import { makePiece, piecesLeft } from "./pieces.ts";
import { readReports } from "./reports.ts";
import { clearHops, puntIn } from "./route.ts";

export {
  type ProcessorOptions,
  type SessionViews,
  type Settings,
  type Tables,
  VERDICT_DROP,
  VERDICT_HOLD,
  VERDICT_PIECES,
  VERDICT_PUNT_IN,
  VERDICT_PUNT_KU,
  VERDICT_TX,
} from "./context.ts";

/** What a frame must have before its first byte: an ICMPv6 error takes 48 bytes of it, a translated one too. */
export const HEADROOM_BYTES = 64;

export class Processor {
  readonly #context: Context;
  // Made for this one context: in a thread with one processor, as a worker has, compiled code then knows its memory.
  readonly #lookAhead4: (count: number) => void;
  readonly #lookAhead6: (count: number) => void;
  readonly #forward4: (from: number, count: number) => number;
  readonly #forward6: (from: number, count: number) => number;
  /** The packets that `lookAhead` and `forward` are about. */
  readonly burst = burst;

  constructor(options: ProcessorOptions) {
    this.#context = new Context(options);
    this.#lookAhead4 = makeLookAhead4(this.#context);
    this.#lookAhead6 = makeLookAhead6(this.#context);
    this.#forward4 = makeForward4(this.#context);
    this.#forward6 = makeForward6(this.#context);
  }

  /** Seconds, from any start; set it once per burst. */
  set now(seconds: number) {
    this.#context.now = seconds;
    if (this.#context.offload !== null) this.#context.offload.now = seconds;
  }

  get now(): number {
    return this.#context.now;
  }

  /** Byte of the frame that the last verdict speaks of; it may lie before the received one's, within its headroom. */
  get outAt(): number {
    return this.#context.outAt;
  }

  /** Its length in bytes. */
  get outLength(): number {
    return this.#context.outLength;
  }

  /** The slot it leaves by, after VERDICT_TX. */
  get outSlot(): number {
    return this.#context.outSlot;
  }

  /** How many fragments the caller can keep. While it is 0 there is no VERDICT_HOLD: fragments before their first go to the kernel. */
  set holdRoom(frames: number) {
    this.#context.holdRoom = frames;
  }

  /** Changes when a first fragment was processed: kept ones of the same `fragmentTag` can be processed now. */
  get firstFragments(): number {
    return this.#context.firstFragments;
  }

  /** The datagram of that first fragment, or of the frame of the last VERDICT_HOLD. Different ones are rarely called the same. */
  get fragmentTag(): number {
    return this.#context.fragmentTag;
  }

  /**
   * Whether a packet was punted because its neighbor is not known. Then `out` (six words) says for whom: adjacency index, 4 or 6,
   * address (IPv4: one word); and it is forgotten.
   */
  takeUnresolved(out: Int32Array): boolean {
    const c = this.#context;
    if (c.unresolvedFamily === 0) return false;
    out[0] = c.unresolvedAdjacency;
    out[1] = c.unresolvedFamily;
    out.set(c.unresolvedAddress, 2);
    c.unresolvedFamily = 0;
    return true;
  }

  /** Runs on `tables` from the next packet on. */
  setTables(tables: Tables): void {
    const c = this.#context;
    c.tables = tables;
    c.match = tables.match;
    c.routes = tables.routes;
    c.services = tables.services.words;
    c.pods = tables.pods.words;
    c.slots = tables.slots;
    c.adjacencies = tables.adjacencies.words;
    c.interfaces = tables.interfaces.words;
    c.stamp = tables.generation & 0xffffff;
    c.mixed = hasMixedService(tables);
    findAnyAddress(c);
    clearHops(c);
  }

  /**
   * Ends what the kernel repeats of sessions that no longer agree with the running tables, and has those go on by their new way whose way
   * out has changed. Until then the kernel goes by the tables before.
   */
  reviseOffload(): void {
    reviseFlows(this.#context);
  }

  /** Takes over from `count` flows of the kernel, number `from` on, what they have carried and when; returns the number to go on with, or 0. */
  followOffload(from: number, count: number): number {
    return followFlows(this.#context, from, count);
  }

  /**
   * Makes sessions of the flows that an earlier ku left in the kernel, where the running tables still agree with them, and ends the
   * others; before any packet. `handed`: what was told of those whose sessions are in the tables already. Returns how many there are.
   */
  adoptOffload(handed: HandedFlows = new Map()): number {
    return adoptFlows(this.#context, handed);
  }

  /** Has the kernel repeat nothing any more. */
  withdrawOffload(): void {
    withdrawAll(this.#context);
  }

  /** Goes over to other session tables: their contents have been carried over (`moveSessions`). */
  setSessions(sessions: SessionViews): void {
    const c = this.#context;
    c.sessions4 = sessions.sessions4;
    c.sessions6 = sessions.sessions6;
    c.others4 = sessions.others4 ?? [];
    c.others6 = sessions.others6 ?? [];
    c.outboxes = sessions.outboxes ?? [];
  }

  /**
   * Applies what other workers have reported about this one's sessions. To be called once per burst, after its packets have been taken from
   * the ring and before the first is processed: a packet that answers one which another worker sent finds the state that one led to.
   */
  readReports(): void {
    readReports(this.#context);
  }

  /** Whether some worker should be woken to read its mailbox (`Mailbox.wakes`); and it is forgotten. */
  takeWakes(): boolean {
    const wakes = this.#context.wakes;
    this.#context.wakes = false;
    return wakes;
  }

  /**
   * Prepares for the first `count` packets of the burst, of which `ats`, `lengths` and `slots` are filled in. Then they are to be taken in
   * their order, each by `forward` or `decide`, before anything else is processed.
   */
  lookAhead(count: number): void {
    this.#lookAhead4(count);
    if (burst.count6 > 0) this.#lookAhead6(count);
  }

  /**
   * Forwards packets `from` … of the burst as long as nothing has to be decided about them; returns the number of the first that is
   * another matter, `count` if there is none. Those before it leave as they lie, by `burst.outSlots`.
   */
  forward(from: number, count: number): number {
    for (let i = from;;) {
      const before = i;
      if (burst.count4 > 0) i = this.#forward4(i, count);
      if (burst.count6 > 0) i = this.#forward6(i, count);
      if (i === before || i === count || burst.count4 === 0 || burst.count6 === 0) return i;
    }
  }

  /**
   * Decides about the frame of `length` bytes at byte `at`, which came in by `inSlot`; its memory ends before `frameEnd` and begins
   * HEADROOM_BYTES before `at` or earlier. Returns a VERDICT_…; `outAt`, `outLength`, `outSlot` say the rest.
   */
  decide(at: number, length: number, inSlot: number, frameEnd: number): number {
    const c = this.#context;
    c.at = c.outAt = at;
    c.length = c.outLength = length;
    c.limit = at + length;
    c.inSlot = c.outSlot = inSlot;
    c.frameEnd = frameEnd;
    c.inFlags = c.interfaces[inSlot * IF_STRIDE + IF_FLAGS] | 0;
    const verdict = receive(c, at, length);
    countInterfaces(c, verdict);
    return verdict;
  }

  /** `decide` for a packet that is a burst by itself: forwarded at once if it can be. */
  process(at: number, length: number, inSlot: number, frameEnd: number): number {
    burst.ats[0] = at;
    burst.lengths[0] = length;
    burst.slots[0] = inSlot;
    this.lookAhead(1);
    if (this.forward(0, 1) === 0) return this.decide(at, length, inSlot, frameEnd);
    const c = this.#context;
    c.outAt = at;
    c.outLength = length;
    c.outSlot = burst.outSlots[0];
    return VERDICT_TX;
  }

  /** After VERDICT_PIECES: frames that are still to be made, by `nextPiece`, before any other packet is processed. */
  get piecesLeft(): number {
    return piecesLeft(this.#context);
  }

  /**
   * Makes the next piece: at byte `at` of another frame, which has HEADROOM_BYTES before it and 1,294 bytes from it; the last one in the
   * frame of the packet itself. Returns VERDICT_TX or VERDICT_PUNT_KU; `outAt`, `outLength`, `outSlot` say the rest.
   */
  nextPiece(at: number): number {
    const c = this.#context;
    const verdict = makePiece(c, at);
    countWayOut(c, verdict);
    return verdict;
  }
}

function countInterfaces(c: Context, verdict: number): void {
  if (verdict === VERDICT_HOLD) return; // it comes again
  const counters = c.interfaceCounters;
  const rx = c.inSlot * INTERFACE_COUNTERS;
  counters[rx + INTERFACE_RX_PACKETS]++;
  counters[rx + INTERFACE_RX_BYTES] += c.length;
  if (verdict !== VERDICT_PIECES) countWayOut(c, verdict);
}

function countWayOut(c: Context, verdict: number): void {
  const counters = c.interfaceCounters;
  const rx = c.inSlot * INTERFACE_COUNTERS;
  if (verdict === VERDICT_TX) {
    const tx = c.outSlot * INTERFACE_COUNTERS;
    counters[tx + INTERFACE_TX_PACKETS]++;
    counters[tx + INTERFACE_TX_BYTES] += c.outLength;
  } else {
    counters[rx + (verdict === VERDICT_DROP ? INTERFACE_DROPS : INTERFACE_PUNTS)]++;
  }
}

function receive(c: Context, at: number, length: number): number {
  if (length < ETHERNET_HEADER_BYTES) return drop(c, COUNT_MALFORMED);
  const etherType = c.view.getUint16(at + ETHERNET_TYPE);
  if (etherType === ETHERTYPE_IPV4) return receive4(c, at + ETHERNET_HEADER_BYTES);
  if (etherType === ETHERTYPE_IPV6) return receive6(c, at + ETHERNET_HEADER_BYTES);
  return receiveTagged(c, at, length, etherType);
}

/** One 802.1Q or 802.1ad tag is stepped over; a frame that leaves has none. */
function receiveTagged(c: Context, at: number, length: number, etherType: number): number {
  const tagged = etherType === ETHERTYPE_VLAN || etherType === ETHERTYPE_QINQ;
  if (tagged && length < ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES) return drop(c, COUNT_MALFORMED);
  const inner = tagged ? c.view.getUint16(at + VLAN_INNER_TYPE) : 0;
  const l3 = at + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
  if (inner === ETHERTYPE_IPV4) return receive4(c, l3);
  if (inner === ETHERTYPE_IPV6) return receive6(c, l3);
  count(c, COUNT_NOT_IP);
  return puntIn(c);
}

/** Whether a service's pods are of the other family than its VIP. */
function hasMixedService({ services }: Tables): boolean {
  for (let service = 0; service < services.capacity; service++) {
    if ((services.get(service, SERVICE_FLAGS) & SERVICE_IN_USE) === 0) continue;
    const type = services.get(service, SERVICE_TYPE);
    if (type === SERVICE_NAT46 || type === SERVICE_NAT64) return true;
  }
  return false;
}

/** The first address of any interface, for where no other is at hand. */
function findAnyAddress(c: Context): void {
  c.anyIp4 = 0;
  c.anyIp6.fill(0);
  const words = c.interfaces;
  for (let row = 0; row < words.length; row += IF_STRIDE) {
    if (c.anyIp4 === 0) c.anyIp4 = words[row + IF_IP4];
    const ip6 = row + IF_IP6;
    if ((c.anyIp6[0] | c.anyIp6[3]) === 0) {
      for (let i = 0; i < 4; i++) c.anyIp6[i] = words[ip6 + i];
    }
  }
}
