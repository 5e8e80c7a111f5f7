/**
 * The configuration file: YAML or JSON, all keys optional, camelCase as in `--json`, into a ConfigState.
 *
 *     conf: {buckets: 1024, timeout: 40, tcpTimeout: 7440}
 *     interfaces: [{name: eth0, mode: auto, nat4: in}]
 *     vips:
 *       - prefix: 10.96.0.10
 *         protocol: udp
 *         port: 53
 *         pods: [10.244.0.5, {address: 10.244.0.6, weight: 2}]
 *
 * Rule: the whole file or nothing; every error names the file and the key's path, an unknown key is one.
 * A file is a list of commands in a shorter form, so it has exactly the rules of state.ts.
 */

import { parse, YamlSyntaxError } from "@std/yaml";
import { decodeConf, decodeMode, decodeVip } from "./command.ts";
import { Fields } from "./fields.ts";
import { type Command, ConfigError, type PodParams, type VipSelector } from "./model.ts";
import { type Checks, ConfigState } from "./state.ts";

/** A command and the key path it stands for. */
interface Step {
  path: string;
  command: Command;
}

/** The state that `text` describes. `source` is the file's name, for errors. Throws ConfigError. */
export function loadConfig(text: string, source: string, checks: Checks = {}): ConfigState {
  const state = new ConfigState(checks);
  try {
    for (const { path, command } of steps(parseText(text))) {
      try {
        state.apply(command);
      } catch (error) {
        throw error instanceof ConfigError ? atKey(error, path) : error;
      }
    }
  } catch (error) {
    throw error instanceof ConfigError ? error.within(`${source} `) : error;
  }
  return state;
}

/** The error of a command as an error of the file: "new_len" of a VIP becomes "vips[0].newLen". */
function atKey(error: ConfigError, path: string): ConfigError {
  const whole = ["vip", "pod", "interface"].includes(error.what);
  const key = error.what.replace(/[-_]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return new ConfigError(whole ? path : `${path}.${key}`, error.value, error.remedy);
}

/** The document as plain values; null for an empty one. */
function parseText(text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof YamlSyntaxError) {
      const at = `line ${error.line} column ${error.column}`;
      // The library's message ends with the place and a picture of it over several lines.
      const reason = error.message.split(/ at line |\n/)[0];
      throw new ConfigError(at, reason, "write YAML or JSON");
    }
    if (error instanceof RangeError) {
      throw new ConfigError("nesting", "too deep", "write YAML or JSON as in ku.yaml");
    }
    throw error;
  }
}

/** The commands that build the described state from an empty one, each with its path. */
function steps(document: unknown): Step[] {
  const fields = new Fields(document ?? {}, "", "the document");
  const conf = fields.raw("conf") ?? {};
  const interfaces = fields.list("interfaces");
  const vips = fields.list("vips");
  fields.end();
  return [
    confStep(conf),
    ...interfaces.flatMap((item, index) => interfaceSteps(item, `interfaces[${index}]`)),
    ...vips.flatMap((item, index) => vipSteps(item, `vips[${index}]`)),
  ];
}

function confStep(value: unknown): Step {
  const fields = new Fields(value, "conf");
  const params = decodeConf(fields);
  fields.end();
  return { path: "conf", command: { method: "conf", params } };
}

function interfaceSteps(item: unknown, path: string): Step[] {
  const fields = new Fields(item, path);
  const name = fields.requiredString("name");
  const mode = decodeMode(fields) ?? "auto";
  const steps: Step[] = [{ path, command: { method: "interface", params: { name, mode } } }];
  for (const feature of ["nat4", "nat6"] as const) {
    const word = fields.nullableString(feature) ?? null;
    if (word === null) continue;
    if (word !== "in") throw new ConfigError(fields.at(feature), word, "use in, or leave the key out");
    steps.push({ path: fields.at(feature), command: { method: "setInterface", params: { feature, name } } });
  }
  fields.end();
  return steps;
}

function vipSteps(item: unknown, path: string): Step[] {
  const fields = new Fields(item, path);
  const params = decodeVip(fields);
  const pods = fields.list("pods");
  fields.end();
  // The key spelled out, so that a sibling on the same prefix never makes it ambiguous.
  const vip: VipSelector = {
    prefix: params.prefix,
    protocol: params.protocol ?? null,
    port: params.port ?? null,
  };
  return [
    { path, command: { method: "vip", params } },
    ...pods.map((pod, index): Step => {
      const podPath = `${path}.pods[${index}]`;
      return { path: podPath, command: { method: "pod", params: podParams(pod, podPath, vip) } };
    }),
  ];
}

function podParams(item: unknown, path: string, vip: VipSelector): PodParams {
  if (typeof item === "string") return { vip, addresses: [item] };
  const fields = new Fields(item, path);
  const address = fields.requiredString("address");
  const weight = fields.number("weight");
  fields.end();
  return { vip, addresses: [address], ...(weight === undefined ? {} : { weight }) };
}
