/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ku's steering: which packets reach the rings, and how packets come back.
 *
 * Loaded under the license string "Dual BSD/GPL", because some kernel helpers
 * are for GPL-compatible programs only; the rest of ku is Apache-2.0.
 *
 *   ku_xdp   XDP on an interface X (native or generic): ku's packets into the AF_XDP sockets of X
 *   ku_tc    tc ingress of X: ku's packets to ku0, and so to the ring of ku1; behind ku_xdp, what that let pass
 *   ku_ring  XDP on ku1: everything into the AF_XDP sockets of ku1
 *   ku_host  tc ingress of ku0: what the worker sends on ku1 re-enters the kernel
 *
 * ku_xdp and ku_tc first repeat what is known (flow.h), and this alone goes on
 * without a daemon: a known packet whose way out takes skbs only, or whose
 * checksum only an skb can explain, is passed by ku_xdp and repeated by ku_tc.
 *
 * Rule: everything that is not certainly ku's goes on untouched, and nothing is
 * taken while no daemon lives (an XSKMAP entry is one's sign of life: the
 * kernel removes it with the socket). Other people's filters run too: passing
 * means "next filter", not "accept".
 *
 * Kernel 5.15 or newer; no helper younger than that.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "rewrite.h"

#define BY_TC -1 /* known, but ku_tc has to repeat it */

#define VLAN_ID_MASK 0x0fff
#define VLAN_EGRESS 0x2000 /* PCP bit 0 of a tag on ku1: out by the interface, not in */
#define PACKET_HOST 0      /* linux/if_packet.h; for us, by destination MAC */

/* Marks a packet that ku_host hands to an interface in tc mode; ku_tc lets it by and takes the mark off. */
#define KU_MARK 0x6b752d70

/* Enough for Ethernet, IPv6 and options, and the quote of an ICMP error: what tc makes linear. */
#define KU_LINEAR_BYTES 192

struct vlan_header {
	__be16 tci;
	__be16 type;
};

/* Locally administered, "ku": destination of frames into ku1 (the last two bytes are the slot). */
static const __u8 ku_mac_prefix[4] = { 0x02, 0x6b, 0x75, 0x00 };
/* Source of frames reinjected into an interface in generic mode, where XDP sees no mark. */
static const __u8 ku_punt_mac[6] = { 0x02, 0x6b, 0x75, 0x70, 0x00, 0x00 };

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return *(__u16 *)a == *(__u16 *)b && *(__u16 *)(a + 2) == *(__u16 *)(b + 2) &&
	       *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

/* Index of the interface that the flow leaves by; 0 when it has gone. */
static __always_inline __u32 way_out(void *ways, const struct ku_hit *hit)
{
	__u32 slot = hit->hop->slot;
	__u32 *ifindex = bpf_map_lookup_elem(ways, &slot);

	return ifindex ? *ifindex : 0;
}

/* The attached interface; a copy, so that what follows is the same wherever it was found. */
static __always_inline bool find_link(__u32 ifindex, struct ku_link *link)
{
	__u32 at = ifindex & (KU_NEAR_LINKS - 1);
	struct ku_near_link *near = bpf_map_lookup_elem(&ku_near_links, &at);
	struct ku_link *found;

	if (near && near->ifindex == ifindex) {
		*link = near->link;
		return true;
	}
	found = bpf_map_lookup_elem(&ku_links, &ifindex);
	if (!found)
		return false;
	*link = *found;
	return true;
}

/* The packet, for which `hit` was found, on its way: HIT; a MISS_…, or BY_TC, and it is as it was. */
static __always_inline int send_frame(void *data, void *end, __be16 type, const struct ku_hit *hit)
{
	if ((hit->link_flags & KU_LINK_GENERIC) || hit->half_done || !(hit->hop->flags & KU_HOP_XDP))
		return BY_TC;
	/* First, since it says whether the interface is still there. */
	if (bpf_redirect_map(&ku_ways, hit->hop->slot, XDP_ABORTED) != XDP_REDIRECT)
		return MISS_NO_WAY;
	if (rewrite_frame(data, end, type, hit))
		return MISS_UNUSUAL; /* never: the lengths are known */
	count_hit(hit);
	return HIT;
}

