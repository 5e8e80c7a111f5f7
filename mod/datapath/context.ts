/**
 * What the functions of the datapath share: the packet being processed, the worker's memory, the tables of the current
 * generation. One object per worker, made once; every function takes it as its first argument. Its shape never changes and its
 * fields hold small integers or objects made at start, so that the compiler sees one hidden class and nothing is allocated.
 *
 * Rule: offsets (`at`, `l3`, `l4`, `end`) are bytes from the start of the UMEM. They were checked once, by parse.ts, and whoever
 * comes later relies on it: l3 + header ≤ l4 ≤ end ≤ limit.
 *
 * Speed: V8 folds what it knows to be constant into the code, and checks everything else at every use. It knows constants of the own
 * module, not imported ones: hence `const { … } = module` at the top of the files of the hot path. It knows what a function closes over as
 * long as there is one such function: hence `makeForward4(c)` and its like for the known path, which close over the worker's memory (packets
 * and counters; tables change with the generation), and the burst, of which a thread has one (burst.ts). In a thread with several
 * processors, as tests have, all of that is looked up, and half as slow again. Values that are offsets are masked, loop counters are made
 * int32 with `| 0`: V8 then leaves out overflow checks and tags.
 *
 * @module
 */

import type { Counters } from "../metrics/counters.ts";
import type { AdjacencyTable } from "../table/adjacency.ts";
import { FRAGMENT_PLACES, FragmentTable } from "../table/fragment.ts";
import type { InterfaceTable } from "../table/interface.ts";
import type { Mailbox } from "../table/mailbox.ts";
import type { MatchTable } from "../table/match.ts";
import type { OffloadTable } from "../table/offload.ts";
import type { AffinityTable } from "../table/affinity.ts";
import type { OverflowTable } from "../table/overflow.ts";
import type { PodTable } from "../table/pod.ts";
import type { RouteTable } from "../table/route.ts";
import type { ServiceTable } from "../table/service.ts";
import type { SessionTable } from "../table/session.ts";

/** The frame at `outAt` goes out of the interface of `outSlot`. */
export const VERDICT_TX = 0;
/** It enters the kernel as if it had arrived on the interface of `inSlot`. */
export const VERDICT_PUNT_IN = 1;
/** It enters the kernel on ku0: its source is an address that ku put there, or the host itself sent it. */
export const VERDICT_PUNT_KU = 2;
/** Its memory is free. */
export const VERDICT_DROP = 3;
/** A fragment before its first one: to be kept as it is, and processed again behind that one, or soon (`Processor.holdRoom`). */
export const VERDICT_HOLD = 5;
/** It leaves in several frames, which are to be asked for (pieces.ts). */
export const VERDICT_PIECES = 4;

/** Plain numbers of the configuration. IPv4 as an int32 or u32, IPv6 as four big-endian words; all zero = not set. */
export interface Settings {
  readonly ip4SrcAddress: number;
  readonly ip6SrcAddress: readonly number[];
  /** The /96 prefix under which IPv4 clients appear to IPv6 pods. */
  readonly nat46Prefix: readonly number[];
}

/** All that one generation publishes. Nothing in it is written by the datapath. */
export interface Tables {
  readonly generation: number;
  readonly match: MatchTable;
  readonly services: ServiceTable;
  readonly pods: PodTable;
  /** The Maglev slots of every service: pod ids. */
  readonly slots: Uint32Array;
  readonly routes: RouteTable;
  readonly adjacencies: AdjacencyTable;
  readonly interfaces: InterfaceTable;
  readonly settings: Settings;
}

/** One worker's session tables, and views of the others' for reading. */
export interface SessionViews {
  readonly sessions4: SessionTable;
  readonly sessions6: SessionTable;
  readonly others4?: readonly SessionTable[];
  readonly others6?: readonly SessionTable[];
  /** Where reports go about the sessions in the table of the same place in `others4` and `others6`; without them none are made. */
  readonly outboxes?: readonly Mailbox[];
}

