/**
 * What the daemon's socket speaks: JSON-RPC 2.0, one object (or one batch array) per line, UTF-8, LF.
 * This file is types and constants only, so that both sides load it for free.
 *
 * Rule: the result of a `show…` method is exactly what `ku show … --json` prints. Keys are camelCase,
 * strings are words of the command line ("tcp", "nat44"), "no protocol" and "no port" are null.
 *
 * Reference: https://www.jsonrpc.org/specification
 */

import type { HandoverOffer } from "./handover.ts";
import type {
  Command,
  Conf,
  ConfParams,
  InterfaceParams,
  Mode,
  PodParams,
  Protocol,
  SetInterfaceParams,
  VipKey,
  VipParams,
  VipSelector,
  VipType,
} from "../config/model.ts";
import type { ConfigDocument, VipDocument } from "../config/document.ts";
import type { Left } from "../config/reconcile.ts";
import type { KernelCounts, ShowOffload } from "./protocol_offload.ts";

export type { KernelCounts, OffloadMisses, ShowOffload } from "./protocol_offload.ts";

export const DEFAULT_SOCKET_PATH = "/run/ku/ku.sock";
/** A line longer than this is refused: 10,000 services in one batch take about 3 MB. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

// Error codes of the JSON-RPC specification, §5.1.
export const RPC_PARSE_ERROR = -32700;
export const RPC_INVALID_REQUEST = -32600;
export const RPC_METHOD_NOT_FOUND = -32601;
export const RPC_INVALID_PARAMS = -32602;
export const RPC_INTERNAL_ERROR = -32603;
/** A `ConfigError`: the message is for the user as it stands, the state is as it was. */
export const RPC_CONFIG_ERROR = 1;

/** `ku show`: the whole node at a glance. `vips` and `pods` are how many there are. */
export interface ShowKu {
  version: string;
  pid: number;
  uptimeSeconds: number;
  /** Number of the published generation. */
  generation: number;
  conf: Conf;
  interfaces: number;
  vips: number;
  /** Pods of all VIPs; a pod that serves two VIPs counts twice. */
  pods: number;
  workers: ShowWorker[];
  /** Packet memory and tables, all workers. */
  memoryBytes: number;
}

export interface ShowWorker {
  worker: number;
  /** `conf timeout`, as in VPP's "show lb". */
  timeoutSeconds: number;
  /** Live sessions and how many fit, both address widths together. */
  sessions: { used: number; capacity: number };
}

/** `ku show vip`: one service. */
export interface ShowVip {
  /** Canonical, with its length: "10.0.0.1/32". */
  prefix: string;
  protocol: Protocol | null;
  port: number | null;
  targetPort: number | null;
  nodePort: number | null;
  type: VipType;
  newLen: number;
  srcIpSticky: boolean;
  stickyTimeout: number | null;
  masquerade: boolean;
  /** Prefixes that clients must be in; []: everyone. */
  sources: readonly string[];
  /** The port of the Kubernetes Service it was imported from, or null. */
  service: string | null;
  podCount: number;
}

/** `ku show vip verbose`. Pods are in order of address; removed ones with live sessions come last. */
export interface ShowVipVerbose extends ShowVip {
  counters: VipCounters;
  pods: ShowPod[];
}

/** Packets. The first four count what clients send, as VPP's VIP counters do. */
export interface VipCounters {
  /** Packets that followed a session. */
  nextPacket: number;
  /** Packets that started one. */
  firstPacket: number;
  /** Packets forwarded without a session because the bucket was full. */
  untracked: number;
  /** Packets that found no pod. */
  noServer: number;
  /** Packets of pods' answers. */
  replyPackets: number;
  bytes: number;
  replyBytes: number;
}

/** `active`: takes new sessions; `draining`: weight 0; `removed`: deleted, and its TCP sessions live on. */
export type PodState = "active" | "draining" | "removed";

export interface ShowPod {
  address: string;
  weight: number;
  /** Slots of the new-connection table that lead to this pod. */
  buckets: number;
  /** Live sessions, all workers. */
  sessions: number;
  state: PodState;
  /** Sessions started, since ever. */
  newSessions: number;
  packets: number;
  bytes: number;
  replyPackets: number;
  replyBytes: number;
}

/** One line of `ku show node counters`; the daemon sends those with count 0 too. */
export interface ShowNodeCounter {
  count: number;
  node: string;
  reason: string;
}

