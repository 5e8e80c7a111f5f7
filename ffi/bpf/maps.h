/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of ku's steering programs: the only contract between this C and
 * mod/xdp/ (steering_maps.ts writes them, byte for byte as laid out here).
 *
 * Addresses are 16 bytes; IPv4 is ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2),
 * so one key and one lookup serve both families. Ports are big-endian, all
 * other numbers host order. Programs only read, but for what they count
 * (ku_flows, ku_flow_notes, ku_flow_misses, ku_link_counts); what workers write for themselves (ku_filter and
 * the maps of flows) they write into mapped memory.
 */
#ifndef KU_MAPS_H
#define KU_MAPS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define KU_QUEUES_PER_SLOT 64 /* RX queues of one interface that can have sockets */
#define KU_RX_SLOTS 1024      /* slots that can have RX sockets (all can transmit) */
#define KU_MAX_LINKS 4096     /* a slot travels in the 12 bits of a VLAN id */
#define KU_MAX_KEYS 262144
#define KU_MAX_LOCALS 4096
#define KU_MAX_LENGTHS 32 /* distinct prefix lengths of one family, hosts apart */
#define KU_PAGE_WORDS 1024      /* words of an element of ku_filter, a power of two */
#define KU_FILTER_PAGES 1024    /* elements with counters, likewise */

/* ku_link.flags and ku_slot.flags */
#define KU_LINK_NAT4_IN 1 /* IPv4 pods answer from here */
#define KU_LINK_NAT6_IN 2
#define KU_LINK_TC 4      /* steered by ku_tc: a reinjected packet needs the mark */
#define KU_LINK_GENERIC 8 /* steered by ku_xdp in skb mode: it needs the source MAC */

/* How sessions are repeated: mod/table/offload_layout.ts has the same numbers. */
#define KU_FLOWS 65536       /* sessions; the loader may ask for another number, up to 2^20 - 1 */
#define KU_FLOW_BUCKETS 32768 /* likewise: a power of two, at least half as many */
#define KU_BUCKET_WORDS 8
#define KU_FLOW_TAG 0xffe00000 /* of a bucket's word and of a hash: what tells the flows of a bucket apart */
#define KU_HASH_KEYS 19
#define KU_HOPS 65536 /* what 16 bits tell apart */

/* ku_hop.flags */
#define KU_HOP_XDP 1 /* the interface sends frames that an XDP program redirects to it */

#define KU_NEAR_LINKS 1024 /* a power of two */

/* ku_flow_misses: why a packet of a service went to the ring */
enum ku_miss {
	MISS_UNKNOWN,  /* no such flow, or none that counts any more */
	MISS_UNUSUAL,  /* fragment, options, extension header, tag, another protocol, malformed */
	MISS_FLAGS,    /* TCP SYN, RST */
	MISS_EXPIRED,
	MISS_TTL,
	MISS_TOO_BIG,
	MISS_NO_WAY,   /* the interface it left by has gone, or this direction had none */
	MISS_CHECKSUM, /* half done, and the kernel does not know */
	KU_MISSES,
	HIT = KU_MISSES,
};

/* ku_conf.flags */
#define KU_CONF_NODE_PORTS 1 /* there are keys with KU_PLEN_NODE_PORT */

/* ku_key.plen */
#define KU_PLEN_HOST 128
#define KU_PLEN_NODE_PORT 255 /* address ::4 or ::6: any IPv4 or IPv6 address in ku_locals */

/* ku_key.protocol, always with port 0 */
#define KU_PROTOCOL_ALL 0    /* a service of every protocol and port */
#define KU_PROTOCOL_ANY 255  /* some service lives at this address: the one lookup
			      * that most packets need, and the answer for packets
			      * without ports (later fragments, echo requests) */

struct ku_key {
	__u32 address[4];
	__u8 plen; /* of `address` in 128 bits: IPv4 /24 is 120 */
	__u8 protocol;
	__be16 port;
};

