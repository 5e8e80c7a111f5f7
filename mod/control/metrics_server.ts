/**
 * `ku run --metrics ADDR:PORT`: Prometheus text at `/metrics`, made from what the shows say.
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";
import { checkListenAddress } from "../config/rules.ts";
import { type Family, type Labels, PROMETHEUS_CONTENT_TYPE, prometheusText } from "../metrics/prometheus.ts";
import type { ShowVipVerbose } from "./protocol.ts";
import { showInterfaces, showKu, showNodeCounters, type ShowParts, showVipsVerbose } from "./shows.ts";

/** Serves until `close`. Throws ConfigError when the address cannot be had. */
export function serveMetrics(listen: string, parts: ShowParts): { close(): Promise<void> } {
  const options = { ...checkListenAddress("metrics", listen), onListen: () => {} };
  try {
    const server = Deno.serve(options, (request) => answer(request, parts));
    return { close: () => server.shutdown() };
  } catch (error) {
    throw new ConfigError("metrics", listen, `cannot listen there: ${(error as Error).message}`);
  }
}

function answer(request: Request, parts: ShowParts): Response {
  if (new URL(request.url).pathname !== "/metrics") {
    return new Response("see /metrics\n", { status: 404 });
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("GET only\n", { status: 405 });
  }
  const text = prometheusText(families(parts));
  return new Response(text, { headers: { "content-type": PROMETHEUS_CONTENT_TYPE } });
}

function families(parts: ShowParts): Family[] {
  const ku = showKu(parts);
  const nodes = showNodeCounters(parts);
  return [
    gauge("ku_info", "Version of ku.", [[{ version: ku.version }, 1]]),
    gauge("ku_generation", "Number of the published generation of tables.", [[{}, ku.generation]]),
    gauge("ku_memory_bytes", "Packet memory, tables, sessions and counters.", [[{}, ku.memoryBytes]]),
    gauge(
      "ku_sessions",
      "Live sessions of a worker.",
      ku.workers.map(({ worker, sessions }) => [{ worker }, sessions.used]),
    ),
    gauge(
      "ku_sessions_capacity",
      "Sessions that a worker's tables can hold.",
      ku.workers.map(({ worker, sessions }) => [{ worker }, sessions.capacity]),
    ),
    counter(
      "ku_node_packets_total",
      "Packets by node and reason, as in `ku show node counters`.",
      nodes.map(({ node, reason, count }) => [{ node, reason }, count]),
    ),
    ...interfaceFamilies(parts),
    ...vipFamilies(showVipsVerbose(parts)),
  ];
}

function interfaceFamilies(parts: ShowParts): Family[] {
  const rows = showInterfaces(parts);
  const of = (name: string, help: string, pick: (row: typeof rows[number]) => number) =>
    counter(name, help, rows.map((row) => [{ interface: row.name }, pick(row)]));
  return [
    of("ku_interface_receive_packets_total", "Packets steered to ku.", (row) => row.rxPackets),
    of("ku_interface_receive_bytes_total", "Bytes steered to ku.", (row) => row.rxBytes),
    of("ku_interface_transmit_packets_total", "Packets ku sent.", (row) => row.txPackets),
    of("ku_interface_transmit_bytes_total", "Bytes ku sent.", (row) => row.txBytes),
    of("ku_interface_punt_packets_total", "Packets handed back to the kernel.", (row) => row.punts),
    of("ku_interface_drop_packets_total", "Packets dropped.", (row) => row.drops),
  ];
}

function vipFamilies(vips: readonly ShowVipVerbose[]): Family[] {
  const of = (name: string, help: string, pick: (vip: ShowVipVerbose) => number) =>
    counter(name, help, vips.map((vip) => [vipLabels(vip), pick(vip)]));
  const podsOf = (pick: (pod: ShowVipVerbose["pods"][number]) => number): [Labels, number][] =>
    vips.flatMap((vip) =>
      vip.pods.map((pod): [Labels, number] => [{ ...vipLabels(vip), pod: pod.address }, pick(pod)])
    );
  return [
    of("ku_vip_new_sessions_total", "Packets that started a session.", (vip) => vip.counters.firstPacket),
    of("ku_vip_next_packets_total", "Packets that followed one.", (vip) => vip.counters.nextPacket),
    of("ku_vip_untracked_packets_total", "Forwarded without a session.", (vip) => vip.counters.untracked),
    of("ku_vip_no_server_packets_total", "Packets that found no pod.", (vip) => vip.counters.noServer),
    of("ku_vip_receive_bytes_total", "Bytes from clients.", (vip) => vip.counters.bytes),
    of("ku_vip_reply_packets_total", "Packets of answers.", (vip) => vip.counters.replyPackets),
    of("ku_vip_reply_bytes_total", "Bytes of answers.", (vip) => vip.counters.replyBytes),
    gauge("ku_pod_sessions", "Live sessions of a pod.", podsOf((pod) => pod.sessions)),
    gauge("ku_pod_buckets", "Slots of the new-connection table.", podsOf((pod) => pod.buckets)),
    counter("ku_pod_packets_total", "Packets to a pod.", podsOf((pod) => pod.packets)),
    counter("ku_pod_bytes_total", "Bytes to a pod.", podsOf((pod) => pod.bytes)),
    counter("ku_pod_reply_packets_total", "Packets from a pod.", podsOf((pod) => pod.replyPackets)),
    counter("ku_pod_reply_bytes_total", "Bytes from a pod.", podsOf((pod) => pod.replyBytes)),
  ];
}

function vipLabels({ prefix, protocol, port }: ShowVipVerbose): Labels {
  return { vip: prefix, protocol: protocol ?? "any", port: port ?? "any" };
}

function gauge(name: string, help: string, samples: readonly [Labels, number][]): Family {
  return { name, type: "gauge", help, samples: samples.map(([labels, value]) => ({ labels, value })) };
}

function counter(name: string, help: string, samples: readonly [Labels, number][]): Family {
  return { ...gauge(name, help, samples), type: "counter" };
}
