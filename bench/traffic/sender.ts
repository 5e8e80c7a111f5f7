/*
 * The sender, a process of its own inside the client's namespace: bench/bpf/sender.bpf.c in live-frame mode, as fast as
 * it goes, in one long call, until the process ends (a call sleeps in the kernel at its end, so a loop of short ones
 * would offer half the load, in bursts). The call runs on another thread, so that this one can tell how many were sent.
 *
 *     sender.ts <object file> <order as JSON>      a JSON line for every line on stdin
 *
 * References: net/bpf/test_run.c bpf_test_run_xdp_live.
 */

import {
  BPF_F_TEST_XDP_LIVE_FRAMES,
  TEST_RUN_OPTS_BATCH_SIZE,
  TEST_RUN_OPTS_BYTES,
  TEST_RUN_OPTS_DATA_IN,
  TEST_RUN_OPTS_DATA_SIZE_IN,
  TEST_RUN_OPTS_FLAGS,
  TEST_RUN_OPTS_REPEAT,
} from "../../ffi/bpf.ts";
import { interfaceIndex } from "../../ffi/if.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { bufferAddress } from "../../ffi/memory.ts";
import { BpfObject } from "../../mod/xdp/bpf_object.ts";
import { answerLines } from "./agent.ts";

/** What to send. Addresses are IPv4, as numbers. */
export interface Order {
  /** In the namespace of the sender. */
  interfaceName: string;
  destinationMac: number[];
  sourceMac: number[];
  /** Different flows, in random order; 0: every packet is one of its own. */
  flows: number;
  services: number;
  firstClient: number;
  firstService: number;
  port: number;
}

// struct order of sender.bpf.c
const ORDER_IFINDEX = 12;
const ORDER_BYTES = 36;
const FRAME_BYTES = 60;
const BATCH = 64;
const FOREVER = 0x7fffffff;

function encode(order: Order): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(ORDER_BYTES));
  const bytes = new Uint8Array(view.buffer);
  bytes.set([...order.destinationMac, ...order.sourceMac]);
  const { flows, services, firstClient, firstService, port } = order;
  const words = [interfaceIndex(order.interfaceName), flows, services, firstClient, firstService, port];
  words.forEach((word, i) => view.setUint32(ORDER_IFINDEX + 4 * i, word, true));
  return bytes;
}

async function main(): Promise<void> {
  const [path, order] = Deno.args;
  const object = BpfObject.load("sender", Deno.readFileSync(path));
  const key = (index: number) => new Uint8Array(Uint32Array.of(index).buffer);
  object.map("orders", 4, ORDER_BYTES).update(key(0), encode(JSON.parse(order)));
  const state = object.map("state", 4, 8);
  const frame = new Uint8Array(new ArrayBuffer(FRAME_BYTES));
  const options = new DataView(new ArrayBuffer(TEST_RUN_OPTS_BYTES));
  options.setBigUint64(0, BigInt(TEST_RUN_OPTS_BYTES), true);
  options.setBigUint64(TEST_RUN_OPTS_DATA_IN, bufferAddress(frame), true);
  options.setUint32(TEST_RUN_OPTS_DATA_SIZE_IN, FRAME_BYTES, true);
  options.setUint32(TEST_RUN_OPTS_REPEAT, FOREVER, true);
  options.setUint32(TEST_RUN_OPTS_FLAGS, BPF_F_TEST_XDP_LIVE_FRAMES, true);
  options.setUint32(TEST_RUN_OPTS_BATCH_SIZE, BATCH, true);
  const running = libbpf().bpf_prog_test_run_opts_async(
    object.program("send"),
    new Uint8Array(options.buffer),
  );
  running.then((result) => {
    console.error(`sender: the test run ended: ${result}`);
    Deno.exit(1);
  });
  await answerLines(() => ({ packets: Number(state.lookupAll(key(0)).reduce((sum, each) => sum + each)) }));
  Deno.exit(0); // the other thread's call would keep the process
}

if (import.meta.main) await main();
