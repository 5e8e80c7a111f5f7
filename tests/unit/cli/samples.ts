/** Answers of a daemon, one of each kind, for the tests of what the shows print. */

import type {
  ShowInterface,
  ShowKu,
  ShowNodeCounter,
  ShowPod,
  ShowSession,
  ShowVersion,
  ShowVipVerbose,
} from "../../../mod/control/protocol.ts";
import { defaultConf } from "../../../mod/config/state.ts";

export const KU: ShowKu = {
  version: "0.1.0",
  pid: 4711,
  uptimeSeconds: 11_543,
  generation: 17,
  conf: { ...defaultConf(), ip4SrcAddress: "192.0.2.1" },
  interfaces: 2,
  vips: 2,
  pods: 3,
  workers: [
    { worker: 0, timeoutSeconds: 40, sessions: { used: 12, capacity: 8192 } },
    { worker: 1, timeoutSeconds: 40, sessions: { used: 0, capacity: 8192 } },
  ],
  memoryBytes: 25_690_112,
};

const pod = (
  address: string,
  weight: number,
  buckets: number,
  sessions: number,
  state: ShowPod["state"],
): ShowPod => ({
  address,
  weight,
  buckets,
  sessions,
  state,
  newSessions: 5,
  packets: 10,
  bytes: 1000,
  replyPackets: 9,
  replyBytes: 900,
});

export const VIPS: ShowVipVerbose[] = [
  {
    prefix: "10.96.0.1/32",
    protocol: "tcp",
    port: 80,
    targetPort: 8080,
    nodePort: 30080,
    type: "nat44",
    newLen: 1024,
    srcIpSticky: true,
    stickyTimeout: 10_800,
    masquerade: false,
    sources: ["10.0.0.0/8", "192.0.2.0/24"],
    service: "default/web:http",
    podCount: 3,
    counters: {
      nextPacket: 1234,
      firstPacket: 56,
      untracked: 0,
      noServer: 7,
      replyPackets: 1100,
      bytes: 99_000,
      replyBytes: 1_000_000,
    },
    pods: [
      pod("10.244.1.2", 1, 512, 101, "active"),
      pod("10.244.1.30", 10, 512, 9, "active"),
      pod("10.244.2.2", 0, 0, 1, "draining"),
      pod("10.244.3.3", 1, 0, 2, "removed"),
    ],
  },
  {
    prefix: "2003::/16",
    protocol: null,
    port: null,
    targetPort: null,
    nodePort: null,
    type: "nat66",
    newLen: 2048,
    srcIpSticky: false,
    stickyTimeout: null,
    masquerade: true,
    sources: [],
    service: null,
    podCount: 0,
    counters: {
      nextPacket: 0,
      firstPacket: 0,
      untracked: 0,
      noServer: 0,
      replyPackets: 0,
      bytes: 0,
      replyBytes: 0,
    },
    pods: [],
  },
];

export const NODE_COUNTERS: ShowNodeCounter[] = [
  { count: 123456, node: "ku4-nat", reason: "translated" },
  { count: 0, node: "ku-parse", reason: "malformed" },
  { count: 7, node: "ku-parse", reason: "no server" },
];

export const SESSIONS: ShowSession[] = [
  {
    worker: 0,
    protocol: "tcp",
    client: "192.0.2.7:40123",
    vip: "10.96.0.1:80",
    pod: "10.244.1.2:8080",
    state: "established",
    idleSeconds: 3,
    timeoutSeconds: 7440,
    kernel: null,
  },
  {
    worker: 1,
    protocol: "udp",
    client: "[2001:db8::7]:5353",
    vip: "[2003::1]:53",
    pod: "[2001::2]:53",
    state: "active",
    idleSeconds: 12,
    timeoutSeconds: 40,
    kernel: { packets: 12, bytes: 960, replyPackets: 11, replyBytes: 4400 },
  },
];

const link: ShowInterface = {
  name: "eth0",
  mode: "auto",
  activeMode: "native",
  reason: "driver virtio_net has native XDP",
  nat4: null,
  nat6: null,
  ifindex: 2,
  slot: 1,
  mac: "52:54:00:12:34:56",
  mtuBytes: 1500,
  up: true,
  queues: 4,
  queueWorkers: [0, 1, 0, 1],
  rxQueues: 4,
  txQueues: 4,
  kernel: { rxPackets: 70_000, rxBytes: 4_200_000, txPackets: 69_000, txBytes: 4_140_000 },
  rxPackets: 1000,
  rxBytes: 64_000,
  txPackets: 900,
  txBytes: 60_000,
  punts: 3,
  drops: 1,
};

export const INTERFACES: ShowInterface[] = [
  link,
  {
    ...link,
    name: "veth1",
    mode: "tc",
    activeMode: "tc",
    reason: "as configured",
    nat4: "in",
    nat6: "in",
    queues: 1,
    queueWorkers: [0],
    rxQueues: 1,
    txQueues: 2,
  },
  {
    ...link,
    name: "gone0",
    activeMode: null,
    reason: "no such interface",
    mtuBytes: null,
    up: false,
    queues: 0,
    queueWorkers: [],
    rxQueues: 0,
    txQueues: 0,
  },
];

export const VERSIONS: ShowVersion = {
  ku: "0.1.0",
  deno: "2.4.2",
  v8: "13",
  libbpf: "1.1.2",
  libxdp: "1.3.1",
};
