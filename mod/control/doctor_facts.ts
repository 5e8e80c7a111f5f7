/**
 * Looks at the node for `ku doctor`. Changes nothing: the steering programs are loaded and closed again without being attached.
 *
 * @module
 */

import { checkErrno, SystemError } from "../../ffi/errno.ts";
import { driverOf, largeReceiveOffload, queuesOf } from "../../ffi/ethtool.ts";
import { ARPHRD_ETHER } from "../../ffi/if.ts";
import { libbpfVersion } from "../../ffi/libbpf.ts";
import { libraryOrigins } from "../../ffi/library.ts";
import { AF_XDP, libc, SOCK_CLOEXEC, SOCK_RAW } from "../../ffi/libc.ts";
import { VERSION } from "../config/version.ts";
import { dumpLinks } from "../netlink/dumps.ts";
import type { Link } from "../netlink/messages.ts";
import { Mirror } from "../netlink/mirror.ts";
import { findPair, ForeignPairError } from "../netlink/pair.ts";
import { RequestSocket } from "../netlink/request.ts";
import { readInterfaceSysctl } from "../netlink/sysctl.ts";
import { Steering, steeringWays } from "../xdp/steering.ts";
import { isOwnProgram, queryXdp } from "../xdp/xdp_hook.ts";
import type { InterfaceFacts, NodeFacts } from "./doctor.ts";
import { callDaemon } from "./rpc_client.ts";

/** What is to be known. `names`: interfaces; none: those of the running daemon, or every one that is up. */
export async function lookAtNode(names: readonly string[], socket: string): Promise<NodeFacts> {
  const status = Deno.readTextFileSync("/proc/self/status");
  const requests = new RequestSocket();
  try {
    const links = dumpLinks(requests);
    const daemon = await callDaemon(socket, "version", {}).catch(() => null);
    const attached = daemon === null ? [] : await callDaemon(socket, "showInterface", {}).catch(() => []);
    const wanted = names.length > 0
      ? names
      : attached.length > 0
      ? attached.map(({ name }) => name)
      : usual(links);
    return {
      uid: Deno.uid() ?? -1,
      kernelRelease: Deno.osRelease(),
      machine: Deno.build.arch,
      capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`),
      memlockBytes: memlockBytes(),
      availableBytes: Deno.systemMemoryInfo().available,
      cores: navigator.hardwareConcurrency,
      afXdp: errorOf(openXdpSocket),
      programs: errorOf(() => Steering.load().close()),
      libraries: libraries(),
      bpffs: /^\S+ \/sys\/fs\/bpf bpf /m.test(Deno.readTextFileSync("/proc/self/mounts")),
      ip4Forwarding: readNumber("/proc/sys/net/ipv4/ip_forward"),
      ip6Forwarding: readNumber("/proc/sys/net/ipv6/conf/all/forwarding"),
      foreignRules: await foreignRules(),
      pair: lookAtPair(requests),
      daemon: daemon?.ku ?? null,
      version: VERSION,
      interfaces: wanted.map((name) => lookAtInterface(name, links)),
    };
  } finally {
    requests.close();
  }
}

/** Interfaces that somebody may want to attach: up, Ethernet, not ku's own. */
function usual(links: readonly Link[]): string[] {
  return links.filter(({ name, up, loopback, hardwareType }) =>
    up && !loopback && hardwareType === ARPHRD_ETHER && !["ku0", "ku1"].includes(name)
  ).map(({ name }) => name);
}

function lookAtInterface(name: string, links: readonly Link[]): InterfaceFacts {
  const link = links.find((each) => each.name === name);
  const master = links.find((each) =>
    link !== undefined && link.masterIndex !== 0 && each.index === link.masterIndex
  );
  const there = link !== undefined;
  // The larger of the two counts: ip-sysctl.rst.
  const own = readInterfaceSysctl("ipv4", name, "rp_filter");
  const all = readInterfaceSysctl("ipv4", "all", "rp_filter") ?? 0;
  return {
    name,
    there,
    up: link?.up ?? false,
    ethernet: link?.hardwareType === ARPHRD_ETHER && !link.loopback,
    master: master === undefined ? null : { name: master.name, kind: master.kind },
    driver: there ? driverOf(name).driver : "",
    rxQueues: there ? queuesOf(name).rx : 0,
    mtuBytes: link?.mtuBytes ?? 0,
    ways: there ? steeringWays(name) : [],
    foreignXdp: there ? queryXdp(link.index).filter((program) => !isOwnProgram(program.name)) : [],
    rpFilter: own === null ? null : Math.max(own, all),
    largeReceive: there && largeReceiveOffload(name),
  };
}

function errorOf(action: () => void): string | null {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof SystemError) return `cannot ${error.call} ${error.object} (${error.code})`;
    return error instanceof Error ? error.message : String(error);
  }
}

function openXdpSocket(): void {
  libc.close(checkErrno(libc.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "open", "an AF_XDP socket"));
}

function libraries(): string {
  const version = errorOf(() => libbpfVersion()) === null ? libbpfVersion() : "not loaded";
  const origin = libraryOrigins().find(({ name }) => name === "libbpf.so.1");
  return `libbpf ${version}${origin === undefined ? "" : `, ${origin.origin}`}`;
}

/** "Max locked memory  67108864  67108864  bytes": the soft limit. */
function memlockBytes(): number {
  const value = /^Max locked memory\s+(\S+)/m.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1];
  return value === undefined || value === "unlimited" ? Infinity : Number(value);
}

function readNumber(path: string): number | null {
  try {
    return Number(Deno.readTextFileSync(path));
  } catch {
    return null;
  }
}

async function foreignRules(): Promise<number> {
  const mirror = await Mirror.open();
  try {
    return mirror.foreignRuleCount;
  } finally {
    const done = mirror.done.catch(() => {});
    mirror.close();
    await done;
  }
}

function lookAtPair(requests: RequestSocket): NodeFacts["pair"] {
  try {
    return { there: findPair(requests) !== null, foreign: null };
  } catch (error) {
    if (error instanceof ForeignPairError) return { there: true, foreign: error.message };
    throw error;
  }
}
