/**
 * The text of every `ku show`, in VPP's look (`show lb`, `show lb vips verbose`, `show errors`).
 *
 * Rule: pure, values in, text out; everything that `--json` has and people need is here, in the same order each time.
 *
 * Reference: VPP src/plugins/lb/lb.c format_lb_main(), format_lb_vip_detailed(); src/vlib/error.c.
 */

import type {
  OffloadMisses,
  ShowInterface,
  ShowKu,
  ShowNodeCounter,
  ShowOffload,
  ShowPod,
  ShowSession,
  ShowVip,
  ShowVipVerbose,
  TracedPacket,
} from "../mod/control/protocol.ts";
import { type Column, table } from "./table.ts";

/** `ku show`. */
export function formatKu(ku: ShowKu): string {
  const { conf } = ku;
  const lines = [
    `ku ${ku.version} pid ${ku.pid} up ${formatDuration(ku.uptimeSeconds)} generation ${ku.generation}`,
    ` ip4-src-address: ${conf.ip4SrcAddress ?? "none"}`,
    ` ip6-src-address: ${conf.ip6SrcAddress ?? "none"}`,
    ` nat46-prefix: ${conf.nat46Prefix}`,
    ` buckets: ${conf.buckets}`,
    ` timeout: ${conf.timeout}s`,
    ` tcp-timeout: ${conf.tcpTimeout}s`,
    ` offload: ${conf.offload ? "on" : "off"}, ${conf.offloadSessions} sessions`,
    ` memory: ${formatBytes(ku.memoryBytes)}`,
    ` #interfaces: ${ku.interfaces}`,
    ` #vips: ${ku.vips}`,
    ` #pods: ${ku.pods}`,
  ];
  for (const worker of ku.workers) {
    const { used, capacity } = worker.sessions;
    lines.push(
      `worker ${worker.worker}`,
      `  timeout: ${worker.timeoutSeconds}s`,
      `  usage: ${used} / ${capacity}`,
    );
  }
  return lines.join("\n") + "\n";
}

/** `ku show vip`: a line each. */
export function formatVips(vips: readonly ShowVip[]): string {
  return vips.map((vip, index) => `${vipLine(vip, index)} new_size:${vip.newLen} #pod:${vip.podCount}\n`)
    .join("");
}

/** `ku show vip verbose`: a paragraph each. */
export function formatVipsVerbose(vips: readonly ShowVipVerbose[]): string {
  return vips.map((vip, index) =>
    [
      vipLine(vip, index),
      `  new_size:${vip.newLen}`,
      "  counters:",
      `    packet from existing sessions: ${vip.counters.nextPacket}`,
      `    first session packet: ${vip.counters.firstPacket}`,
      `    untracked packet: ${vip.counters.untracked}`,
      `    no server configured: ${vip.counters.noServer}`,
      `    reply packet: ${vip.counters.replyPackets}`,
      `  #pod:${vip.podCount}`,
      ...podLines(vip.pods),
    ].join("\n") + "\n"
  ).join("\n");
}

/** " ip4-nat44 [0] 10.0.0.1/32 protocol:tcp port:80 target_port:8080". */
function vipLine(vip: ShowVip, index: number): string {
  // The first digit of the type is the family of the VIP: VPP's "ip4-nat46".
  const words = [`ip${vip.type[3]}-${vip.type}`, `[${index}]`, vip.prefix];
  if (vip.port !== null) {
    words.push(`protocol:${vip.protocol ?? "any"}`, `port:${vip.port}`, `target_port:${vip.targetPort}`);
  }
  if (vip.nodePort !== null) words.push(`node_port:${vip.nodePort}`);
  if (vip.srcIpSticky) {
    words.push(`src_ip_sticky${vip.stickyTimeout === null ? "" : `:${vip.stickyTimeout}`}`);
  }
  if (vip.masquerade) words.push("masquerade");
  for (const source of vip.sources) words.push(`source:${source}`);
  if (vip.service !== null) words.push(`service:${vip.service}`);
  return " " + words.join(" ");
}

/** Pods with their numbers under each other. */
function podLines(pods: readonly ShowPod[]): string[] {
  const cells = pods.map((
    pod,
  ) => [pod.address, String(pod.buckets), String(pod.sessions), String(pod.weight)]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(0, ...cells.map((row) => row[column].length)));
  return cells.map(([address, buckets, sessions, weight], index) =>
    `    ${address.padEnd(widths[0])} ${buckets.padStart(widths[1])} buckets ${
      sessions.padStart(widths[2])
    } sessions` +
    `  weight:${weight.padEnd(widths[3])} ${pods[index].state}`
  );
}

/** `ku show node counters`; those that never counted only when `verbose`. */
export function formatNodeCounters(counters: readonly ShowNodeCounter[], verbose: boolean): string {
  return table(
    [{ title: "     Count", right: true }, { title: "Node" }, { title: "Reason" }],
    counters.filter((counter) => verbose || counter.count !== 0)
      .map((counter) => [String(counter.count), counter.node, counter.reason]),
  );
}

