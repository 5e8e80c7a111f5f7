/**
 * Random commands against a model that keeps plain lists and looks through all of them each time: same outcome, same
 * state after every command.
 */

import { assertEquals } from "@std/assert";
import { type Command, ConfigError, type Protocol } from "../../../mod/config/model.ts";
import { ConfigState } from "../../../mod/config/state.ts";
import { Random } from "./random.ts";

interface ModelVip {
  prefix: string;
  protocol: Protocol | null;
  port: number | null;
  nodePort: number | null;
  six: boolean;
  newLen: number;
  pods: [string, number][];
}

/** Ways to write the prefixes the test plays with, by canonical text. */
const PREFIXES: Record<string, string[]> = {
  "10.0.0.1/32": ["10.0.0.1", "10.0.0.1/32"],
  "10.0.0.0/24": ["10.0.0.0/24"],
  "fd00::1/128": ["fd00::1", "FD00:0::1/128"],
};
const PODS = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "fd01::1", "fd01::2"];
const PROTOCOLS: (Protocol | null)[] = ["tcp", "udp", null];
const NAMES = ["eth0", "veth1", "veth2"];

/** The naive twin. Every method returns whether the command is carried out. */
class Model {
  vips: ModelVip[] = [];
  interfaces: { name: string; mode: string; nat4: boolean; nat6: boolean }[] = [];

  addVip(vip: ModelVip): boolean {
    if (vip.protocol !== null && vip.port === null) return false;
    if (vip.nodePort !== null && vip.port === null) return false;
    for (const other of this.vips) {
      if (other.prefix === vip.prefix && other.protocol === vip.protocol && other.port === vip.port) {
        return false;
      }
      const shared = other.protocol === null || vip.protocol === null || other.protocol === vip.protocol;
      if (vip.nodePort !== null && other.nodePort === vip.nodePort && other.six === vip.six && shared) {
        return false;
      }
    }
    this.vips.push(vip);
    return true;
  }

  deleteVip(prefix: string, protocol: Protocol | null, port: number | null): boolean {
    if (protocol !== null && port === null) return false;
    const kept = this.vips.filter((vip) =>
      vip.prefix !== prefix || vip.protocol !== protocol || vip.port !== port
    );
    const found = kept.length < this.vips.length;
    this.vips = kept;
    return found;
  }

  select(prefix: string, protocol?: Protocol | null, port?: number | null): ModelVip | undefined {
    const all = this.vips.filter((vip) => vip.prefix === prefix);
    if (protocol !== undefined || port !== undefined) {
      const exact = all.find((vip) => vip.protocol === (protocol ?? null) && vip.port === (port ?? null));
      if (exact) return exact;
    }
    const fits = all.filter((vip) =>
      (protocol === undefined || protocol === vip.protocol) && (port === undefined || port === vip.port)
    );
    return fits.length === 1 ? fits[0] : undefined;
  }

  addPods(vip: ModelVip | undefined, addresses: string[], weight: number | undefined): boolean {
    if (!vip || new Set(addresses).size !== addresses.length) return false;
    for (const address of addresses) {
      if (address.includes(":") !== vip.six) return false;
      const present = vip.pods.find(([known]) => known === address);
      if (present && (weight === undefined || present[1] === weight)) return false;
    }
    for (const address of addresses) {
      const present = vip.pods.find(([known]) => known === address);
      if (present) present[1] = weight ?? present[1];
      else vip.pods.push([address, weight ?? 1]);
    }
    return true;
  }

  deletePods(vip: ModelVip | undefined, addresses: string[]): boolean {
    if (!vip || new Set(addresses).size !== addresses.length) return false;
    if (!addresses.every((address) => vip.pods.some(([known]) => known === address))) return false;
    vip.pods = vip.pods.filter(([known]) => !addresses.includes(known));
    return true;
  }

