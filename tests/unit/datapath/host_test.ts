/** What the node's own sockets send by ku0 (slot 0): served, refused or dropped, but never given back to ku0, where it came from. */

import {
  buildFrame,
  fragmentHeader,
  type IpFields,
  raw,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { checkFixture, type Fixture } from "../../packets/fixture.ts";
import { FAMILIES, type Family, nodeWorld, PODS } from "../../packets/node.ts";

const HOST = 0;
const REFUSED = "ku-icmp: port unreachable sent";
const DROPPED = "ku-match: of the node itself, no service and no session";

function fixtures(f: Family): Fixture[] {
  const from = (dst: string, segment: Segment, ip: Partial<IpFields> = {}) => ({
    input: buildFrame({ src: f.uplinkAddress, dst, ...ip }, segment),
    slot: HOST,
  });
  const later: Partial<IpFields> = f.ip === 4
    ? { fragmentOffset: 1480 }
    : { extensions: [fragmentHeader(1480, false, 7)] };
  return [
    {
      description: "a service of the VIP is reached",
      steps: [{ ...from(f.vip, tcp({ dstPort: 80, flags: 2 })), verdict: "tx", outSlot: PODS }],
    },
    {
      description: "a port of the VIP that nobody serves: reset, as from the VIP",
      steps: [
        {
          ...from(f.vip, tcp({ dstPort: 81, flags: 2, sequence: 7 })),
          verdict: "puntKu",
          output: buildFrame(
            f.ip === 4
              ? { src: f.vip, dst: f.uplinkAddress, id: 0, dontFragment: true }
              : { src: f.vip, dst: f.uplinkAddress },
            tcp({ srcPort: 81, dstPort: 40000, flags: 0x14, window: 0, sequence: 0, acknowledgment: 8 }),
          ),
        },
      ],
      counted: { "ku-icmp: TCP reset sent": 1, "ku-session: session started": 0 },
    },
    {
      description: "the same by UDP, on a prefix, and by a protocol without ports: unreachable",
      steps: [
        { ...from(f.vip, udp({ dstPort: 81 })), verdict: "puntKu" },
        { ...from(f.inPortPrefix, udp({ dstPort: 81 })), verdict: "puntKu" },
        { ...from(f.vip, raw(253, new Uint8Array(8))), verdict: "puntKu" },
      ],
      counted: { [REFUSED]: 3, [DROPPED]: 0 },
    },
    {
      description: "a destination in no VIP, a fragment of nothing known, an error about nothing: dropped",
      steps: [
        { ...from(f.router, udp({ dstPort: 80 })), verdict: "drop" },
        { ...from(f.vip, raw(17, new Uint8Array(64)), later), verdict: "drop" },
        {
          ...from(f.vip, f.icmp({ type: f.ip === 4 ? 11 : 3, payload: new Uint8Array(60) })),
          verdict: "drop",
        },
      ],
      counted: { [DROPPED]: 3, [REFUSED]: 0 },
    },
    {
      description: "a reset to a port that nobody serves: silence",
      steps: [{ ...from(f.vip, tcp({ dstPort: 81, flags: 4 })), verdict: "drop" }],
      counted: { "ku-icmp: error not allowed about this packet": 1 },
    },
  ];
}

for (const family of FAMILIES) {
  for (const fixture of fixtures(family)) {
    Deno.test(`Processor: ${family.name}: the node's own packets: ${fixture.description}`, () => {
      checkFixture(nodeWorld(family), fixture);
    });
  }
}
