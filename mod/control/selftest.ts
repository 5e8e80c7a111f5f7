/**
 * `ku selftest`: a client, a node with ku, and two pods in network namespaces of their own; real TCP and UDP sockets through every type of
 * VIP in both ways of steering. Leaves nothing behind.
 *
 *     client 10.89.1.2 ───── 10.89.1.1 node (ku) 10.89.2.1 ───── 10.89.2.2 pod 1
 *            fd89:1::2       fd89:1::1           10.89.3.1 ───── 10.89.3.2 pod 2      and the same in fd89
 *
 * @module
 */

import { ConfigError, type VipType } from "../config/model.ts";

export interface SelftestResult {
  mode: string;
  type: VipType;
  protocol: string;
  bytes: number;
  /** Null: passed. */
  failure: string | null;
  elapsedMs: number;
}

const PORT = 8089;
const VIP4 = "10.89.89.1";
const VIP6 = "fd89:89::1";
const MODES = ["tc", "native"] as const;
const TYPES: readonly VipType[] = ["nat44", "nat66", "nat46", "nat64"];
/** TCP carries as much as keeps its windows full for a while; UDP one packet. */
const BYTES = { tcp: 1 << 20, udp: 1000 } as const;
const START_MS = 20_000;

/** The client's own families' addresses as a pod sees them: by type of the VIP. */
const SEEN: Readonly<Record<VipType, RegExp>> = {
  nat44: /^(::ffff:)?10\.89\.1\.2$/,
  nat66: /^fd89:1::2$/,
  nat46: /^64:ff9b:1::(a59:102|10\.89\.1\.2)$/,
  nat64: /^(::ffff:)?10\.89\.[123]\.1$/,
};

/** `self`: how to start this program. Every result is handed out as it comes. Throws ConfigError when the ground cannot be made. */
export async function* selftest(self: readonly string[]): AsyncGenerator<SelftestResult> {
  const ground = new Ground(self);
  try {
    await ground.create();
    for (const mode of MODES) {
      const stop = await ground.startKu(mode);
      try {
        for (const type of TYPES) {
          for (const protocol of ["tcp", "udp"] as const) yield await ask(ground, mode, type, protocol);
        }
      } finally {
        await stop();
      }
    }
  } finally {
    await ground.destroy();
  }
}

async function ask(
  ground: Ground,
  mode: string,
  type: VipType,
  protocol: "tcp" | "udp",
): Promise<SelftestResult> {
  const address = type[3] === "4" ? VIP4 : VIP6;
  const port = PORT + TYPES.indexOf(type);
  const started = performance.now();
  const bytes = BYTES[protocol];
  const { success, stdout, stderr } = await ground.run("client", [
    ...ground.self,
    "__selftest",
    "ask",
    protocol,
    address,
    String(port),
    String(bytes),
  ]);
  const saw = stdout.trim();
  const failure = !success
    ? stderr.trim().split("\n")[0] || "no answer"
    : SEEN[type].test(saw)
    ? null
    : `the pod saw ${saw}`;
  return { mode, type, protocol, bytes, failure, elapsedMs: performance.now() - started };
}

interface Output {
  success: boolean;
  stdout: string;
  stderr: string;
}

class Ground {
  readonly self: readonly string[];
  readonly #stem = `kuself-${Deno.pid.toString(36)}`;
  readonly #folder = Deno.makeTempDirSync({ prefix: "ku-selftest-" });
  readonly #servers: Deno.ChildProcess[] = [];
  readonly #names = ["client", "node", "pod1", "pod2"] as const;

  constructor(self: readonly string[]) {
    this.self = self;
  }

