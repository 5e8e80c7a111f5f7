/*
 * The static XDP program of the bench, loaded inside the node's namespace: bench/bpf/dnat.bpf.c on one interface, out of
 * another, serving the first so many of the bench's services, until its stdin ends.
 *
 *     dnat.ts <object file> <in> <out> <destination MAC> <source MAC> <services>      a JSON line for every line on stdin
 */

import { checkNegative } from "../../ffi/errno.ts";
import { interfaceIndex } from "../../ffi/if.ts";
import { libbpf } from "../../ffi/libbpf.ts";
import { BpfObject } from "../../mod/xdp/bpf_object.ts";
import { makeServices, POD_PORT, PODS_EACH, toNumber, VIP_PORT } from "../services.ts";
import { answerLines } from "./agent.ts";

// struct service_key and struct service of dnat.bpf.c
const KEY_BYTES = 8;
const SERVICE_BYTES = 4 * PODS_EACH + 4;

async function main(): Promise<void> {
  const [path, from, to, destinationMac, sourceMac, count] = Deno.args;
  const object = BpfObject.load("dnat", Deno.readFileSync(path));
  const services = makeServices(Number(count));
  const keys = new DataView(new ArrayBuffer(KEY_BYTES * services.length));
  const values = new DataView(new ArrayBuffer(SERVICE_BYTES * services.length));
  services.forEach(({ vip, pods }, i) => {
    keys.setUint32(KEY_BYTES * i, toNumber(vip));
    keys.setUint16(KEY_BYTES * i + 4, VIP_PORT);
    pods.forEach((pod, j) => values.setUint32(SERVICE_BYTES * i + 4 * j, toNumber(pod)));
    values.setUint16(SERVICE_BYTES * i + 4 * PODS_EACH, POD_PORT);
  });
  object.map("services", KEY_BYTES, SERVICE_BYTES).updateMany(
    new Uint8Array(keys.buffer),
    new Uint8Array(values.buffer),
  );
  const first = new Uint8Array(new ArrayBuffer(4));
  const macs = [destinationMac, sourceMac].flatMap((mac) => mac.split(":").map((byte) => parseInt(byte, 16)));
  object.map("ways", 4, 12).update(first, Uint8Array.from(macs));
  object.map("out", 4, 4).update(first, new Uint8Array(Uint32Array.of(interfaceIndex(to)).buffer));
  const index = interfaceIndex(from);
  checkNegative(libbpf().bpf_xdp_attach(index, object.program("dnat"), 0, null), "attach", from);
  await answerLines(() => ({ packets: 0 }));
  libbpf().bpf_xdp_detach(index, 0, null);
}

if (import.meta.main) await main();
