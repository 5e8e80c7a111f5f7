/*
 * /usr/include/linux/if_xdp.h and /usr/include/xdp/xsk.h: AF_XDP. See Documentation/networking/af_xdp.rst.
 */

export const SOL_XDP = 283; // include/linux/socket.h

// sockaddr_xdp.sxdp_flags
export const XDP_COPY = 1 << 1;
export const XDP_USE_NEED_WAKEUP = 1 << 3;

// Socket options
export const XDP_STATISTICS = 7;
export const XDP_OPTIONS = 8;
export const XDP_MAX_TX_SKB_BUDGET = 9; // Linux 6.17: frames one send may transmit in copy mode; before, 32
export const XDP_OPTIONS_ZEROCOPY = 1;

// Ring flags
export const XDP_RING_NEED_WAKEUP = 1;

/** Bytes the kernel leaves free before each received packet (uapi/linux/bpf.h). */
export const XDP_PACKET_HEADROOM = 256;

// struct xdp_statistics, u64 each
export const XDP_STATISTICS_RX_DROPPED = 0;
export const XDP_STATISTICS_RX_RING_FULL = 24;
export const XDP_STATISTICS_FILL_RING_EMPTY = 32;
export const XDP_STATISTICS_BYTES = 48;

// struct xsk_umem_config, u32 each
export const UMEM_CONFIG_FILL_SIZE = 0;
export const UMEM_CONFIG_COMPLETION_SIZE = 4;
export const UMEM_CONFIG_FRAME_BYTES = 8;
export const UMEM_CONFIG_BYTES = 20;

// struct xsk_socket_config
export const SOCKET_CONFIG_RX_SIZE = 0; // u32
export const SOCKET_CONFIG_TX_SIZE = 4; // u32
export const SOCKET_CONFIG_LIBXDP_FLAGS = 8; // u32
export const SOCKET_CONFIG_BIND_FLAGS = 16; // u16
export const SOCKET_CONFIG_BYTES = 20;
export const XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD = 1;

// struct xsk_ring_prod and xsk_ring_cons: what libxdp fills in
export const RING_SIZE = 12; // u32
export const RING_PRODUCER = 16; // u32 *
export const RING_CONSUMER = 24; // u32 *
export const RING_ENTRIES = 32; // void *: u64 addresses, or struct xdp_desc
export const RING_FLAGS = 40; // u32 *
export const RING_BYTES = 48;

// Entries of fill and completion rings: a u64 address. Of RX and TX rings: struct xdp_desc {u64 addr, u32 len, u32 options}.
export const ADDRESS_WORDS = 2;
export const DESCRIPTOR_WORDS = 4;
export const DESCRIPTOR_LENGTH_WORD = 2;
