/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose packet is it? The one decision both steering programs share.
 *
 * ku's are: packets for a VIP (host, then prefixes) or a node port; what a pod
 * sends back, on interfaces with `nat4`/`nat6 in`; ICMP errors that quote a
 * packet ku has translated. A bystander costs one failed lookup of its
 * destination, one per prefix length in use, and one of its source on a
 * `nat in` interface.
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

/* A VIP prefix around the address: one round per length in use (longest first, though any hit will do). */
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
			return 1;
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
	if (!conf || !(conf->flags & KU_CONF_NODE_PORTS) || packet->kind != KIND_PORTS)
		return 0;
	if (!bpf_map_lookup_elem(&ku_locals, key.address))
		return 0;
	__builtin_memset(key.address, 0, sizeof(key.address));
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

/*
 * The packet whose IP header is `at` bytes from `data`, EtherType `type`, on an interface with `link_flags`.
 * (A known session would be looked up here, after parse_packet, by the tuple in `packet`.)
 */
static __always_inline bool packet_is_ours(void *data, void *end, __u32 at, __be16 type, __u16 link_flags)
{
	struct ku_packet packet = {};

	if (parse_packet(data, end, at, type, &packet) < 0 || packet.kind == KIND_NEIGHBOR)
		return false;
	if (packet.kind == KIND_ERROR)
		return quote_is_ours(data, end, &packet);
	if (ku_service_holds(&packet, SIDE_DESTINATION) || ku_prefix_holds(&packet, SIDE_DESTINATION))
		return true;
	return (link_flags & (packet.is_ip6 ? KU_LINK_NAT6_IN : KU_LINK_NAT4_IN)) &&
	       ku_pod_holds(&packet, SIDE_SOURCE);
}

#endif
