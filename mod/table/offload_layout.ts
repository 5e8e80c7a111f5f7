/**
 * How sessions lie in the memory that the steering programs repeat them from (ffi/bpf/maps.h: ku_flow_conf, ku_flow_index and so on), as
 * int32 words.
 *
 *   conf       epoch (0: nothing is repeated), bucket mask, key of the hash, number of this layout, sessions there is room for
 *   index      buckets of 8 words: tag, the hash's top 11 bits | (2 * session + direction) + 1; 0 = free
 *   hops       8 words each: slot, flags, MTU, MACs; the first is none
 *   flows      a flow is one direction of a session, 16 words. Direction 0 is the client's packets, 1 the pod's; the originals by session,
 *              then the replies:
 *
 *        0 … 2    TUPLE       source, destination, ports (IPv6: ports only)
 *        3        EPOCH       that of conf, or the flow does not count
 *        4 … 6    NEXT        the tuple that its packets leave with
 *        7        KIND        protocol | family (4 or 6) << 8 | hop << 16
 *        8        DELTAS      checksum differences: of the addresses | of the ports << 16
 *        9        LAST_SEEN   ticks of CLOCK_MONOTONIC, modulo 2^32; the programs write it
 *        10       TIMEOUT     ticks of silence that end it
 *        11       CPU         the one whose count follows | whether a FIN has passed; the programs write it
 *        12, 14   PACKETS, BYTES   u64
 *
 *   addresses  of the same flows, for IPv6, 16 words: source, destination, next source, next destination
 *   notes      of the same flows, 8 words: service, pod, worker, notes of a connection's state (of the original only); packets and bytes that other CPUs have counted
 *
 * What came from a packet stands in network order.
 */

export const OFFLOAD_CONF_EPOCH = 0;
export const OFFLOAD_CONF_MASK = 1;
export const OFFLOAD_CONF_KEY = 2;
/** What an earlier ku's memory is known by: mod/xdp/former_maps.ts LAYOUT_WORD, LAYOUT_VERSION. */
export const OFFLOAD_CONF_LAYOUT = 21;
export const OFFLOAD_LAYOUT = 3;
export const OFFLOAD_CONF_SESSIONS = 22;
export const OFFLOAD_CONF_WORDS = 32;

export const OFFLOAD_BUCKET_WORDS = 8;
/** Of a bucket's word and of a hash. */
export const OFFLOAD_TAG = 0xffe00000 | 0;
/** Sessions there can be: what is left of a word tells them apart. */
export const OFFLOAD_MAX_SESSIONS = (1 << 20) - 1;

export const FLOW_TUPLE = 0;
export const FLOW_EPOCH = 3;
export const FLOW_NEXT = 4;
export const FLOW_KIND = 7;
export const FLOW_DELTAS = 8;
export const FLOW_LAST_SEEN = 9;
export const FLOW_TIMEOUT = 10;
export const FLOW_CPU = 11;
export const FLOW_PACKETS = 12;
export const FLOW_BYTES = 14;
export const FLOW_WORDS = 16;

/** Of FLOW_CPU: a FIN has passed. */
export const CPU_CLOSED = 0x10000;

/** Of FLOW_KIND. */
export const KIND_HOP_SHIFT = 16;

export const ADDRESSES_TUPLE = 0;
export const ADDRESSES_NEXT = 8;
export const ADDRESSES_WORDS = 16;

export const NOTE_SERVICE = 0;
export const NOTE_POD = 1;
export const NOTE_WORKER = 2;
export const NOTE_TCP = 3;
export const NOTE_PACKETS = 4;
export const NOTE_BYTES = 6;
export const NOTE_WORDS = 8;

export const HOP_SLOT = 0;
export const HOP_FLAGS = 1;
export const HOP_MTU = 2;
export const HOP_MACS = 3; // three words
export const HOP_WORDS = 8;
/** Rows of hops. */
export const OFFLOAD_HOPS = 1 << 16;

/** HOP_FLAGS: the interface takes frames that an XDP program redirects to it. */
export const HOP_XDP = 1;

/** A tick: about a millisecond. */
export const TICK_NS = 2 ** 20;

/**
 * Buckets for `sessions`, a power of two: with two entries a session, one of eight is at most half full when all are in use. More would find
 * room for the last hundredth of them, but what a packet's bucket costs is above all the number of pages they are spread over.
 */
export function offloadBucketsFor(sessions: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(sessions)) - 1);
}

/** The two bytes of a half word in the other order. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** The four bytes of a word in the other order: from the datapath's numbers to network order on a little-endian machine. */
export function swap32(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