/* The packet's flow, if it is known, looked up and repeated: HIT, a MISS_… or BY_TC. */
static __always_inline int repeat_frame4(void *data, void *end, const struct ku_flow_conf *conf,
					 const struct ku_link *link)
{
	struct ku_hit hit = { .frame_bytes = end - data, .link_flags = link->flags, .link_slot = link->slot };
	int miss = look4(data, end, conf, &hit);

	return miss == HIT ? send_frame(data, end, bpf_htons(ETH_P_IP), &hit) : miss;
}

/* Not inlined: both together need more stack than a program has. */
static __noinline int repeat_frame6(void *data, void *end, const struct ku_flow_conf *conf, const struct ku_link *link)
{
	struct ku_hit hit = { .frame_bytes = end - data, .link_flags = link->flags, .link_slot = link->slot };
	int miss = look6(data, end, conf, &hit);

	return miss == HIT ? send_frame(data, end, bpf_htons(ETH_P_IPV6), &hit) : miss;
}

SEC("xdp")
int ku_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	__u32 at = sizeof(*ethernet), zero = 0;
	struct ku_flow_conf *conf;
	struct ku_link link;
	int miss = MISS_UNKNOWN;
	__be16 type;

	if ((void *)(ethernet + 1) > end || !find_link(ctx->ingress_ifindex, &link))
		return XDP_PASS;
	if (!same_mac(ethernet->h_dest, link.mac) || same_mac(ethernet->h_source, ku_punt_mac))
		return XDP_PASS;
	/* In generic mode a segmentation-offload packet comes whole. ku_tc is there for it: ku0 cuts it up. */
	if (link.max_bytes && (__u64)(end - data) > link.max_bytes)
		return XDP_PASS;
	type = ethernet->h_proto;
	conf = bpf_map_lookup_elem(&ku_flow_conf, &zero);
	if (conf && conf->epoch) {
		if (type == bpf_htons(ETH_P_IP))
			miss = repeat_frame4(data, end, conf, &link);
		else if (type == bpf_htons(ETH_P_IPV6))
			miss = repeat_frame6(data, end, conf, &link);
		else
			miss = MISS_UNUSUAL;
		if (miss == HIT)
			return XDP_REDIRECT;
		if (miss == BY_TC)
			return XDP_PASS;
	}
	miss = ku_any(miss);
	if (type == bpf_htons(ETH_P_8021Q)) {
		struct vlan_header *vlan = data + sizeof(*ethernet);

		if ((void *)(vlan + 1) > end)
			return XDP_PASS;
		type = vlan->type;
		at += sizeof(*vlan);
	}
	if (!packet_is_ours(data, end, at, type, link.flags))
		return XDP_PASS;
	if (ctx->rx_queue_index >= KU_QUEUES_PER_SLOT)
		return XDP_PASS;
	count_miss(miss);
	return bpf_redirect_map(&ku_xsks, link.slot * KU_QUEUES_PER_SLOT + ctx->rx_queue_index, XDP_PASS);
}

SEC("xdp")
int ku_ring(struct xdp_md *ctx)
{
	/* Slot 0. Without a socket there is nobody behind ku1: its stack has no address. */
	return bpf_redirect_map(&ku_xsks, ctx->rx_queue_index % KU_QUEUES_PER_SLOT, XDP_DROP);
}

/*
 * Can the ports be read without pulling? So it is for all that a TCP or UDP socket sends, and it has to stay so:
 * a packet whose head was made anew cannot be coalesced by the receiver (net/core/skbuff.c skb_try_coalesce
 * wants a page), which costs bystanders' bulk transfers a good tenth.
 */
static __always_inline bool ports_are_linear(void *data, void *end, __be16 type)
{
	__u32 at = ETH_HLEN;
	__u8 protocol;

	if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end)
		return false;
	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		protocol = ip->protocol;
		at += ip->ihl * 4;
	} else {
		protocol = ((struct ipv6hdr *)(data + ETH_HLEN))->nexthdr;
		at += sizeof(struct ipv6hdr);
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != PROTOCOL_SCTP)
		return false;
	return data + at + 8 <= end;
}

