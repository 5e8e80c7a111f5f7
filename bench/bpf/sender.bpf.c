/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * The sender of the end-to-end bench: run in live-frame mode (bpf_prog_test_run_opts, BPF_F_TEST_XDP_LIVE_FRAMES), it
 * writes one 64-byte UDP packet (60 bytes and the FCS that no veth sends) and redirects it out of an interface.
 *
 * NB: the kernel recycles the pages of live frames as they come back, rewritten by whoever forwarded them: the whole
 * header is written every time.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define FRAME_BYTES 60
/* Flows that one source address carries: ports 1024 ... 33791. */
#define PORTS_LOG2 15
#define FIRST_PORT 1024

/* What to send; host byte order. bench/traffic/sender.ts writes it. */
struct order {
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__u32 ifindex;
	__u32 flows; /* 0: every packet is a flow of its own */
	__u32 services;
	__u32 first_client;
	__u32 first_service;
	__u32 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct order);
} orders SEC(".maps");

/* [0] packets sent by each CPU, [1] the state of its random numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} state SEC(".maps");

static __always_inline __u32 scaled(__u32 value, __u32 below)
{
	return (__u64)value * below >> 32;
}

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u32 halves(__u32 word)
{
	return (word >> 16) + (word & 0xffff);
}

SEC("xdp")
int send(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	__u32 first = 0, second = 1;
	const struct order *order = bpf_map_lookup_elem(&orders, &first);
	__u64 *count = bpf_map_lookup_elem(&state, &first);
	__u64 *random = bpf_map_lookup_elem(&state, &second);

	if (!order || !count || !random || data + FRAME_BYTES > (void *)(long)context->data_end)
		return XDP_ABORTED;

	/* Knuth's MMIX generator; its high half is the random one. */
	*random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
	__u32 flow = order->flows ? scaled(*random >> 32, order->flows) : (__u32)*count;
	__u32 service = scaled(flow * 2654435769u, order->services);
	__u32 source = order->first_client + (flow >> PORTS_LOG2);
	__u32 destination = order->first_service + service;
	__u16 source_port = FIRST_PORT + (flow & ((1 << PORTS_LOG2) - 1));
	__u16 ip_bytes = FRAME_BYTES - ETH_HLEN, udp_bytes = ip_bytes - sizeof(struct iphdr);

	struct ethhdr *eth = data;
	__builtin_memcpy(eth->h_dest, order->destination, 2 * ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	struct iphdr *ip = (void *)(eth + 1);
	__u32 addresses = halves(source) + halves(destination);
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(ip_bytes);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000); /* DF */
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = bpf_htonl(source);
	ip->daddr = bpf_htonl(destination);
	ip->check = bpf_htons(folded(0x4500 + ip_bytes + 0x4000 + (64 << 8 | IPPROTO_UDP) + addresses));
	struct udphdr *udp = (void *)(ip + 1);
	udp->source = bpf_htons(source_port);
	udp->dest = bpf_htons(order->port);
	udp->len = bpf_htons(udp_bytes);
	__u32 *payload = (void *)(udp + 1);
	for (int i = 0; i < 4; i++)
		payload[i] = 0;
	*(__u16 *)(payload + 4) = 0;
	__u16 check = folded(IPPROTO_UDP + 2 * udp_bytes + addresses + source_port + order->port);
	udp->check = bpf_htons(check ? check : 0xffff);
	*count += 1;
	return bpf_redirect(order->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
