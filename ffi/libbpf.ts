/*
 * libbpf 1.x: loading the steering programs, their maps, and attaching. Each parameter carries its C declaration
 * (/usr/include/bpf/libbpf.h, bpf.h). Functions returning int return -errno on failure; those returning a pointer
 * return NULL and set errno.
 */

import { libc } from "./libc.ts";
import { openLibrary } from "./library.ts";
import { fromCString } from "./memory.ts";

const SYMBOLS = {
  libbpf_set_print: {
    parameters: ["pointer"], // libbpf_print_fn_t fn; NULL: say nothing
    result: "pointer",
  },
  libbpf_version_string: {
    parameters: [], // void
    result: "pointer",
  },
  libbpf_num_possible_cpus: {
    parameters: [], // void
    result: "i32",
  },
  bpf_object__open_mem: {
    parameters: [
      "buffer", // const void *obj_buf
      "usize", // size_t obj_buf_sz
      "buffer", // const struct bpf_object_open_opts *opts
    ],
    result: "pointer",
  },
  bpf_object__load: {
    parameters: ["pointer"], // struct bpf_object *obj
    result: "i32",
  },
  bpf_object__close: {
    parameters: ["pointer"], // struct bpf_object *obj
    result: "void",
  },
  bpf_object__find_map_fd_by_name: {
    parameters: [
      "pointer", // struct bpf_object *obj
      "buffer", // const char *name
    ],
    result: "i32",
  },
  bpf_object__find_map_by_name: {
    parameters: [
      "pointer", // const struct bpf_object *obj
      "buffer", // const char *name
    ],
    result: "pointer",
  },
  bpf_map__reuse_fd: {
    parameters: [
      "pointer", // struct bpf_map *map; not created yet
      "i32", // int fd; it is duplicated
    ],
    result: "i32",
  },
  bpf_map__set_max_entries: {
    parameters: [
      "pointer", // struct bpf_map *map; not created yet
      "u32", // __u32 max_entries
    ],
    result: "i32",
  },
  bpf_object__find_program_by_name: {
    parameters: [
      "pointer", // const struct bpf_object *obj
      "buffer", // const char *name
    ],
    result: "pointer",
  },
  bpf_program__fd: {
    parameters: ["pointer"], // const struct bpf_program *prog
    result: "i32",
  },
  bpf_map_update_elem: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *key
      "buffer", // const void *value
      "u64", // __u64 flags
    ],
    result: "i32",
  },
  bpf_map_lookup_elem: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *key
      "buffer", // void *value
    ],
    result: "i32",
  },
  bpf_map_delete_elem: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *key
    ],
    result: "i32",
  },
  bpf_map_get_next_key: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *cur_key; NULL: the first
      "buffer", // void *next_key
    ],
    result: "i32",
  },
  bpf_map_get_fd_by_id: {
    parameters: ["u32"], // __u32 id
    result: "i32",
  },
  bpf_map_update_batch: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *keys
      "buffer", // const void *values
      "buffer", // __u32 *count; how many were done, afterwards
      "buffer", // const struct bpf_map_batch_opts *opts
    ],
    result: "i32",
  },
  bpf_map_delete_batch: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *keys
      "buffer", // __u32 *count; how many were done, afterwards
      "buffer", // const struct bpf_map_batch_opts *opts
    ],
    result: "i32",
  },
  bpf_prog_get_fd_by_id: {
    parameters: ["u32"], // __u32 id
    result: "i32",
  },
  bpf_obj_get_info_by_fd: {
    parameters: [
      "i32", // int bpf_fd
      "buffer", // void *info
      "buffer", // __u32 *info_len
    ],
    result: "i32",
  },
  bpf_xdp_attach: {
    parameters: [
      "i32", // int ifindex
      "i32", // int prog_fd
      "u32", // __u32 flags
      "buffer", // const struct bpf_xdp_attach_opts *opts
    ],
    result: "i32",
  },
  bpf_xdp_detach: {
    parameters: [
      "i32", // int ifindex
      "u32", // __u32 flags
      "buffer", // const struct bpf_xdp_attach_opts *opts
    ],
    result: "i32",
  },
  bpf_xdp_query: {
    parameters: [
      "i32", // int ifindex
      "i32", // int flags
      "buffer", // struct bpf_xdp_query_opts *opts
    ],
    result: "i32",
  },
  bpf_prog_attach_opts: {
    parameters: [
      "i32", // int prog_fd
      "i32", // int target; of BPF_TCX_INGRESS an interface's index
      "i32", // enum bpf_attach_type type
      "buffer", // const struct bpf_prog_attach_opts *opts
    ],
    result: "i32",
  },
  bpf_prog_detach2: {
    parameters: [
      "i32", // int prog_fd
      "i32", // int attachable_fd; as above
      "i32", // enum bpf_attach_type type
    ],
    result: "i32",
  },
  bpf_prog_query: {
    parameters: [
      "i32", // int target_fd; as above
      "i32", // enum bpf_attach_type type
      "u32", // __u32 query_flags
      "buffer", // __u32 *attach_flags; may be NULL
      "buffer", // __u32 *prog_ids
      "buffer", // __u32 *prog_cnt; in: room
    ],
    result: "i32",
  },
  bpf_tc_hook_create: {
    parameters: ["buffer"], // struct bpf_tc_hook *hook
    result: "i32",
  },
  bpf_tc_hook_destroy: {
    parameters: ["buffer"], // struct bpf_tc_hook *hook
    result: "i32",
  },
  bpf_tc_attach: {
    parameters: [
      "buffer", // const struct bpf_tc_hook *hook
      "buffer", // struct bpf_tc_opts *opts
    ],
    result: "i32",
  },
  bpf_tc_detach: {
    parameters: [
      "buffer", // const struct bpf_tc_hook *hook
      "buffer", // const struct bpf_tc_opts *opts
    ],
    result: "i32",
  },
  bpf_tc_query: {
    parameters: [
      "buffer", // const struct bpf_tc_hook *hook
      "buffer", // struct bpf_tc_opts *opts
    ],
    result: "i32",
  },
  bpf_prog_test_run_opts: {
    parameters: [
      "i32", // int prog_fd
      "buffer", // struct bpf_test_run_opts *opts
    ],
    result: "i32",
  },
  /** The same on a thread of the runtime's pool: resolves when it returns. */
  bpf_prog_test_run_opts_async: {
    name: "bpf_prog_test_run_opts",
    parameters: [
      "i32", // int prog_fd
      "buffer", // struct bpf_test_run_opts *opts
    ],
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** libbpf's functions. */
export type Libbpf = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

let symbols: Libbpf | null = null;

/** libbpf's functions; the library is loaded on first use, and kept from printing. */
export function libbpf(): Libbpf {
  if (symbols === null) {
    symbols = openLibrary("libbpf.so.1", SYMBOLS);
    symbols.libbpf_set_print(null);
  }
  return symbols;
}

/** "v1.1" and the like. */
export function libbpfVersion(): string {
  const text = libbpf().libbpf_version_string();
  return text === null ? "" : new Deno.UnsafePointerView(text).getCString();
}

// A message comes as a format and a va_list, which on x86-64 and arm64 is passed by reference: vsnprintf(3) takes the
// pointer as it is.
const { vsnprintf } = Deno.dlopen("libc.so.6", {
  vsnprintf: {
    parameters: [
      "buffer", // char *text
      "usize", // size_t size
      "pointer", // const char *format
      "pointer", // va_list arguments
    ],
    result: "i32",
  },
}).symbols;

const MESSAGE_BYTES = 4096;

/**
 * Runs `body` and returns, besides its result, what libbpf had to say meanwhile, one message a line: the only place
 * where it repeats the kernel's own words on why a program was not attached (netlink's extended ack).
 * `body` must be synchronous, and no other thread may use libbpf meanwhile (only the control plane does).
 */
export function withLibbpfMessages<T>(body: () => T): { result: T; messages: string[] } {
  const messages: string[] = [];
  const text = new Uint8Array(MESSAGE_BYTES);
  const definition = { parameters: ["i32", "pointer", "pointer"], result: "i32" } as const;
  const callback = new Deno.UnsafeCallback(definition, (_level, format, values) => {
    vsnprintf(text, BigInt(MESSAGE_BYTES), format, values);
    messages.push(fromCString(text).trim());
    return 0;
  });
  libbpf().libbpf_set_print(callback.pointer);
  try {
    return { result: body(), messages };
  } finally {
    libbpf().libbpf_set_print(null);
    callback.close();
  }
}

/** Closes a descriptor that libbpf returned. */
export function closeBpfFd(fd: number): void {
  libc.close(fd);
}
