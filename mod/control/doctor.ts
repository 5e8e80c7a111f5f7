/**
 * What `ku doctor` makes of a node: each thing that ku needs, whether it is so, and what to do if not. Pure; doctor_facts.ts looks.
 *
 * Rule: `fail` is what keeps ku from starting or from moving packets; `warn` is what costs speed or only some traffic. Every check that is
 * not ok has a remedy.
 *
 * @module
 */

export type Verdict = "ok" | "warn" | "fail";

export interface Check {
  verdict: Verdict;
  /** "kernel", "interface eth0: queues". */
  name: string;
  detail: string;
  /** Null when ok. */
  remedy: string | null;
}

/** What was found. Absent things are null. */
export interface NodeFacts {
  uid: number;
  /** "6.18.0-1-amd64". */
  kernelRelease: string;
  machine: string;
  /** Bits of CapEff, proc(5). */
  capabilities: bigint;
  /** Soft limit of locked memory in bytes; Infinity: unlimited. */
  memlockBytes: number;
  availableBytes: number;
  cores: number;
  /** Null: it works; else the error. */
  afXdp: string | null;
  /** Null: the steering programs load; else the error. */
  programs: string | null;
  /** "libbpf 1.1.2 (embedded)". */
  libraries: string;
  bpffs: boolean;
  /** Values of /proc/sys; null: no such setting. */
  ip4Forwarding: number | null;
  ip6Forwarding: number | null;
  /** `ip rule`s that ku does not follow. */
  foreignRules: number;
  pair: { there: boolean; foreign: string | null };
  /** The daemon's version; null: none runs at the socket. */
  daemon: string | null;
  version: string;
  interfaces: InterfaceFacts[];
}

export interface InterfaceFacts {
  name: string;
  there: boolean;
  up: boolean;
  ethernet: boolean;
  /** The bridge, bond or VRF it is a port of. */
  master: { name: string; kind: string | null } | null;
  driver: string;
  rxQueues: number;
  mtuBytes: number;
  /** What `mode auto` would try, in order. */
  ways: { mode: string; reason: string }[];
  /** XDP programs of others. */
  foreignXdp: { name: string; mode: string }[];
  rpFilter: number | null;
  /** Offloads that are on, by their ethtool names. */
  largeReceive: boolean;
}

/**
 * Linux's capabilities that ku asks for: include/uapi/linux/capability.h. CAP_SYS_ADMIN, because programs that are attached already are
 * opened by their number (kernel/bpf/syscall.c bpf_prog_get_fd_by_id); it includes CAP_BPF and CAP_PERFMON.
 */
const CAPABILITIES: readonly (readonly [bit: number, name: string])[] = [
  [12, "CAP_NET_ADMIN"],
  [13, "CAP_NET_RAW"],
  [21, "CAP_SYS_ADMIN"],
];
/** Either lets ku lock its packet memory whatever the limit: CAP_SYS_RESOURCE raises it. */
const CAP_IPC_LOCK = 14;
const CAP_SYS_RESOURCE = 24;
const OLDEST_KERNEL = [5, 15] as const;
/** Packet memory of one worker, mod/control/daemon.ts, and its tables. */
const WORKER_BYTES = 96 * 2 ** 20;
/** A frame of 4096 bytes without the headroom of the kernel and ku's own. */
const MAX_MTU_BYTES = 3480;

/** Every check, the node's first. */
export function diagnose(facts: NodeFacts): Check[] {
  return [
    kernel(facts),
    machine(facts),
    capabilities(facts),
    judged("AF_XDP", facts.afXdp, "sockets can be made", "use a kernel with CONFIG_XDP_SOCKETS"),
    judged(
      "steering programs",
      facts.programs,
      `load (${facts.libraries})`,
      "run as root on a kernel with CONFIG_BPF_SYSCALL and CONFIG_BPF_JIT; see `dmesg`",
    ),
    memlock(facts),
    memory(facts),
    ...network(facts),
    daemon(facts),
    ...facts.interfaces.flatMap((each) => interfaceChecks(each, facts)),
  ];
}

function ok(name: string, detail: string): Check {
  return { verdict: "ok", name, detail, remedy: null };
}

function bad(verdict: "warn" | "fail", name: string, detail: string, remedy: string): Check {
  return { verdict, name, detail, remedy };
}

function judged(name: string, error: string | null, detail: string, remedy: string): Check {
  return error === null ? ok(name, detail) : bad("fail", name, error, remedy);
}

function kernel({ kernelRelease }: NodeFacts): Check {
  const [major, minor] = kernelRelease.split(/[.-]/).map(Number);
  const old = major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]);
  if (!old) return ok("kernel", kernelRelease);
  return bad("fail", "kernel", kernelRelease, `use Linux ${OLDEST_KERNEL.join(".")} or newer`);
}

function machine({ machine }: NodeFacts): Check {
  if (machine === "x86_64") return ok("machine", machine);
  return bad("fail", "machine", machine, "the executable is for x86-64: build it for this machine");
}

const has = (capabilities: bigint, bit: number): boolean => (capabilities >> BigInt(bit) & 1n) === 1n;

function capabilities({ uid, capabilities }: NodeFacts): Check {
  const missing = CAPABILITIES.filter(([bit]) => !has(capabilities, bit));
  if (missing.length === 0) return ok("capabilities", uid === 0 ? "root" : "those it needs");
  const names = missing.map(([, name]) => name).join(" ");
  return bad(
    "fail",
    "capabilities",
    `missing: ${names}`,
    "run as root, with them in its bounding set",
  );
}

