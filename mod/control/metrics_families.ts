/**
 * What ku measures, as metric families. docs/metrics.md lists them for people, examples/grafana/ku.json draws them; tests hold both to
 * the names that are here.
 *
 * @module
 */

import type { Family, Labels } from "../metrics/prometheus.ts";
import { NODE_COUNTERS } from "../metrics/counters.ts";
import type { Offloaded, WorkerReport } from "../worker/messages.ts";
import { processFamilies } from "./metrics_process.ts";
import type { ShowInterface, ShowPod, ShowVipVerbose } from "./protocol.ts";
import {
  sessionLoads,
  showInterfaces,
  showKu,
  showNodeCounters,
  type ShowParts,
  showVipsVerbose,
} from "./shows.ts";

type Row = readonly [labels: Labels, value: number];
type Unit = Family["unit"];

/** Everything, in one look. */
export async function metricFamilies(parts: ShowParts): Promise<Family[]> {
  const interfaces = showInterfaces(parts);
  const reports = await Promise.all(
    parts.workers.map((worker) => worker.request<WorkerReport>({ kind: "report" })),
  );
  return [
    ...nodeFamilies(parts),
    ...workerFamilies(parts, reports, interfaces),
    ...offloadFamilies(parts, reports),
    ...interfaceFamilies(interfaces),
    ...vipFamilies(showVipsVerbose(parts)),
    ...processFamilies(),
  ];
}

function nodeFamilies(parts: ShowParts): Family[] {
  const ku = showKu(parts);
  const counters = showNodeCounters(parts);
  const of = (kind: string): Row[] =>
    counters.flatMap(({ node, reason, count }, index): Row[] =>
      NODE_COUNTERS[index].kind === kind ? [[{ node, reason }, count]] : []
    );
  return [
    {
      name: "ku_build",
      type: "info",
      help: "Version of ku.",
      samples: [{ labels: { version: ku.version }, value: 1 }],
    },
    gauge("ku_generation", "Number of the published generation of tables.", [[{}, ku.generation]]),
    gauge("ku_vips", "VIPs.", [[{}, ku.vips]]),
    gauge("ku_pods", "Pods of all VIPs.", [[{}, ku.pods]]),
    gauge(
      "ku_memory_bytes",
      "Packet memory, tables, sessions and counters.",
      [[{}, ku.memoryBytes]],
      "bytes",
    ),
    counter("ku_drop_packets", "Packets dropped, by reason.", of("drop"), "packets"),
    counter("ku_punt_packets", "Packets given to the kernel, by reason.", of("punt"), "packets"),
    counter("ku_events", "What else happened to packets, by reason.", of("event")),
  ];
}

function workerFamilies(
  parts: ShowParts,
  reports: readonly WorkerReport[],
  interfaces: readonly ShowInterface[],
): Family[] {
  const loads = sessionLoads(parts);
  const names = new Map(interfaces.map(({ slot, name }) => [slot, name]));
  const ports = reports.flatMap(({ ports }, worker) =>
    ports.map((port) => ({
      ...port,
      labels: { worker, interface: names.get(port.slot) ?? "ku1", queue: port.queue },
    }))
  );
  const received = ports.filter(({ receive }) => receive);
  const perWorker = (pick: (report: WorkerReport) => number): Row[] =>
    reports.map((report, worker) => [{ worker }, pick(report)]);
  return [
    gauge(
      "ku_sessions",
      "Live sessions.",
      loads.map(({ worker, family, used }) => [{ worker, family }, used]),
    ),
    gauge(
      "ku_session_capacity",
      "Sessions that the tables can hold.",
      loads.map(({ worker, family, capacity }) => [{ worker, family }, capacity]),
    ),
    gauge("ku_umem_frames", "Frames of packet memory.", perWorker(({ frames }) => frames)),
    gauge("ku_umem_free_frames", "Frames in no ring.", perWorker(({ freeFrames }) => freeFrames)),
    gauge(
      "ku_ring_outstanding_frames",
      "Frames handed to the kernel to send and not given back yet.",
      ports.map(({ labels, outstanding }) => [labels, outstanding]),
    ),
    counter(
      "ku_ring_invalid_packets",
      "Packets the kernel could not put into a frame.",
      received.map(({ labels, rxDropped }) => [labels, rxDropped]),
      "packets",
    ),
    counter(
      "ku_ring_full_packets",
      "Packets the kernel dropped because the receive ring was full.",
      received.map(({ labels, rxRingFull }) => [labels, rxRingFull]),
      "packets",
    ),
    counter(
      "ku_ring_fill_empty",
      "Times the kernel found no frame to receive into.",
      received.map(({ labels, fillRingEmpty }) => [labels, fillRingEmpty]),
    ),
  ];
}

/** What the kernel repeats of established sessions. */
function offloadFamilies({ offload }: ShowParts, reports: readonly WorkerReport[]): Family[] {
  const rows = (pick: (of: Offloaded) => number): Row[] =>
    reports.map((report, worker) => [{ worker }, pick(report.offload)]);
  const { misses, capacity } = offload;
  return [
    gauge("ku_offload_sessions", "Sessions that the kernel repeats.", rows(({ used }) => used)),
    gauge("ku_offload_capacity", "Sessions that it may repeat.", [[{}, capacity]]),
    counter("ku_offload_installs", "Sessions given to the kernel.", rows(({ begun }) => begun)),
    counter("ku_offload_refused", "Sessions for which there was no room.", rows(({ refused }) => refused)),
    counter(
      "ku_offload_packets",
      "Packets repeated by the kernel.",
      rows(({ packets }) => packets),
      "packets",
    ),
    counter(
      "ku_offload_bytes",
      "Bytes of IP packets repeated by the kernel.",
      rows(({ bytes }) => bytes),
      "bytes",
    ),
    counter(
      "ku_offload_miss_packets",
      "Packets of services left to the rings, by reason.",
      Object.entries(misses).map(([reason, count]) => [{ reason }, count]),
      "packets",
    ),
  ];
}

