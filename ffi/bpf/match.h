/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose packet is it? The one decision both steering programs share.
 *
 * ku's are: packets for a VIP (host, then prefixes) or a node port; what a pod
 * sends back, on interfaces with `nat4`/`nat6 in`; ICMP errors that quote a
 * packet ku has translated. A pod's packet is sent back if it comes from where a
 * service leads to (ku_pods) and answers a session (ku_filter): what answers a
 * connection to the pod itself, and what the pod begins, is a bystander's. Of
 * fragments and quotes the ports or the direction are unknown; for these the
 * address alone decides, and the worker gives back what is not its own. A first
 * fragment goes where the later ones go, so that these find what became of it.
 *
 * A bystander costs one failed lookup of its destination, one per prefix length
 * in use, and a look into the filter on a `nat in` interface.
 */
#ifndef KU_MATCH_H
#define KU_MATCH_H

#include <stdbool.h>

#include "maps.h"
#include "parse.h"

/* Is there an entry for the address already in `key`? `kind` says whether ports are known. */
static __always_inline bool holds(void *map, struct ku_key *key, __u8 kind, __u8 protocol, __be16 port)
{
	key->protocol = KU_PROTOCOL_ANY;
	key->port = 0;
	if (!bpf_map_lookup_elem(map, key))
		return false;
	if (kind == KIND_FRAGMENT || (kind == KIND_ECHO && key->plen == KU_PLEN_HOST))
		return true;
	key->protocol = KU_PROTOCOL_ALL;
	if (bpf_map_lookup_elem(map, key))
		return true;
	key->protocol = protocol;
	key->port = port;
	return bpf_map_lookup_elem(map, key) != NULL;
}

static __always_inline void mask_address(__u32 *to, const __u32 *from, __u32 plen)
{
#pragma unroll
	for (int word = 0; word < 4; word++) {
		__u32 start = word * 32;
		__u32 mask;

		if (plen >= start + 32)
			mask = 0xffffffff;
		else if (plen <= start)
			mask = 0;
		else
			mask = bpf_htonl(0xffffffff << (32 - (plen - start)));
		to[word] = from[word] & mask;
	}
}

/*
 * The functions below are global ones, to the verifier: it proves each by itself, once, for any argument,
 * instead of again on every path that leads to a call (inlined, all of it took half a million steps).
 * The price is the comparison of `packet` with NULL. `side` picks the address and port looked for.
 */
enum ku_side {
	SIDE_SOURCE,
	SIDE_DESTINATION,
};

static __always_inline __be16 key_for(struct ku_key *key, const struct ku_packet *packet, int side)
{
	key->plen = KU_PLEN_HOST;
	if (side == SIDE_SOURCE) {
		__builtin_memcpy(key->address, packet->source, sizeof(key->address));
		return packet->source_port;
	}
	__builtin_memcpy(key->address, packet->destination, sizeof(key->address));
	return packet->destination_port;
}

/*
 * A VIP prefix around the address: one round per length in use (longest first, though any hit will do). The node's own
 * addresses stay the node's, or a VIP prefix around them would cut it off.
 */
__noinline int ku_prefix_holds(const struct ku_packet *packet, int side)
{
	struct ku_key host = {}, key = {};
	struct ku_lengths *lengths;
	__u32 family;
	__be16 port;

	if (!packet)
		return 0;
	family = packet->is_ip6 ? 1 : 0;
	lengths = bpf_map_lookup_elem(&ku_lens, &family);
	if (!lengths)
		return 0;
	port = key_for(&host, packet, side);
	for (__u32 i = 0; i < KU_MAX_LENGTHS; i++) {
		if (i >= lengths->count)
			break;
		key.plen = lengths->plen[i];
		mask_address(key.address, host.address, key.plen);
		if (holds(&ku_match, &key, packet->kind, packet->protocol, port))
			return !bpf_map_lookup_elem(&ku_locals, host.address);
	}
	return 0;
}

/* Does a service take packets for this address, protocol and port? */
__noinline int ku_service_holds(const struct ku_packet *packet, int side)
{
	struct ku_key key = {};
	struct ku_conf *conf;
	__u32 zero = 0;
	__be16 port;

	if (!packet)
		return 0;
	port = key_for(&key, packet, side);
	if (holds(&ku_match, &key, packet->kind, packet->protocol, port))
		return 1;
	conf = bpf_map_lookup_elem(&ku_conf, &zero);
	if (!conf || !(conf->flags & KU_CONF_NODE_PORTS))
		return 0;
	if (packet->kind != KIND_PORTS && packet->kind != KIND_FRAGMENT)
		return 0;
	if (!bpf_map_lookup_elem(&ku_locals, key.address))
		return 0;
	if (packet->kind == KIND_FRAGMENT)
		return 1;
	__builtin_memset(key.address, 0, sizeof(key.address));
	key.address[3] = packet->is_ip6 ? bpf_htonl(6) : bpf_htonl(4);
	key.plen = KU_PLEN_NODE_PORT;
	key.protocol = packet->protocol;
	key.port = port;
	return bpf_map_lookup_elem(&ku_match, &key) != NULL;
}

