/** The tables of rows: what is set is read back in the words the datapath reads, and rows do not touch each other. */

import { assertEquals } from "@std/assert";
import * as adjacency from "../../../mod/table/adjacency.ts";
import * as iface from "../../../mod/table/interface.ts";
import * as pod from "../../../mod/table/pod.ts";
import * as service from "../../../mod/table/service.ts";
import { MAGLEV_EMPTY } from "../../../mod/table/maglev.ts";
import { ipBytes } from "../../packets/builder.ts";

/** Fills `words` with a pattern, runs `write`, and returns which words changed: first and last. */
function changedRange(words: Int32Array, write: () => void): [number, number] {
  words.fill(0x5a5a5a5a);
  write();
  const changed = [...words.keys()].filter((i) => words[i] !== 0x5a5a5a5a);
  return [changed[0], changed[changed.length - 1]];
}

Deno.test("ServiceTable: a row is set, read by column and cleared, without touching its neighbors", () => {
  const table = new service.ServiceTable(new SharedArrayBuffer(service.ServiceTable.bytesFor(4)));
  assertEquals(table.capacity, 4);
  const row = {
    flags: 3,
    type: service.SERVICE_NAT46,
    targetPort: 8080,
    slotsAt: 2048,
    slotsMask: 1023,
    podCount: 5,
    sourcesAt: 9,
    stickySeconds: 30080,
  };
  const [first, last] = changedRange(table.words, () => table.set(2, row));
  assertEquals([first >= 2 * service.SERVICE_STRIDE, last < 3 * service.SERVICE_STRIDE], [true, true]);
  const columns = [
    service.SERVICE_FLAGS,
    service.SERVICE_TYPE,
    service.SERVICE_TARGET_PORT,
    service.SERVICE_SLOTS_AT,
    service.SERVICE_SLOTS_MASK,
    service.SERVICE_POD_COUNT,
    service.SERVICE_STICKY_SECONDS,
    service.SERVICE_SOURCES_AT,
  ];
  assertEquals(columns.map((column) => table.get(2, column)), [3, 2, 8080, 2048, 1023, 5, 30080, 9]);
  table.clear(2);
  assertEquals(columns.map((column) => table.get(2, column)), [0, 0, 0, 0, 0, 0, 0, 0]);
  assertEquals(table.get(1, 7), 0x5a5a5a5a);
});

Deno.test("pickPod: reads the slot of the service's own part of the arena; an empty one is -1", () => {
  const table = new service.ServiceTable(new SharedArrayBuffer(service.ServiceTable.bytesFor(2)));
  const row = { flags: 1, type: 0, targetPort: 0, podCount: 2, stickySeconds: 0, sourcesAt: 0, slotsMask: 3 };
  table.set(0, { ...row, slotsAt: 0 });
  table.set(1, { ...row, slotsAt: 4 });
  const slots = Uint32Array.of(10, 11, 12, 13, 20, 21, 22, MAGLEV_EMPTY);
  assertEquals([0, 1, 2, 3, 4, -1].map((hash) => service.pickPod(table, slots, 0, hash)), [
    10,
    11,
    12,
    13,
    10,
    13,
  ]);
  assertEquals([0, 5, 6, 7].map((hash) => service.pickPod(table, slots, 1, hash)), [20, 21, 22, -1]);
});

Deno.test("PodTable: a row is set, read and cleared, without touching its neighbors", () => {
  const table = new pod.PodTable(new SharedArrayBuffer(pod.PodTable.bytesFor(3)));
  const address = ipBytes("::ffff:10.244.1.2");
  const [first, last] = changedRange(table.words, () => table.set(1, pod.POD_ACTIVE, 9, address));
  assertEquals([first >= pod.POD_STRIDE, last < 2 * pod.POD_STRIDE], [true, true]);
  assertEquals([table.flags(1), table.service(1), table.address4(1)], [pod.POD_ACTIVE, 9, 0x0af40102]);
  assertEquals([0, 1, 2, 3].map((i) => table.addressWord(1, i)), [0, 0, 0xffff, 0x0af40102]);
  table.setFlags(1, pod.POD_REMOVED);
  assertEquals([table.flags(1), table.service(1)], [pod.POD_REMOVED, 9]);
  table.set(1, pod.POD_ACTIVE, 9, ipBytes("2001:db8::fffe"));
  assertEquals([0, 1, 2, 3].map((i) => table.addressWord(1, i)), [0x20010db8, 0, 0, 0xfffe]);
  table.clear(1);
  assertEquals([table.flags(1), table.address4(1)], [0, 0]);
});

