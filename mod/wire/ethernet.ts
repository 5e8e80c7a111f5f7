/**
 * Ethernet II and one 802.1Q tag.
 *
 * Rule: byte offsets count from the start of the frame; accessors read and write big-endian host numbers and check nothing.
 * The caller has checked that ETHERNET_HEADER_BYTES (and VLAN_TAG_BYTES for a tag) are there.
 *
 * References: IEEE 802.3 §3.2, IEEE 802.1Q §9.6; EtherTypes of include/uapi/linux/if_ether.h.
 */

export const ETHERNET_DST = 0; // 6 bytes
export const ETHERNET_SRC = 6; // 6 bytes
export const ETHERNET_TYPE = 12; // u16
export const ETHERNET_HEADER_BYTES = 14;
export const MAC_BYTES = 6;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100; // 802.1Q
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_QINQ = 0x88a8; // 802.1ad

/** With a tag: 12 = TPID, 14 = TCI, 16 = the inner EtherType. */
export const VLAN_TCI = 14; // u16: PCP 3 bits, DEI 1, VID 12
export const VLAN_INNER_TYPE = 16; // u16
export const VLAN_TAG_BYTES = 4;
export const VLAN_ID_MASK = 0x0fff;

/** EtherType of the frame at byte `at` (the TPID, if it is tagged). */
export function etherType(frame: DataView, at: number): number {
  return frame.getUint16(at + ETHERNET_TYPE);
}

export function setEtherType(frame: DataView, at: number, value: number): void {
  frame.setUint16(at + ETHERNET_TYPE, value);
}

/** Tag control information of a tagged frame (u16). */
export function vlanTci(frame: DataView, at: number): number {
  return frame.getUint16(at + VLAN_TCI);
}

/** EtherType behind the tag of a tagged frame. */
export function vlanInnerType(frame: DataView, at: number): number {
  return frame.getUint16(at + VLAN_INNER_TYPE);
}

/** First four bytes of the MAC at byte `at`, as int32: the form in which tables keep it. */
export function macHigh(frame: DataView, at: number): number {
  return frame.getInt32(at);
}

/** Last two bytes of the MAC at byte `at`, as u16. */
export function macLow(frame: DataView, at: number): number {
  return frame.getUint16(at + 4);
}

/** Writes a MAC of `macHigh`/`macLow` form at byte `at`. */
export function setMac(frame: DataView, at: number, high: number, low: number): void {
  frame.setInt32(at, high);
  frame.setUint16(at + 4, low);
}

/** Whether the MAC at byte `at` is a group address: multicast or broadcast (I/G bit). */
export function macIsGroup(frame: DataView, at: number): boolean {
  return (frame.getUint8(at) & 1) !== 0;
}

/** Writes both addresses and the EtherType of an untagged frame at byte `at`. */
export function writeEthernet(
  frame: DataView,
  at: number,
  dstHigh: number,
  dstLow: number,
  srcHigh: number,
  srcLow: number,
  type: number,
): void {
  setMac(frame, at + ETHERNET_DST, dstHigh, dstLow);
  setMac(frame, at + ETHERNET_SRC, srcHigh, srcLow);
  frame.setUint16(at + ETHERNET_TYPE, type);
}
