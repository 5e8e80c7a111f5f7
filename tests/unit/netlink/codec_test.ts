/*
 * Messages as the kernel (6.18) sent them, read field by field; requests as ku writes them, read back; and any bytes.
 * The golden bytes were dumped in a namespace with a veth pair va/vb, by RTM_GET* requests.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as rt from "../../../ffi/rtnetlink.ts";
import { addressText, macText } from "../../../mod/netlink/address.ts";
import { MessageWriter, NetlinkDecodeError, readMessages } from "../../../mod/netlink/codec.ts";
import { forEachAttribute, type Message, readText, readU32 } from "../../../mod/netlink/codec.ts";
import { decodeAddress, decodeLink, decodeNeighbor, decodeRoute } from "../../../mod/netlink/messages.ts";

/** `ip addr add 10.1.0.1/24 dev va` */
const ADDRESS = "4c00000014000200010000007d7000000218800003000000080001000a010001080002000a010001" +
  "0700030076610000" + "0800080080000000" + "14000600ffffffffffffffff7fa103007fa10300";
/** `ip route add 172.16.0.0/12 mtu 1300 metric 7 nexthop via 10.1.0.254 weight 2 nexthop via 10.1.0.253` */
const MULTIPATH = "6400000018000200020000007d700000020c0000fe0300010000000008000f00fe00000008000100ac100000" +
  "08000600070000000c0008000800020014050000" +
  "240009001000000103000000080005000a0100fe1000000003000000080005000a0100fd";
/** `ip route add 192.168.0.0/16 via inet6 fe80::9 dev va` */
const VIA = "4c00000018000200020000007d70000002100000fe0300010000000008000f00fe00000008000100c0a80000" +
  "160012000a00fe80000000000000000000000000000900000800040003000000";
/** `ip neigh add 10.1.0.50 lladdr 02:00:00:00:00:50 dev va` */
const NEIGHBOR = "4c0000001c000200040000007d700000020000000300000080000001080001000a010032" +
  "0a0002000200000000500000" + "0800040000000000" + "1400030006000000060000000600000000000000";
function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
}

function decodeOne<T>(bytes: Uint8Array, decode: (view: DataView, message: Message) => T): T {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages = readMessages(view, bytes.length);
  assertEquals(messages.length, 1);
  return decode(view, messages[0]);
}

Deno.test("decodeAddress reads an address", () => {
  const address = decodeOne(bytesOf(ADDRESS), decodeAddress)!;
  assertEquals({ ...address, address: addressText(address.address) }, {
    ifindex: 3,
    address: "10.1.0.1",
    prefixLength: 24,
    scope: 0,
    secondary: false,
    preferred: true,
  });
});

Deno.test("decodeRoute reads a multipath route with metrics", () => {
  const route = decodeOne(bytesOf(MULTIPATH), decodeRoute)!;
  assertEquals(addressText(route.address) + "/" + route.prefixLength, "172.16.0.0/12");
  assertEquals([route.table, route.type, route.protocol, route.metric, route.mtuBytes], [
    254,
    "unicast",
    3,
    7,
    1300,
  ]);
  assertEquals(route.nextHops.map((hop) => [hop.ifindex, addressText(hop.gateway!)]), [[3, "10.1.0.254"], [
    3,
    "10.1.0.253",
  ]]);
});

Deno.test("decodeRoute reads a gateway of the other family", () => {
  const route = decodeOne(bytesOf(VIA), decodeRoute)!;
  assertEquals(route.nextHops.map((hop) => [hop.ifindex, addressText(hop.gateway!)]), [[3, "fe80::9"]]);
  assertEquals(route.address.length, 4);
});

Deno.test("decodeNeighbor reads a neighbor", () => {
  const { ifindex, address, mac, state } = decodeOne(bytesOf(NEIGHBOR), decodeNeighbor)!;
  assertEquals([ifindex, addressText(address), macText(mac!), state], [
    3,
    "10.1.0.50",
    "02:00:00:00:00:50",
    rt.NUD_PERMANENT,
  ]);
});

