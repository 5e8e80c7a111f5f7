/**
 * What the end-to-end tests cannot do without. What is missing is told in one line and fails the run; nothing is skipped.
 * Run by itself (`deno run -A tests/netns/harness/requirements.ts`) it tells the same before any test starts.
 */

import { KU } from "./daemon.ts";
import { run } from "./process.ts";

/** Programs of other packages, by the Debian package that has them. */
const PROGRAMS: Record<string, string> = {
  ip: "iproute2",
  tc: "iproute2",
  nsenter: "util-linux",
  sysctl: "procps",
  ping: "iputils-ping",
  "/usr/bin/python3": "python3",
  nginx: "nginx-light",
  curl: "curl",
  dnsmasq: "dnsmasq-base",
  dig: "bind9-dnsutils",
  iperf3: "iperf3",
  ethtool: "ethtool",
  nft: "nftables",
  "iptables-restore": "iptables",
  wrk: "wrk",
  promtool: "prometheus",
  tshark: "tshark",
  capinfos: "wireshark-common",
  tcpdump: "tcpdump",
  mandoc: "mandoc",
  groff: "groff",
  man: "man-db",
  "systemd-analyze": "systemd",
  shellcheck: "shellcheck",
  jq: "jq",
  zsh: "zsh",
  fish: "fish",
};

/** One line naming what is missing and what to do, or undefined when all is there. */
export async function missing(programs = Object.keys(PROGRAMS)): Promise<string | undefined> {
  if (Deno.uid() !== 0) return "root : network namespaces and AF_XDP need it, run as root";
  const absent = await Promise.all(programs.map(async (program) => {
    return (await run(["sh", "-c", 'command -v "$0"', program])).code === 0 ? undefined : PROGRAMS[program];
  }));
  const packages = [...new Set(absent.filter((name) => name !== undefined))];
  if (packages.length > 0) return `packages : ${packages.join(" ")}, apt-get install them`;
  // AF_XDP is address family 44 (include/linux/socket.h).
  const socket = await run([
    "/usr/bin/python3",
    "-I",
    "-c",
    "import socket; socket.socket(44, socket.SOCK_RAW)",
  ]);
  if (socket.code !== 0) {
    return "AF_XDP : this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS), use another kernel";
  }
  const namespace = await run(["unshare", "--net", "true"]);
  if (namespace.code !== 0) {
    return `network namespaces : ${namespace.stderr.trim()}, allow them (CAP_SYS_ADMIN)`;
  }
  try {
    await Deno.stat(KU);
  } catch {
    return `${KU} : not there, run deno task compile`;
  }
}

/** Ends this process with one line when something is missing. */
export async function requireGround(programs?: string[]): Promise<void> {
  const what = await missing(programs);
  if (what === undefined) return;
  // Not console.error: `deno test` keeps what a test module prints, and loses it when the module exits.
  await Deno.writeTextFile("/dev/stderr", `ku end-to-end: missing ${what}\n`, { append: true });
  Deno.exit(1);
}

if (import.meta.main) {
  await requireGround();
  Deno.exit(0); // the cleanup's pipe would keep the process
}