  setInterface(name: string, change: { mode?: string; feature?: "nat4" | "nat6"; del?: boolean }): boolean {
    const present = this.interfaces.find((link) => link.name === name);
    const { mode, feature, del } = change;
    if (feature) {
      if (del ? !present?.[feature] : present?.[feature]) return false;
      if (present) present[feature] = !del;
      else this.interfaces.push({ name, mode: "auto", nat4: feature === "nat4", nat6: feature === "nat6" });
      return true;
    }
    if (del) {
      this.interfaces = this.interfaces.filter((link) => link.name !== name);
      return present !== undefined;
    }
    if (present && (mode === undefined || mode === present.mode)) return false;
    if (present) present.mode = mode ?? present.mode;
    else this.interfaces.push({ name, mode: mode ?? "auto", nat4: false, nat6: false });
    return true;
  }
}

/** A random command and what the model makes of it, already done to the model. */
function step(random: Random, model: Model): { command: Command; done: boolean } {
  const canonical = random.pick(Object.keys(PREFIXES));
  const prefix = random.pick(PREFIXES[canonical]);
  const protocol = random.pick([...PROTOCOLS, undefined]);
  const port = random.pick([80, 53, null, undefined]);
  const kind = random.below(10);
  if (kind < 3) {
    const nodePort = random.oneIn(3) ? random.pick([30080, 30053]) : null;
    const vip = {
      prefix: canonical,
      protocol: protocol ?? null,
      port: port ?? null,
      nodePort,
      newLen: 64,
      pods: [],
    };
    const done = model.addVip({ ...vip, six: canonical.includes(":") });
    return { command: { method: "vip", params: { prefix, protocol, port, nodePort, newLen: 64 } }, done };
  }
  if (kind === 3) {
    const done = model.deleteVip(canonical, protocol ?? null, port ?? null);
    return { command: { method: "vip", params: { prefix, protocol, port, del: true } }, done };
  }
  if (kind < 8) {
    const addresses = Array.from({ length: 1 + random.below(2) }, () => random.pick(PODS));
    const weight = random.oneIn(2) ? random.below(3) : undefined;
    const del = random.oneIn(3);
    const vip = model.select(canonical, protocol, port);
    const done = del ? model.deletePods(vip, addresses) : model.addPods(vip, addresses, weight);
    return {
      command: { method: "pod", params: { vip: { prefix, protocol, port }, addresses, weight, del } },
      done,
    };
  }
  const name = random.pick(NAMES);
  const del = random.oneIn(3);
  if (kind === 8) {
    const feature = random.pick(["nat4", "nat6"] as const);
    return {
      command: { method: "setInterface", params: { feature, name, del } },
      done: model.setInterface(name, { feature, del }),
    };
  }
  const mode = random.pick(["auto", "tc", "native", undefined] as const);
  return {
    command: { method: "interface", params: { name, mode, del } },
    done: model.setInterface(name, { mode, del }),
  };
}

/** The state in the model's form. */
function asModel(state: ConfigState): Pick<Model, "vips" | "interfaces"> {
  return {
    interfaces: [...state.interfaces.values()],
    vips: [...state.vips.values()].map((vip) => ({
      prefix: vip.prefix,
      protocol: vip.protocol,
      port: vip.port,
      nodePort: vip.nodePort,
      six: vip.type === "nat66",
      newLen: vip.newLen,
      pods: [...vip.pods.values()].map(({ address, weight }): [string, number] => [address, weight]),
    })),
  };
}

Deno.test("ConfigState does what a naive model does, over random sequences of commands", () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = new Random(seed);
    const model = new Model();
    const state = new ConfigState();
    let carriedOut = 0;
    for (let round = 0; round < 200; round++) {
      const { command, done } = step(random, model);
      const where = `seed ${seed} round ${round}: ${JSON.stringify(command)}`;
      const revision = state.revision;
      let outcome = true;
      try {
        state.apply(command);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        outcome = false;
      }
      assertEquals(outcome, done, where);
      assertEquals(asModel(state), { vips: model.vips, interfaces: model.interfaces }, where);
      assertEquals(state.revision, revision + (done ? 1 : 0), where);
      if (done) carriedOut++;
    }
    if (carriedOut < 20) throw new Error(`seed ${seed} tried little: ${carriedOut}`);
  }
});