Deno.test("decodeLink reads a veth with an XDP program", () => {
  const writer = new MessageWriter(rt.RTM_NEWLINK, 0);
  const info = writer.struct(rt.IFINFOMSG_BYTES);
  info.setUint16(rt.IFI_TYPE, rt.ARPHRD_ETHER, true);
  info.setInt32(rt.IFI_INDEX, 7, true);
  info.setUint32(rt.IFI_FLAGS, rt.IFF_UP | rt.IFF_RUNNING | rt.IFF_NOARP, true);
  writer.attributeText(rt.IFLA_IFNAME, "ku0").attributeU32(rt.IFLA_MTU, 1500).attributeU32(rt.IFLA_LINK, 8);
  writer.attribute(rt.IFLA_ADDRESS, Uint8Array.of(2, 0x6b, 0x75, 0, 0, 0));
  writer.attributeU32(rt.IFLA_NUM_RX_QUEUES, 4).attributeU32(rt.IFLA_NUM_TX_QUEUES, 5);
  writer.attributeU32(rt.IFLA_LINK_NETNSID, 0).attributeU32(rt.IFLA_MASTER, 9);
  writer.nested(rt.IFLA_LINKINFO, () => writer.attributeText(rt.IFLA_INFO_KIND, "veth"));
  writer.nested(rt.IFLA_XDP, () => {
    writer.attributeU8(rt.IFLA_XDP_ATTACHED, 2).attributeU32(rt.IFLA_XDP_PROG_ID, 99);
  });
  assertEquals(decodeOne(writer.finish(), decodeLink), {
    index: 7,
    name: "ku0",
    kind: "veth",
    hardwareType: 1,
    mtuBytes: 1500,
    mac: Uint8Array.of(2, 0x6b, 0x75, 0, 0, 0),
    up: true,
    running: true,
    noArp: true,
    loopback: false,
    pointToPoint: false,
    rxQueueCount: 4,
    txQueueCount: 5,
    peerIndex: 8,
    peerNetnsId: 0,
    masterIndex: 9,
    xdpMode: "generic",
    xdpProgramId: 99,
  });
});

Deno.test("decoders return null for other families", () => {
  const bytes = bytesOf(NEIGHBOR);
  bytes[16] = 7; // AF_BRIDGE
  assertEquals(decodeOne(bytes, decodeNeighbor), null);
  const cached = bytesOf(MULTIPATH);
  cached[25] = 2; // RTM_F_CLONED
  assertEquals(decodeOne(cached, decodeRoute), null);
});

Deno.test("MessageWriter pads attributes and sets lengths that read back", () => {
  const writer = new MessageWriter(99, 0x301);
  writer.struct(rt.RTMSG_BYTES).setUint8(0, 42);
  writer.attributeText(1, "ab").nested(2, () => writer.attributeU32(3, 0xfffffffe)).attributeU8(4, 7);
  const bytes = writer.finish();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [message] = readMessages(view, bytes.length);
  assertEquals([message.type, message.flags, message.end - message.at, view.getUint8(message.at)], [
    99,
    0x301,
    40,
    42,
  ]);
  const seen: unknown[] = [];
  forEachAttribute(view, message.at + rt.RTMSG_BYTES, message.end, (type, at, length) => {
    if (type === 1) seen.push(readText(view, at, length));
    if (type === 2) {
      forEachAttribute(view, at, at + length, (...inner) => seen.push(inner[0], readU32(view, inner[1], 4)));
    }
    if (type === 4) seen.push(length);
  });
  assertEquals(seen, ["ab", 3, 0xfffffffe, 1]);
  assertThrows(() => new MessageWriter(1, 0, 32).attributeText(1, "much too long for this"), RangeError);
});

Deno.test("readMessages and forEachAttribute refuse bad lengths", () => {
  for (const length of [0, 15, 0x4d, 0xffffffff]) {
    const bytes = bytesOf(ADDRESS);
    new DataView(bytes.buffer).setUint32(0, length, true);
    assertThrows(() => decodeOne(bytes, decodeAddress), NetlinkDecodeError);
  }
  for (const length of [0, 3, 0x7000, 0xffff]) {
    const bytes = bytesOf(ADDRESS);
    new DataView(bytes.buffer).setUint16(24, length, true);
    assertThrows(() => decodeOne(bytes, decodeAddress), NetlinkDecodeError);
  }
  const short = bytesOf(ADDRESS);
  short[24] = 5; // a one-byte IPv4 address
  assertThrows(() => decodeOne(short, decodeAddress), NetlinkDecodeError);
});

/** xorshift32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

Deno.test("any bytes decode to a value, null or a NetlinkDecodeError", () => {
  const seed = Number(Deno.env.get("KU_SEED") ?? Date.now() % 0x7fffffff) | 1;
  const next = random(seed);
  const goldens = [ADDRESS, MULTIPATH, VIA, NEIGHBOR].map(bytesOf);
  const decoders = [decodeAddress, decodeRoute, decodeNeighbor, decodeLink];
  let decoded = 0;
  for (let round = 0; round < 30_000; round++) {
    const bytes = next() % 4 === 0
      ? Uint8Array.from({ length: next() % 200 }, () => next())
      : goldens[next() % goldens.length].slice();
    for (let i = next() % 4; i > 0 && bytes.length > 0; i--) {
      bytes[next() % bytes.length] = next() % 3 ? next() % 40 : next();
    }
    const view = new DataView(bytes.buffer, 0, bytes.length);
    try {
      for (const message of readMessages(view, bytes.length)) {
        for (const decode of decoders) {
          try {
            if (decode(view, message) !== null) decoded++;
          } catch (error) {
            assert(error instanceof NetlinkDecodeError, `seed ${seed} round ${round}: ${error}`);
          }
        }
      }
    } catch (error) {
      assert(error instanceof NetlinkDecodeError, `seed ${seed} round ${round}: ${error}`);
    }
  }
  assert(decoded > 1000, `seed ${seed}: only ${decoded} decoded`);
});
