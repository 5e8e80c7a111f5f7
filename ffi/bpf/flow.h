/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Established sessions, repeated: a packet whose exact tuple a worker has written into ku_flows gets the same new
 * tuple here that the worker would give it, and leaves; the rings never see it.
 *
 * Rule: the same bytes as the worker makes, or none at all. Whatever is not plain (fragments, options, extension
 * headers, SYN, RST, a TTL that ends, a packet above the MTU, a flow that has expired, an interface that has gone)
 * is left as it was, for the worker. Programs never add, revive or remove a flow; they count in it, and note the time.
 * A FIN is repeated, and its flow marked, which the worker sees at its next search: were it to go by the rings, the data before it would be
 * there long before, and the other end would close first, and be the one whose port has to wait (RFC 9293 section 3.6, TIME-WAIT).
 *
 * A flow is found as in a session table: keyed hash, bucket of tags, exact comparison. A worker ends one by clearing
 * its epoch, which is read after the tuple was compared, and uses its place again only seconds later, when no program
 * that saw it can be running any more.
 *
 * What a flow has carried is counted by one CPU without atomic operations, which cost as much as all else together; a
 * program is not interrupted by another one on its CPU. A flow belongs to the CPU that repeats its first packet, and
 * stays there: a NIC's hash sends a tuple to one queue. What other CPUs carry nevertheless, they add elsewhere.
 *
 * References: mod/table/offload.ts (the writer), rewrite.h (the new tuple).
 */
#ifndef KU_FLOW_H
#define KU_FLOW_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "match.h"

#define SIDE_ORIGINAL 0
#define SIDE_REPLY 1

#define TCP_FIN 0x01 /* RFC 9293 section 3.1 */
#define TCP_SYN_RST 0x06
#define TCP_FLAGS_AT 13
#define TCP_CHECKSUM_AT 16
#define UDP_CHECKSUM_AT 6
#define SCTP_CHECKSUM_AT 8
#define SCTP_HEADER_BYTES 12

#define L4_OF_IP4 (ETH_HLEN + sizeof(struct iphdr))
#define L4_OF_IP6 (ETH_HLEN + sizeof(struct ipv6hdr))

/* A packet that may be repeated: what is asked, and what was found. */
struct ku_hit {
	__u32 frame_bytes;
	__u32 gso_bytes; /* data of a segment; 0 = the packet is one */
	__u16 link_flags;
	__u16 link_slot;
	struct ku_flow *flow;
	struct ku_hop *hop;
	struct ku_addresses *addresses; /* IPv6 */
	__u32 number; /* the flow's */
	__u32 side;
	__u32 now; /* ticks */
	__u32 bytes; /* of the IP packet, uncut */
	__u32 header_bytes; /* IP and transport header */
	__u16 checksum; /* the transport's, as it stands */
	__u8 protocol;
	__u8 half_done; /* it may be */
	__u8 closes; /* a FIN */
};

static __always_inline __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Sum of the halves of a word. The order of bytes does not matter, as long as it is the same everywhere. */
static __always_inline __u32 halves(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

static __always_inline __u32 finish_hash(__u32 hash)
{
	hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
	hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
	return hash ^ (hash >> 16);
}

/*
 * The flow that the bucket names for `hash`. At most one word of a bucket has the tag: the workers see to that.
 */
static __always_inline struct ku_flow *flow_by_hash(const struct ku_flow_conf *conf, __u32 hash, struct ku_hit *hit)
{
	__u32 number = hash & conf->bucket_mask, tag = hash & KU_FLOW_TAG, found = 0;
	struct ku_bucket *bucket = bpf_map_lookup_elem(&ku_flow_index, &number);

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < KU_BUCKET_WORDS; i++) {
		__u32 word = bucket->words[i];

		if ((word & KU_FLOW_TAG) == tag && word)
			found = word;
	}
	if (!found)
		return NULL;
	number = (found & ~KU_FLOW_TAG) - 1;
	hit->side = number & 1;
	hit->number = (number >> 1) + (hit->side ? conf->sessions : 0);
	return bpf_map_lookup_elem(&ku_flows, &hit->number);
}

/*
 * What the transport header at `l4`, of which the IP packet holds `l4_bytes`, must be like. `pseudo`: sum of the
 * addresses. Fills in protocol, header_bytes (of this header), checksum and half_done.
 */
