/** Fixtures of packets that are given to the kernel: none of ku's, or ku's without a way out; for both families. */

import { buildFrame, type IpFields, pattern, tcp, udp } from "../../packets/builder.ts";
import { checkFixture, type Fixture } from "../../packets/fixture.ts";
import { FAMILIES, type Family, FAMILY4, nodeWorld, PODS, UPLINK } from "../../packets/node.ts";

function punts(f: Family): Fixture[] {
  const to = (dst: string): IpFields => ({ src: f.client, dst });
  return [
    {
      description: "what matches nothing goes to the kernel untouched",
      steps: [
        {
          input: buildFrame(to(f.vip), udp({ dstPort: 81 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.vip), udp({ dstPort: 81 })),
        },
        {
          input: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080 }), { vlan: 7 }),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080 }), { vlan: 7 }),
        },
      ],
      counted: { "ku-match: no service and no session": 2 },
    },
    {
      description: "a half-done checksum is completed on the way to the kernel",
      steps: [
        {
          input: buildFrame(
            { src: f.pod, dst: f.client },
            tcp({ srcPort: 8080, checksum: "half", payload: pattern(99) }),
          ),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.client }, tcp({ srcPort: 8080, payload: pattern(99) })),
        },
      ],
    },
    {
      description: "a pod's own connection to the world is untouched",
      steps: [
        {
          input: buildFrame({ src: f.pod, dst: f.router }, tcp({ srcPort: 33000, dstPort: 443, flags: 2 })),
          slot: PODS,
          verdict: "puntIn",
          output: buildFrame({ src: f.pod, dst: f.router }, tcp({ srcPort: 33000, dstPort: 443, flags: 2 })),
        },
      ],
    },
    {
      description: "a pod behind an interface that is not attached: rewritten, TTL left to the kernel",
      steps: [
        {
          input: buildFrame(to(f.vipUnattached), udp({ dstPort: 80, checksum: "half" })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podUnattached), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: egress interface not attached": 1, "ku-session: session started": 1 },
    },
    {
      description: "a pod whose neighbor is not resolved",
      steps: [
        {
          input: buildFrame(to(f.vipUnresolved), udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podUnresolved), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: neighbor not resolved": 1 },
    },
    {
      description: "a pod without a route",
      steps: [
        {
          input: buildFrame(to(f.vipNoRoute), udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "puntIn",
          output: buildFrame(to(f.podNoRoute), udp({ dstPort: 80 })),
        },
      ],
      counted: { "ku-route: no route": 1 },
    },
    {
      description:
        "an answer to a client that is not reached by an attached interface enters on ku0, untagged",
      steps: [
        {
          input: buildFrame({ src: f.podUnattached, dst: f.vip }, udp({ dstPort: 80 })),
          slot: UPLINK,
          verdict: "tx",
        },
        {
          input: buildFrame({ src: f.pod, dst: f.podUnattached }, udp({ srcPort: 8080, dstPort: 40000 }), {
            vlan: 5,
          }),
          slot: PODS,
          verdict: "puntKu",
          output: buildFrame({ src: f.vip, dst: f.podUnattached }, udp({ srcPort: 80, dstPort: 40000 })),
        },
      ],
    },
  ];
}

for (const f of FAMILIES) {
  for (const fixture of punts(f)) {
    Deno.test(`Processor: ${f.name}: ${fixture.description}`, () => checkFixture(nodeWorld(f), fixture));
  }
}

Deno.test("Processor: IPv4: too big without DF is left to the kernel to fragment, rewritten", () => {
  const f = FAMILY4;
  const segment = udp({ dstPort: 80, payload: pattern(1400) });
  checkFixture(nodeWorld(f), {
    description: "",
    steps: [{
      input: buildFrame({ src: f.client, dst: f.vipSmall }, segment),
      slot: UPLINK,
      verdict: "puntIn",
      output: buildFrame({ src: f.client, dst: f.podSmall }, segment),
    }],
    counted: { "ku-route: left to the kernel to fragment": 1 },
  });
});

Deno.test("Processor: what is neither IPv4 nor IPv6 goes to the kernel", () => {
  const world = nodeWorld(FAMILY4);
  const arp = buildFrame({ src: FAMILY4.client, dst: FAMILY4.vip }, udp({}));
  arp[12] = 0x08;
  arp[13] = 0x06;
  checkFixture(world, {
    description: "",
    steps: [
      { input: arp, slot: UPLINK, verdict: "puntIn", output: arp },
      { input: arp, slot: 0, verdict: "puntKu", output: arp },
    ],
    counted: { "ku-parse: neither IPv4 nor IPv6": 2 },
  });
});