struct ku_link {
	__u16 slot;
	__u16 flags;
	__u8 mac[6];
	__u16 max_bytes; /* longest frame ku_xdp takes; 0 = any */
};

struct ku_slot {
	__u32 ifindex;
	__u32 flags;
};

struct ku_lengths {
	__u32 count;
	__u8 plen[KU_MAX_LENGTHS]; /* longest first */
};

struct ku_page {
	__u32 words[KU_PAGE_WORDS];
};

struct ku_conf {
	__u32 ku0_ifindex; /* where ku_tc sends ku's packets; 0 = nowhere, take nothing */
	__u32 flags;
};

/*
 * A flow: one direction of a session that the programs repeat. A packet with this tuple leaves with the next one by a
 * hop. All that a packet over IPv4 needs is in the one cache line, and lines of one direction lie together: what many
 * flows cost is the memory looked at (its pages even more than its lines).
 */
struct ku_tuple { /* IPv6: the addresses are in ku_flows6 */
	__be32 source;
	__be32 destination;
	__be32 ports; /* source, destination */
};

struct ku_flow {
	struct ku_tuple tuple;
	__u32 epoch; /* that of ku_flow_conf, or the flow does not count */
	struct ku_tuple next;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u16 hop;   /* of ku_hops; 0: the worker has this direction */
	__u16 address_delta; /* what the addresses' change adds to a checksum's (complemented) sum: RFC 1624 eqn. 3, ~m + m' */
	__u16 ports_delta;   /* 0: the ports stay */
	__u32 last_seen; /* CLOCK_MONOTONIC, coarse, in ticks of 2^KU_TICK_SHIFT ns */
	__u32 timeout;   /* ticks of silence, in both directions, that end it */
	__u32 cpu;       /* KU_FLOW_CPU: the one that counts below, plus 1; 0: none yet. Others count in ku_flow_notes. */
	__u64 packets;   /* after segmentation */
	__u64 bytes;     /* of IP packets, likewise */
};
_Static_assert(sizeof(struct ku_flow) == 64, "mod/table/offload_layout.ts counts on it");

/* ku_flow.cpu */
#define KU_FLOW_CPU 0xffff
#define KU_FLOW_CLOSED 0x10000 /* a FIN has passed */

#define KU_TICK_SHIFT 20
#define KU_TICK_SLACK 2000 /* a time of another CPU may be later than now, and a worker's second is not over yet */

struct ku_addresses {
	__u32 source[4], destination[4];
	__u32 next_source[4], next_destination[4];
};

struct ku_note {
	__u32 user[4]; /* the worker's, see mod/table/offload_layout.ts */
	__u64 packets; /* counted by other CPUs than the flow's */
	__u64 bytes;
};

/* How flows leave: a next hop behind an interface. */
struct ku_hop {
	__u32 slot; /* of ku_ways; 0: by none */
	__u32 flags;
	__u32 mtu; /* bytes of IP packet */
	__u8 macs[12]; /* destination, source */
	__u32 pad[2];
};

/* What was repeated of the packets that came in by an interface, and of those that left by it; bytes of whole frames. */
struct ku_link_count {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
};

struct ku_bucket {
	__u32 words[KU_BUCKET_WORDS]; /* KU_FLOW_TAG of the hash | (2 * session + direction) + 1; 0 = free */
};

struct ku_flow_conf {
	__u32 epoch; /* 0: nothing is repeated. Another number ends all flows at once. */
	__u32 bucket_mask;
	__u32 key[KU_HASH_KEYS]; /* of the hash: mod/table/hash.ts keyedHash4, keyedHash6 */
	__u32 layout;
	__u32 sessions; /* there is room for: the replies' flows follow as many of the originals' */
	__u32 pad[9];
};

