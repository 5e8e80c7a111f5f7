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
 * Rule: the whole file or nothing; every error names file, line, column and the key's path, an unknown key is one.
 * A file is a list of commands in a shorter form, so it has exactly the rules of state.ts.
 */

import { decodeConf, decodeMode, decodeVip } from "./command.ts";
import { Fields } from "./fields.ts";
import { type Command, ConfigError, type ConfParams, type PodParams, type VipSelector } from "./model.ts";
import { SourceText } from "./source_text.ts";
import { type Checks, ConfigState } from "./state.ts";

/** A command and the key path it stands for. */
interface Step {
  path: string;
  command: Command;
  /** The same in smaller steps, for an error to name one of them. */
  parts?: () => Step[];
}

/** The state that `text` describes. `name` is the file's, for errors. Throws ConfigError with file, line and column. */
export function loadConfig(text: string, name: string, checks: Checks = {}): ConfigState {
  const source = new SourceText(text, name);
  const document = source.document();
  try {
    return stateOf(document, checks);
  } catch (error) {
    throw error instanceof ConfigError ? source.located(error) : error;
  }
}

/** The state that a document describes. Throws a ConfigError that names the key's path. */
export function stateOf(document: unknown, checks: Checks = {}): ConfigState {
  const state = new ConfigState(checks);
  for (const step of steps(document)) applyStep(state, step);
  return state;
}

function applyStep(state: ConfigState, { path, command, parts }: Step): void {
  try {
    state.apply(command);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    // Nothing of it was done, and one of its parts will fail the same way.
    for (const part of parts?.() ?? []) applyStep(state, part);
    throw atKey(error, path);
  }
}

/** The error of a command as an error of the file: "new_len" of a VIP becomes "vips[0].newLen". */
export function atKey(error: ConfigError, path: string): ConfigError {
  const whole = ["vip", "pod", "interface"].includes(error.what);
  const key = error.what.replace(/[-_]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return new ConfigError(whole ? path : `${path}.${key}`, error.value, error.remedy);
}

/** The parts of a document; null: left out, or a key with nothing behind it. */
export interface Sections {
  conf: unknown;
  interfaces: unknown[] | null;
  vips: unknown[] | null;
}

export function sectionsOf(document: unknown): Sections {
  const fields = new Fields(document ?? {}, "", "the document");
  const list = (key: string) => fields.raw(key) == null ? null : fields.list(key);
  const sections = { conf: fields.raw("conf") ?? null, interfaces: list("interfaces"), vips: list("vips") };
  fields.end();
  return sections;
}

/** The globals that a document gives; those it leaves out are absent. */
export function confOf(sections: Sections): ConfParams {
  return decodeConf(new Fields(sections.conf ?? {}, "conf"));
}

/** The commands that build the described state from an empty one, each with its path. */
function steps(document: unknown): Step[] {
  const { conf, interfaces, vips } = sectionsOf(document);
  return [
    confStep(conf ?? {}),
    ...(interfaces ?? []).flatMap((item, index) => interfaceSteps(item, `interfaces[${index}]`)),
    ...(vips ?? []).flatMap((item, index) => vipSteps(item, `vips[${index}]`)),
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
    ...podSteps(pods, `${path}.pods`, vip),
  ];
}

/** A step for each pod; pods that are addresses alone go together, for there may be ten thousand times as many. */
function podSteps(pods: unknown[], path: string, vip: VipSelector): Step[] {
  const stepOf = (pod: unknown, index: number): Step => {
    const own = `${path}[${index}]`;
    return { path: own, command: { method: "pod", params: podParams(pod, own, vip) } };
  };
  if (pods.length < 2 || !pods.every((pod) => typeof pod === "string")) return pods.map(stepOf);
  const command: Command = { method: "pod", params: { vip, addresses: pods } };
  return [{ path, command, parts: () => pods.map(stepOf) }];
}

function podParams(item: unknown, path: string, vip: VipSelector): PodParams {
  if (typeof item === "string") return { vip, addresses: [item] };
  const fields = new Fields(item, path);
  const address = fields.requiredString("address");
  const weight = fields.number("weight");
  fields.end();
  return { vip, addresses: [address], ...(weight === undefined ? {} : { weight }) };
}
