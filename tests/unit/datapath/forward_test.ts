/** Fixtures of plain forwarding: client → VIP → pod and back, for both families and each kind of checksum. */

import { IF_NAT4_IN } from "../../../mod/table/interface.ts";
import {
  buildFrame,
  type Checksum,
  concat,
  destinationOptions,
  hopByHop,
  type IpFields,
  pattern,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { checkFixture, type Fixture } from "../../packets/fixture.ts";
import {
  FAMILIES,
  type Family,
  FAMILY4,
  FAMILY6,
  nodeWorld,
  PODS,
  sentBy,
  UPLINK,
} from "../../packets/node.ts";

/** The packet of a client to a VIP, and what leaves for the pod. */
function there(f: Family, segment: (port: number) => Segment, after: Segment, ip: Partial<IpFields> = {}) {
  return {
    input: buildFrame({ ...ip, src: f.client, dst: f.vip }, segment(80)),
    slot: UPLINK,
    verdict: "tx" as const,
    outSlot: PODS,
    output: sentBy(PODS, { ...ip, src: f.client, dst: f.pod, ttl: (ip.ttl ?? 64) - 1 }, after),
  };
}

/** The pod's packet to the client, and what leaves for the client. */
function back(f: Family, segment: Segment, after: Segment, ip: Partial<IpFields> = {}) {
  return {
    input: buildFrame({ ...ip, src: f.pod, dst: f.client }, segment),
    slot: PODS,
    verdict: "tx" as const,
    outSlot: UPLINK,
    output: sentBy(UPLINK, { ...ip, src: f.vip, dst: f.client, ttl: (ip.ttl ?? 64) - 1 }, after),
  };
}

function roundTrips(f: Family): Fixture[] {
  const fixtures: Fixture[] = [];
  const sizes = [0, 1, 2, 3, 18, 511, 1400];
  const kinds: Checksum[] = ["right", "half"];
  for (const size of sizes) {
    for (const checksum of kinds) {
      const payload = pattern(size);
      const out = { srcPort: 8080, dstPort: 40000, payload };
      fixtures.push({
        description: `UDP with ${size} bytes, checksum ${checksum}, there and back`,
        steps: [
          there(f, (dstPort) => udp({ dstPort, payload, checksum }), udp({ dstPort: 8080, payload })),
          there(f, (dstPort) => udp({ dstPort, payload, checksum }), udp({ dstPort: 8080, payload })),
          back(f, udp({ ...out, checksum }), udp({ ...out, srcPort: 80 })),
        ],
        counted: { "ku-nat: half-done checksum completed": checksum === "half" ? 3 : 0 },
      });
      fixtures.push({
        description: `TCP with ${size} bytes, checksum ${checksum}, there and back`,
        steps: [
          there(f, (dstPort) => tcp({ dstPort, payload, checksum }), tcp({ dstPort: 8080, payload })),
          back(f, tcp({ ...out, checksum }), tcp({ ...out, srcPort: 80 })),
          there(f, (dstPort) => tcp({ dstPort, payload, checksum }), tcp({ dstPort: 8080, payload })),
          there(f, (dstPort) => tcp({ dstPort, payload, checksum }), tcp({ dstPort: 8080, payload })),
          back(f, tcp({ ...out, checksum }), tcp({ ...out, srcPort: 80 })),
        ],
        counted: { "ku-nat: half-done checksum completed": checksum === "half" ? 5 : 0 },
      });
    }
  }
  return fixtures;
}

function kinds(f: Family): Fixture[] {
  const options = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7);
  const gre = pattern(40);
  return [
    {
      description: "UDP without a checksum stays without",
      steps: [
        there(f, (dstPort) => udp({ dstPort, checksum: "none" }), udp({ dstPort: 8080, checksum: "none" })),
        there(f, (dstPort) => udp({ dstPort, checksum: "none" }), udp({ dstPort: 8080, checksum: "none" })),
      ],
    },
    {
      description: "TCP options are kept, a SYN starts a session",
      steps: [
        there(f, (dstPort) => tcp({ dstPort, flags: 2, options }), tcp({ dstPort: 8080, flags: 2, options })),
      ],
      counted: { "ku-session: session started": 1 },
    },
    {
      description: "TOS, class, flow label, identification and DF are kept",
      steps: [
        there(f, (dstPort) => udp({ dstPort }), udp({ dstPort: 8080 }), {
          tos: 0xb8,
          flowLabel: 0x54321,
          id: 0xbeef,
          dontFragment: true,
        }),
      ],
    },
    {
      description: "a TTL of 2 leaves as 1",
      steps: [there(f, (dstPort) => udp({ dstPort }), udp({ dstPort: 8080 }), { ttl: 2 })],
    },
    {
      description: "SCTP: address and port change, the CRC32c is right again",
      steps: [
        there(f, (dstPort) => sctp({ dstPort }), sctp({ dstPort: 8080 })),
        there(f, (dstPort) => sctp({ dstPort, checksum: "half" }), sctp({ dstPort: 8080 })),
        back(f, sctp({ srcPort: 8080, dstPort: 40000 }), sctp({ srcPort: 80, dstPort: 40000 })),
      ],
    },
    {
      description: "a VIP without a port takes every protocol and keeps ports",
      steps: [
        {
          input: buildFrame({ src: f.client, dst: f.vipAll }, udp({ dstPort: 4711 })),
          slot: UPLINK,
          verdict: "tx",
          output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, udp({ dstPort: 4711 })),
        },
        {
          input: buildFrame({ src: f.client, dst: f.vipAll }, sctp({ dstPort: 99 })),
          slot: UPLINK,
          verdict: "tx",
          output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, sctp({ dstPort: 99 })),
        },
        {
          input: buildFrame({ src: f.client, dst: f.vipAll }, raw(47, gre)),
          slot: UPLINK,
          verdict: "tx",
          output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, raw(47, gre)),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.client }, raw(47, gre)),
          slot: PODS,
          verdict: "tx",
          output: sentBy(UPLINK, { src: f.vipAll, dst: f.client, ttl: 63 }, raw(47, gre)),
        },
      ],
    },
    {
      description: "a VIP that is a prefix answers from the address that was asked",
      steps: [
        {
          input: buildFrame({ src: f.client, dst: f.inPrefix }, udp({ dstPort: 7 })),
          slot: UPLINK,
          verdict: "tx",
          output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, udp({ dstPort: 7 })),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 7, dstPort: 40000 })),
          slot: PODS,
          verdict: "tx",
          output: sentBy(
            UPLINK,
            { src: f.inPrefix, dst: f.client, ttl: 63 },
            udp({ srcPort: 7, dstPort: 40000 }),
          ),
        },
      ],
    },
    {
      description: "a tagged frame leaves untagged",
      steps: [
        {
          input: buildFrame({ src: f.client, dst: f.vip }, udp({ dstPort: 53 }), { vlan: 0x2064 }),
          slot: UPLINK,
          verdict: "tx",
          output: sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, udp({ dstPort: 53 })),
        },
      ],
    },
    {
      description: "padding behind the packet is kept and not counted as data",
      steps: [
        {
          input: concat(
            buildFrame({ src: f.client, dst: f.vip }, udp({ dstPort: 53, checksum: "half" })),
            pattern(17),
          ),
          slot: UPLINK,
          verdict: "tx",
          output: concat(
            sentBy(PODS, { src: f.client, dst: f.pod, ttl: 63 }, udp({ dstPort: 53 })),
            pattern(17),
          ),
        },
      ],
    },
    {
      description: "a pod is a client of another pod's VIP",
      steps: [
        {
          input: buildFrame({ src: f.podB, dst: f.vip }, udp({ dstPort: 80 })),
          slot: PODS,
          verdict: "tx",
          output: sentBy(PODS, { src: f.podB, dst: f.pod, ttl: 63 }, udp({ dstPort: 8080 })),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.podB }, udp({ srcPort: 8080, dstPort: 40000 })),
          slot: PODS,
          verdict: "tx",
          output: sentBy(PODS, { src: f.vip, dst: f.podB, ttl: 63 }, udp({ srcPort: 80, dstPort: 40000 })),
        },
      ],
    },
    {
      description: "a socket of the node itself reaches the VIP, and its answer enters the kernel on ku0",
      steps: [
        {
          input: buildFrame({ src: f.uplinkAddress, dst: f.vip }, udp({ dstPort: 80 })),
          slot: 0,
          verdict: "tx",
          output: sentBy(PODS, { src: f.uplinkAddress, dst: f.pod, ttl: 63 }, udp({ dstPort: 8080 })),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.uplinkAddress }, udp({ srcPort: 8080, dstPort: 40000 })),
          slot: PODS,
          verdict: "puntKu",
          output: buildFrame({ src: f.vip, dst: f.uplinkAddress }, udp({ srcPort: 80, dstPort: 40000 })),
        },
      ],
      counted: { "ku-route: for the node itself": 1 },
    },
  ];
}

