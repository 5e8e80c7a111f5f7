/**
 * IP protocol numbers (the IPv4 "protocol" and IPv6 "next header" fields).
 *
 * References: IANA "Assigned Internet Protocol Numbers".
 */

export const IP_PROTOCOL_HOP_BY_HOP = 0; // IPv6 only
export const IP_PROTOCOL_ICMP = 1;
export const IP_PROTOCOL_TCP = 6;
export const IP_PROTOCOL_UDP = 17;
export const IP_PROTOCOL_ROUTING = 43; // IPv6 only
export const IP_PROTOCOL_FRAGMENT = 44; // IPv6 only
export const IP_PROTOCOL_ESP = 50;
export const IP_PROTOCOL_AH = 51;
export const IP_PROTOCOL_ICMPV6 = 58;
export const IP_PROTOCOL_NONE = 59; // IPv6 only: nothing follows
export const IP_PROTOCOL_DESTINATION_OPTIONS = 60; // IPv6 only
export const IP_PROTOCOL_SCTP = 132;
export const IP_PROTOCOL_UDP_LITE = 136;