static __always_inline int check_transport(void *l4, void *end, __u32 l4_bytes, __u8 protocol, __u32 pseudo,
					   struct ku_hit *hit)
{
	hit->protocol = protocol;
	if (protocol == IPPROTO_TCP) {
		__u8 *tcp = l4;

		if (l4 + sizeof(struct tcphdr) > end)
			return MISS_UNUSUAL;
		hit->header_bytes = (tcp[12] >> 4) << 2;
		if (hit->header_bytes < sizeof(struct tcphdr) || hit->header_bytes > l4_bytes)
			return MISS_UNUSUAL;
		if (tcp[TCP_FLAGS_AT] & TCP_SYN_RST)
			return MISS_FLAGS;
		hit->closes = tcp[TCP_FLAGS_AT] & TCP_FIN;
		hit->checksum = *(__u16 *)(l4 + TCP_CHECKSUM_AT);
	} else if (protocol == IPPROTO_UDP) {
		__u32 length;

		if (l4 + sizeof(struct udphdr) > end)
			return MISS_UNUSUAL;
		length = bpf_ntohs(*(__be16 *)(l4 + 4));
		if (length < sizeof(struct udphdr) || length > l4_bytes)
			return MISS_UNUSUAL;
		l4_bytes = length;
		hit->header_bytes = sizeof(struct udphdr);
		hit->checksum = *(__u16 *)(l4 + UDP_CHECKSUM_AT);
	} else if (protocol == PROTOCOL_SCTP) {
		if (l4 + SCTP_HEADER_BYTES > end || l4_bytes < SCTP_HEADER_BYTES)
			return MISS_UNUSUAL;
		/* A half-done one is 0 (net/sctp/output.c sctp_packet_pack). */
		if (!*(__u32 *)(l4 + SCTP_CHECKSUM_AT))
			return MISS_CHECKSUM;
		hit->header_bytes = SCTP_HEADER_BYTES;
		return HIT;
	} else {
		return MISS_UNUSUAL;
	}
	hit->half_done = hit->checksum == fold(pseudo + bpf_htons(protocol) + bpf_htons(l4_bytes));
	return HIT;
}

static __always_inline bool is_silent(const struct ku_flow *flow, __u32 now)
{
	return now - flow->last_seen + KU_TICK_SLACK > flow->timeout + KU_TICK_SLACK;
}

/* Whether the session's other direction has been silent too. */
static __noinline int is_other_silent(const struct ku_flow_conf *conf, const struct ku_hit *hit)
{
	__u32 number = hit->side ? hit->number - conf->sessions : hit->number + conf->sessions;
	struct ku_flow *other = bpf_map_lookup_elem(&ku_flows, &number);

	return !other || other->epoch != conf->epoch || is_silent(other, hit->now);
}

/* What a flow must be like, once the packet has its tuple. */
static __always_inline int check_flow(const struct ku_flow_conf *conf, struct ku_hit *hit)
{
	struct ku_flow *flow = hit->flow;
	__u32 hop;

	if (flow->epoch != conf->epoch)
		return MISS_UNKNOWN;
	asm volatile("" ::: "memory"); /* what follows is read after the epoch */
	hop = flow->hop;
	hit->hop = bpf_map_lookup_elem(&ku_hops, &hop);
	if (!hit->hop || !hit->hop->slot) /* slot 0 is ku1's, by which no flow leaves: this direction is the worker's */
		return MISS_NO_WAY;
	hit->now = bpf_ktime_get_coarse_ns() >> KU_TICK_SHIFT;
	if (is_silent(flow, hit->now) && is_other_silent(conf, hit))
		return MISS_EXPIRED;
	if ((hit->gso_bytes ? hit->header_bytes + hit->gso_bytes : hit->bytes) > hit->hop->mtu)
		return MISS_TOO_BIG;
	return HIT;
}

static __always_inline int look4(void *data, void *end, const struct ku_flow_conf *conf, struct ku_hit *hit)
{
	struct iphdr *ip = data + ETH_HLEN;
	void *l4 = data + L4_OF_IP4;
	struct ku_flow *flow;
	__u32 hash;
	int result;

	if (l4 + 8 > end || *(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(IP_FRAGMENT)))
		return MISS_UNUSUAL;
	hit->bytes = bpf_ntohs(ip->tot_len);
	if (hit->bytes < sizeof(*ip) + 8 || hit->bytes > hit->frame_bytes - ETH_HLEN)
		return MISS_UNUSUAL;
	result = check_transport(l4, end, hit->bytes - sizeof(*ip), ip->protocol, halves(ip->saddr) + halves(ip->daddr),
				 hit);
	if (result != HIT)
		return result;
	hit->header_bytes += sizeof(*ip);
	hash = conf->key[0] * ip->protocol;
	hash += hash_halves(&conf->key[1], bpf_ntohl(ip->saddr));
	hash += hash_halves(&conf->key[3], bpf_ntohl(ip->daddr));
	hash += hash_halves(&conf->key[5], bpf_ntohl(*(__be32 *)l4));
	flow = flow_by_hash(conf, finish_hash(hash), hit);
	if (!flow || (hit->side == SIDE_REPLY && !(hit->link_flags & KU_LINK_NAT4_IN)))
		return MISS_UNKNOWN;
	if (flow->tuple.source != ip->saddr || flow->tuple.destination != ip->daddr ||
	    flow->tuple.ports != *(__be32 *)l4 || flow->protocol != ip->protocol || flow->family != 4)
		return MISS_UNKNOWN;
	hit->flow = flow;
	if (ip->ttl <= 1)
		return MISS_TTL;
	return check_flow(conf, hit);
}