const only4: Fixture[] = [
  {
    description: "IPv4 options are kept",
    steps: [
      there(FAMILY4, (dstPort) => udp({ dstPort }), udp({ dstPort: 8080 }), {
        options: Uint8Array.of(148, 4, 0, 0),
      }),
      there(FAMILY4, (dstPort) => tcp({ dstPort, checksum: "half" }), tcp({ dstPort: 8080 }), {
        options: Uint8Array.of(1, 1, 1, 0),
      }),
    ],
  },
];

const only6: Fixture[] = [
  {
    description: "IPv6 extension headers are stepped over and kept",
    steps: [
      there(FAMILY6, (dstPort) => udp({ dstPort }), udp({ dstPort: 8080 }), {
        extensions: [hopByHop(), destinationOptions(16)],
      }),
      there(FAMILY6, (dstPort) => tcp({ dstPort, checksum: "half" }), tcp({ dstPort: 8080 }), {
        extensions: [destinationOptions(24)],
      }),
    ],
  },
];

for (const f of FAMILIES) {
  const fixtures = [...roundTrips(f), ...kinds(f), ...(f.ip === 4 ? only4 : only6)];
  for (const fixture of fixtures) {
    Deno.test(`Processor: ${f.name}: ${fixture.description}`, () => checkFixture(nodeWorld(f), fixture));
  }
}

Deno.test("Processor: an interface without nat4 in does not look for answers", () => {
  const world = nodeWorld(FAMILY4);
  world.spec.interfaces[PODS].flags = 0;
  world.publish();
  const f = FAMILY4;
  checkFixture(world, {
    description: "",
    steps: [
      there(f, (dstPort) => udp({ dstPort }), udp({ dstPort: 8080 })),
      {
        input: buildFrame({ src: f.pod, dst: f.client }, udp({ srcPort: 8080, dstPort: 40000 })),
        slot: PODS,
        verdict: "puntIn",
      },
    ],
  });
  world.spec.interfaces[PODS].flags = IF_NAT4_IN;
  world.publish();
  checkFixture(world, {
    description: "",
    steps: [back(f, udp({ srcPort: 8080, dstPort: 40000 }), udp({ srcPort: 80, dstPort: 40000 }))],
  });
});
