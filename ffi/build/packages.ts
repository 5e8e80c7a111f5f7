/**
 * The system packages that building, testing and the demo need, and their installation on Debian and Ubuntu.
 *
 * Rule: install only what is missing, and start no service: a web server that the tests run in a network namespace
 * must not occupy the machine's own port 80.
 * References: invoke-rc.d(8) and /usr/share/doc/init-system-helpers/README.policy-rc.d; systemctl(1) `mask`.
 */

import { exists, progress, runCommand, StepError } from "./steps.ts";

/** Package → what it is for. Names are the same on Debian 12 and Ubuntu 22.04. */
export const PACKAGES: Readonly<Record<string, string>> = {
  "clang": "compiles the steering programs for eBPF",
  "linux-libc-dev": "kernel headers the steering programs include",
  "libbpf-dev": "bpf_helpers.h; brings libbpf, libelf and libz, which the executable embeds",
  "libxdp-dev": "brings libxdp, which the executable embeds; xsk.h of the bench's forwarder",
  "ca-certificates": "certificates for fetching the Deno modules",
  "iproute2": "ip and tc: network namespaces of the demo and the tests",
  "iputils-ping": "ping: traffic that ku must leave alone",
  "procps": "sysctl and ps",
  "ethtool": "offloads and queues of the tests' interfaces",
  "nginx-light": "real HTTP servers as pods",
  "curl": "real HTTP client",
  "dnsmasq-base": "a real UDP service as pod (no service comes with it)",
  "bind9-dnsutils": "dig: the client of that service",
  "iperf3": "bulk TCP past attached interfaces",
  "nftables": "the kernel's own DNAT beside ku, in the tests",
  "iptables": "kube-proxy's older rules beside ku, in the bench",
  "wrk": "the bench's HTTP clients",
  "util-linux": "nsenter, unshare and taskset",
  "python3": "small servers with options the others lack, pseudo-terminals",
  "prometheus": "promtool, which checks the metrics and the dashboard's queries",
  "tshark": "reads the captures; capinfos comes with it",
  "tcpdump": "reads a capture while it is made",
  "mandoc": "checks the man page",
  "groff": "checks the man page",
  "man-db": "shows it",
  "systemd": "systemd-analyze, which checks the unit",
  "shellcheck": "checks the shell code that ku ships and prints",
  "jq": "reads JSON in the commands of the documents, which are run as they stand",
  "zsh": "runs its completion script",
  "fish": "runs its completion script",
};

const POLICY_FILE = "/usr/sbin/policy-rc.d";
/** 101 = "action forbidden by policy". */
const POLICY = "#!/bin/sh\n# Written by ku's build while it installs packages: start no service.\nexit 101\n";

/** Units of the packages above that must not start with the machine, when it was us who installed them. */
const UNITS_TO_MASK: Readonly<Record<string, string>> = {
  "nginx-light": "nginx.service",
  "prometheus": "prometheus.service",
};

/** Installs what is missing of PACKAGES. Throws StepError, without root before anything is changed. */
export async function installPackages(): Promise<void> {
  const missing = await missingPackages();
  if (missing === null) {
    progress("packages", `no dpkg here, so nothing is installed; needed: ${Object.keys(PACKAGES).join(" ")}`);
    return;
  }
  if (missing.length === 0) {
    progress("packages", `all ${Object.keys(PACKAGES).length} are there`);
    return;
  }
  const install = ["install", "-y", "--no-install-recommends", ...missing];
  if (Deno.uid() !== 0) {
    throw new StepError(
      `packages are missing: ${missing.join(" ")}, run as root: apt-get update && apt-get ${
        install.join(" ")
      }`,
    );
  }
  for (const name of missing) progress("packages", `${name} (${PACKAGES[name]})`);
  await aptGet(["update"], "fetching the package lists", "check the network and /etc/apt/sources.list");
  await withoutServices(missing, async () => {
    await aptGet(install, "installing packages", `try by hand: apt-get ${install.join(" ")}`);
  });
}

/** Names of PACKAGES that are not installed; null where there is no dpkg. */
async function missingPackages(): Promise<string[] | null> {
  const names = Object.keys(PACKAGES);
  try {
    // Exit code 1 means that some name is unknown, which is an answer and no failure.
    const { stdout } = await new Deno.Command("dpkg-query", {
      args: ["--show", "--showformat", "${Package} ${db:Status-Status}\\n", ...names],
      stderr: "null",
    }).output();
    const lines = new Set(new TextDecoder().decode(stdout).split("\n"));
    return names.filter((name) => !lines.has(`${name} installed`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function aptGet(args: string[], what: string, remedy: string): Promise<void> {
  // Another apt (unattended upgrades) may hold the lock for a while.
  await runCommand("apt-get", ["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", ...args], {
    step: "packages",
    what,
    remedy,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    show: /^(Setting up|Need to get|After this operation)/,
  });
}

/** Runs `action` while services of newly installed packages may not start, now or at the next boot. */
async function withoutServices(packages: string[], action: () => Promise<void>): Promise<void> {
  for (const name of packages) {
    const unit = UNITS_TO_MASK[name];
    const mask = `/etc/systemd/system/${unit}`;
    if (unit === undefined || exists(mask)) continue;
    Deno.mkdirSync("/etc/systemd/system", { recursive: true });
    Deno.symlinkSync("/dev/null", mask);
    progress("packages", `${unit} is masked; to use it yourself: systemctl unmask ${unit}`);
  }
  if (exists(POLICY_FILE)) return await action();
  const remove = () => {
    if (exists(POLICY_FILE)) Deno.removeSync(POLICY_FILE);
  };
  const stop = () => {
    remove();
    Deno.exit(130);
  };
  Deno.writeTextFileSync(POLICY_FILE, POLICY, { mode: 0o755 });
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGTERM", stop);
  try {
    await action();
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
    Deno.removeSignalListener("SIGTERM", stop);
    remove();
  }
}
