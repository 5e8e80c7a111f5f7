/**
 * Sessions again from what the kernel has gone on to repeat after an earlier ku died: each flow that the configuration still agrees with
 * becomes a session of this worker; the others end.
 *
 * Rule: before the first packet. What a flow leads to is found from its tuples alone, by the tables of the running generation: the ids in
 * the memory are the earlier process's.
 *
 * @module
 */

import { POD_ADDRESS, POD_FLAGS, POD_SERVICE, POD_STRIDE } from "../table/pod.ts";
import {
  SESSION_LAST_SEEN,
  SESSION_NOTE,
  SESSION_OFFLOAD,
  SESSION_POD,
  SESSION_SERVICE,
} from "../table/session.ts";
import { IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../wire/protocol.ts";
import { type Context, FRAGMENT_NONE, TRANSPORT_SCTP, TRANSPORT_TCP, TRANSPORT_UDP } from "./context.ts";
import { matchService4, matchService6 } from "./match_service.ts";
import { reviseFlows } from "./offload.ts";
import { SESSION_STAMP_SHIFT } from "./session_hit.ts";
import { tcpState } from "./tcp_state.ts";

/** What flows had carried when an earlier ku handed their sessions over, by their number among those of all workers. */
export type HandedFlows = ReadonlyMap<number, Float64Array>;

/** See Processor.adoptOffload. */
export function adoptFlows(c: Context, handed: HandedFlows): number {
  const { offload } = c;
  if (offload === null) return 0;
  offload.adopt((flow, protocol, isWide, original, reply) => {
    const told = handed.get(offload.first + flow);
    const known = told === undefined ? -1 : handedSession(c, protocol, isWide, original, reply);
    if (known >= 0) {
      const { words } = isWide ? c.sessions6 : c.sessions4;
      words[known + SESSION_LAST_SEEN] = Math.min(
        Math.max(offload.lastSeen(flow), words[known + SESSION_LAST_SEEN]),
        c.now,
      );
      words[known + SESSION_OFFLOAD] = flow + 1;
      return { entry: known, service: words[known + SESSION_SERVICE], pod: words[known + SESSION_POD], told };
    }
    const service = serviceOf(c, protocol, isWide, original);
    const pod = service < 0 ? -1 : podOf(c, service, isWide, reply);
    if (pod < 0) return null;
    const table = isWide ? c.sessions6 : c.sessions4;
    table.key.set(original.subarray(0, table.key.length));
    table.replyKey.set(reply.subarray(0, table.replyKey.length));
    const entry = table.insert(protocol, c.now);
    if (entry < 0) return null;
    const { words } = table;
    const notes = protocol === IP_PROTOCOL_TCP ? offload.notes(flow) : 0;
    words[entry + SESSION_SERVICE] = service;
    words[entry + SESSION_POD] = pod;
    words[entry + SESSION_NOTE] = (c.stamp << SESSION_STAMP_SHIFT) | notes;
    if (protocol === IP_PROTOCOL_TCP) table.setState(entry, tcpState(notes));
    words[entry + SESSION_LAST_SEEN] = Math.min(offload.lastSeen(flow), c.now);
    words[entry + SESSION_OFFLOAD] = flow + 1;
    return { entry, service, pod, told };
  });
  reviseFlows(c);
  return offload.used;
}

/** The session of the flow, if it has come another way; -1. */
function handedSession(
  c: Context,
  protocol: number,
  isWide: boolean,
  original: Int32Array,
  reply: Int32Array,
): number {
  const table = isWide ? c.sessions6 : c.sessions4;
  table.key.set(original.subarray(0, table.key.length));
  const entry = table.findOriginal(protocol, c.now);
  if (entry < 0) return -1;
  for (let i = 0; i < table.replyKey.length; i++) {
    if (table.words[entry + table.replyAt + i] !== reply[i]) return -1;
  }
  return entry;
}

/** The service that the client's tuple leads to; negative: none any more. */
function serviceOf(c: Context, protocol: number, isWide: boolean, original: Int32Array): number {
  c.protocol = protocol;
  c.transport = protocol === IP_PROTOCOL_TCP
    ? TRANSPORT_TCP
    : protocol === IP_PROTOCOL_UDP
    ? TRANSPORT_UDP
    : TRANSPORT_SCTP;
  c.fragment = FRAGMENT_NONE;
  c.ports = original[isWide ? 8 : 2];
  return isWide ? matchService6(c, original) : matchService4(c, original[1]);
}

/** The service's pod that answers; -1: it has no such pod any more. */
function podOf(c: Context, service: number, isWide: boolean, reply: Int32Array): number {
  const address = isWide ? [...reply.subarray(0, 4)] : [0, 0, 0xffff, reply[0]];
  for (let pod = 0, row = 0; row < c.pods.length; pod++, row += POD_STRIDE) {
    if (c.pods[row + POD_FLAGS] === 0 || c.pods[row + POD_SERVICE] !== service) continue;
    if (address.every((word, i) => c.pods[row + POD_ADDRESS + i] === word)) return pod;
  }
  return -1;
}
