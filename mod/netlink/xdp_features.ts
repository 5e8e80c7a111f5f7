/*
 * Which interfaces send frames that an XDP program redirects to them. A veth does when its other end, which may be in
 * another namespace, takes them (it has an XDP program, or GRO switched on); elsewhere such frames are dropped.
 *
 * References: include/uapi/linux/netdev.h (Linux 6.3), genetlink.h; drivers/net/veth.c veth_set_xdp_features;
 * kernel/bpf/devmap.c __xdp_enqueue.
 */

import { NETLINK_GENERIC } from "../../ffi/rtnetlink.ts";
import { forEachAttribute, type Message, type MessageWriter, need, readText, readU32 } from "./codec.ts";
import { RequestSocket } from "./request.ts";

// linux/genetlink.h
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1; // u16
const CTRL_ATTR_FAMILY_NAME = 2;
const GENERIC_HEADER_BYTES = 4; // u8 command, u8 version, u16 reserved

// linux/netdev.h
const NETDEV_FAMILY = "netdev";
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1; // u32
const NETDEV_A_DEV_XDP_FEATURES = 3; // u64
const NETDEV_XDP_ACT_NDO_XMIT = 4;

/** Asks the kernel for what interfaces can do. */
export class XdpFeatures {
  readonly #socket = new RequestSocket(NETLINK_GENERIC);
  /** Number of the family; 0 = the kernel has none. */
  readonly #family: number;

  /** Throws SystemError. */
  constructor() {
    const families = this.#socket.dump(
      GENL_ID_CTRL,
      "netlink families",
      command(CTRL_CMD_GETFAMILY),
      decodeFamily,
    );
    this.#family = families.find(({ name }) => name === NETDEV_FAMILY)?.id ?? 0;
  }

  /** Indexes of the interfaces that take redirected frames; null when the kernel (before 6.3) does not say. */
  takers(): Set<number> | null {
    if (this.#family === 0) return null;
    const takers = this.#socket.dump(
      this.#family,
      "interface features",
      command(NETDEV_CMD_DEV_GET),
      decodeTaker,
    );
    return new Set(takers);
  }

  close(): void {
    this.#socket.close();
  }
}

function command(number: number): (writer: MessageWriter) => void {
  return (writer) => {
    const header = writer.struct(GENERIC_HEADER_BYTES);
    header.setUint8(0, number);
    header.setUint8(1, 1); // version
  };
}

function decodeFamily(view: DataView, { at, end }: Message): { name: string; id: number } {
  need(end - at, GENERIC_HEADER_BYTES, "genlmsghdr");
  const family = { name: "", id: 0 };
  forEachAttribute(view, at + GENERIC_HEADER_BYTES, end, (type, at, length) => {
    if (type === CTRL_ATTR_FAMILY_NAME) family.name = readText(view, at, length);
    if (type !== CTRL_ATTR_FAMILY_ID) return;
    need(length, 2, "family id");
    family.id = view.getUint16(at, true);
  });
  return family;
}

/** Index of an interface that takes redirected frames; null for others. */
function decodeTaker(view: DataView, { at, end }: Message): number | null {
  need(end - at, GENERIC_HEADER_BYTES, "genlmsghdr");
  let index = 0, features = 0;
  forEachAttribute(view, at + GENERIC_HEADER_BYTES, end, (type, at, length) => {
    if (type === NETDEV_A_DEV_IFINDEX) index = readU32(view, at, length);
    if (type === NETDEV_A_DEV_XDP_FEATURES) features = readU32(view, at, length); // its lower half
  });
  return (features & NETDEV_XDP_ACT_NDO_XMIT) !== 0 ? index : null;
}
