/**
 * What one worker counts. Every worker has its own `Counters` over one SharedArrayBuffer, which it alone writes; the control
 * plane reads all of them and adds up. Values are Float64: exact up to 2^53, no carry to handle, no BigInt.
 *
 * Rule: every packet that is dropped is counted under exactly one `drop` of NODE_COUNTERS, every packet given to the kernel under
 * exactly one `punt`; an `event` may be counted beside either. A counter's index is its place in NODE_COUNTERS and its COUNT_…
 * constant; both are made from one list, so a new reason is one line at its end or in the middle.
 *
 * The layout: a header of four words (capacities), the node counters, then services, pods and interfaces with a fixed number of
 * columns each. A reader may see a packet counted but not yet its bytes; nothing else can be torn.
 *
 * References: VPP `show node counters` (count, node, reason).
 */

import { type MemorySource, SHARED_MEMORY } from "../table/memory.ts";

/** How a node counter's packet ended. */
export type NodeCounterKind = "event" | "punt" | "drop";

export interface NodeCounter {
  readonly node: string;
  readonly reason: string;
  readonly kind: NodeCounterKind;
}

const nodeCounters: NodeCounter[] = [];

function counter(kind: NodeCounterKind, node: string, reason: string): number {
  return nodeCounters.push({ node, reason, kind }) - 1;
}

// ku-parse: frame and headers.
export const COUNT_MALFORMED = counter("drop", "ku-parse", "malformed packet");
export const COUNT_EXTENSIONS = counter("drop", "ku-parse", "too many extension headers");
export const COUNT_TINY_FRAGMENT = counter("drop", "ku-parse", "first fragment without transport header");
export const COUNT_NOT_IP = counter("punt", "ku-parse", "neither IPv4 nor IPv6");

// ku-match: whose packet it is.
export const COUNT_NOT_MINE = counter("punt", "ku-match", "no service and no session");
export const COUNT_HOST_NOT_MINE = counter(
  "drop",
  "ku-match",
  "of the node itself, no service and no session",
);
export const COUNT_NO_SERVER = counter("event", "ku-match", "no server");
export const COUNT_MARTIAN = counter("drop", "ku-match", "source address that cannot be answered");
export const COUNT_SOURCE_REFUSED = counter("drop", "ku-match", "client outside the VIP's source prefixes");

// ku-session: the session tables.
export const COUNT_SESSION_NEW = counter("event", "ku-session", "session started");
export const COUNT_SESSION_MOVED = counter("event", "ku-session", "session moved off a removed pod");
export const COUNT_SESSION_ORPHAN = counter("event", "ku-session", "session of a deleted service ended");
export const COUNT_UNTRACKED = counter("event", "ku-session", "bucket full, forwarded untracked");
export const COUNT_UNTRACKED_REPLY = counter("event", "ku-session", "reply of an untracked flow");
export const COUNT_OTHER_WORKER = counter("event", "ku-session", "session of another worker");
export const COUNT_REPORT_LOST = counter(
  "event",
  "ku-session",
  "report to another worker lost, its mailbox full",
);
export const COUNT_SESSION_YIELDED = counter("event", "ku-session", "session left to another worker");
export const COUNT_SESSION_BUSY = counter("drop", "ku-session", "table of another worker standing still");
export const COUNT_PORT_CHANGED = counter("event", "ku-session", "source port changed, tuple taken");
export const COUNT_PORTS_EXHAUSTED = counter("drop", "ku-session", "no free source port");

// ku-nat: rewriting.
export const COUNT_CHECKSUM_COMPLETED = counter("event", "ku-nat", "half-done checksum completed");
export const COUNT_NO_SOURCE_ADDRESS = counter("drop", "ku-nat", "node has no address to use as source");
export const COUNT_UNTRANSLATABLE = counter("drop", "ku-nat", "unknown to the other family");
export const COUNT_UDP_NO_CHECKSUM = counter(
  "drop",
  "ku-nat",
  "UDP without checksum, other family needs one",
);

