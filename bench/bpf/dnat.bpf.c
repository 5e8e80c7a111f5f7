/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * What a static XDP program makes of the same job, for the end-to-end bench: UDP over IPv4 to a service is rewritten to one
 * of its pods (destination, checksums, TTL, both MAC addresses) and redirected. A flow's first packet finds its service in
 * one hash map and picks a pod, every one of its packets finds the flow in another. One way, one interface out, nothing
 * ages, no counters: the least such a program can do, and so the limit of what the kernel's way allows.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define PODS_EACH 4
#define MAX_FLOWS (1 << 20)
#define MAX_SERVICES (1 << 16)

/* All in network byte order. bench/traffic/dnat.ts writes services and way. */
struct service_key {
	__be32 address;
	__be16 port;
	__u16 zero;
};

struct service {
	__be32 pods[PODS_EACH];
	__be16 port;
	__u16 zero;
};

struct flow_key {
	__be32 source, destination;
	__be16 source_port, destination_port;
};

struct target {
	__be32 address;
	__be16 port;
	__u16 zero;
};

struct way {
	__u8 macs[2 * ETH_ALEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow_key);
	__type(value, struct target);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct way);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} out SEC(".maps");

/* RFC 1624 eqn. 3 over 16-bit words: what of the sum changes. */
static __always_inline __u32 changed(__u32 before, __u32 after)
{
	return (~before & 0xffff) + (~(before >> 16) & 0xffff) + (after & 0xffff) + (after >> 16);
}

static __always_inline __u16 updated(__u16 check, __u32 change)
{
	__u32 sum = (__u16)~check + change;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int pick(const struct flow_key *key, struct target *target)
{
	struct service_key wanted = { key->destination, key->destination_port, 0 };
	const struct service *service = bpf_map_lookup_elem(&services, &wanted);

	if (!service)
		return 0;
	__u32 hash = (key->source ^ key->source_port * 2654435769u) * 2246822519u;
	target->address = service->pods[hash >> 30 & (PODS_EACH - 1)];
	target->port = service->port;
	target->zero = 0;
	bpf_map_update_elem(&flows, key, target, BPF_ANY);
	return 1;
}

SEC("xdp")
int dnat(struct xdp_md *context)
{
	struct ethhdr *eth = (void *)(long)context->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct target picked, *target;
	__u32 zero = 0;

	if ((void *)(udp + 1) > (void *)(long)context->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->ihl != 5 || ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(0x3fff) || ip->ttl <= 1)
		return XDP_PASS;
	struct flow_key key = { ip->saddr, ip->daddr, udp->source, udp->dest };
	target = bpf_map_lookup_elem(&flows, &key);
	if (!target) {
		if (!pick(&key, &picked))
			return XDP_PASS;
		target = &picked;
	}
	const struct way *way = bpf_map_lookup_elem(&ways, &zero);
	if (!way)
		return XDP_PASS;

	__u32 address = changed(ip->daddr, target->address);
	__u16 ttl_and_protocol = *(__u16 *)&ip->ttl;
	ip->daddr = target->address;
	ip->ttl--;
	ip->check = updated(ip->check, address + (__u16)~ttl_and_protocol + *(__u16 *)&ip->ttl);
	if (udp->check) {
		__u16 check = updated(udp->check, address + (__u16)~udp->dest + target->port);
		udp->check = check ? check : 0xffff;
	}
	udp->dest = target->port;
	__builtin_memcpy(eth->h_dest, way->macs, 2 * ETH_ALEN);
	return bpf_redirect_map(&out, 0, XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
