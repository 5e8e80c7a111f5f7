/**
 * `ku selftest`: a client, a node with ku, and two pods, on the ground that ku's own end-to-end tests have (ground/); real TCP and UDP sockets
 * through every type of VIP in both ways of steering. Leaves nothing behind.
 *
 * @module
 */

import { ConfigError, type VipType } from "../config/model.ts";
import { attachedDual, type Config, VIP, VIP6 } from "./ground/configuration.ts";
import { startKu } from "./ground/daemon.ts";
import { Ground } from "./ground/ground.ts";
import { CommandError, Process, run, untilListening } from "./ground/process.ts";

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
const PODS = 2;
const MODES = ["tc", "native"] as const;
const TYPES: readonly VipType[] = ["nat44", "nat66", "nat46", "nat64"];
/** TCP carries as much as keeps its windows full for a while; UDP one packet. */
const BYTES = { tcp: 1 << 20, udp: 1000 } as const;

/** Whom a pod sees, by type of the VIP: the client itself, its address behind the prefix of nat46, the node's of nat64. */
const SEEN: Readonly<Record<VipType, RegExp>> = {
  nat44: /^(::ffff:)?10\.1\.1\.2$/,
  nat66: /^fd00:1:1::2$/,
  nat46: /^64:ff9b:1::(a01:102|10\.1\.1\.2)$/,
  nat64: /^(::ffff:)?10\.2\.[12]\.1$/,
};

/** `self`: how to start this program. Every result is handed out as it comes. Throws ConfigError when the ground cannot be made. */
export async function* selftest(self: readonly string[]): AsyncGenerator<SelftestResult> {
  await using ground = await createGround();
  await serve(ground, self);
  const socket = `${ground.directory}/ku.sock`;
  for (const mode of MODES) {
    const config = `${ground.directory}/${mode}.json`;
    await Deno.writeTextFile(config, JSON.stringify(configOf(ground, mode)));
    await using _daemon = await start(ground, self, socket, config, mode);
    for (const type of TYPES) {
      for (const protocol of ["tcp", "udp"] as const) yield await ask(ground, self, mode, type, protocol);
    }
  }
}

/** The ground, or why there is none in one line. */
async function createGround(): Promise<Ground> {
  try {
    return await Ground.create({ pods: PODS, stem: `kuself-${Deno.pid.toString(36)}` });
  } catch (error) {
    if (error instanceof CommandError) {
      const said = error.said.replaceAll("\n", "; ");
      throw new ConfigError("selftest", error.command, said === "" ? "failed: run as root" : said);
    }
    if (error instanceof Deno.errors.NotFound) {
      throw new ConfigError(
        "selftest",
        "its programs",
        `cannot be run (${error.message}): install iproute2 and util-linux`,
      );
    }
    throw error;
  }
}

/** A server for every type in every pod. They belong to the ground. */
async function serve(ground: Ground, self: readonly string[]): Promise<void> {
  for (const { namespace, name } of ground.pods) {
    for (const type of TYPES) {
      const port = portOf(type);
      const server = new Process(name, namespace.enter([...self, "__selftest", "serve", String(port)]));
      ground.stack.use(server);
      for (const protocol of ["udp", "tcp"] as const) await untilListening(server.pid, protocol, port);
    }
  }
}

async function start(
  ground: Ground,
  self: readonly string[],
  socket: string,
  config: string,
  mode: string,
): Promise<Process> {
  try {
    return await startKu(ground.node, self, socket, ["--config", config, "--log-level", "error"]);
  } catch (error) {
    throw new ConfigError("ku run", mode, error instanceof Error ? error.message : String(error));
  }
}

async function ask(
  ground: Ground,
  self: readonly string[],
  mode: string,
  type: VipType,
  protocol: "tcp" | "udp",
): Promise<SelftestResult> {
  const bytes = BYTES[protocol];
  const words = ["__selftest", "ask", protocol, addressOf(type), String(portOf(type)), String(bytes)];
  const { code, text, stderr, elapsedMs } = await run(ground.client.namespace.enter([...self, ...words]));
  const saw = text.trim();
  const failure = code !== 0
    ? stderr.trim().split("\n")[0] || "no answer"
    : SEEN[type].test(saw)
    ? null
    : `the pod saw ${saw}`;
  return { mode, type, protocol, bytes, failure, elapsedMs };
}

const portOf = (type: VipType): number => PORT + TYPES.indexOf(type);
const addressOf = (type: VipType): string => type[3] === "4" ? VIP : VIP6;

/** A VIP of every type, each on its own port. */
function configOf(ground: Ground, mode: string): Config {
  return {
    ...attachedDual(ground, mode),
    vips: TYPES.flatMap((type) =>
      ["tcp", "udp"].map((protocol) => ({
        prefix: addressOf(type),
        protocol,
        port: portOf(type),
        type,
        pods: ground.pods.map((pod) => type[4] === "4" ? pod.address : pod.address6),
      }))
    ),
  };
}
