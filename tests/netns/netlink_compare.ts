/*
 * A mirror compared with what `ip -j` says of this network namespace: both as sorted lines, one for each object.
 */

import { assert, assertEquals } from "@std/assert";
import { NUD_NOARP, ROUTE_TYPES, RT_TABLE_MAIN } from "../../ffi/rtnetlink.ts";
import { addressText, macText } from "../../mod/netlink/address.ts";
import type { NextHop, Route } from "../../mod/netlink/messages.ts";
import type { Mirror } from "../../mod/netlink/mirror.ts";

/** Runs `ip`, and returns what it prints. */
export function ip(command: string): string {
  const { success, stdout, stderr } = new Deno.Command("ip", { args: command.split(" ") }).outputSync();
  if (!success) throw new Error(`ip ${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Runs many `ip` commands in one process. */
export async function ipBatch(commands: string[]): Promise<void> {
  const child = new Deno.Command("ip", { args: ["-batch", "-"], stdin: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(commands.join("\n") + "\n"));
  await writer.close();
  assert((await child.status).success, "ip -batch");
}

type Json = Record<string, unknown>;
function ipJson(command: string): Json[] {
  return JSON.parse(ip(`-j ${command}`) || "[]") as Json[];
}

/** A property that is a list of objects, or none. */
function list(item: Json, key: string): Json[] {
  return (item[key] ?? []) as Json[];
}

function linksOfIp(): string[] {
  return ipJson("-d link").map((link) => {
    const flags = link.flags as string[];
    const xdp = (link.xdp ?? null) as Json | null;
    return [
      link.ifindex,
      link.ifname,
      (link.linkinfo as Json | undefined)?.info_kind ?? null,
      link.mtu,
      link.address,
      flags.includes("UP"),
      flags.includes("NOARP"),
      flags.includes("LOOPBACK"),
      link.num_rx_queues,
      link.num_tx_queues,
      link.link_index ?? (link.link === undefined ? 0 : indexOf(link.link as string)),
      link.link_netnsid ?? null,
      link.master === undefined ? 0 : indexOf(link.master as string),
      xdp === null ? 0 : (xdp.prog as Json).id,
    ].join(" ");
  }).sort();
}

function indexOf(name: string): number {
  return ipJson(`link show dev ${name}`)[0].ifindex as number;
}

function linksOfMirror(mirror: Mirror): string[] {
  return [...mirror.links.values()].map((link) =>
    [
      link.index,
      link.name,
      link.kind,
      link.mtuBytes,
      link.mac === null ? "" : macText(link.mac),
      link.up,
      link.noArp,
      link.loopback,
      link.rxQueueCount,
      link.txQueueCount,
      link.peerIndex,
      link.peerNetnsId,
      link.masterIndex,
      link.xdpProgramId,
    ].join(" ")
  ).sort();
}

const SCOPES: Record<number, string> = { 0: "global", 253: "link", 254: "host" };

function addressesOfIp(): string[] {
  return ipJson("addr").flatMap((link) =>
    list(link, "addr_info").map((info) =>
      `${link.ifindex} ${info.local}/${info.prefixlen} ${info.scope} ${info.tentative !== true}`
    )
  ).sort();
}

function addressesOfMirror(mirror: Mirror): string[] {
  return [...mirror.addresses.values()].map(({ ifindex, address, prefixLength, scope, preferred }) =>
    `${ifindex} ${addressText(address)}/${prefixLength} ${SCOPES[scope]} ${preferred}`
  ).sort();
}

/** Those with a MAC; the kernel does not tell of ones it only begins to look for, nor of NOARP (multicast) ones. */
function neighborsOfIp(): string[] {
  const json = [...ipJson("neigh show nud all"), ...ipJson("-6 neigh show nud all")];
  const learned = json.filter(({ state }) => !(state as string[]).includes("NOARP")).filter(({ lladdr }) =>
    lladdr !== undefined
  );
  const lines = learned.map(({ dst, dev, lladdr }) => `${dst} ${dev} ${lladdr ?? ""}`);
  return [...new Set(lines)].sort();
}

function neighborsOfMirror(mirror: Mirror): string[] {
  const learned = [...mirror.neighbors.values()].filter(({ state, mac }) =>
    mac !== null && (state & NUD_NOARP) === 0
  );
  return learned.map(({ address, ifindex, mac }) =>
    `${addressText(address)} ${mirror.links.get(ifindex)?.name} ${mac === null ? "" : macText(mac)}`
  ).sort();
}

function routesOfIp(): string[] {
  const tables = ["main", "local"];
  return [4, 6].flatMap((family) =>
    tables.flatMap((table) =>
      ipJson(`-N -d -${family} route show table ${table}`).map((route) => {
        const hops = route.nexthops === undefined ? [route] : list(route, "nexthops");
        const metrics = list(route, "metrics")[0];
        return [
          table,
          prefixText(route.dst as string, family),
          routeTypeOfIp(route.type as string),
          route.protocol,
          route.metric ?? 0,
          metrics?.mtu ?? 0,
          route.prefsrc ?? "",
          hops.filter((hop) => hop.dev !== undefined).map((hop) => {
            const via = hop.gateway ?? (hop.via as Json | undefined)?.host ?? "";
            return `${hop.dev}>${via}`;
          }).join(","),
        ].join(" ");
      })
    )
  ).sort();
}

/** `ip -N` prints some types as numbers. */
function routeTypeOfIp(type: string): string {
  return /^\d+$/.test(type) ? ROUTE_TYPES[Number(type)] : type;
}

function prefixText(dst: string, family: number): string {
  if (dst === "default") return family === 4 ? "0.0.0.0/0" : "::/0";
  return dst.includes("/") ? dst : `${dst}/${family === 4 ? 32 : 128}`;
}

function routesOfMirror(mirror: Mirror): string[] {
  const hopText = (hop: NextHop) =>
    `${mirror.links.get(hop.ifindex)?.name}>${hop.gateway === null ? "" : addressText(hop.gateway)}`;
  return [...mirror.routes].map((route: Route) =>
    [
      route.table === RT_TABLE_MAIN ? "main" : "local",
      `${addressText(route.address)}/${route.prefixLength}`,
      route.type,
      route.protocol,
      route.metric,
      route.mtuBytes,
      route.preferredSource === null ? "" : addressText(route.preferredSource),
      route.nextHops.map(hopText).join(","),
    ].join(" ")
  ).sort();
}

/** Waits (3 s at most) until all of the mirror equals what `ip` says. */
export async function agree(mirror: Mirror, when: string): Promise<void> {
  const ofMirror = () => [
    linksOfMirror(mirror),
    addressesOfMirror(mirror),
    routesOfMirror(mirror),
    neighborsOfMirror(mirror),
  ];
  const ofIp = () => [linksOfIp(), addressesOfIp(), routesOfIp(), neighborsOfIp()];
  const deadline = performance.now() + 3000;
  while (JSON.stringify(ofMirror()) !== JSON.stringify(ofIp())) {
    if (performance.now() > deadline) assertEquals(ofMirror(), ofIp(), when);
    await delay(20);
  }
}

/** Waits (3 s at most) for a condition. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 3000;
  while (!condition()) {
    assert(performance.now() < deadline, `not in 3 s: ${what}`);
    await delay(5);
  }
}

export function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