  async create(): Promise<void> {
    for (const name of this.#names) {
      await this.#ip(`netns add ${this.#stem}-${name}`);
      await this.#ip(`-n ${this.#stem}-${name} link set lo up`);
    }
    for (const file of ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]) {
      await this.#must("node", ["sh", "-c", `echo 1 > ${file}`]);
    }
    for (const [index, name] of ["client", "pod1", "pod2"].entries()) await this.#connect(name, index + 1);
    for (const pod of ["pod1", "pod2"]) {
      for (const type of TYPES) {
        const port = PORT + TYPES.indexOf(type);
        this.#servers.push(this.#spawn(pod, [...this.self, "__selftest", "serve", String(port)]));
      }
    }
  }

  /** Runs to its end. */
  async run(name: string, command: readonly string[]): Promise<Output> {
    const { success, stdout, stderr } = await this.#command(name, command, "piped").output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success, stdout: text(stdout), stderr: text(stderr) };
  }

  /** Starts ku in one mode; call what is returned to end it. */
  async startKu(mode: string): Promise<() => Promise<void>> {
    const config = `${this.#folder}/ku.json`;
    const socket = `${this.#folder}/ku.sock`;
    await Deno.writeTextFile(config, JSON.stringify(configOf(mode)));
    const words = ["run", "--config", config, "--socket", socket, "--log-level", "error"];
    const daemon = this.#command("node", [...this.self, ...words], "piped").spawn();
    const ended = daemon.output();
    const stop = async () => {
      try {
        daemon.kill("SIGTERM");
      } catch {
        // It has ended by itself.
      }
      await ended;
    };
    const deadline = performance.now() + START_MS;
    for (;;) {
      const { success } = await this.run("node", [...this.self, "show", "--json", "--socket", socket]);
      if (success) return stop;
      if (performance.now() < deadline) continue;
      await stop();
      throw new ConfigError(
        "ku run",
        mode,
        new TextDecoder().decode((await ended).stderr).trim() || "did not start",
      );
    }
  }

  async destroy(): Promise<void> {
    for (const server of this.#servers) {
      server.kill("SIGKILL");
      await server.status;
    }
    for (const name of this.#names) await this.#ip(`netns del ${this.#stem}-${name}`).catch(() => {});
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #connect(name: string, index: number): Promise<void> {
    const [node, host] = [`${this.#stem}-node`, `${this.#stem}-${name}`];
    await this.#ip(`-n ${node} link add ${name} type veth peer name eth0 netns ${host}`);
    for (const [where, device, last] of [[node, name, 1], [host, "eth0", 2]] as const) {
      await this.#ip(`-n ${where} link set ${device} up`);
      await this.#ip(`-n ${where} addr add 10.89.${index}.${last}/24 dev ${device}`);
      await this.#ip(`-n ${where} addr add fd89:${index}::${last}/64 dev ${device} nodad`);
    }
    await this.#ip(`-n ${host} route add default via 10.89.${index}.1`);
    await this.#ip(`-n ${host} route add default via fd89:${index}::1`);
  }

  async #ip(words: string): Promise<void> {
    await checked(
      new Deno.Command("ip", { args: words.split(" "), stdout: "piped", stderr: "piped" }),
      `ip ${words}`,
    );
  }

  async #must(name: string, command: readonly string[]): Promise<void> {
    await checked(this.#command(name, command, "piped"), command.join(" "));
  }

  #spawn(name: string, command: readonly string[]): Deno.ChildProcess {
    return this.#command(name, command, "null").spawn();
  }

  #command(name: string, command: readonly string[], output: "piped" | "null"): Deno.Command {
    const args = ["netns", "exec", `${this.#stem}-${name}`, ...command];
    return new Deno.Command("ip", { args, stdin: "null", stdout: output, stderr: output });
  }
}

async function checked(command: Deno.Command, what: string): Promise<void> {
  let output: Deno.CommandOutput;
  try {
    output = await command.output();
  } catch (error) {
    throw new ConfigError("selftest", what, `cannot be run (${(error as Error).message}): install iproute2`);
  }
  if (output.success) return;
  const said = new TextDecoder().decode(output.stderr).trim();
  throw new ConfigError("selftest", what, said === "" ? "failed: run as root" : said);
}

/** Interfaces in one mode, and a VIP of every type, each on its own port. */
function configOf(mode: string) {
  const pods = (type: VipType) => type[4] === "4" ? ["10.89.2.2", "10.89.3.2"] : ["fd89:2::2", "fd89:3::2"];
  return {
    interfaces: [
      { name: "client", mode },
      ...["pod1", "pod2"].map((name) => ({ name, mode, nat4: "in", nat6: "in" })),
    ],
    vips: TYPES.flatMap((type) =>
      ["tcp", "udp"].map((protocol) => ({
        prefix: type[3] === "4" ? VIP4 : VIP6,
        protocol,
        port: PORT + TYPES.indexOf(type),
        type,
        pods: pods(type),
      }))
    ),
  };
}