function interfaceFamilies(interfaces: readonly ShowInterface[]): Family[] {
  const rows = (pick: (row: ShowInterface) => number): Row[] =>
    interfaces.map((row) => [{ interface: row.name }, pick(row)]);
  const of = (name: string, help: string, pick: (row: ShowInterface) => number, unit: Unit = "packets") =>
    counter(`ku_interface_${name}`, help, rows(pick), unit);
  return [
    gauge("ku_interface_up", "1: attached and up.", rows((row) => row.up && row.activeMode !== null ? 1 : 0)),
    of("receive_packets", "Packets steered to ku.", (row) => row.rxPackets),
    of("receive_bytes", "Bytes of frames steered to ku.", (row) => row.rxBytes, "bytes"),
    of("transmit_packets", "Packets ku sent.", (row) => row.txPackets),
    of("transmit_bytes", "Bytes of frames ku sent.", (row) => row.txBytes, "bytes"),
    of(
      "kernel_receive_packets",
      "Packets received that the kernel repeated.",
      ({ kernel }) => kernel.rxPackets,
    ),
    of("kernel_receive_bytes", "Bytes of their frames.", ({ kernel }) => kernel.rxBytes, "bytes"),
    of("kernel_transmit_packets", "Packets sent that the kernel repeated.", ({ kernel }) => kernel.txPackets),
    of("kernel_transmit_bytes", "Bytes of their frames.", ({ kernel }) => kernel.txBytes, "bytes"),
    of("punt_packets", "Packets that came in here and went to the kernel.", (row) => row.punts),
    of("drop_packets", "Packets that came in here and were dropped.", (row) => row.drops),
  ];
}

function vipFamilies(vips: readonly ShowVipVerbose[]): Family[] {
  const vip = (pick: (vip: ShowVipVerbose) => number): Row[] =>
    vips.map((one) => [vipLabels(one), pick(one)]);
  const pod = (pick: (pod: ShowPod) => number): Row[] =>
    vips.flatMap((one) =>
      one.pods.map((each): Row => [{ ...vipLabels(one), pod: each.address }, pick(each)])
    );
  const received = ({ counters: { firstPacket, nextPacket, untracked, noServer } }: ShowVipVerbose) =>
    firstPacket + nextPacket + untracked + noServer;
  const sessions = ({ pods }: ShowVipVerbose) => pods.reduce((sum, each) => sum + each.sessions, 0);
  return [
    gauge("ku_vip_sessions", "Live sessions of a VIP.", vip(sessions)),
    counter("ku_vip_new_sessions", "Sessions started.", vip((one) => one.counters.firstPacket)),
    counter("ku_vip_receive_packets", "Packets from clients.", vip(received), "packets"),
    counter(
      "ku_vip_receive_bytes",
      "Bytes of IP packets from clients.",
      vip((one) => one.counters.bytes),
      "bytes",
    ),
    counter(
      "ku_vip_reply_packets",
      "Packets of answers.",
      vip((one) => one.counters.replyPackets),
      "packets",
    ),
    counter(
      "ku_vip_reply_bytes",
      "Bytes of IP packets of answers.",
      vip((one) => one.counters.replyBytes),
      "bytes",
    ),
    counter(
      "ku_vip_untracked_packets",
      "Forwarded without a session.",
      vip((one) => one.counters.untracked),
      "packets",
    ),
    counter(
      "ku_vip_no_server_packets",
      "Packets that found no pod.",
      vip((one) => one.counters.noServer),
      "packets",
    ),
    gauge("ku_pod_sessions", "Live sessions of a pod.", pod((one) => one.sessions)),
    gauge(
      "ku_pod_weight",
      "Weight of a pod; 0: draining.",
      pod((one) => one.state === "removed" ? 0 : one.weight),
    ),
    gauge("ku_pod_slots", "Slots of the new-connection table.", pod((one) => one.buckets)),
    counter("ku_pod_new_sessions", "Sessions started.", pod((one) => one.newSessions)),
    counter("ku_pod_receive_packets", "Packets from clients to a pod.", pod((one) => one.packets), "packets"),
    counter("ku_pod_receive_bytes", "Bytes of IP packets to a pod.", pod((one) => one.bytes), "bytes"),
    counter("ku_pod_reply_packets", "Packets from a pod.", pod((one) => one.replyPackets), "packets"),
    counter("ku_pod_reply_bytes", "Bytes of IP packets from a pod.", pod((one) => one.replyBytes), "bytes"),
  ];
}

function vipLabels({ prefix, protocol, port }: ShowVipVerbose): Labels {
  return { vip: prefix, protocol: protocol ?? "any", port: port ?? "any" };
}

export function gauge(name: string, help: string, rows: readonly Row[], unit?: Unit): Family {
  return { name, type: "gauge", unit, help, samples: rows.map(([labels, value]) => ({ labels, value })) };
}

export function counter(name: string, help: string, rows: readonly Row[], unit?: Unit): Family {
  return { ...gauge(name, help, rows, unit), type: "counter" };
}
