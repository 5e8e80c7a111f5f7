/** The text of every show, letter by letter. */

import { assertEquals } from "@std/assert";
import {
  formatBytes,
  formatDuration,
  formatInterfaces,
  formatKu,
  formatNodeCounters,
  formatSessions,
  formatVips,
  formatVipsVerbose,
} from "../../../cli/format.ts";
import { table } from "../../../cli/table.ts";
import { formatVersions } from "../../../cli/version.ts";
import { INTERFACES, KU, NODE_COUNTERS, SESSIONS, VERSIONS, VIPS } from "./samples.ts";

/** The text between the backquotes without its first line break. */
const golden = (text: string): string => text.slice(1);

Deno.test("ku show", () => {
  assertEquals(
    formatKu(KU),
    golden(`
ku 0.1.0 pid 4711 up 3h12m generation 17
 ip4-src-address: 192.0.2.1
 ip6-src-address: none
 nat46-prefix: 64:ff9b:1::/96
 buckets: 1024
 timeout: 40s
 tcp-timeout: 7440s
 offload: on, 262144 sessions
 memory: 24.5 MiB
 #interfaces: 2
 #vips: 2
 #pods: 3
worker 0
  timeout: 40s
  usage: 12 / 8192
worker 1
  timeout: 40s
  usage: 0 / 8192
`),
  );
});

Deno.test("ku show vip", () => {
  assertEquals(
    formatVips(VIPS),
    golden(`
 ip4-nat44 [0] 10.96.0.1/32 protocol:tcp port:80 target_port:8080 node_port:30080 src_ip_sticky:10800 source:10.0.0.0/8 source:192.0.2.0/24 service:default/web:http new_size:1024 #pod:3
 ip6-nat66 [1] 2003::/16 masquerade new_size:2048 #pod:0
`),
  );
  assertEquals(
    formatVips([{ ...VIPS[0], protocol: null, nodePort: null, type: "nat46" }]).slice(0, 61),
    " ip4-nat46 [0] 10.96.0.1/32 protocol:any port:80 target_port:",
  );
});

Deno.test("ku show vip verbose", () => {
  assertEquals(
    formatVipsVerbose(VIPS),
    golden(`
 ip4-nat44 [0] 10.96.0.1/32 protocol:tcp port:80 target_port:8080 node_port:30080 src_ip_sticky:10800 source:10.0.0.0/8 source:192.0.2.0/24 service:default/web:http
  new_size:1024
  counters:
    packet from existing sessions: 1234
    first session packet: 56
    untracked packet: 0
    no server configured: 7
    reply packet: 1100
  #pod:3
    10.244.1.2  512 buckets 101 sessions  weight:1  active
    10.244.1.30 512 buckets   9 sessions  weight:10 active
    10.244.2.2    0 buckets   1 sessions  weight:0  draining
    10.244.3.3    0 buckets   2 sessions  weight:1  removed

 ip6-nat66 [1] 2003::/16 masquerade
  new_size:2048
  counters:
    packet from existing sessions: 0
    first session packet: 0
    untracked packet: 0
    no server configured: 0
    reply packet: 0
  #pod:0
`),
  );
});

Deno.test("ku show node counters", () => {
  assertEquals(
    formatNodeCounters(NODE_COUNTERS, false),
    golden(`
     Count  Node      Reason
    123456  ku4-nat   translated
         7  ku-parse  no server
`),
  );
  assertEquals(formatNodeCounters(NODE_COUNTERS, true).split("\n").length, 5);
});

Deno.test("ku show sessions", () => {
  assertEquals(
    formatSessions(SESSIONS),
    golden(`
Worker  Protocol  Client              VIP           Pod              State        Idle  Runs in
     0  tcp       192.0.2.7:40123     10.96.0.1:80  10.244.1.2:8080  established    3s  worker
     1  udp       [2001:db8::7]:5353  [2003::1]:53  [2001::2]:53     active        12s  kernel
`),
  );
});

Deno.test("ku show interface", () => {
  assertEquals(
    formatInterfaces(INTERFACES),
    golden(`
Name   State  Mode           Nat                MTU  Queues  Workers  Rx packets  Tx packets  Kernel rx  Kernel tx  Punts  Drops  Why
eth0   up     native (auto)  -                 1500       4  0,1,0,1        1000         900      70000      69000      3      1  driver virtio_net has native XDP
veth1  up     tc (tc)        nat4 in, nat6 in  1500       1  0              1000         900      70000      69000      3      1  as configured
gone0  down   - (auto)       -                    -       0  -              1000         900      70000      69000      3      1  no such interface
`),
  );
});

Deno.test("ku version", () => {
  const versions = { ku: "0.1.0", deno: "2.4.2", v8: "13" };
  assertEquals(formatVersions({ ...versions, daemon: null }), "ku 0.1.0\ndeno 2.4.2\nv8 13\n");
  assertEquals(
    formatVersions({ ...versions, daemon: VERSIONS }),
    "ku 0.1.0\ndeno 2.4.2\nv8 13\ndaemon 0.1.0\nlibbpf 1.1.2\nlibxdp 1.3.1\n",
  );
});

Deno.test("durations and sizes", () => {
  const durations: [number, string][] = [[0, "0s"], [0.4, "0s"], [59, "59s"], [60, "1m0s"], [3661, "1h1m"], [
    266_400,
    "3d2h",
  ]];
  for (const [seconds, text] of durations) assertEquals(formatDuration(seconds), text);
  const sizes: [number, string][] = [[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [1536, "1.5 KiB"], [
    2 ** 40,
    "1.0 TiB",
  ]];
  for (const [bytes, text] of sizes) assertEquals(formatBytes(bytes), text);
});

Deno.test("a table of a quarter million rows is no problem", () => {
  const rows = Array.from({ length: 250_000 }, (_, index) => [String(index)]);
  assertEquals(table([{ title: "N", right: true }], rows).length, 250_001 * 7);
});