/*
 * Makes the packet one for ku1, from the interface that has `slot`. By helper, never through `data`: a direct write makes the verifier
 * prepend an unclone of every packet, bystanders' included. The source MAC stays, so a punted packet can be restored. 0, or an error.
 */
static __always_inline int address_to_ku1(struct __sk_buff *skb, __u16 slot)
{
	__u8 mac[6];

	__builtin_memcpy(mac, ku_mac_prefix, 4);
	mac[4] = slot >> 8;
	mac[5] = slot & 0xff;
	/* ku0 sends by the queue that is said to have received (net/core/dev.c skb_tx_hash), modulo those it has, one a
	 * worker. A veth says what its peer has sent by, which with one queue, or one worker more, leaves workers idle. */
	skb->queue_mapping = 1 + (bpf_get_hash_recalc(skb) & (KU_QUEUES_PER_SLOT - 1));
	return bpf_skb_store_bytes(skb, 0, mac, sizeof(mac), 0);
}

/* Index of ku0, if a daemon lives; 0. */
static __always_inline __u32 living_ku0(void)
{
	__u32 zero = 0;
	struct ku_conf *conf = bpf_map_lookup_elem(&ku_conf, &zero);

	return conf && conf->ku0_ifindex && bpf_map_lookup_elem(&ku_xsks, &zero) ? conf->ku0_ifindex : 0;
}

SEC("tc")
int ku_tc(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct ku_hit hit = {};
	struct ku_link link;
	void *data, *end;
	int miss;

	if (skb->mark == KU_MARK) {
		skb->mark = 0;
		return TC_ACT_UNSPEC;
	}
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TC_ACT_UNSPEC;
	if (!find_link(ifindex, &link))
		return TC_ACT_UNSPEC;
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_UNSPEC;

	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (!ports_are_linear(data, end, skb->protocol) && data + KU_LINEAR_BYTES > end &&
	    skb->len > (__u32)(end - data)) {
		if (bpf_skb_pull_data(skb, skb->len < KU_LINEAR_BYTES ? skb->len : KU_LINEAR_BYTES))
			return TC_ACT_UNSPEC;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
	}
	hit.frame_bytes = skb->len;
	hit.gso_bytes = skb->gso_size;
	hit.link_flags = link.flags;
	hit.link_slot = link.slot;
	miss = look_up_flow(data, end, skb->protocol, &hit);
	if (miss == HIT) {
		ifindex = way_out(&ku_ways_tc, &hit);
		miss = ifindex ? HIT : MISS_NO_WAY;
	}
	if (miss == HIT)
		miss = check_checksum(skb, skb->protocol, &hit);
	if (miss == HIT)
		miss = rewrite_skb(skb, skb->protocol, &hit);
	if (miss == HIT) {
		count_hit(&hit);
		return bpf_redirect(ifindex, 0);
	}
	if (miss < 0)
		return TC_ACT_SHOT; /* no memory to write to it */
	miss = ku_any(miss);

	ifindex = living_ku0();
	if (!ifindex)
		return TC_ACT_UNSPEC;
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (!packet_is_ours(data, end, ETH_HLEN, skb->protocol, link.flags))
		return TC_ACT_UNSPEC;
	count_miss(miss);
	if (address_to_ku1(skb, link.slot))
		return TC_ACT_UNSPEC;
	return bpf_redirect(ifindex, 0);
}

SEC("tc")
int ku_host(struct __sk_buff *skb)
{
	__u32 tci, slot_key;
	struct ku_slot *slot;

	if (!skb->vlan_present)
		return TC_ACT_UNSPEC; /* received on ku0, as it is */
	tci = skb->vlan_tci;
	slot_key = tci & VLAN_ID_MASK;
	slot = bpf_map_lookup_elem(&ku_slots, &slot_key);
	if (!slot || bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT; /* the interface went away meanwhile */
	if (tci & VLAN_EGRESS)
		return bpf_redirect(slot->ifindex, 0);
	if (slot->flags & KU_LINK_TC)
		skb->mark = KU_MARK;
	if (slot->flags & KU_LINK_GENERIC)
		bpf_skb_store_bytes(skb, ETH_ALEN, ku_punt_mac, ETH_ALEN, 0);
	return bpf_redirect(slot->ifindex, BPF_F_INGRESS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
