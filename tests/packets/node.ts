/**
 * The node that the datapath's tests run on, once for each family.
 *
 *     clients ── slot 1, uplink ── node ── slot 2, pods (nat4/nat6 in)
 *                                   └──── slot 0, ku0: the node's own sockets
 *
 * Every service has one pod, so that fixtures can say what comes out; `many` has three.
 */

import { IF_NAT4_IN, IF_NAT6_IN } from "../../mod/table/interface.ts";
import { SERVICE_MASQUERADE, SERVICE_STICKY } from "../../mod/table/service.ts";
import {
  buildFrame,
  type EthernetFields,
  icmp,
  type IcmpFields,
  icmpv6,
  type IpFields,
  type Segment,
} from "./builder.ts";
import { interfaceMac, neighborMac, type ServiceSpec, World, type WorldSpec } from "./world.ts";

export const UPLINK = 1;
export const PODS = 2;

/** Addresses of the roles in one family. */
export interface Family {
  name: string;
  ip: 4 | 6;
  client: string;
  vip: string;
  pod: string;
  podB: string;
  podC: string;
  /** VIP of every protocol and port, and one with two ports, without pods, masquerading, on a prefix (with an address in it). */
  vipAll: string;
  vipEmpty: string;
  vipMasquerade: string;
  vipTwin: string;
  vipMany: string;
  vipSticky: string;
  prefix: string;
  inPrefix: string;
  portPrefix: string;
  inPortPrefix: string;
  /** Pods behind no attached interface, an unresolved neighbor, a small MTU, no route. */
  vipUnattached: string;
  podUnattached: string;
  vipUnresolved: string;
  podUnresolved: string;
  vipSmall: string;
  podSmall: string;
  vipNoRoute: string;
  podNoRoute: string;
  vipLocal: string;
  uplinkAddress: string;
  podsAddress: string;
  router: string;
  echoRequest: number;
  echoReply: number;
  icmpProtocol: number;
  headerBytes: number;
  icmp(fields: IcmpFields): Segment;
}

export const FAMILY4: Family = {
  name: "IPv4",
  ip: 4,
  client: "203.0.113.9",
  vip: "10.96.0.1",
  pod: "10.244.0.5",
  podB: "10.244.0.6",
  podC: "10.244.0.7",
  vipAll: "10.96.0.2",
  vipEmpty: "10.96.0.3",
  vipMasquerade: "10.96.0.4",
  vipTwin: "10.96.0.5",
  vipMany: "10.96.0.6",
  vipSticky: "10.96.0.7",
  prefix: "90.0.0.0/8",
  inPrefix: "90.1.2.3",
  portPrefix: "91.0.0.0/8",
  inPortPrefix: "91.1.2.3",
  vipUnattached: "10.96.1.1",
  podUnattached: "10.245.0.5",
  vipUnresolved: "10.96.1.2",
  podUnresolved: "10.246.0.5",
  vipSmall: "10.96.1.3",
  podSmall: "10.247.0.5",
  vipNoRoute: "10.96.1.4",
  podNoRoute: "198.18.0.5",
  vipLocal: "10.96.1.5",
  uplinkAddress: "192.0.2.1",
  podsAddress: "10.244.0.1",
  router: "198.51.100.1",
  echoRequest: 8,
  echoReply: 0,
  icmpProtocol: 1,
  headerBytes: 20,
  icmp,
};

export const FAMILY6: Family = {
  name: "IPv6",
  ip: 6,
  client: "2001:db8:c::9",
  vip: "2001:db8:96::1",
  pod: "2001:db8:244::5",
  podB: "2001:db8:244::6",
  podC: "2001:db8:244::7",
  vipAll: "2001:db8:96::2",
  vipEmpty: "2001:db8:96::3",
  vipMasquerade: "2001:db8:96::4",
  vipTwin: "2001:db8:96::5",
  vipMany: "2001:db8:96::6",
  vipSticky: "2001:db8:96::7",
  prefix: "2003::/16",
  inPrefix: "2003:1:2:3:4:5:6:7",
  portPrefix: "2004::/16",
  inPortPrefix: "2004:1:2:3:4:5:6:7",
  vipUnattached: "2001:db8:96:1::1",
  podUnattached: "2001:db8:245::5",
  vipUnresolved: "2001:db8:96:1::2",
  podUnresolved: "2001:db8:246::5",
  vipSmall: "2001:db8:96:1::3",
  podSmall: "2001:db8:247::5",
  vipNoRoute: "2001:db8:96:1::4",
  podNoRoute: "2001:db8:248::5",
  vipLocal: "2001:db8:96:1::5",
  uplinkAddress: "2001:db8:2::1",
  podsAddress: "2001:db8:244::1",
  router: "2001:db8:99::1",
  echoRequest: 128,
  echoReply: 129,
  icmpProtocol: 58,
  headerBytes: 40,
  icmp: icmpv6,
};

