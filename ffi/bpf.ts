/*
 * /usr/include/linux/bpf.h and /usr/include/bpf/{bpf,libbpf}.h: flags, and the structs as offset tables.
 * libbpf's option structs begin with their size, by which versions of it understand each other.
 */

// bpf_map_update_elem
export const BPF_ANY = 0n;

// struct bpf_object_open_opts
export const OPEN_OPTS_NAME = 8; // const char *object_name
export const OPEN_OPTS_LOG_BUFFER = 56; // char *kernel_log_buf
export const OPEN_OPTS_LOG_BYTES = 64; // size_t kernel_log_size
export const OPEN_OPTS_BYTES = 80;

// struct bpf_prog_attach_opts, as long as libbpf 1.0 knew it
export const PROGRAM_ATTACH_OPTS_FLAGS = 8; // u32
export const PROGRAM_ATTACH_OPTS_REPLACE_FD = 12; // int replace_prog_fd
export const PROGRAM_ATTACH_OPTS_BYTES = 16;
export const BPF_F_REPLACE = 1 << 2;
/** enum bpf_attach_type, from Linux 6.6 on: to libbpf a number that it passes on. */
export const BPF_TCX_INGRESS = 46;

// struct bpf_xdp_attach_opts
export const XDP_ATTACH_OPTS_OLD_FD = 8; // int old_prog_fd
export const XDP_ATTACH_OPTS_BYTES = 16;

// struct bpf_xdp_query_opts; all u32 except the mode
export const XDP_QUERY_OPTS_PROGRAM_ID = 8;
export const XDP_QUERY_OPTS_NATIVE_ID = 12; // drv_prog_id
export const XDP_QUERY_OPTS_HARDWARE_ID = 16; // hw_prog_id
export const XDP_QUERY_OPTS_GENERIC_ID = 20; // skb_prog_id
export const XDP_QUERY_OPTS_MODE = 24; // u8 attach_mode, if_link.h XDP_ATTACHED_*
export const XDP_QUERY_OPTS_BYTES = 32;

// struct bpf_tc_hook
export const TC_HOOK_IFINDEX = 8; // int
export const TC_HOOK_ATTACH_POINT = 12; // enum
export const TC_HOOK_BYTES = 24;
export const BPF_TC_INGRESS = 1;
export const BPF_TC_EGRESS = 2;

// struct bpf_tc_opts
export const TC_OPTS_PROGRAM_FD = 8; // int
export const TC_OPTS_FLAGS = 12; // u32
export const TC_OPTS_PROGRAM_ID = 16; // u32
export const TC_OPTS_HANDLE = 20; // u32
export const TC_OPTS_PRIORITY = 24; // u32
export const TC_OPTS_BYTES = 32;
export const BPF_TC_F_REPLACE = 1;

// struct bpf_map_batch_opts
export const MAP_BATCH_OPTS_BYTES = 24;

// struct bpf_prog_info, as long as Linux 4.15 knew it
export const PROGRAM_INFO_ID = 4; // u32
export const PROGRAM_INFO_MAP_COUNT = 52; // u32 nr_map_ids; in: room
export const PROGRAM_INFO_MAP_IDS = 56; // u64, pointer to u32
export const PROGRAM_INFO_NAME = 64; // char[BPF_OBJ_NAME_LEN]
export const PROGRAM_INFO_NAME_BYTES = 16;
export const PROGRAM_INFO_BYTES = 80;

// struct bpf_map_info, its beginning
export const MAP_INFO_KEY_BYTES = 8; // u32 key_size
export const MAP_INFO_VALUE_BYTES = 12; // u32 value_size
export const MAP_INFO_ENTRIES = 16; // u32 max_entries
export const MAP_INFO_NAME = 24; // char[BPF_OBJ_NAME_LEN]
export const MAP_INFO_NAME_BYTES = 16;
export const MAP_INFO_BYTES = 40;

// struct bpf_test_run_opts
export const TEST_RUN_OPTS_DATA_IN = 8; // const void *
export const TEST_RUN_OPTS_DATA_OUT = 16; // void *
export const TEST_RUN_OPTS_DATA_SIZE_IN = 24; // u32
export const TEST_RUN_OPTS_DATA_SIZE_OUT = 28; // u32
export const TEST_RUN_OPTS_CONTEXT_IN = 32; // const void *
export const TEST_RUN_OPTS_CONTEXT_SIZE_IN = 48; // u32
export const TEST_RUN_OPTS_RESULT = 56; // u32 retval
export const TEST_RUN_OPTS_REPEAT = 60; // int
export const TEST_RUN_OPTS_DURATION = 64; // u32, ns a run
export const TEST_RUN_OPTS_FLAGS = 68; // u32
export const TEST_RUN_OPTS_BATCH_SIZE = 76; // u32, live frames at a time
export const TEST_RUN_OPTS_BYTES = 80;
export const BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1;
