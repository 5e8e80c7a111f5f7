/*
 * libxdp 1.3: AF_XDP sockets. Each parameter carries its C declaration (/usr/include/xdp/xsk.h, libxdp.h).
 * Functions returning int return 0 or -errno.
 */

import { openLibrary } from "./library.ts";

const SYMBOLS = {
  libxdp_set_print: {
    parameters: ["pointer"], // libxdp_print_fn_t fn; NULL: say nothing
    result: "pointer",
  },
  xsk_umem__create: {
    parameters: [
      "buffer", // struct xsk_umem **umem
      "pointer", // void *umem_area
      "u64", // __u64 size
      "buffer", // struct xsk_ring_prod *fill
      "buffer", // struct xsk_ring_cons *comp
      "buffer", // const struct xsk_umem_config *config
    ],
    result: "i32",
  },
  xsk_umem__delete: {
    parameters: ["pointer"], // struct xsk_umem *umem
    result: "i32",
  },
  xsk_socket__create_shared: {
    parameters: [
      "buffer", // struct xsk_socket **xsk_ptr
      "buffer", // const char *ifname
      "u32", // __u32 queue_id
      "pointer", // struct xsk_umem *umem
      "buffer", // struct xsk_ring_cons *rx; NULL: no receiving
      "buffer", // struct xsk_ring_prod *tx
      "buffer", // struct xsk_ring_prod *fill
      "buffer", // struct xsk_ring_cons *comp
      "buffer", // const struct xsk_socket_config *config
    ],
    result: "i32",
  },
  xsk_socket__fd: {
    parameters: ["pointer"], // const struct xsk_socket *xsk
    result: "i32",
  },
  xsk_socket__delete: {
    parameters: ["pointer"], // struct xsk_socket *xsk
    result: "void",
  },
} as const satisfies Deno.ForeignLibraryInterface;

let symbols: Deno.StaticForeignLibraryInterface<typeof SYMBOLS> | null = null;

/** libxdp's functions; the library is loaded on first use, and kept from printing. */
export function libxdp(): Deno.StaticForeignLibraryInterface<typeof SYMBOLS> {
  if (symbols === null) {
    symbols = openLibrary("libxdp.so.1", SYMBOLS);
    symbols.libxdp_set_print(null);
  }
  return symbols;
}