export const FAMILIES: readonly Family[] = [FAMILY4, FAMILY6];

export const MANY_NODE_PORT = 30080;

function services(f: Family): ServiceSpec[] {
  const pods = [{ address: f.pod }];
  return [
    { vip: f.vip, port: 80, targetPort: 8080, pods },
    { vip: f.vip, port: 53, pods },
    { vip: f.vipAll, pods },
    { vip: f.vipEmpty, port: 80, pods: [] },
    { vip: f.vipMasquerade, port: 80, targetPort: 8080, flags: SERVICE_MASQUERADE, pods },
    { vip: f.vipTwin, port: 80, targetPort: 8080, pods },
    {
      vip: f.vipMany,
      port: 80,
      targetPort: 8080,
      nodePort: MANY_NODE_PORT,
      pods: [{ address: f.pod }, { address: f.podB }, { address: f.podC }],
    },
    {
      vip: f.vipSticky,
      port: 80,
      flags: SERVICE_STICKY,
      pods: [{ address: f.pod }, { address: f.podB }, { address: f.podC }],
    },
    { vip: f.prefix, pods },
    { vip: f.portPrefix, port: 80, pods },
    { vip: f.vipUnattached, port: 80, pods: [{ address: f.podUnattached }] },
    { vip: f.vipUnresolved, port: 80, pods: [{ address: f.podUnresolved }] },
    { vip: f.vipSmall, port: 80, pods: [{ address: f.podSmall }] },
    { vip: f.vipNoRoute, port: 80, pods: [{ address: f.podNoRoute }] },
    { vip: f.vipLocal, port: 80, pods: [{ address: f.podsAddress }] },
  ];
}

/** Places of services in the list, for counters. */
export const SERVICE_VIP80 = 0;
export const SERVICE_EMPTY = 3;
export const SERVICE_MANY = 6;

export function nodeSpec(f: Family): WorldSpec {
  const bits = f.ip === 4 ? 24 : 48;
  const net = (address: string) => `${address}/${bits}`;
  return {
    interfaces: [
      { slot: 0, flags: IF_NAT4_IN | IF_NAT6_IN },
      { slot: UPLINK, [f.ip === 4 ? "ip4" : "ip6"]: f.uplinkAddress },
      {
        slot: PODS,
        flags: f.ip === 4 ? IF_NAT4_IN : IF_NAT6_IN,
        [f.ip === 4 ? "ip4" : "ip6"]: f.podsAddress,
      },
    ],
    routes: [
      { prefix: net(f.client), slot: UPLINK },
      { prefix: net(f.router), slot: UPLINK, neighbor: 9 },
      { prefix: net(f.pod), slot: PODS },
      { prefix: net(f.podUnattached), slot: -1 },
      { prefix: net(f.podUnresolved), slot: PODS, neighbor: null },
      { prefix: net(f.podSmall), slot: PODS, mtu: 1300 },
      { prefix: f.uplinkAddress, slot: "local" },
      { prefix: f.podsAddress, slot: "local" },
    ],
    services: services(f),
  };
}

export function nodeWorld(f: Family): World {
  return new World(nodeSpec(f));
}

/** A frame as it leaves by `slot` to neighbor number `neighbor`. */
export function sentBy(slot: number, ip: IpFields, segment: Segment, neighbor = 1): Uint8Array {
  return buildFrame(ip, segment, sentMacs(slot, neighbor));
}

export function sentMacs(slot: number, neighbor = 1): EthernetFields {
  return { dst: neighborMac(slot, neighbor), src: interfaceMac(slot) };
}
