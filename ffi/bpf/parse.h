/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading a packet as far as steering needs it: addresses, protocol, ports.
 * As in the worker, the asker's identifier stands for its port in an ICMP echo.
 *
 * Rule: whatever is malformed, cut short or unusual is not ours (-1) and goes
 * on to the kernel. Works on directly accessible bytes, the same for XDP and
 * tc; every access stands behind a comparison with `end`, for the verifier.
 *
 * References: RFC 791, RFC 8200 section 4 (extension headers), RFC 792,
 * RFC 4443, RFC 4302 section 2.2 (AH counts its length in words minus two).
 */
#ifndef KU_PARSE_H
#define KU_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#define KU_MAX_EXTENSIONS 8 /* IPv6 extension headers looked through */
#define KU_MAX_HEADERS 1024 /* bytes from the frame's start to the ports; bounds every offset */

#define IP_FRAGMENT 0x3fff /* more follow, or an offset */
#define IP6_FRAGMENT 0xfff9

#define PROTOCOL_AH 51
#define PROTOCOL_SCTP 132

#define ICMP_ECHO_REPLY 0
#define ICMP6_ECHO_REPLY 129

enum ku_kind {
	KIND_PORTS,    /* a protocol with ports, or one without any: ports 0; an ICMP echo reply */
	KIND_FRAGMENT, /* a fragment, the first too: one way for all of a datagram, and only the first has ports */
	KIND_ECHO,     /* ICMP echo request */
	KIND_ERROR,    /* ICMP error; the quoted packet begins at `inner_at` */
	KIND_NEIGHBOR, /* neighbor and router discovery: always the kernel's */
};

struct ku_packet {
	__u32 source[4];
	__u32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 is_ip6;
	__u8 kind;
	__u8 pad;
	__u32 inner_at;
};

static __always_inline void map_ip4(__u32 *to, __u32 address)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

/* ICMP by type: RFC 792; 3 unreachable, 11 time exceeded, 12 parameter problem, 8 echo. */
static __always_inline int icmp4_kind(__u8 type)
{
	if (type == 3 || type == 11 || type == 12)
		return KIND_ERROR;
	return type == 8 ? KIND_ECHO : KIND_PORTS;
}

/* RFC 4443: 1 unreachable … 4 parameter problem, 128 echo. 130-132 and 133-137 are MLD
 * (RFC 2710) and discovery (RFC 4861), 143 MLDv2 (RFC 3810). */
static __always_inline int icmp6_kind(__u8 type)
{
	if (type >= 1 && type <= 4)
		return KIND_ERROR;
	if (type == 128)
		return KIND_ECHO;
	return (type >= 130 && type <= 137) || type == 143 ? KIND_NEIGHBOR : KIND_PORTS;
}

/* Ports, or the ICMP type, of the header at `at`. 0 or -1. */
static __always_inline int parse_transport(void *data, void *end, __u32 at, struct ku_packet *packet)
{
	__u8 protocol = packet->protocol;

	packet->source_port = 0;
	packet->destination_port = 0;
	if (packet->kind == KIND_FRAGMENT)
		return 0;
	if (at > KU_MAX_HEADERS)
		return -1;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == PROTOCOL_SCTP) {
		__be16 *ports = data + at;

		if ((void *)(ports + 2) > end)
			return -1;
		packet->source_port = ports[0];
		packet->destination_port = ports[1];
	} else if (protocol == (packet->is_ip6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		__u8 *type = data + at;

		if ((void *)(type + 8) > end)
			return -1;
		packet->kind = packet->is_ip6 ? icmp6_kind(*type) : icmp4_kind(*type);
		if (packet->kind == KIND_ECHO)
			packet->source_port = *(__be16 *)(type + 4);
		else if (*type == (packet->is_ip6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY))
			packet->destination_port = *(__be16 *)(type + 4);
		packet->inner_at = at + 8;
	}
	return 0;
}

static __always_inline int parse_ip4(void *data, void *end, __u32 at, struct ku_packet *packet)
{
	struct iphdr *ip = data + at;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return -1;
	map_ip4(packet->source, ip->saddr);
	map_ip4(packet->destination, ip->daddr);
	packet->protocol = ip->protocol;
	packet->is_ip6 = 0;
	packet->kind = ip->frag_off & bpf_htons(IP_FRAGMENT) ? KIND_FRAGMENT : KIND_PORTS;
	return parse_transport(data, end, at + ip->ihl * 4, packet);
}

/*
 * Bytes of an IPv6 extension header whose length field holds `units`. A global function: the verifier then
 * takes any number for its result, so all ways around the loop below look alike to it and are walked once.
 */
__noinline int ku_extension_bytes(__u32 protocol, __u32 units)
{
	if (protocol == IPPROTO_FRAGMENT)
		return 8;
	if (protocol == PROTOCOL_AH)
		return (units + 2) * 4;
	return (units + 1) * 8;
}

/* Steps over extension headers; `*next` is the protocol reached. The offset, or -1. */
static __always_inline int skip_extensions(void *data, void *end, __u32 at, __u8 *next, __u8 *kind)
{
	for (int i = 0; i < KU_MAX_EXTENSIONS; i++) {
		__u8 protocol = *next;
		__u8 *header;

		if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS &&
		    protocol != IPPROTO_FRAGMENT && protocol != PROTOCOL_AH)
			return at;
		header = data + at;
		if ((void *)(header + 8) > end)
			return -1;
		*next = header[0];
		at += (__u32)ku_extension_bytes(protocol, header[1]) & 0xfff;
		if (at > KU_MAX_HEADERS)
			return -1;
		if (protocol == IPPROTO_FRAGMENT && (*(__be16 *)(header + 2) & bpf_htons(IP6_FRAGMENT))) {
			*kind = KIND_FRAGMENT; /* an atomic one (RFC 6946) is a whole packet */
			return at;
		}
	}
	return -1;
}

static __always_inline int parse_ip6(void *data, void *end, __u32 at, struct ku_packet *packet)
{
	struct ipv6hdr *ip = data + at;
	__u8 next, kind = KIND_PORTS;
	int transport_at;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return -1;
	__builtin_memcpy(packet->source, &ip->saddr, 16);
	__builtin_memcpy(packet->destination, &ip->daddr, 16);
	next = ip->nexthdr;
	transport_at = skip_extensions(data, end, at + sizeof(*ip), &next, &kind);
	if (transport_at < 0)
		return -1;
	packet->protocol = next;
	packet->is_ip6 = 1;
	packet->kind = kind;
	return parse_transport(data, end, transport_at, packet);
}

/* The IP packet at `at`, whose EtherType is `type` (big-endian). 0 or -1. */
static __noinline int parse_packet(void *data, void *end, __u32 at, __be16 type, struct ku_packet *packet)
{
	if (at > KU_MAX_HEADERS)
		return -1;
	packet->inner_at = 0;
	if (type == bpf_htons(ETH_P_IP))
		return parse_ip4(data, end, at, packet);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_ip6(data, end, at, packet);
	return -1;
}

#endif