Deno.test("PodTable.set reads an address that starts anywhere in a larger buffer", () => {
  const table = new pod.PodTable(new SharedArrayBuffer(pod.PodTable.bytesFor(1)));
  const larger = new Uint8Array(40);
  larger.set(ipBytes("2001:db8::7"), 13);
  table.set(0, pod.POD_ACTIVE, 0, larger.subarray(13, 29));
  assertEquals([table.addressWord(0, 0), table.address4(0)], [0x20010db8, 7]);
});

Deno.test("AdjacencyTable: MACs are three words as in a frame; without a neighbor's MAC nothing can leave", () => {
  const table = new adjacency.AdjacencyTable(new SharedArrayBuffer(adjacency.AdjacencyTable.bytesFor(3)));
  const dst = Uint8Array.of(0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54);
  const src = Uint8Array.of(2, 0, 0, 0, 0, 9);
  const [first, last] = changedRange(table.words, () => table.set(1, 5, dst, src, 1400));
  assertEquals([first >= adjacency.ADJ_STRIDE, last < 2 * adjacency.ADJ_STRIDE], [true, true]);
  const { ADJ_SLOT, ADJ_OUT, ADJ_MACS, ADJ_MTU } = adjacency;
  const read = () =>
    [ADJ_SLOT, ADJ_OUT, ADJ_MACS, ADJ_MACS + 1, ADJ_MACS + 2, ADJ_MTU].map((column) => table.get(1, column));
  assertEquals(read(), [5, 5, 0xfedcba98 | 0, 0x76540200, 9, 1400]);
  table.set(1, -1, null, src, 1500);
  assertEquals(read(), [-1, -1, 0, 0x0200, 9, 1500]);
  table.set(1, 7, null, src, 1500);
  assertEquals(read(), [7, -1, 0, 0x0200, 9, 1500]);
});

Deno.test("InterfaceTable: a row is set, read and cleared; slots beyond the table have no flags", () => {
  const table = new iface.InterfaceTable(new SharedArrayBuffer(iface.InterfaceTable.bytesFor(3)));
  const row = {
    flags: iface.IF_PRESENT | iface.IF_NAT4_IN,
    mtuBytes: 9000,
    mac: Uint8Array.of(2, 1, 2, 3, 4, 5),
    ip4: ipBytes("192.0.2.1"),
    ip6: ipBytes("2001:db8::5"),
    ifindex: 42,
  };
  const [first, last] = changedRange(table.words, () => table.set(1, row));
  assertEquals([first >= iface.IF_STRIDE, last < 2 * iface.IF_STRIDE], [true, true]);
  assertEquals([table.flags(1), table.get(1, iface.IF_MTU), table.get(1, iface.IF_IFINDEX)], [5, 9000, 42]);
  assertEquals([table.get(1, iface.IF_MAC_HIGH), table.get(1, iface.IF_MAC_LOW)], [0x02010203, 0x0405]);
  assertEquals(table.get(1, iface.IF_IP4), 0xc0000201 | 0);
  assertEquals([0, 1, 2, 3].map((i) => table.get(1, iface.IF_IP6 + i)), [0x20010db8, 0, 0, 5]);
  table.set(1, { ...row, ip4: null, ip6: null });
  assertEquals([table.get(1, iface.IF_IP4), table.get(1, iface.IF_IP6), table.get(1, iface.IF_IP6 + 3)], [
    0,
    0,
    0,
  ]);
  table.clear(1);
  assertEquals([table.flags(1), table.flags(3), table.flags(4094)], [0, 0, 0]);
});
