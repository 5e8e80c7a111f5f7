/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that a forwarder over AF_XDP can do: receive on one interface, write both MAC addresses, transmit on the
 * other. One UMEM, bursts of 64, one system call a burst, sleep in poll when nothing comes: what the way through the
 * rings itself allows, whoever makes the decisions in between.
 *
 *     forward <program.o> <in> <out> <destination MAC> <source MAC>     "forwarding" on stdout, until killed
 *
 * References: Documentation/networking/af_xdp.rst; xdp/xsk.h.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#define FRAMES 8192
#define FRAME_BYTES 4096
#define RING 2048
#define BURST 64
#ifndef XDP_MAX_TX_SKB_BUDGET /* Linux 6.17 */
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

struct port {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	__u32 outstanding;
};

static __u64 pool[FRAMES];
static __u32 pooled;

static void check(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "forward: %s: %s\n", what, strerror(result < 0 ? -result : errno));
	exit(1);
}

static void parse_mac(const char *text, __u8 *mac)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) {
		fprintf(stderr, "forward: MAC address : %s, write six bytes in hexadecimal\n", text);
		exit(2);
	}
}

static void open_port(struct port *port, const char *interface, void *memory, int receives)
{
	struct xsk_umem_config memory_config = {
		.fill_size = RING, .comp_size = RING, .frame_size = FRAME_BYTES, .frame_headroom = 0,
	};
	struct xsk_socket_config config = {
		.rx_size = RING, .tx_size = RING, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP | XDP_COPY,
	};
	int budget = RING, room = RING * 4096;

	check(xsk_umem__create(&port->umem, memory, (__u64)FRAMES * FRAME_BYTES, &port->fill, &port->completion,
			       &memory_config), "register memory");
	check(xsk_socket__create(&port->socket, interface, 0, port->umem, receives ? &port->rx : NULL, &port->tx,
				 &config), interface);
	setsockopt(xsk_socket__fd(port->socket), SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	setsockopt(xsk_socket__fd(port->socket), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
}

static void refill(struct port *port)
{
	__u32 at, count = xsk_prod_nb_free(&port->fill, 4 * BURST);

	if (count > 4 * BURST)
		count = 4 * BURST;
	if (count > pooled)
		count = pooled;
	if (count == 0 || xsk_ring_prod__reserve(&port->fill, count, &at) != count)
		return;
	for (__u32 i = 0; i < count; i++)
		*xsk_ring_prod__fill_addr(&port->fill, at + i) = pool[--pooled];
	xsk_ring_prod__submit(&port->fill, count);
}

static void reap(struct port *port)
{
	__u32 at, count;

	while ((count = xsk_ring_cons__peek(&port->completion, BURST, &at)) > 0) {
		for (__u32 i = 0; i < count; i++)
			pool[pooled++] = *xsk_ring_cons__comp_addr(&port->completion, at + i) & ~(__u64)(FRAME_BYTES - 1);
		xsk_ring_cons__release(&port->completion, count);
		port->outstanding -= count;
	}
}

/* In copy mode the kernel transmits in the call, up to its budget: once is mostly enough. */
static void flush(struct port *port)
{
	for (int tries = 0; port->outstanding > 0 && tries < 64; tries++) {
		sendto(xsk_socket__fd(port->socket), NULL, 0, MSG_DONTWAIT, NULL, 0);
		reap(port);
	}
}

static __u32 burst(struct port *in, struct port *out, const __u8 *macs, char *memory)
{
	__u32 from, to, count = xsk_ring_cons__peek(&in->rx, BURST, &from);

	if (count == 0)
		return 0;
	if (xsk_ring_prod__reserve(&out->tx, count, &to) != count) {
		fprintf(stderr, "forward: the transmit ring is full after a flush\n");
		exit(1);
	}
	for (__u32 i = 0; i < count; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&in->rx, from + i);
		memcpy(memory + desc->addr, macs, 12);
		struct xdp_desc *send = xsk_ring_prod__tx_desc(&out->tx, to + i);
		send->addr = desc->addr;
		send->len = desc->len;
		send->options = 0;
	}
	xsk_ring_cons__release(&in->rx, count);
	xsk_ring_prod__submit(&out->tx, count);
	out->outstanding += count;
	flush(out);
	refill(in);
	return count;
}

static void attach(const char *path, const char *interface, int socket)
{
	struct bpf_object *object = bpf_object__open(path);
	int key = 0;

	check(object == NULL ? -errno : 0, path);
	check(bpf_object__load(object), path);
	check(bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "sockets"), &key, &socket, 0), "sockets");
	int program = bpf_program__fd(bpf_object__find_program_by_name(object, "to_socket"));
	check(bpf_xdp_attach(if_nametoindex(interface), program, 0, NULL), interface);
}

int main(int argc, char **argv)
{
	static struct port in, out;
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	__u8 macs[12];

	if (argc != 6) {
		fprintf(stderr, "usage: forward <program.o> <in> <out> <destination MAC> <source MAC>\n");
		return 2;
	}
	parse_mac(argv[4], macs);
	parse_mac(argv[5], macs + 6);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	char *memory = mmap(NULL, (size_t)FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	check(memory == MAP_FAILED ? -errno : 0, "memory");
	for (pooled = 0; pooled < FRAMES; pooled++)
		pool[pooled] = (__u64)pooled * FRAME_BYTES;
	open_port(&in, argv[2], memory, 1);
	open_port(&out, argv[3], memory, 0);
	for (int i = 0; i < RING / (4 * BURST); i++)
		refill(&in);
	attach(argv[1], argv[2], xsk_socket__fd(in.socket));
	puts("forwarding");
	fflush(stdout);
	struct pollfd polled = { .fd = xsk_socket__fd(in.socket), .events = POLLIN };
	for (;;)
		if (burst(&in, &out, macs, memory) == 0 && burst(&in, &out, macs, memory) == 0)
			poll(&polled, 1, 1000);
}
