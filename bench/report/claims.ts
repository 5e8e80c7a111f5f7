/** What is to hold, beside what was measured: each claim names its figures, and is left open where one of them is missing. */

import { type Figure, find, text, type Wanted } from "./figures.ts";

interface Claim {
  what: string;
  bound: string;
  /** The value, or undefined where a figure is missing. */
  value(figures: readonly Figure[]): number | undefined;
  holds(value: number): boolean;
  unit: string;
}

function median(figures: readonly Figure[], wanted: Wanted): number | undefined {
  return find(figures, wanted)[0]?.median;
}

function ratio(figures: readonly Figure[], one: Wanted, other: Wanted): number | undefined {
  const [above, below] = [median(figures, one), median(figures, other)];
  return above === undefined || below === undefined ? undefined : above / below;
}

const most = (bound: number) => ({ bound: `≤ ${text(bound)}`, holds: (value: number) => value <= bound });
const least = (bound: number) => ({ bound: `≥ ${text(bound)}`, holds: (value: number) => value >= bound });

/** nat44 UDP, 64 bytes, from the client. */
export function nat44(by: string, flows: number, services: number): Wanted {
  const packet = { mode: "nat44", protocol: "udp", direction: "request", bytes: 64 };
  return { suite: "micro", name: "datapath", params: { by, ...packet, flows, services } };
}

function packets(contestant: string, services: number, flows = 1000): Wanted {
  return { suite: "e2e", name: "packets", params: { contestant, services, flows } };
}

function e2e(name: string, contestant: string, params: Wanted["params"] = {}): Wanted {
  return { suite: "e2e", name, params: { contestant, ...params } };
}

/** TypeScript's time to that of the faster structure in C, measured by turns. */
function toNative(figures: readonly Figure[], flows: number, services: number): number | undefined {
  const params = { protocol: "udp", direction: "request", bytes: 64, flows, services };
  return median(figures, { name: "TypeScript to the faster C", params });
}

const SIZES = [[1000, 1], [1000, 1000], [65_536, 1], [65_536, 1000], [1 << 20, 1], [1 << 20, 1000]];
const services = 10_000;