/* key slot * KU_QUEUES_PER_SLOT + RX queue. The kernel empties an entry when its
 * socket closes, however the process ends: an entry means a living daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, KU_RX_SLOTS * KU_QUEUES_PER_SLOT);
	__type(key, __u32);
	__type(value, __u32);
} ku_xsks SEC(".maps");

struct { /* attached interfaces by ifindex */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KU_MAX_LINKS);
	__type(key, __u32);
	__type(value, struct ku_link);
} ku_links SEC(".maps");

/* The same for interfaces that come first with the low bits of their index, without a hash. */
struct ku_near_link {
	__u32 ifindex; /* 0 = none */
	struct ku_link link;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KU_NEAR_LINKS);
	__type(key, __u32);
	__type(value, struct ku_near_link);
} ku_near_links SEC(".maps");

struct { /* by slot */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KU_MAX_LINKS);
	__type(key, __u32);
	__type(value, struct ku_slot);
} ku_slots SEC(".maps");

struct { /* VIPs and node ports */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KU_MAX_KEYS);
	__type(key, struct ku_key);
	__type(value, __u32);
} ku_match SEC(".maps");

struct { /* pods by address, protocol and target port */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KU_MAX_KEYS);
	__type(key, struct ku_key);
	__type(value, __u32);
} ku_pods SEC(".maps");

struct { /* [0] IPv4, [1] IPv6: the lengths that occur in ku_match, hosts apart */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct ku_lengths);
} ku_lens SEC(".maps");

struct { /* the node's own addresses: node ports are served on these */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, KU_MAX_LOCALS);
	__uint(key_size, 16);
	__uint(value_size, 4);
} ku_locals SEC(".maps");

/*
 * Which answers of pods are awaited: element 0 begins with the key of the hash (match.h), the others hold 2^20
 * counters of sessions by the hash of their reply tuple. One piece of memory to those that map it, laid out in
 * mod/table/filter.ts. Pages, because Linux 5.15 allows a value of 4 MiB at most and would give each of 2^20
 * elements eight bytes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 + KU_FILTER_PAGES);
	__type(key, __u32);
	__type(value, struct ku_page);
} ku_filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ku_conf);
} ku_conf SEC(".maps");

/* The sessions repeated, written by the workers as typed arrays: no system call to begin, follow or end one. Of each of
 * the three, the originals' (direction 0, the client's packets) by session, then the replies' (1, the pod's). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * KU_FLOWS);
	__type(key, __u32);
	__type(value, struct ku_flow);
} ku_flows SEC(".maps");

struct { /* IPv6 */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * KU_FLOWS);
	__type(key, __u32);
	__type(value, struct ku_addresses);
} ku_flows6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * KU_FLOWS);
	__type(key, __u32);
	__type(value, struct ku_note);
} ku_flow_notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KU_HOPS);
	__type(key, __u32);
	__type(value, struct ku_hop);
} ku_hops SEC(".maps");

struct { /* where a tuple's flow is: bucket by the hash's low bits */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KU_FLOW_BUCKETS);
	__type(key, __u32);
	__type(value, struct ku_bucket);
} ku_flow_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ku_flow_conf);
} ku_flow_conf SEC(".maps");

/* Interfaces that flows leave by, by slot. The kernel empties an entry when its interface goes
 * (kernel/bpf/devmap.c dev_map_notification): another one of the same index gets nothing. Two,
 * because a map of this kind belongs to one type of programs (kernel/bpf/core.c bpf_prog_map_compatible). */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, KU_MAX_LINKS);
	__type(key, __u32);
	__type(value, __u32);
} ku_ways SEC(".maps"), ku_ways_tc SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KU_MISSES);
	__type(key, __u32);
	__type(value, __u64);
} ku_flow_misses SEC(".maps");

struct { /* by slot */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KU_MAX_LINKS);
	__type(key, __u32);
	__type(value, struct ku_link_count);
} ku_link_counts SEC(".maps");

#endif