/** One session. Addresses are "a.b.c.d:port" or "[v6]:port"; for a protocol without ports, the port is 0. */
export interface ShowSession {
  worker: number;
  /** "tcp", "udp", "sctp", "icmp", "icmp6", or the protocol's number. */
  protocol: string;
  client: string;
  /** The address the client used, which lies inside the VIP's prefix. */
  vip: string;
  pod: string;
  /** "transitory", "established", "closing" for TCP, "active" for the rest. */
  state: string;
  idleSeconds: number;
  /** Seconds of silence after which it goes. */
  timeoutSeconds: number;
  /** What the kernel has repeated of it, while it does; null: all of its packets come to the worker. */
  kernel: KernelCounts | null;
}

/** Words of `ShowSession.state`. */
export const SESSION_STATES = ["transitory", "established", "closing", "active"] as const;

/** `ku sessions`: filters, all of which a session must pass, and where to go on. */
export interface SessionQuery {
  /** An address, a prefix, or "address:port". */
  client?: string;
  vip?: string;
  pod?: string;
  protocol?: string;
  state?: string;
  /** `next` of the page before; absent: from the start. */
  cursor?: number;
}

/** A part of the sessions. `next` null: the last one. It may be empty although more follow. */
export interface SessionPage {
  sessions: ShowSession[];
  next: number | null;
}

/** `ku show trace`: a packet's way. Packets are in words for people (`packetText`). */
export interface TracedPacket {
  number: number;
  /** ISO 8601, UTC. */
  time: string;
  worker: number;
  /** Where it came in. */
  interface: string;
  before: string;
  /** The reasons it was counted under. */
  nodes: { node: string; reason: string }[];
  /** As it left; null: dropped, kept, or cut into pieces. */
  after: string | null;
  outInterface: string | null;
  verdict: string;
}

/** A part of a capture. */
export interface CapturePiece {
  /** pcapng blocks in base64; the parts one after the other are the file. */
  data: string;
  /** Packets so far that there was no room for. */
  lost: number;
}

/** `ku explain`: which packet. Addresses "a.b.c.d:port" or "[v6]:port". */
export interface ExplainParams {
  client: string;
  vip: string;
  /** Absent: that of the service at this address and port, else tcp. */
  protocol?: string;
  /** Where it comes in; absent: where the way back to the client leads. */
  interface?: string;
}

/** What the datapath would do with it. Packets are in words for people (`packetText`). */
export interface Explanation {
  packet: string;
  interface: string;
  /** Null: no service takes it. */
  service:
    | { prefix: string; protocol: Protocol | null; port: number | null; type: VipType; pods: number }
    | null;
  /** The session it belongs to; null: it would start one, if anything. */
  session: ShowSession | null;
  /** Slot of the new-connection table that picks the pod, of how many; null with a session, or where the client's affinity picks. */
  slot: number | null;
  slots: number | null;
  pod: string | null;
  /** The packet as it would leave; null: it does not. */
  rewrite: string | null;
  route: { interface: string | null; nextHop: string; mac: string | null } | null;
  /** "sent", "answered", "left to the kernel" (as it came), "sent by the kernel" (rewritten), "dropped", … */
  verdict: string;
  /** What would be counted, "drop" and "punt" being the reasons for these. */
  counted: { node: string; reason: string; kind: string }[];
}

/** One attached interface. */
export interface ShowInterface {
  name: string;
  /** As configured. */
  mode: Mode;
  /** What `mode` came to; null while the interface is gone. */
  activeMode: "native" | "tc" | "generic" | null;
  /** Why, for people: "driver veth: tc keeps its peer's offloads". */
  reason: string;
  nat4: "in" | null;
  nat6: "in" | null;
  ifindex: number | null;
  slot: number;
  mac: string | null;
  mtuBytes: number | null;
  up: boolean;
  /** Queues with a socket of ku's: to receive and send in modes native and generic, to send in mode tc (where ku1 receives). */
  queues: number;
  /** The worker of each of these. Queue i is worker i's, modulo their number; workers without one here send by ku1. */
  queueWorkers: number[];
  /** Queues that the interface has. */
  rxQueues: number;
  txQueues: number;
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  punts: number;
  drops: number;
  /** What the kernel repeated of its packets, which the numbers above do not have. */
  kernel: { rxPackets: number; rxBytes: number; txPackets: number; txBytes: number };
}

/** Versions of the running daemon; null: not loaded or not to be found out. */
export interface ShowVersion {
  ku: string;
  deno: string;
  v8: string;
  libbpf: string | null;
  libxdp: string | null;
}

