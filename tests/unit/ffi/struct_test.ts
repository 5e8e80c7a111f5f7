/*
 * Offsets against what C says. The numbers here were printed by a C program of offsetof and sizeof over the headers of
 * libbpf 1.1.2, libxdp 1.3.1 and Linux 6.1, on x86-64.
 */

import { assertEquals } from "@std/assert";
import * as bpf from "../../../ffi/bpf.ts";
import * as xdp from "../../../ffi/if_xdp.ts";

const OFFSETS: Readonly<Record<string, readonly [ours: number, theirs: number]>> = {
  "sizeof bpf_object_open_opts": [bpf.OPEN_OPTS_BYTES, 80],
  "bpf_object_open_opts.object_name": [bpf.OPEN_OPTS_NAME, 8],
  "bpf_object_open_opts.kernel_log_buf": [bpf.OPEN_OPTS_LOG_BUFFER, 56],
  "bpf_object_open_opts.kernel_log_size": [bpf.OPEN_OPTS_LOG_BYTES, 64],
  "sizeof bpf_xdp_attach_opts": [bpf.XDP_ATTACH_OPTS_BYTES, 16],
  "bpf_xdp_attach_opts.old_prog_fd": [bpf.XDP_ATTACH_OPTS_OLD_FD, 8],
  "sizeof bpf_xdp_query_opts": [bpf.XDP_QUERY_OPTS_BYTES, 32],
  "bpf_xdp_query_opts.drv_prog_id": [bpf.XDP_QUERY_OPTS_NATIVE_ID, 12],
  "bpf_xdp_query_opts.hw_prog_id": [bpf.XDP_QUERY_OPTS_HARDWARE_ID, 16],
  "bpf_xdp_query_opts.skb_prog_id": [bpf.XDP_QUERY_OPTS_GENERIC_ID, 20],
  "sizeof bpf_tc_hook": [bpf.TC_HOOK_BYTES, 24],
  "bpf_tc_hook.ifindex": [bpf.TC_HOOK_IFINDEX, 8],
  "bpf_tc_hook.attach_point": [bpf.TC_HOOK_ATTACH_POINT, 12],
  "sizeof bpf_tc_opts": [bpf.TC_OPTS_BYTES, 32],
  "bpf_tc_opts.prog_fd": [bpf.TC_OPTS_PROGRAM_FD, 8],
  "bpf_tc_opts.flags": [bpf.TC_OPTS_FLAGS, 12],
  "bpf_tc_opts.prog_id": [bpf.TC_OPTS_PROGRAM_ID, 16],
  "bpf_tc_opts.handle": [bpf.TC_OPTS_HANDLE, 20],
  "bpf_tc_opts.priority": [bpf.TC_OPTS_PRIORITY, 24],
  "sizeof bpf_map_batch_opts": [bpf.MAP_BATCH_OPTS_BYTES, 24],
  "sizeof bpf_prog_attach_opts": [bpf.PROGRAM_ATTACH_OPTS_BYTES, 16],
  "bpf_prog_attach_opts.flags": [bpf.PROGRAM_ATTACH_OPTS_FLAGS, 8],
  "bpf_prog_attach_opts.replace_prog_fd": [bpf.PROGRAM_ATTACH_OPTS_REPLACE_FD, 12],
  "bpf_prog_info.id": [bpf.PROGRAM_INFO_ID, 4],
  "bpf_prog_info.name": [bpf.PROGRAM_INFO_NAME, 64],
  "sizeof bpf_test_run_opts": [bpf.TEST_RUN_OPTS_BYTES, 80],
  "bpf_test_run_opts.data_in": [bpf.TEST_RUN_OPTS_DATA_IN, 8],
  "bpf_test_run_opts.data_size_in": [bpf.TEST_RUN_OPTS_DATA_SIZE_IN, 24],
  "bpf_test_run_opts.ctx_in": [bpf.TEST_RUN_OPTS_CONTEXT_IN, 32],
  "bpf_test_run_opts.ctx_size_in": [bpf.TEST_RUN_OPTS_CONTEXT_SIZE_IN, 48],
  "bpf_test_run_opts.retval": [bpf.TEST_RUN_OPTS_RESULT, 56],
  "bpf_test_run_opts.repeat": [bpf.TEST_RUN_OPTS_REPEAT, 60],
  "bpf_test_run_opts.duration": [bpf.TEST_RUN_OPTS_DURATION, 64],
  "sizeof xsk_umem_config": [xdp.UMEM_CONFIG_BYTES, 20],
  "xsk_umem_config.frame_size": [xdp.UMEM_CONFIG_FRAME_BYTES, 8],
  "sizeof xsk_socket_config": [xdp.SOCKET_CONFIG_BYTES, 20],
  "xsk_socket_config.libxdp_flags": [xdp.SOCKET_CONFIG_LIBXDP_FLAGS, 8],
  "xsk_socket_config.bind_flags": [xdp.SOCKET_CONFIG_BIND_FLAGS, 16],
  "sizeof xsk_ring_prod": [xdp.RING_BYTES, 48],
  "xsk_ring_prod.size": [xdp.RING_SIZE, 12],
  "xsk_ring_prod.producer": [xdp.RING_PRODUCER, 16],
  "xsk_ring_prod.consumer": [xdp.RING_CONSUMER, 24],
  "xsk_ring_prod.ring": [xdp.RING_ENTRIES, 32],
  "xsk_ring_prod.flags": [xdp.RING_FLAGS, 40],
  "sizeof xdp_desc": [xdp.DESCRIPTOR_WORDS * 4, 16],
  "sizeof xdp_statistics": [xdp.XDP_STATISTICS_BYTES, 48],
};

for (const [name, [ours, theirs]] of Object.entries(OFFSETS)) {
  Deno.test(`${name} is ${theirs}`, () => assertEquals(ours, theirs));
}