static __always_inline int look6(void *data, void *end, const struct ku_flow_conf *conf, struct ku_hit *hit)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	void *l4 = data + L4_OF_IP6;
	__u32 hash, pseudo = 0, differs = 0;
	__u32 *packet = data + ETH_HLEN + 8;
	struct ku_flow *flow;
	int result;

	if (l4 + 8 > end || ip->version != 6)
		return MISS_UNUSUAL;
	hit->bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (hit->bytes > hit->frame_bytes - ETH_HLEN)
		return MISS_UNUSUAL;
	hash = conf->key[0] * ip->nexthdr;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		pseudo += halves(packet[i]);
		hash += hash_halves(&conf->key[1 + 2 * i], bpf_ntohl(packet[i]));
		asm volatile("" : "+r"(hash), "+r"(pseudo)); /* word by word, or all keys are on the stack at once */
	}
	hash += hash_halves(&conf->key[17], bpf_ntohl(*(__be32 *)l4));
	result = check_transport(l4, end, hit->bytes - sizeof(*ip), ip->nexthdr, pseudo, hit);
	if (result != HIT)
		return result;
	hit->header_bytes += sizeof(*ip);
	flow = flow_by_hash(conf, finish_hash(hash), hit);
	if (!flow || (hit->side == SIDE_REPLY && !(hit->link_flags & KU_LINK_NAT6_IN)))
		return MISS_UNKNOWN;
	hit->addresses = bpf_map_lookup_elem(&ku_flows6, &hit->number);
	if (!hit->addresses)
		return MISS_UNKNOWN;
#pragma unroll
	for (int i = 0; i < 4; i++)
		differs |= (hit->addresses->source[i] ^ packet[i]) | (hit->addresses->destination[i] ^ packet[4 + i]);
	if (differs || flow->tuple.ports != *(__be32 *)l4 || flow->protocol != ip->nexthdr || flow->family != 6)
		return MISS_UNKNOWN;
	hit->flow = flow;
	if (ip->hop_limit <= 1)
		return MISS_TTL;
	return check_flow(conf, hit);
}

/* The flow of an untagged frame of `type`, whose headers lie between `data` and `end`. HIT, or a MISS_… . */
static __noinline int look_up_flow(void *data, void *end, __be16 type, struct ku_hit *hit)
{
	struct ku_flow_conf *conf;
	__u32 zero = 0;

	conf = bpf_map_lookup_elem(&ku_flow_conf, &zero);
	if (!conf || !conf->epoch)
		return MISS_UNKNOWN;
	if (type == bpf_htons(ETH_P_IP))
		return look4(data, end, conf, hit);
	if (type == bpf_htons(ETH_P_IPV6))
		return look6(data, end, conf, hit);
	return MISS_UNUSUAL;
}

/*
 * The value itself. A global function: to the verifier its result is any number, so that what follows is walked once
 * and not again for each.
 */
__noinline int ku_any(int value)
{
	asm volatile("" : "+r"(value)); /* or the compiler sees through it */
	return value;
}

/* Why a packet of a service goes to the ring. */
static __always_inline void count_miss(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&ku_flow_misses, &reason);

	if (count)
		(*count)++;
}

/* The packet is on its way. Its segments count as the packets they become. */
static __always_inline void count_hit(const struct ku_hit *hit)
{
	__u64 packets = 1, bytes = hit->bytes, frames = hit->frame_bytes;
	__u32 in = hit->link_slot, out = hit->hop->slot, cpu = 1 + bpf_get_smp_processor_id();
	struct ku_flow *flow = hit->flow;
	struct ku_link_count *count;

	if (hit->gso_bytes && hit->bytes > hit->header_bytes) {
		packets = (hit->bytes - hit->header_bytes + hit->gso_bytes - 1) / hit->gso_bytes;
		bytes += (packets - 1) * hit->header_bytes;
		frames = bytes + packets * ETH_HLEN;
	}
	count = bpf_map_lookup_elem(&ku_link_counts, &in);
	if (count) {
		count->rx_packets += packets;
		count->rx_bytes += frames;
	}
	count = bpf_map_lookup_elem(&ku_link_counts, &out);
	if (count) {
		count->tx_packets += packets;
		count->tx_bytes += frames;
	}
	if (flow->last_seen != hit->now)
		flow->last_seen = hit->now;
	if ((flow->cpu & KU_FLOW_CPU) == cpu || (!flow->cpu && !__sync_val_compare_and_swap(&flow->cpu, 0, cpu))) {
		flow->packets += packets;
		flow->bytes += bytes;
	} else {
		struct ku_note *note = bpf_map_lookup_elem(&ku_flow_notes, &hit->number);

		if (note) {
			__sync_fetch_and_add(&note->packets, packets);
			__sync_fetch_and_add(&note->bytes, bytes);
		}
	}
	if (hit->closes)
		__sync_fetch_and_or(&flow->cpu, KU_FLOW_CLOSED);
}

#endif