/** Several commands in one request. Atomic: all or none, published once. Else: up to the first that fails. */
export interface BatchParams {
  commands: Command[];
  atomic: boolean;
}

/** `applied` commands took effect; `failed` names the one that did not, by its position. */
export interface BatchResult {
  applied: number;
  failed: { index: number; message: string } | null;
}

/** A whole configuration to be reached, as one change; see mod/config/reconcile.ts for what it may leave out. */
export interface ApplyParams {
  /** The configuration file as values. */
  document: unknown;
  /** False: what the document does not name stays. */
  prune: boolean;
  /** Only says what would change. */
  dryRun: boolean;
}

/** VIPs that Kubernetes Services come to; they replace those of the last import, and leave the others alone. */
export interface ImportParams {
  document: { vips: VipDocument[] };
  dryRun: boolean;
}

/** What `apply` changed, or would change. Removed before changed before added. */
export interface ApplyResult {
  /** The generation that has it; of a dry run the present one. */
  generation: number;
  conf: Difference[];
  interfaces: { action: Action; name: string; differences: Difference[] }[];
  vips: VipReport[];
  unchanged: { interfaces: number; vips: number };
  /** Of an import: what was not brought because the configuration has it otherwise. */
  left: Left[];
}

export type Action = "added" | "changed" | "removed";

/** An option by its key in the configuration file. */
export interface Difference {
  name: string;
  before: string | number | boolean | null;
  after: string | number | boolean | null;
}

/** What a change does to one VIP and to those who use it. */
export interface VipReport extends VipKey {
  action: Action;
  /** Options; of an added or removed VIP none are listed. */
  differences: Difference[];
  podsAdded: string[];
  podsRemoved: string[];
  podsChanged: { address: string; before: number; after: number }[];
  /** Slots of the new-connection table that lead to another pod afterwards: the share of new clients that move. */
  slots: { moved: number; total: number };
  /** Live sessions: those that end, those that get another pod, and TCP connections that stay on a removed pod until they end. */
  sessions: { ended: number; moved: number; draining: number };
}

/** No parameters. */
export type NoParams = Record<string, never>;

/** `keep`: what the kernel repeats goes on, until the next daemon takes it over. */
export interface StopParams {
  keep: boolean;
}

/** Every method with what goes in and what comes out. */
export interface Methods {
  conf: { params: ConfParams; result: null };
  interface: { params: InterfaceParams; result: null };
  vip: { params: VipParams; result: null };
  pod: { params: PodParams; result: null };
  setInterface: { params: SetInterfaceParams; result: null };
  flushVip: { params: VipSelector; result: null };
  batch: { params: BatchParams; result: BatchResult };
  apply: { params: ApplyParams; result: ApplyResult };
  import: { params: ImportParams; result: ApplyResult };
  /** The configuration, as `apply` and `ku run --config` take it. */
  getConfig: { params: NoParams; result: ConfigDocument };
  clearNodeCounters: { params: NoParams; result: null };
  /** Ends the daemon; the connection is closed when it is gone. */
  stop: { params: StopParams; result: null };
  /** Between two daemons: what there is, or, with `commit`, all of it (null then). */
  handOver: { params: { format: number; commit: boolean }; result: HandoverOffer | null };
  show: { params: NoParams; result: ShowKu };
  showVip: { params: { verbose: boolean }; result: ShowVip[] | ShowVipVerbose[] };
  showNodeCounters: { params: NoParams; result: ShowNodeCounter[] };
  showSessions: { params: NoParams; result: ShowSession[] };
  traceAdd: { params: { count: number }; result: null };
  traceClear: { params: NoParams; result: null };
  showTrace: { params: NoParams; result: TracedPacket[] };
  captureStart: { params: { vip?: string }; result: { id: number } };
  captureRead: { params: { id: number }; result: CapturePiece };
  captureStop: { params: { id: number }; result: CapturePiece };
  explain: { params: ExplainParams; result: Explanation };
  listSessions: { params: SessionQuery; result: SessionPage };
  showInterface: { params: NoParams; result: ShowInterface[] };
  showOffload: { params: NoParams; result: ShowOffload };
  version: { params: NoParams; result: ShowVersion };
}

export type Method = keyof Methods;

/** A request that asks rather than changes the state, as the command line builds it. */
export type Query = {
  [M in Exclude<Method, Command["method"] | "batch" | "apply" | "import">]: {
    method: M;
    params: Methods[M]["params"];
  };
}[Exclude<Method, Command["method"] | "batch" | "apply" | "import">];