const CLAIMS: Claim[] = [
  {
    what: "nat44 UDP 64 B, 1 k flows, 1 service",
    ...most(30),
    unit: "ns/packet",
    value: (all) => median(all, nat44("TypeScript", 1000, 1)),
  },
  {
    what: "nat44 UDP 64 B, 64 k flows, 1,000 services",
    ...most(45),
    unit: "ns/packet",
    value: (all) => median(all, nat44("TypeScript", 65_536, 1000)),
  },
  ...SIZES.map(([flows, services]): Claim => ({
    what: `to the faster C version, ${text(flows)} flows, ${text(services)} services`,
    ...most(1.5),
    unit: "×",
    value: (all) => toNative(all, flows, services),
  })),
  {
    what: "new sessions, 1,000 services",
    ...least(3),
    unit: "M/s",
    value: (all) => {
      const ns = median(all, { name: "new sessions", params: { services: 1000 } });
      return ns === undefined ? undefined : 1000 / ns;
    },
  },
  {
    what: "match with 10,000 services to 1",
    ...most(1.3),
    unit: "×",
    value: (all) =>
      ratio(all, { name: "match find", params: { services } }, {
        name: "match find",
        params: { services: 1 },
      }),
  },
  ...["IPv4", "IPv6"].map((family, i): Claim => ({
    what: `memory of a session, ${family}`,
    ...most([64, 160][i]),
    unit: "bytes",
    value: (all) => median(all, { name: `a session, ${family}` }),
  })),
  ...([
    ["ku-ring", "forward", "packets/s without offload to the C AF_XDP forwarder", 0.95, 1000],
    ["ku", "forward", "packets/s to the C AF_XDP forwarder", 0.95, 1000],
    ["ku-ring", "nftables", "packets/s without offload to nftables", 1.25, 1000],
    ["ku", "nftables", "packets/s to nftables", 4.5, 1000],
    ["ku", "xdp", "packets/s to the static XDP program", 0.9, 1000],
    ["ku", "nftables", "packets/s to nftables", 4, 100_000],
  ] as const).map(([ours, theirs, what, bound, flows]): Claim => ({
    what: `${what}, 1 service, ${text(flows)} flows`,
    ...least(bound),
    unit: "×",
    value: (all) => ratio(all, packets(ours, 1, flows), packets(theirs, 1, flows)),
  })),
  {
    what: "packets per CPU-second to nftables, 1 service, 1,000 flows",
    ...least(1),
    unit: "×",
    value: (all) => {
      const of = (contestant: string) => ({ ...packets(contestant, 1), name: "packets per CPU" });
      return ratio(all, of("ku"), of("nftables"));
    },
  },
  ...["ku", "ku-ring"].map((ours): Claim => ({
    what: `${ours}: packets/s with 10,000 services to 1`,
    ...least(0.95),
    unit: "×",
    value: (all) => ratio(all, packets(ours, services), packets(ours, 1)),
  })),
  ...[1000, 100_000].map((flows): Claim => ({
    what: `packets/s to iptables, 10,000 services, ${text(flows)} flows`,
    ...least(10),
    unit: "×",
    value: (all) => ratio(all, packets("ku", services, flows), packets("iptables", services, flows)),
  })),
  {
    what: "apply of 10,000 services × 4 pods",
    ...most(2000),
    unit: "ms",
    value: (all) => median(all, { name: "apply", params: { contestant: "ku", services } }),
  },
  {
    what: "one pod changed among them, over a connection",
    ...most(50),
    unit: "ms",
    value: (all) => median(all, { name: "one pod, connected", params: { contestant: "ku", services } }),
  },
  ...["nftables", "iptables"].flatMap((contestant) =>
    [["apply", "apply"], ["one pod", "one pod, connected"]].map(([name, ours]): Claim => ({
      what: `${name}, 10,000 services: time to ${contestant}`,
      ...most(1),
      unit: "×",
      value: (all) =>
        ratio(all, { name: ours, params: { contestant: "ku", services } }, {
          name,
          params: { contestant, services },
        }),
    }))
  ),
  ...["TypeScript", "C, phases"].map((by): Claim => ({
    what: `two workers to one, ${by}`,
    ...least(1.6),
    unit: "×",
    value: (all) => median(all, { name: "two workers to one", params: { by, flows: 65_536 } }),
  })),
  {
    what: "round-trip above kernel routing, median",
    ...most(30),
    unit: "µs",
    value: (all) => {
      const trip = (contestant: string) => median(all, { name: "round-trip", params: { contestant } });
      const [ours, routing] = [trip("ku"), trip("routing")];
      return ours === undefined || routing === undefined ? undefined : ours - routing;
    },
  },
  ...["to the pod", "from the pod"].flatMap((direction): Claim[] => {
    const bulk = (contestant: string, who = "client") => e2e("TCP bulk", contestant, { who, direction });
    const against: [string, Wanted, Wanted, number][] = [
      ["through a VIP, to nftables", bulk("ku auto"), bulk("nftables"), 1],
      ["through a VIP, to routing", bulk("ku auto"), bulk("routing"), 0.92],
      ["of bystanders, to the same without ku", bulk("ku auto", "bystander"), bulk("routing"), 0.97],
    ];
    return against.map(([what, ours, theirs, bound]) => ({
      what: `TCP bulk ${direction}, mode auto, ${what}`,
      ...least(bound),
      unit: "×",
      value: (all) => ratio(all, ours, theirs),
    }));
  }),
  ...[1, services].flatMap((count) =>
    ["kept", "new"].flatMap((connection): Claim[] => {
      const of = (name: string, contestant: string) => e2e(name, contestant, { services: count, connection });
      const what = `mode auto, connections ${connection}, ${text(count)} services, to nftables`;
      return [{
        what: `HTTP requests/s, ${what}`,
        ...least(count === 1 ? 1 : 1.2),
        unit: "×",
        value: (all) => ratio(all, of("HTTP requests", "ku auto"), of("HTTP requests", "nftables")),
      }, {
        what: `HTTP p99, ${what}`,
        ...most(1),
        unit: "×",
        value: (all) => ratio(all, of("HTTP p99", "ku auto"), of("HTTP p99", "nftables")),
      }];
    })
  ),
];

/** Rows: what, bound, measured, yes or no. */
export function claims(figures: readonly Figure[]): string[][] {
  return CLAIMS.map(({ what, bound, unit, value, holds }) => {
    const measured = value(figures);
    if (measured === undefined) return [what, `${bound} ${unit}`, "not measured", ""];
    return [what, `${bound} ${unit}`, `${text(measured)} ${unit}`, holds(measured) ? "yes" : "no"];
  });
}
