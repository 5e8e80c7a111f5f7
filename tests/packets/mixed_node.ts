/**
 * The node of node.ts with both families at once, and services that translate between them.
 *
 *     203.0.113.9 ──── 10.97.0.x  nat46 ──── 2001:db8:244::5      the client there: 64:ff9b:1::203.0.113.9
 *     2001:db8:c::9 ── 2001:db8:97::x nat64 ── 10.244.0.5         the client there: 10.244.0.1, a port of the node's
 */

import { assertEquals } from "@std/assert";
import { hexLines, type VerdictWord, verdictWord } from "./fixture.ts";
import { faults } from "./verify.ts";
import { SERVICE_MASQUERADE, SERVICE_NAT46, SERVICE_NAT64, SERVICE_STICKY } from "../../mod/table/service.ts";
import { FAMILY4, FAMILY6, nodeSpec, PODS, UPLINK } from "./node.ts";
import type { InterfaceSpec, ServiceSpec, World, WorldSpec } from "./world.ts";

/** The client of FAMILY4 as IPv6 pods see it. */
export const CLIENT46 = "64:ff9b:1::cb00:7109";

export interface MixedVips {
  /** Port 80 → 8080. */
  web: string;
  /** All protocols and ports. */
  all: string;
  masquerade: string;
  /** Three pods, two of them by the client's address alone. */
  many: string;
  sticky: string;
  empty: string;
  small: string;
  unresolved: string;
  unattached: string;
}

function vips(start: string): MixedVips {
  const at = (number: number) => `${start}${number}`;
  return {
    web: at(1),
    all: at(2),
    masquerade: at(3),
    many: at(4),
    sticky: at(5),
    empty: at(6),
    small: at(7),
    unresolved: at(8),
    unattached: at(9),
  };
}

export const VIPS46 = vips("10.97.0.");
export const VIPS64 = vips("2001:db8:97::");

function services(type: number, v: MixedVips, f: typeof FAMILY4): ServiceSpec[] {
  const pods = [{ address: f.pod }];
  const three = [f.pod, f.podB, f.podC].map((address) => ({ address }));
  const web = { port: 80, targetPort: 8080, type };
  return [
    { ...web, vip: v.web, pods },
    { type, vip: v.all, pods },
    { ...web, vip: v.masquerade, flags: SERVICE_MASQUERADE, pods },
    { ...web, vip: v.many, pods: three },
    { ...web, vip: v.sticky, flags: SERVICE_STICKY, pods: three },
    { ...web, vip: v.empty, pods: [] },
    { ...web, vip: v.small, pods: [{ address: f.podSmall }] },
    { ...web, vip: v.unresolved, pods: [{ address: f.podUnresolved }] },
    { ...web, vip: v.unattached, pods: [{ address: f.podUnattached }] },
  ];
}

/** Places in `services` of the first nat46 and nat64 service. */
export const FIRST_46 = 0;
export const FIRST_64 = 9;

export function mixedSpec(): WorldSpec {
  const four = nodeSpec(FAMILY4);
  const six = nodeSpec(FAMILY6);
  const interfaces = [0, UPLINK, PODS].map((slot): InterfaceSpec => {
    const a = four.interfaces.find((each) => each.slot === slot)!;
    const b = six.interfaces.find((each) => each.slot === slot)!;
    return { ...b, ...a, flags: (a.flags ?? 0) | (b.flags ?? 0) };
  });
  return {
    interfaces,
    routes: [...four.routes, ...six.routes],
    services: [
      ...services(SERVICE_NAT46, VIPS46, FAMILY6),
      ...services(SERVICE_NAT64, VIPS64, FAMILY4),
      ...four.services,
      ...six.services,
    ],
  };
}

/** Runs one frame and expects this verdict and slot; returns what comes out, which must be right to the last checksum. */
export function pass(
  world: World,
  input: Uint8Array,
  slot: number,
  word: VerdictWord = "tx",
  outSlot?: number,
) {
  const verdict = world.run(input, slot);
  assertEquals(verdictWord(verdict), word, JSON.stringify(world.nodeCounts()));
  if (word === "drop") return new Uint8Array(0);
  if (outSlot !== undefined) assertEquals(world.processor.outSlot, outSlot);
  const result = world.result();
  assertEquals(faults(result), []);
  return result;
}

export function expectFrame(result: Uint8Array, expected: Uint8Array): void {
  assertEquals(hexLines(result), hexLines(expected));
}

/** Source port of the transport header behind an IPv4 header without options. */
export function sourcePort4(frame: Uint8Array): number {
  return (frame[34] << 8) | frame[35];
}
