/**
 * How sessions lie in the memory that the steering programs repeat them from (ffi/bpf/maps.h ku_flows, ku_flow_index, ku_flow_conf),
 * as int32 words.
 *
 *   conf      epoch (0: nothing is repeated), bucket mask, key of the hash
 *   index     buckets of 8 words: tag, the hash's top 11 bits | (2 * flow + direction) + 1; 0 = free
 *   flows     64 words each:
 *
 *        0        EPOCH       that of conf, or the flow does not count
 *        1        KIND        protocol | family (4 or 6) << 8
 *        2, 3     LAST_SEEN   ns of CLOCK_MONOTONIC, the programs write it
 *        4, 5     TIMEOUT     ns of silence that end it
 *        6 … 11   TUPLES      by direction: source, destination, ports (IPv6: ports only)
 *        12 … 15  USER        service, pod, worker
 *        16, 32   WAYS        by direction, 16 words: packets, bytes (u64, the programs count), slot, flags, MTU, checksum
 *                             differences, MACs
 *        48 … 63  ADDRESSES6  by direction: source, destination
 *
 * Direction 0 is the client's packets, 1 the pod's. What came from a packet stands in network order.
 */

export const OFFLOAD_CONF_EPOCH = 0;
export const OFFLOAD_CONF_MASK = 1;
export const OFFLOAD_CONF_KEY = 2;
/** What an earlier ku's memory is known by: mod/xdp/former_maps.ts LAYOUT_WORD, LAYOUT_VERSION. */
export const OFFLOAD_CONF_LAYOUT = 21;
export const OFFLOAD_LAYOUT = 2;
export const OFFLOAD_CONF_WORDS = 32;

export const OFFLOAD_BUCKET_WORDS = 8;
/** Of a bucket's word and of a hash. */
export const OFFLOAD_TAG = 0xffe00000 | 0;
/** Sessions there can be: what is left of a word tells them apart. */
export const OFFLOAD_MAX_SESSIONS = (1 << 20) - 1;

export const FLOW_EPOCH = 0;
export const FLOW_KIND = 1;
export const FLOW_LAST_SEEN = 2;
export const FLOW_TIMEOUT = 4;
export const FLOW_TUPLES = 6;
export const FLOW_TUPLE_WORDS = 3;
export const FLOW_SERVICE = 12;
export const FLOW_POD = 13;
export const FLOW_WORKER = 14;
export const FLOW_WAYS = 16;
export const FLOW_ADDRESSES6 = 48;
export const FLOW_WORDS = 64;

export const WAY_PACKETS = 0;
export const WAY_BYTES = 2;
export const WAY_SLOT = 4;
export const WAY_FLAGS = 5;
export const WAY_MTU = 6;
export const WAY_DELTAS = 7;
export const WAY_MACS = 8; // three words
export const WAY_WORDS = 16;

/** WAY_FLAGS: the interface takes frames that an XDP program redirects to it. */
export const WAY_XDP = 1;

/** Buckets for `sessions`: with two entries a session, a bucket of eight is a quarter full when all are in use. */
export function offloadBucketsFor(sessions: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(sessions, 1)));
}

/** The two bytes of a half word in the other order. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** The four bytes of a word in the other order: from the datapath's numbers to network order on a little-endian machine. */
export function swap32(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
