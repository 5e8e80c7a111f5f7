/*
 * include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if_arp,neighbour,nexthop,veth}.h, include/uapi/linux/if.h:
 * the numbers of rtnetlink that ku uses, by their C names. Offsets count from the start of the struct they name.
 * All fields are in host byte order, except addresses and what NLA_F_NET_BYTEORDER marks. ku runs on
 * little-endian hosts (x86-64, arm64) only, so the codec reads little-endian.
 */

// struct nlmsghdr
export const NLMSG_LEN = 0; // u32, header included
export const NLMSG_TYPE = 4; // u16
export const NLMSG_FLAGS = 6; // u16
export const NLMSG_SEQ = 8; // u32
export const NLMSG_PID = 12; // u32
export const NLMSG_HEADER_BYTES = 16;

export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_CAPPED = 0x100; // in an error answer
export const NLM_F_ACK_TLVS = 0x200; // in an error answer
export const NLMSGERR_ATTR_MSG = 1;

// struct rtattr
export const RTA_LEN = 0; // u16, header included
export const RTA_TYPE = 2; // u16
export const RTA_HEADER_BYTES = 4;
export const NLA_F_NESTED = 0x8000;
export const NLA_TYPE_MASK = 0x3fff;

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;
export const SOL_NETLINK = 270;
export const NETLINK_EXT_ACK = 11;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
export const RTM_GETRULE = 34;
export const RTM_NEWNEXTHOP = 104;
export const RTM_DELNEXTHOP = 105;

// Multicast groups (enum rtnetlink_groups); group g is bit g - 1 of sockaddr_nl.nl_groups.
export const RTNLGRP_LINK = 1;
export const RTNLGRP_NEIGH = 3;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV4_RULE = 8;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;
export const RTNLGRP_IPV6_RULE = 19;
export const RTNLGRP_NEXTHOP = 32;

// struct ifinfomsg
export const IFI_FAMILY = 0; // u8
export const IFI_TYPE = 2; // u16, ARPHRD_*
export const IFI_INDEX = 4; // i32
export const IFI_FLAGS = 8; // u32
export const IFI_CHANGE = 12; // u32
export const IFINFOMSG_BYTES = 16;

export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_POINTOPOINT = 0x10;
export const IFF_RUNNING = 0x40;
export const IFF_NOARP = 0x80;
export const ARPHRD_ETHER = 1;

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5; // of a veth: the peer's index, of a vlan: the device below
export const IFLA_MASTER = 10;
export const IFLA_LINKINFO = 18;
export const IFLA_AF_SPEC = 26;
export const IFLA_EXT_MASK = 29;
export const IFLA_NUM_TX_QUEUES = 31;
export const IFLA_NUM_RX_QUEUES = 32;
export const IFLA_LINK_NETNSID = 37;
export const IFLA_XDP = 43;
export const IFLA_XDP_ATTACHED = 2; // u8, XDP_ATTACHED_*
export const IFLA_XDP_PROG_ID = 4;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const VETH_INFO_PEER = 1;
export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const IN6_ADDR_GEN_MODE_NONE = 1;
export const RTEXT_FILTER_SKIP_STATS = 0x8;
/** Longest interface name, without the closing NUL (IFNAMSIZ - 1). */
export const INTERFACE_NAME_MAX_BYTES = 15;

// struct ifaddrmsg
export const IFA_MSG_FAMILY = 0; // u8
export const IFA_MSG_PREFIX_LENGTH = 1; // u8
export const IFA_MSG_FLAGS = 2; // u8, the low byte of IFA_FLAGS
export const IFA_MSG_SCOPE = 3; // u8
export const IFA_MSG_INDEX = 4; // u32
export const IFADDRMSG_BYTES = 8;

export const IFA_ADDRESS = 1; // the prefix's address; of a point-to-point link the far end
export const IFA_LOCAL = 2;
export const IFA_FLAGS = 8; // u32
export const IFA_F_SECONDARY = 0x1; // IPv6: temporary
export const IFA_F_DADFAILED = 0x8;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;

// struct rtmsg
export const RTM_FAMILY = 0; // u8
export const RTM_DST_LEN = 1; // u8, bits
export const RTM_SRC_LEN = 2; // u8, bits
export const RTM_TOS = 3; // u8
export const RTM_TABLE = 4; // u8; RTA_TABLE has all 32 bits
export const RTM_PROTOCOL = 5; // u8
export const RTM_SCOPE = 6; // u8
export const RTM_TYPE = 7; // u8, RTN_*
export const RTM_FLAGS = 8; // u32, RTM_F_* and RTNH_F_*
export const RTMSG_BYTES = 12;

export const RTM_F_CLONED = 0x200; // a cached copy, not a route of a table
export const RTNH_F_DEAD = 0x1;
export const RTNH_F_LINKDOWN = 0x10;

export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
export const RTA_PRIORITY = 6;
export const RTA_PREFSRC = 7;
export const RTA_METRICS = 8;
export const RTA_MULTIPATH = 9;
export const RTA_TABLE = 15;
export const RTA_VIA = 18; // struct rtvia: u16 family, address
export const RTA_ENCAP_TYPE = 21;
export const RTA_ENCAP = 22;
export const RTA_NH_ID = 30;
export const RTAX_MTU = 2;

// struct rtnexthop, the entries of RTA_MULTIPATH
export const RTNH_LEN = 0; // u16, attributes included
export const RTNH_FLAGS = 2; // u8
export const RTNH_IFINDEX = 4; // i32
export const RTNEXTHOP_BYTES = 8;

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;

/** Names of RTN_* by number, as `ip route` prints them. */
export const ROUTE_TYPES = [
  "unspec",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
  "nat",
  "xresolve",
] as const;
export const RTN_UNICAST = 1;

// struct ndmsg
export const NDM_FAMILY = 0; // u8
export const NDM_IFINDEX = 4; // i32
export const NDM_STATE = 8; // u16, NUD_*
export const NDM_FLAGS = 10; // u8, NTF_*
export const NDM_TYPE = 11; // u8, RTN_*
export const NDMSG_BYTES = 12;

export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NTF_USE = 0x1;
export const NTF_PROXY = 0x8;
export const NUD_INCOMPLETE = 0x1;
export const NUD_REACHABLE = 0x2;
export const NUD_STALE = 0x4;
export const NUD_DELAY = 0x8;
export const NUD_PROBE = 0x10;
export const NUD_FAILED = 0x20;
export const NUD_NOARP = 0x40;
export const NUD_PERMANENT = 0x80;
/** States in which the link-layer address may be used (include/net/neighbour.h NUD_VALID). */
export const NUD_VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;

// struct fib_rule_hdr (linux/fib_rules.h)
export const FIB_RULE_HEADER_BYTES = 12;
export const FIB_RULE_TABLE = 4; // u8
export const FIB_RULE_ACTION = 7; // u8
export const FR_ACT_TO_TBL = 1;
export const FRA_PRIORITY = 6;
