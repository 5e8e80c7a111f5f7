/**
 * Neighbor discovery messages of ICMPv6. ku answers none: the kernel does. The datapath must know them to keep its hands off.
 *
 * Rule: offsets count from the start of the ICMPv6 header; the caller has checked the lengths named here.
 *
 * References: RFC 4861 §4.
 */

export const NDP_ROUTER_SOLICITATION = 133;
export const NDP_ROUTER_ADVERTISEMENT = 134;
export const NDP_NEIGHBOR_SOLICITATION = 135;
export const NDP_NEIGHBOR_ADVERTISEMENT = 136;
export const NDP_REDIRECT = 137;

export const NDP_TARGET = 8; // 16 bytes, solicitation and advertisement
export const NDP_OPTIONS = 24; // of solicitation and advertisement
export const NDP_NEIGHBOR_BYTES = 24; // solicitation and advertisement without options

export const NDP_OPTION_SOURCE_LLADDR = 1; // type, length 1 (8 bytes), MAC
export const NDP_OPTION_TARGET_LLADDR = 2;
export const NDP_OPTION_LLADDR_BYTES = 8;

/** Whether an ICMPv6 type belongs to neighbor discovery. */
export function icmpv6IsNdp(type: number): boolean {
  return type >= NDP_ROUTER_SOLICITATION && type <= NDP_REDIRECT;
}

/** Word `index` (0…3) of the target address as int32. */
export function ndpTargetWord(frame: DataView, at: number, index: number): number {
  return frame.getInt32(at + NDP_TARGET + (index << 2));
}