// ku-icmp: echo, errors received and errors made.
export const COUNT_ECHO_ANSWERED = counter("event", "ku-icmp", "echo to a VIP answered");
export const COUNT_ERROR_UNTRANSLATABLE = counter("drop", "ku-icmp", "error unknown to the other family");
export const COUNT_ERROR_TRANSLATED = counter("event", "ku-icmp", "error translated");
export const COUNT_ERROR_NOT_MINE = counter("punt", "ku-icmp", "error about no session");
export const COUNT_RESET_SENT = counter("event", "ku-icmp", "TCP reset sent");
export const COUNT_UNREACHABLE_SENT = counter("event", "ku-icmp", "port unreachable sent");
export const COUNT_TIME_EXCEEDED_SENT = counter("event", "ku-icmp", "time exceeded sent");
export const COUNT_TOO_BIG_SENT = counter("event", "ku-icmp", "fragmentation needed or packet too big sent");
export const COUNT_SOURCE_ROUTE_REFUSED = counter("event", "ku-icmp", "source route refused to its sender");
export const COUNT_ERROR_SUPPRESSED = counter("drop", "ku-icmp", "error not allowed about this packet");
export const COUNT_ERROR_LIMITED = counter("drop", "ku-icmp", "error rate limit");

// ku-fragment: fragments of translated packets.
export const COUNT_FRAGMENT_FIRST = counter("event", "ku-fragment", "first fragment remembered");
export const COUNT_FRAGMENT_LATER = counter("event", "ku-fragment", "later fragment followed its first one");
export const COUNT_FRAGMENT_NOT_MINE = counter("punt", "ku-fragment", "fragment of no known packet");
export const COUNT_FRAGMENT_HELD = counter("event", "ku-fragment", "early fragment held");
export const COUNT_FRAGMENT_OVERLAP = counter("drop", "ku-fragment", "overlapping fragment");
export const COUNT_FRAGMENT_LIMIT = counter("drop", "ku-fragment", "too many fragments");
export const COUNT_FRAGMENT_REFUSED = counter("drop", "ku-fragment", "first fragment went no further");
export const COUNT_FRAGMENT_SCTP = counter("drop", "ku-fragment", "SCTP port of a fragment to be changed");
export const COUNT_FRAGMENTED = counter("event", "ku-fragment", "packet fragmented");

// ku-route: the way out.
export const COUNT_PUNT_LOCAL = counter("punt", "ku-route", "for the node itself");
export const COUNT_PUNT_NO_ROUTE = counter("punt", "ku-route", "no route");
export const COUNT_PUNT_UNATTACHED = counter("punt", "ku-route", "egress interface not attached");
export const COUNT_PUNT_NEIGHBOR = counter("punt", "ku-route", "neighbor not resolved");
export const COUNT_PUNT_FRAGMENT = counter("punt", "ku-route", "left to the kernel to fragment");

// ku-tx: the rings out.
export const COUNT_TX_UNKNOWN_SLOT = counter("drop", "ku-tx", "frame on ku1 that no interface sent");
export const COUNT_TX_NO_SPACE = counter("drop", "ku-tx", "transmit ring full");
export const COUNT_TX_UNATTACHED = counter("drop", "ku-tx", "no ring to the kernel");

/** Every node counter in the order of its index. Shapes of VPP's `show node counters`. */
export const NODE_COUNTERS: readonly NodeCounter[] = nodeCounters;

/** Columns of a service. Packets and bytes (of the IP packet) that clients sent, but for the two of replies. */
export const SERVICE_FIRST_PACKET = 0; // started a session
export const SERVICE_NEXT_PACKET = 1; // followed a session
export const SERVICE_UNTRACKED = 2; // forwarded without one: the bucket was full
export const SERVICE_NO_SERVER = 3; // no pod to take it
export const SERVICE_BYTES = 4;
export const SERVICE_REPLY_PACKETS = 5;
export const SERVICE_REPLY_BYTES = 6;
export const SERVICE_COUNTERS = 8; // stride: one cache line
/** A service's or pod's row begins at its id, shifted by this. */
export const COUNTERS_SHIFT = 3;
/** The last column of a service's and of a pod's row counts nothing: writing to it has the row brought into the cache (look_ahead4.ts). */
export const TOUCHED = 7;

/** Columns of a pod (one row for each service a pod serves). */
export const POD_PACKETS = 0;
export const POD_BYTES = 1;
export const POD_REPLY_PACKETS = 2;
export const POD_REPLY_BYTES = 3;
export const POD_FIRST_PACKET = 4; // sessions started, since ever
export const POD_COUNTERS = 8;