export interface ProcessorOptions extends SessionViews {
  /** The worker's packet memory, all of it. At most 2 GiB. */
  readonly frames: ArrayBuffer | Uint8Array;
  readonly counters: Counters;
  /** Untracked flows; without them replies of such flows go untranslated. */
  readonly overflow4?: OverflowTable;
  readonly overflow6?: OverflowTable;
  /** Views of the other workers' ones, for reading. */
  readonly othersOverflow4?: readonly OverflowTable[];
  readonly othersOverflow6?: readonly OverflowTable[];
  /** Clients' pods where affinity has an end; without it such affinity is by the client's hash alone. */
  readonly affinity?: AffinityTable;
  readonly othersAffinity?: readonly AffinityTable[];
  /** Sessions that the kernel repeats; without it every packet of theirs comes to the worker. */
  readonly offload?: OffloadTable;
  /** Other workers' reports about this one's sessions. */
  readonly inboxes?: readonly Mailbox[];
  /** Datagrams in fragments; made at start if absent. */
  readonly fragments?: FragmentTable;
  /** Worker `workerIndex` of `workerCount` allocates only ports of its own residue, so that no two hand out the same. */
  readonly workerIndex?: number;
  readonly workerCount?: number;
}

/** How the transport header is rewritten. */
export const TRANSPORT_OTHER = 0; // address only; `checksumAt` if a checksum covers the addresses
export const TRANSPORT_TCP = 1;
export const TRANSPORT_UDP = 2;
export const TRANSPORT_SCTP = 3;
export const TRANSPORT_ECHO = 4; // ICMP echo: the identifier stands for a port

/** `fragment`: what the packet is a piece of. */
export const FRAGMENT_NONE = 0;
export const FRAGMENT_FIRST = 1;
export const FRAGMENT_LATER = 2;

/** Destinations whose next hop a worker remembers, in each family; direct-mapped, a power of two. */
export const HOP_ENTRIES = 2048;
/** Words of a cached hop; route.ts names the columns. */
export const HOP4_STRIDE = 8;
export const HOP6_STRIDE = 16;
/** Value all over a row that holds nothing. Below every result of RouteTable. */
export const HOP_UNKNOWN = -9;

/** ICMP errors a worker may send each second (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)). */
export const ERRORS_PER_SECOND = 10_000;

export class Context {
  // The worker's memory.
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly counters: Counters;
  readonly nodeCounters: Float64Array;
  readonly serviceCounters: Float64Array;
  readonly podCounters: Float64Array;
  readonly interfaceCounters: Float64Array;
  sessions4: SessionTable;
  sessions6: SessionTable;
  others4: readonly SessionTable[];
  others6: readonly SessionTable[];
  outboxes: readonly Mailbox[];
  readonly inboxes: readonly Mailbox[];
  /** A worker is to be woken for what was put into its mailbox (`Mailbox.wakes`). */
  wakes = false;
  readonly overflow4: OverflowTable | null;
  readonly overflow6: OverflowTable | null;
  readonly othersOverflow4: readonly OverflowTable[];
  readonly othersOverflow6: readonly OverflowTable[];
  readonly affinity: AffinityTable | null;
  readonly othersAffinity: readonly AffinityTable[];
  readonly fragments: FragmentTable;
  readonly offload: OffloadTable | null;
  readonly workerIndex: number;
  readonly workerCount: number;

  // The generation.
  tables!: Tables;
  match!: MatchTable;
  routes!: RouteTable;
  services: Int32Array = new Int32Array(0);
  pods: Int32Array = new Int32Array(0);
  slots: Uint32Array = new Uint32Array(0);
  adjacencies: Int32Array = new Int32Array(0);
  interfaces: Int32Array = new Int32Array(0);
  /** Whether some service translates between the families (nat46, nat64): nodes without one pay nothing. */
  mixed = false;
  /** Low 24 bits of the generation: what sessions are stamped with when they were found to agree with it. */
  stamp = 0;
  /** An address of some interface of the node; 0 = none has one. */
  anyIp4 = 0;
  readonly anyIp6 = new Int32Array(4);
  /**
   * A destination that a packet was punted for because its neighbor is not known: 0 (none), 4 or 6, with the adjacency's index and
   * the address, IPv4 in the first word. Kept until the worker has taken it.
   */
  unresolvedFamily = 0;
  unresolvedAdjacency = 0;
  readonly unresolvedAddress = new Int32Array(4);
  readonly hops4 = new Int32Array(HOP_ENTRIES * HOP4_STRIDE).fill(HOP_UNKNOWN);
  readonly hops6 = new Int32Array(HOP_ENTRIES * HOP6_STRIDE).fill(HOP_UNKNOWN);
  /** By pod id: what its route led to (an adjacency, or what RouteTable says else), once a packet has asked; HOP_UNKNOWN before. */
  podHops: Int32Array = new Int32Array(0);

