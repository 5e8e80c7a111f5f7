/**
 * Commands as they arrive over the socket: unknown JSON in, a typed `Command` out, or a ConfigError that names
 * the key. Types only; whether the values make sense is for state.ts.
 */

import { Fields, withoutUndefined } from "./fields.ts";
import {
  type Command,
  COMMAND_METHODS,
  ConfigError,
  type ConfParams,
  type Mode,
  type PodParams,
} from "./model.ts";
import type { VipParams, VipSelector } from "./model.ts";
import { checkMode, checkProtocol, checkWord } from "./rules.ts";

/** Words that the type of a VIP may be given in. */
const TYPE_WORDS = ["nat44", "nat66", "nat46", "nat64", "nat4", "nat6"] as const;

/** The command of `method` with `params`; an unknown method is an error. */
export function decodeCommand(method: string, params: unknown): Command {
  const known = COMMAND_METHODS.find((candidate) => candidate === method);
  if (known === undefined) {
    throw new ConfigError("method", method, `use one of ${COMMAND_METHODS.join(", ")}`);
  }
  const fields = new Fields(params ?? {}, "", "params");
  const command = decode(known, fields);
  fields.end();
  return command;
}

/** The parameters of `batch`: commands in order. An error names the position. */
export function decodeBatch(params: unknown): { commands: Command[]; atomic: boolean } {
  const fields = new Fields(params, "", "params");
  const atomic = fields.boolean("atomic") ?? false;
  const commands = fields.list("commands").map((item, index) => {
    const path = `commands[${index}]`;
    const command = new Fields(item, path);
    const method = command.requiredString("method");
    const params = command.raw("params");
    command.end();
    try {
      return decodeCommand(method, params);
    } catch (error) {
      throw error instanceof ConfigError ? error.within(`${path} `) : error;
    }
  });
  fields.end();
  return { commands, atomic };
}

function decode(method: Command["method"], fields: Fields): Command {
  switch (method) {
    case "conf":
      return { method, params: decodeConf(fields) };
    case "interface":
      return {
        method,
        params: withoutUndefined({
          name: fields.requiredString("name"),
          mode: decodeMode(fields),
          del: fields.boolean("del"),
        }),
      };
    case "vip":
      return { method, params: withoutUndefined({ ...vipOptions(fields), del: fields.boolean("del") }) };
    case "pod":
      return { method, params: decodePod(fields) };
    case "setInterface":
      return {
        method,
        params: withoutUndefined({
          feature: checkWord("feature", fields.requiredString("feature"), ["nat4", "nat6"]),
          name: fields.requiredString("name"),
          del: fields.boolean("del"),
        }),
      };
    case "flushVip":
      return { method, params: decodeSelector(fields) };
  }
}

/** The keys of `conf`, in the file as on the socket. */
export function decodeConf(fields: Fields): ConfParams {
  return withoutUndefined({
    buckets: fields.number("buckets"),
    bucketsLog2: fields.number("bucketsLog2"),
    timeout: fields.number("timeout"),
    tcpTimeout: fields.number("tcpTimeout"),
    ip4SrcAddress: fields.nullableString("ip4SrcAddress"),
    ip6SrcAddress: fields.nullableString("ip6SrcAddress"),
    nat46Prefix: fields.string("nat46Prefix"),
    offload: fields.boolean("offload"),
    offloadSessions: fields.number("offloadSessions"),
  });
}

/** The keys of a VIP except `del` and `pods`, in the file as on the socket. */
export function decodeVip(fields: Fields): VipParams {
  return withoutUndefined(vipOptions(fields));
}

function vipOptions(fields: Fields): VipParams {
  const { prefix, protocol, port } = selectorOf(fields);
  const type = fields.string("type");
  return {
    prefix,
    protocol,
    port,
    targetPort: fields.nullableNumber("targetPort"),
    nodePort: fields.nullableNumber("nodePort"),
    type: type === undefined ? undefined : checkWord(fields.at("type"), type, TYPE_WORDS),
    newLen: fields.number("newLen"),
    srcIpSticky: fields.boolean("srcIpSticky"),
    stickyTimeout: fields.nullableNumber("stickyTimeout"),
    masquerade: fields.boolean("masquerade"),
    sources: decodeTexts(fields, "sources"),
    service: fields.nullableString("service"),
  };
}

export function decodeMode(fields: Fields): Mode | undefined {
  const mode = fields.string("mode");
  return mode === undefined ? undefined : checkMode(mode, fields.at("mode"));
}

function decodeSelector(fields: Fields): VipSelector {
  return withoutUndefined(selectorOf(fields));
}

function selectorOf(fields: Fields): VipSelector {
  const prefix = fields.requiredString("prefix");
  const protocol = fields.nullableString("protocol");
  return {
    prefix,
    protocol: typeof protocol === "string" ? checkProtocol(protocol, fields.at("protocol")) : protocol,
    port: fields.nullableNumber("port"),
  };
}

/** A list of texts; undefined when absent. */
function decodeTexts(fields: Fields, key: string): string[] | undefined {
  return fields.raw(key) == null ? undefined : textsOf(fields.list(key), fields.at(key));
}

/** `list`, which is one of texts or an error. */
function textsOf(list: unknown[], path: string): string[] {
  const index = list.findIndex((text) => typeof text !== "string");
  if (index < 0) return list as string[];
  throw new ConfigError(`${path}[${index}]`, JSON.stringify(list[index]) ?? "missing", "give a text");
}

function decodePod(fields: Fields): PodParams {
  const vip = new Fields(fields.raw("vip"), "vip");
  const selector = decodeSelector(vip);
  vip.end();
  return withoutUndefined({
    vip: selector,
    addresses: textsOf(fields.list("addresses"), "addresses"),
    weight: fields.number("weight"),
    del: fields.boolean("del"),
    flush: fields.boolean("flush"),
  });
}
