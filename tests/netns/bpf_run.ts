/*
 * BPF_PROG_TEST_RUN: one of the steering programs over one frame, as if it had come in by an interface.
 *
 * References: linux/bpf.h struct xdp_md, struct __sk_buff; net/bpf/test_run.c.
 */

import { assertEquals } from "@std/assert";
import {
  TEST_RUN_OPTS_BYTES,
  TEST_RUN_OPTS_CONTEXT_IN,
  TEST_RUN_OPTS_CONTEXT_SIZE_IN,
  TEST_RUN_OPTS_DATA_IN,
  TEST_RUN_OPTS_DATA_OUT,
  TEST_RUN_OPTS_DATA_SIZE_IN,
  TEST_RUN_OPTS_DATA_SIZE_OUT,
  TEST_RUN_OPTS_DURATION,
  TEST_RUN_OPTS_REPEAT,
  TEST_RUN_OPTS_RESULT,
} from "../../ffi/bpf.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { bufferAddress } from "../../ffi/memory.ts";

export const XDP_PASS = 2;
export const XDP_REDIRECT = 4;
export const TC_ACT_UNSPEC = 0xffffffff;
export const TC_ACT_REDIRECT = 7;
/** A test run refuses to make an skb without a whole IP header (net/bpf/test_run.c bpf_prog_test_run_skb). */
export const SHORTEST_SKB = 14 + 40;

const XDP_MD_BYTES = 24;
const XDP_MD_DATA_END = 4;
const XDP_MD_INGRESS_IFINDEX = 12;
const SK_BUFF_BYTES = 192;
const SK_BUFF_IFINDEX = 40;
const SK_BUFF_GSO_SEGS = 164;
const SK_BUFF_GSO_SIZE = 176;
const OUT_BYTES = 4096;

/** What a run came to. */
export interface Run {
  verdict: number;
  /** The frame afterwards. */
  out: Uint8Array;
  /** Of one run, on average. */
  durationNs: number;
}

/** Runs of an XDP program. */
export function runXdp(fd: number, frame: Uint8Array, ifindex: number, repeat = 1): Run {
  const context = new DataView(new ArrayBuffer(XDP_MD_BYTES));
  context.setUint32(XDP_MD_DATA_END, frame.length, true);
  context.setUint32(XDP_MD_INGRESS_IFINDEX, ifindex, true);
  return run(fd, frame, context, repeat);
}

/** Runs of a tc program. With `gsoBytes` the packet is one that is still to be cut up. */
export function runTc(fd: number, frame: Uint8Array, ifindex: number, repeat = 1, gsoBytes = 0): Run {
  const context = new DataView(new ArrayBuffer(SK_BUFF_BYTES));
  context.setUint32(SK_BUFF_IFINDEX, ifindex, true);
  context.setUint32(SK_BUFF_GSO_SIZE, gsoBytes, true);
  context.setUint32(SK_BUFF_GSO_SEGS, gsoBytes === 0 ? 0 : 2, true);
  return run(fd, frame, context, repeat);
}

function run(fd: number, frame: Uint8Array, context: DataView<ArrayBuffer>, repeat: number): Run {
  const data = new Uint8Array(new ArrayBuffer(frame.length));
  data.set(frame);
  const out = new Uint8Array(new ArrayBuffer(Math.max(OUT_BYTES, frame.length)));
  const options = new DataView(new ArrayBuffer(TEST_RUN_OPTS_BYTES));
  options.setBigUint64(0, BigInt(TEST_RUN_OPTS_BYTES), true);
  options.setBigUint64(TEST_RUN_OPTS_DATA_IN, bufferAddress(data), true);
  options.setUint32(TEST_RUN_OPTS_DATA_SIZE_IN, data.length, true);
  options.setBigUint64(TEST_RUN_OPTS_DATA_OUT, bufferAddress(out), true);
  options.setUint32(TEST_RUN_OPTS_DATA_SIZE_OUT, out.length, true);
  options.setBigUint64(TEST_RUN_OPTS_CONTEXT_IN, bufferAddress(new Uint8Array(context.buffer)), true);
  options.setUint32(TEST_RUN_OPTS_CONTEXT_SIZE_IN, context.byteLength, true);
  options.setUint32(TEST_RUN_OPTS_REPEAT, repeat, true);
  const result = libbpf().bpf_prog_test_run_opts(fd, new Uint8Array(options.buffer));
  assertEquals(result, 0, `test run of ${frame.length} bytes`);
  return {
    verdict: options.getUint32(TEST_RUN_OPTS_RESULT, true),
    out: out.slice(0, options.getUint32(TEST_RUN_OPTS_DATA_SIZE_OUT, true)),
    durationNs: options.getUint32(TEST_RUN_OPTS_DURATION, true),
  };
}