  // Time.
  /** Seconds; the worker sets it once per burst. */
  now = 0;
  errorSecond = -1;
  errorBudget = 0;

  // The packet: the frame …
  at = 0;
  length = 0;
  limit = 0; // at + length
  inSlot = 0;
  inFlags = 0; // IF_FLAGS of inSlot
  frameEnd = 0;
  // … and what parse.ts found in it.
  l3 = 0;
  l4 = 0;
  end = 0; // of the IP packet; what the frame holds behind it is padding
  protocol = 0;
  transport = 0;
  ports = 0; // source << 16 | destination, int32
  tcpFlags = 0;
  checksumAt = 0; // 0 = there is none
  pseudoLength = 0; // as the pseudo-header counts it
  fragment = 0;
  fragmentAt = 0; // IPv6: the fragment header

  /** Entry of `fragments` that this first fragment began. */
  fragmentEntry = 0;
  /** First fragments so far (wraps), and the tag (keyed hash) of the last one's datagram, or of the one that is to be held. */
  firstFragments = 0;
  fragmentTag = 0;
  /** Early fragments that the worker can still keep. */
  holdRoom = 0;

  /** The last identification given to an IPv4 packet that was an IPv6 one. */
  identification = 0;

  // What is left of a packet that leaves in pieces (pieces.ts).
  pieceAt = 0; // 0 = nothing
  pieceHop = 0;
  pieceNextHeader = 0;
  pieceWord = 0;

  // The result.
  outAt = 0;
  outLength = 0;
  outSlot = 0;

  /** Where the tuple is that a search found, in the words it returned. */
  foundAt = 0;
  /** Another worker's table could not be read to the end: the session may be there. */
  busy = false;
  /** The flow may have a session at another worker that it cannot follow: it must not get one here. */
  withheld = false;

  /** Scratch tuples of 9 words, IPv4 as ::ffff:a.b.c.d: the packet's own, and the reply's. */
  readonly original = new Int32Array(9);
  readonly reply = new Int32Array(9);
  /** Scratch tuple of 3 words. */
  readonly tuple4 = new Int32Array(3);
  /** Copy of another worker's session. */
  readonly foreign = new Int32Array(24);

  constructor(options: ProcessorOptions) {
    const frames = options.frames;
    const bytes = frames instanceof Uint8Array ? frames : new Uint8Array(frames);
    if (bytes.byteLength > 0x7fffffff) throw new RangeError("a UMEM is at most 2 GiB");
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.counters = options.counters;
    this.nodeCounters = options.counters.node;
    this.serviceCounters = options.counters.service;
    this.podCounters = options.counters.pod;
    this.interfaceCounters = options.counters.interface;
    this.sessions4 = options.sessions4;
    this.sessions6 = options.sessions6;
    this.others4 = options.others4 ?? [];
    this.others6 = options.others6 ?? [];
    this.outboxes = options.outboxes ?? [];
    this.inboxes = options.inboxes ?? [];
    this.overflow4 = options.overflow4 ?? null;
    this.overflow6 = options.overflow6 ?? null;
    this.othersOverflow4 = options.othersOverflow4 ?? [];
    this.othersOverflow6 = options.othersOverflow6 ?? [];
    this.affinity = options.affinity ?? null;
    this.othersAffinity = options.othersAffinity ?? [];
    this.fragments = options.fragments ??
      new FragmentTable(FRAGMENT_PLACES, crypto.getRandomValues(new Uint32Array(4)));
    this.offload = options.offload ?? null;
    this.workerIndex = options.workerIndex ?? 0;
    this.workerCount = options.workerCount ?? 1;
    // Workers start apart, so that they rarely use one identification at the same time.
    this.identification = ((this.workerIndex / this.workerCount) * 0x10000) | 0;
  }
}

/** Counts a node counter (COUNT_…). */
export function count(c: Context, reason: number): void {
  c.nodeCounters[reason]++;
}

/** Drops the packet for `reason`. */
export function drop(c: Context, reason: number): number {
  c.nodeCounters[reason]++;
  return VERDICT_DROP;
}