/** Packet memory is locked: net/xdp/xdp_umem.c xdp_umem_account_pages, which lets CAP_IPC_LOCK pass. */
function memlock({ memlockBytes, capabilities, cores }: NodeFacts): Check {
  const detail = memlockBytes === Infinity ? "unlimited" : `${Math.floor(memlockBytes / 2 ** 20)} MiB`;
  if (has(capabilities, CAP_IPC_LOCK)) return ok("locked memory", "CAP_IPC_LOCK");
  if (has(capabilities, CAP_SYS_RESOURCE)) return ok("locked memory", "CAP_SYS_RESOURCE");
  if (memlockBytes >= cores * WORKER_BYTES) return ok("locked memory", detail);
  return bad("fail", "locked memory", detail, "ulimit -l unlimited, LimitMEMLOCK=infinity, or CAP_IPC_LOCK");
}

function memory({ availableBytes, cores }: NodeFacts): Check {
  const detail = `${Math.floor(availableBytes / 2 ** 20)} MiB available`;
  if (availableBytes >= 2 * WORKER_BYTES) return ok("memory", detail);
  return bad(
    "warn",
    "memory",
    detail,
    `a worker takes ${WORKER_BYTES / 2 ** 20} MiB: use fewer than ${cores} (--workers)`,
  );
}

function network(facts: NodeFacts): Check[] {
  const checks: Check[] = [];
  const forwarding = (name: string, value: number | null, key: string) => {
    if (value === null) return;
    checks.push(
      value > 0
        ? ok(name, "on")
        : bad("warn", name, "off: what ku hands to the kernel to send on stays there", `sysctl -w ${key}=1`),
    );
  };
  forwarding("IPv4 forwarding", facts.ip4Forwarding, "net.ipv4.ip_forward");
  forwarding("IPv6 forwarding", facts.ip6Forwarding, "net.ipv6.conf.all.forwarding");
  checks.push(
    facts.foreignRules === 0 ? ok("policy routing", "none") : bad(
      "warn",
      "policy routing",
      `${facts.foreignRules} rules that ku does not follow`,
      "see `ip rule`: ku routes by the tables main and local",
    ),
  );
  checks.push(
    facts.pair.foreign === null
      ? ok("ku0 and ku1", facts.pair.there ? "there" : "free")
      : bad("fail", "ku0 and ku1", facts.pair.foreign, "rename or delete it"),
  );
  checks.push(
    facts.bpffs ? ok("bpffs", "mounted") : ok("bpffs", "not mounted, and not needed"),
  );
  return checks;
}

function daemon({ daemon, version }: NodeFacts): Check {
  if (daemon === null) return ok("daemon", "none runs");
  if (daemon === version) return ok("daemon", `ku ${daemon}`);
  return bad("warn", "daemon", `ku ${daemon}, this is ${version}`, "start it again with this executable");
}

function interfaceChecks(facts: InterfaceFacts, { cores }: NodeFacts): Check[] {
  const name = `interface ${facts.name}`;
  if (!facts.there) return [bad("fail", name, "is not there", "see `ip link` for those that are")];
  if (!facts.ethernet) {
    return [bad("fail", name, "has no Ethernet addresses", "attach Ethernet devices only")];
  }
  const [first] = facts.ways;
  const driver = facts.driver === "" ? "unknown" : facts.driver;
  return [
    facts.up
      ? ok(name, `up, driver ${driver}`)
      : bad("warn", name, "is down", `ip link set ${facts.name} up`),
    ok(`${name}: mode`, `${first.mode} (${first.reason})`),
    queues(name, facts, cores),
    facts.mtuBytes <= MAX_MTU_BYTES ? ok(`${name}: MTU`, String(facts.mtuBytes)) : bad(
      "warn",
      `${name}: MTU`,
      `${facts.mtuBytes}: packets above ${MAX_MTU_BYTES} bytes do not fit a frame`,
      `ip link set ${facts.name} mtu ${MAX_MTU_BYTES}, or smaller`,
    ),
    ...facts.largeReceive
      ? [bad("warn", `${name}: offloads`, "large receive offload is on", `ethtool -K ${facts.name} lro off`)]
      : [ok(`${name}: offloads`, "none in the way")],
    ...facts.foreignXdp.map(({ name: program, mode }) =>
      bad(
        "warn",
        `${name}: XDP`,
        `${program} is attached (${mode}), which stays: ku steers by tc`,
        `ip link set ${facts.name} xdp off, to have mode native`,
      )
    ),
    ...facts.master?.kind === "bridge"
      ? [bad(
        "warn",
        `${name}: bridge`,
        `is a port of ${facts.master.name}: what is sent to the bridge's address passes ku by`,
        `attach ${facts.master.name} instead`,
      )]
      : [],
    rpFilter(name, facts),
  ];
}

function queues(name: string, { rxQueues, name: link }: InterfaceFacts, cores: number): Check {
  if (rxQueues <= cores) return ok(`${name}: queues`, `${rxQueues} for ${cores} cores`);
  return bad(
    "warn",
    `${name}: queues`,
    `${rxQueues} for ${cores} cores: some workers have several`,
    `ethtool -L ${link} combined ${cores}`,
  );
}

/** Strict reverse-path filtering drops what the kernel forwards for ku by another way than it came: ip-sysctl.rst. */
function rpFilter(name: string, { rpFilter: value, name: link }: InterfaceFacts): Check {
  if (value !== 1) {
    return ok(`${name}: rp_filter`, value === null ? "no IPv4" : value === 0 ? "off" : "loose");
  }
  return bad(
    "warn",
    `${name}: rp_filter`,
    "strict: packets whose way back leads elsewhere are dropped",
    `sysctl -w net.ipv4.conf.${link}.rp_filter=2`,
  );
}

/** Whether a node with these checks can run ku. */
export function passes(checks: readonly Check[]): boolean {
  return checks.every(({ verdict }) => verdict !== "fail");
}
