/*
 * The sink, a process of its own inside a namespace: bench/bpf/sink.bpf.c on one interface, which counts UDP packets
 * and drops them, until its stdin ends.
 *
 *     sink.ts <object file> <interface>      a JSON line for every line on stdin
 */

import { interfaceIndex } from "../../ffi/if.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { checkNegative } from "../../ffi/errno.ts";
import { BpfObject } from "../../mod/xdp/bpf_object.ts";
import { answerLines } from "./agent.ts";

async function main(): Promise<void> {
  const [path, interfaceName] = Deno.args;
  const object = BpfObject.load("sink", Deno.readFileSync(path));
  const packets = object.map("packets", 4, 8);
  const fd = object.program("sink");
  checkNegative(
    libbpf().bpf_xdp_attach(interfaceIndex(interfaceName), fd, 0, null),
    "attach",
    interfaceName,
  );
  const key = new Uint8Array(4);
  await answerLines(() => ({ packets: Number(packets.lookupAll(key).reduce((sum, each) => sum + each)) }));
  libbpf().bpf_xdp_detach(interfaceIndex(interfaceName), 0, null);
}

if (import.meta.main) await main();
