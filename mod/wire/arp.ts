/**
 * ARP for IPv4 over Ethernet. ku answers none: the kernel does. The tests build and recognize it.
 *
 * Rule: offsets count from the start of the ARP header; accessors check nothing, the caller has checked ARP_BYTES.
 *
 * References: RFC 826; include/uapi/linux/if_arp.h struct arphdr.
 */

export const ARP_HARDWARE_TYPE = 0; // u16, 1 = Ethernet
export const ARP_PROTOCOL_TYPE = 2; // u16, EtherType
export const ARP_HARDWARE_LENGTH = 4; // u8, 6
export const ARP_PROTOCOL_LENGTH = 5; // u8, 4
export const ARP_OPERATION = 6; // u16
export const ARP_SENDER_MAC = 8; // 6 bytes
export const ARP_SENDER_ADDRESS = 14; // u32
export const ARP_TARGET_MAC = 18; // 6 bytes
export const ARP_TARGET_ADDRESS = 24; // u32
export const ARP_BYTES = 28;

export const ARP_HARDWARE_ETHERNET = 1;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

export function arpOperation(frame: DataView, at: number): number {
  return frame.getUint16(at + ARP_OPERATION);
}

/** Sender's IPv4 address as int32. */
export function arpSenderAddress(frame: DataView, at: number): number {
  return frame.getInt32(at + ARP_SENDER_ADDRESS);
}

/** Target's IPv4 address as int32. */
export function arpTargetAddress(frame: DataView, at: number): number {
  return frame.getInt32(at + ARP_TARGET_ADDRESS);
}