/** Columns of an interface, by slot. Bytes are of the whole frame. */
export const INTERFACE_RX_PACKETS = 0;
export const INTERFACE_RX_BYTES = 1;
export const INTERFACE_TX_PACKETS = 2; // sent out of this slot
export const INTERFACE_TX_BYTES = 3;
export const INTERFACE_PUNTS = 4; // came in here, went into the kernel
export const INTERFACE_DROPS = 5; // came in here
export const INTERFACE_COUNTERS = 8;

/** Slots counted: every slot there can be (0 … 4094, what fits a VLAN id), 256 KiB. */
export const INTERFACE_CAPACITY = 4096;

const HEADER_COLUMNS = 8;
const HEADER_SERVICES = 0;
const HEADER_PODS = 1;
/** Columns that lie unused behind the header, so that every row begins with a line. */
const HEADER_LEAD = 2;
const LINE_COLUMNS = 8;
const NODE_CAPACITY = 64;

/** View of one worker's counters. Make the buffer with {@link Counters.create}. */
export class Counters {
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  /** By index COUNT_…. */
  readonly node: Float64Array;
  /** Service id * SERVICE_COUNTERS + column. */
  readonly service: Float64Array;
  /** Pod id * POD_COUNTERS + column. */
  readonly pod: Float64Array;
  /** Slot * INTERFACE_COUNTERS + column. */
  readonly interface: Float64Array;

  /** Bytes for ids below `services` and `pods`. */
  static bytesFor(services: number, pods: number): number {
    const columns = HEADER_COLUMNS + LINE_COLUMNS + NODE_CAPACITY + services * SERVICE_COUNTERS +
      pods * POD_COUNTERS +
      INTERFACE_CAPACITY * INTERFACE_COUNTERS;
    return columns * 8;
  }

  /** New counters, all zero, for ids below `services` and `pods`. */
  static create(services: number, pods: number, memory: MemorySource = SHARED_MEMORY): Counters {
    const buffer = memory.allocate(Counters.bytesFor(services, pods));
    const header = new Float64Array(buffer, 0, HEADER_COLUMNS);
    header[HEADER_SERVICES] = services;
    header[HEADER_PODS] = pods;
    header[HEADER_LEAD] = (-memory.lineOffsetOf(buffer) & 63) >> 3;
    return new Counters(buffer);
  }

  constructor(buffer: SharedArrayBuffer | ArrayBuffer) {
    const header = new Float64Array(buffer, 0, HEADER_COLUMNS);
    const services = header[HEADER_SERVICES];
    const pods = header[HEADER_PODS];
    if (buffer.byteLength < Counters.bytesFor(services, pods)) {
      throw new RangeError("counter buffer too small");
    }
    let at = (HEADER_COLUMNS + header[HEADER_LEAD]) * 8;
    const take = (columns: number): Float64Array => {
      const view = new Float64Array(buffer, at, columns);
      at += columns * 8;
      return view;
    };
    this.buffer = buffer;
    this.node = take(NODE_CAPACITY);
    this.service = take(services * SERVICE_COUNTERS);
    this.pod = take(pods * POD_COUNTERS);
    this.interface = take(INTERFACE_CAPACITY * INTERFACE_COUNTERS);
  }

  /** Service ids that fit. */
  get serviceCapacity(): number {
    return this.service.length / SERVICE_COUNTERS;
  }

  /** Pod ids that fit. */
  get podCapacity(): number {
    return this.pod.length / POD_COUNTERS;
  }

  /** Takes over what `old` has counted, as far as it fits: for the control plane when it makes room for more services. */
  copyFrom(old: Counters): void {
    copyColumns(this.node, old.node);
    copyColumns(this.service, old.service);
    copyColumns(this.pod, old.pod);
    copyColumns(this.interface, old.interface);
  }
}

function copyColumns(to: Float64Array, from: Float64Array): void {
  to.set(from.length <= to.length ? from : from.subarray(0, to.length));
}

if (nodeCounters.length > NODE_CAPACITY) throw new RangeError("NODE_CAPACITY is too small");
