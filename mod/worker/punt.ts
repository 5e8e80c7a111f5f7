/**
 * Frames for the kernel. What ku does not decide itself is transmitted on `ku1` and so arrives at `ku0`, whose tc
 * program (`ffi/bpf`, `ku_host`) reads an 802.1Q tag that ku puts in front:
 *
 *     no tag, destination = ku0's MAC     the kernel receives the packet on ku0
 *     VID = slot, bit 13 clear            … as if it had arrived on the slot's interface
 *     VID = slot, bit 13 set              the packet leaves by the slot's interface, not looked at by the kernel
 *
 * A packet whose source address is the sender's own re-enters where it came from, so that rp_filter, `iptables -i` and
 * tcpdump see what they would see without ku. One whose source ku rewrote enters on ku0, where no such check is due.
 *
 * References: IEEE 802.1Q-2018 §9.6 (tag control information); kernel net/core/dev.c, which takes the outer tag off
 * into skb metadata before ingress programs run.
 *
 * @module
 */

/** First four bytes of the MACs that carry a slot: 02:6b:75:00. The slot is the last two. */
export const SLOT_MAC_HI = 0x026b7500;
/** ku1's own MAC, 02:6b:75:01:00:00: its first four bytes are no slot's. */
const KU1_MAC_HI = 0x026b7501;
/** Bytes by which a tagged frame grows, in front. */
export const PUNT_TAG_BYTES = 4;
/** Bit of the tag control information: out of the interface instead of in. */
export const PUNT_TAG_EGRESS = 0x2000;

const ETHER_TYPE_8021Q = 0x8100;

/** Addresses the frame at byte `at` to ku0: the kernel receives it there. */
export function addressToHost(frames: DataView, at: number): void {
  frames.setUint32(at, SLOT_MAC_HI);
  frames.setUint16(at + 4, 0);
  frames.setUint32(at + 6, KU1_MAC_HI);
  frames.setUint16(at + 10, 0);
}

/**
 * Puts a tag before the frame at byte `at` (the caller has checked that there are PUNT_TAG_BYTES before it in the same
 * UMEM frame), keeping its MACs. `tci` is the slot, with PUNT_TAG_EGRESS or without. Returns where the frame starts now.
 */
export function pushPuntTag(frames: DataView, at: number, tci: number): number {
  const start = at - PUNT_TAG_BYTES;
  frames.setUint32(start, frames.getUint32(at));
  frames.setUint32(start + 4, frames.getUint32(at + 4));
  frames.setUint32(start + 8, frames.getUint32(at + 8));
  frames.setUint16(start + 12, ETHER_TYPE_8021Q);
  frames.setUint16(start + 14, tci);
  return start;
}
