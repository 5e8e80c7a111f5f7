/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of ku's steering programs: the only contract between this C and
 * mod/xdp/ (steering_maps.ts writes them, byte for byte as laid out here).
 *
 * Addresses are 16 bytes; IPv4 is ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2),
 * so one key and one lookup serve both families. Ports are big-endian, all
 * other numbers host order. Programs only read; user space only writes, and
 * what workers write for themselves (ku_filter) they write into mapped memory.
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

struct { /* the same by slot */
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

#endif