export const SESSION_COLUMNS: readonly Column[] = [
  { title: "Worker", right: true },
  { title: "Protocol" },
  { title: "Client" },
  { title: "VIP" },
  { title: "Pod" },
  { title: "State" },
  { title: "Idle", right: true },
  { title: "Runs in" },
];

/** A session's cells under SESSION_COLUMNS. */
export function sessionCells(
  { worker, protocol, client, vip, pod, state, idleSeconds, kernel }: ShowSession,
): string[] {
  const runsIn = kernel === null ? "worker" : "kernel";
  return [String(worker), protocol, client, vip, pod, state, `${idleSeconds}s`, runsIn];
}

/** `ku show sessions`. */
export function formatSessions(sessions: readonly ShowSession[]): string {
  return table(SESSION_COLUMNS, sessions.map(sessionCells));
}

/** "4", or "64 of 128" when packets come by queues that have no socket of ku's. In mode tc they come by ku1. */
function queuesText({ queues, activeMode, rxQueues }: ShowInterface): string {
  return activeMode === "tc" || queues === rxQueues ? String(queues) : `${queues} of ${rxQueues}`;
}

/** What a packet was left to the rings for, in words. */
const MISS_WORDS: Readonly<Record<keyof OffloadMisses, string>> = {
  unknown: "of no session that the kernel repeats",
  unusual: "fragment, options, another protocol",
  flags: "TCP SYN or RST",
  expired: "session silent too long",
  ttl: "TTL at its end",
  tooBig: "above the MTU",
  noWay: "interface gone",
  checksum: "checksum half done",
};

/** `ku show offload`. */
export function formatOffload(offload: ShowOffload): string {
  const reasons = Object.keys(MISS_WORDS) as (keyof OffloadMisses)[];
  return [
    `offload ${offload.enabled ? "on" : "off"}`,
    ` sessions: ${offload.used} / ${offload.capacity}`,
    ` installs: ${offload.installs}, ${offload.installsPerSecond} a second, ${offload.refused} refused`,
    ` repeated: ${offload.hits} packets, ${formatBytes(offload.hitBytes)}`,
    ` left to the rings:`,
    ...reasons.map((reason) => `${String(offload.misses[reason]).padStart(12)}  ${MISS_WORDS[reason]}`),
  ].join("\n") + "\n";
}

/** `ku show interface`. */
export function formatInterfaces(interfaces: readonly ShowInterface[]): string {
  return table(
    [
      { title: "Name" },
      { title: "State" },
      { title: "Mode" },
      { title: "Nat" },
      { title: "MTU", right: true },
      { title: "Queues", right: true },
      { title: "Workers" },
      { title: "Rx packets", right: true },
      { title: "Tx packets", right: true },
      { title: "Kernel rx", right: true },
      { title: "Kernel tx", right: true },
      { title: "Punts", right: true },
      { title: "Drops", right: true },
      { title: "Why" },
    ],
    interfaces.map((link) => [
      link.name,
      link.up ? "up" : "down",
      `${link.activeMode ?? "-"} (${link.mode})`,
      [link.nat4 && "nat4 in", link.nat6 && "nat6 in"].filter(Boolean).join(", ") || "-",
      String(link.mtuBytes ?? "-"),
      queuesText(link),
      link.queueWorkers.join(",") || "-",
      String(link.rxPackets),
      String(link.txPackets),
      String(link.kernel.rxPackets),
      String(link.kernel.txPackets),
      String(link.punts),
      String(link.drops),
      link.reason,
    ]),
  );
}

/** `ku show trace`: VPP's look, a paragraph a packet. */
export function formatTrace(packets: readonly TracedPacket[]): string {
  return packets.map((
    { number, time, worker, interface: name, before, nodes, after, outInterface, verdict },
  ) =>
    [
      `Packet ${number}`,
      "",
      `${time}: ${name}, worker ${worker}`,
      `  in   ${before}`,
      ...nodes.map(({ node, reason }) => `  ${node}: ${reason}`),
      ...after === null ? [] : [`  out  ${after}`],
      outInterface === null ? verdict : `${verdict} by ${outInterface}`,
    ].join("\n") + "\n"
  ).join("\n");
}

/** "3d2h", "4m12s", "7s": the two largest units. */
export function formatDuration(seconds: number): string {
  const units: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = Math.max(units.findIndex(([, size]) => seconds >= size), 0);
  if (seconds < 1) return "0s";
  let rest = Math.floor(seconds);
  return units.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count}${unit}`;
  }).join("");
}

/** "512 B", "24.5 MiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  let value = bytes;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index++;
  }
  return `${index === 0 ? value : value.toFixed(1)} ${units[index]}`;
}