__noinline int ku_pod_holds(const struct ku_packet *packet, int side)
{
	struct ku_key key = {};
	__be16 port;
	__u8 kind;

	if (!packet)
		return 0;
	port = key_for(&key, packet, side);
	/* Only what a service maps to comes back: a pod's own pings are not ku's unless it serves everything. */
	kind = packet->kind == KIND_ECHO ? KIND_PORTS : packet->kind;
	return holds(&ku_pods, &key, kind, packet->protocol, port);
}

static __always_inline __u32 hash_halves(const __u32 *key, __u32 word)
{
	return key[0] * (word & 0xffff) + key[1] * (word >> 16);
}

/*
 * May the packet answer a session? Its tuple's counter in ku_filter; no for certain, yes perhaps. The hash is the
 * workers', who count (mod/table/filter.ts, keyedHash6 of mod/table/hash.ts): a secret odd multiplier for each half
 * word of the tuple, the sum spread by the finalizer of MurmurHash3. ICMPv6 counts as ICMP, since a session between
 * the families knows only one of them.
 */
__noinline int ku_session_holds(const struct ku_packet *packet)
{
	struct ku_page *first, *page;
	__u32 index = 0, hash;

	if (!packet)
		return 0;
	first = bpf_map_lookup_elem(&ku_filter, &index);
	if (!first)
		return 0;
	hash = first->words[0] * (packet->protocol == IPPROTO_ICMPV6 ? IPPROTO_ICMP : packet->protocol);
#pragma unroll
	for (int i = 0; i < 4; i++) {
		hash += hash_halves(&first->words[1 + 2 * i], bpf_ntohl(packet->source[i]));
		hash += hash_halves(&first->words[9 + 2 * i], bpf_ntohl(packet->destination[i]));
	}
	hash += first->words[17] * bpf_ntohs(packet->destination_port);
	hash += first->words[18] * bpf_ntohs(packet->source_port);
	hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
	hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
	hash ^= hash >> 16;
	index = 1 + hash / KU_PAGE_WORDS % KU_FILTER_PAGES;
	page = bpf_map_lookup_elem(&ku_filter, &index);
	return page && page->words[hash % KU_PAGE_WORDS];
}

/*
 * An ICMP error is ku's when it quotes a packet on its way to a pod (the sender knows it by the VIP) or
 * one that left with the VIP as its source (the pod knows it by its own address). `packet` is overwritten.
 */
static __always_inline bool quote_is_ours(void *data, void *end, struct ku_packet *packet)
{
	__be16 type = packet->is_ip6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	if (parse_packet(data, end, packet->inner_at, type, packet) < 0)
		return false;
	if (packet->kind == KIND_ERROR || packet->kind == KIND_NEIGHBOR)
		return false; /* no errors about errors: RFC 1122 section 3.2.2 */
	return ku_pod_holds(packet, SIDE_DESTINATION) || ku_service_holds(packet, SIDE_SOURCE) ||
	       ku_prefix_holds(packet, SIDE_SOURCE);
}

/* The packet whose IP header is `at` bytes from `data`, EtherType `type`, on an interface with `link_flags`. */
static __always_inline bool packet_is_ours(void *data, void *end, __u32 at, __be16 type, __u16 link_flags)
{
	struct ku_packet packet = {};

	if (parse_packet(data, end, at, type, &packet) < 0 || packet.kind == KIND_NEIGHBOR)
		return false;
	if (packet.kind == KIND_ERROR)
		return quote_is_ours(data, end, &packet);
	if (ku_service_holds(&packet, SIDE_DESTINATION) || ku_prefix_holds(&packet, SIDE_DESTINATION))
		return true;
	if (!(link_flags & (packet.is_ip6 ? KU_LINK_NAT6_IN : KU_LINK_NAT4_IN)))
		return false;
	if (packet.kind != KIND_FRAGMENT && !ku_session_holds(&packet))
		return false;
	return ku_pod_holds(&packet, SIDE_SOURCE);
}

#endif
