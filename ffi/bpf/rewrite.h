/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The new tuple into a packet of a known flow (flow.h): in a frame, for XDP, and in an skb, for tc.
 *
 * Checksums: RFC 1624 by sums that the worker has prepared. A half-done one (CHECKSUM_PARTIAL) holds the folded sum of
 * the pseudo-header and stays half done where the packet is an skb, whose helpers know; XDP passes it on to tc.
 *
 * References: RFC 1624 eqn. 3; mod/datapath/rewrite.ts (the same in TypeScript); net/core/filter.c bpf_l4_csum_replace;
 * include/net/checksum.h.
 */
#ifndef KU_REWRITE_H
#define KU_REWRITE_H

#include "flow.h"

#define TTL_STEP 0xfffe /* minus one in the low byte, which is the first on the wire, in one's complement */

/* A checksum (as it stands) after what it covers has changed by `delta`, a sum. */
static __always_inline __u16 updated(__u16 checksum, __u32 delta)
{
	return ~fold((__u16)~checksum + delta);
}

/* Writes the new tuple into an XDP frame. `hit` was found in the same bytes. */
static __always_inline int rewrite_frame(void *data, void *end, __be16 type, const struct ku_hit *hit)
{
	struct ku_tuple *next = &hit->flow->next;
	void *l4 = data + (type == bpf_htons(ETH_P_IP) ? L4_OF_IP4 : L4_OF_IP6);
	__u32 delta = hit->flow->address_delta + hit->flow->ports_delta;

	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->check = updated(ip->check, hit->flow->address_delta + TTL_STEP);
		ip->ttl--;
		ip->saddr = next->source;
		ip->daddr = next->destination;
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end || !hit->addresses)
			return -1;
		ip->hop_limit--;
		__builtin_memcpy(&ip->saddr, hit->addresses->next_source, 16);
		__builtin_memcpy(&ip->daddr, hit->addresses->next_destination, 16);
	}
	if (l4 + 8 > end)
		return -1;
	*(__be32 *)l4 = next->ports;
	if (hit->protocol == IPPROTO_TCP) {
		if (l4 + sizeof(struct tcphdr) > end)
			return -1;
		*(__u16 *)(l4 + TCP_CHECKSUM_AT) = updated(hit->checksum, delta);
	} else if (hit->protocol == IPPROTO_UDP && hit->checksum) {
		__u16 checksum = updated(hit->checksum, delta);

		*(__u16 *)(l4 + UDP_CHECKSUM_AT) = checksum ? checksum : 0xffff;
	}
	__builtin_memcpy(data, hit->hop->macs, sizeof(hit->hop->macs));
	return 0;
}

/* Whether the field at `at`, which looks half done, really is: only then does an update without the pseudo-header leave it. */
static __always_inline bool is_half_done(struct __sk_buff *skb, __u32 at, __u16 field)
{
	__u16 after;

	if (bpf_l4_csum_replace(skb, at, 0, 1, sizeof(field)) || bpf_skb_load_bytes(skb, at, &after, sizeof(after)))
		return false;
	if (after == field)
		return true;
	bpf_skb_store_bytes(skb, at, &field, sizeof(field), 0);
	return false;
}

static __always_inline __u32 checksum_at(__be16 type, const struct ku_hit *hit)
{
	__u32 l4_at = type == bpf_htons(ETH_P_IP) ? L4_OF_IP4 : L4_OF_IP6;

	return l4_at + (hit->protocol == IPPROTO_TCP ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT);
}

/* Whether it is known what has to be done to the checksum: HIT, or MISS_CHECKSUM. */
static __always_inline int check_checksum(struct __sk_buff *skb, __be16 type, const struct ku_hit *hit)
{
	if (hit->half_done && !hit->gso_bytes && !is_half_done(skb, checksum_at(type, hit), hit->checksum))
		return MISS_CHECKSUM;
	return HIT;
}

/*
 * Writes the new tuple into an skb, whose checksum was checked. By helpers: they know what kind of checksum it has, and a direct write makes the
 * verifier prepend an unclone of every packet, bystanders' included. HIT; or negative, and the packet is spoilt.
 *
 * NB: of an IPv6 packet the addresses are stored with BPF_F_RECOMPUTE_CSUM, since nothing in the header makes up for
 * them, and the pseudo-header's update then takes the same off again where the device has summed the whole
 * (CHECKSUM_COMPLETE): right on every kernel, the flag BPF_F_IPV6 of later ones is not needed.
 */
static __noinline int rewrite_skb(struct __sk_buff *skb, __be16 type, const struct ku_hit *hit)
{
	struct ku_tuple *next = &hit->flow->next;
	__u32 l4_at = type == bpf_htons(ETH_P_IP) ? L4_OF_IP4 : L4_OF_IP6;
	__u32 sum_at = checksum_at(type, hit);
	__u64 mangled = hit->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__be32 ports = next->ports;
	int failed;

	if (type == bpf_htons(ETH_P_IP)) {
		__u8 header[L4_OF_IP4];
		struct iphdr *ip = (void *)(header + ETH_HLEN);
		__u16 check;

		if (bpf_skb_load_bytes(skb, 0, header, sizeof(header)))
			return -1;
		__builtin_memcpy(header, hit->hop->macs, sizeof(hit->hop->macs));
		__builtin_memcpy(&check, header + ETH_HLEN + 10, sizeof(check));
		check = updated(check, hit->flow->address_delta + TTL_STEP);
		__builtin_memcpy(header + ETH_HLEN + 10, &check, sizeof(check));
		ip->ttl--;
		__builtin_memcpy(header + ETH_HLEN + 12, &next->source, 4);
		__builtin_memcpy(header + ETH_HLEN + 16, &next->destination, 4);
		failed = bpf_skb_store_bytes(skb, 0, header, sizeof(header), 0);
	} else {
		__u8 header[34]; /* next header, hop limit, addresses */

		if (!hit->addresses || bpf_skb_load_bytes(skb, ETH_HLEN + 6, header, 2))
			return -1;
		header[1]--;
		__builtin_memcpy(header + 2, hit->addresses->next_source, 16);
		__builtin_memcpy(header + 18, hit->addresses->next_destination, 16);
		failed = bpf_skb_store_bytes(skb, 0, hit->hop->macs, sizeof(hit->hop->macs), 0) ||
			 bpf_skb_store_bytes(skb, ETH_HLEN + 6, header, sizeof(header), BPF_F_RECOMPUTE_CSUM);
	}
	failed = failed || bpf_skb_store_bytes(skb, l4_at, &ports, sizeof(ports), 0);
	if (hit->protocol != PROTOCOL_SCTP) {
		failed = failed || bpf_l4_csum_replace(skb, sum_at, 0, hit->flow->address_delta,
						       BPF_F_PSEUDO_HDR | mangled);
		if (hit->flow->ports_delta)
			failed = failed || bpf_l4_csum_replace(skb, sum_at, 0, hit->flow->ports_delta, mangled);
	}
	return failed ? -1 : HIT;
}

#endif
