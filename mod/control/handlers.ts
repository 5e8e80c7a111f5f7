/**
 * The daemon's answers by method name: commands go to the engine, questions to shows.ts.
 *
 * @module
 */

import { decodeBatch, decodeCommand } from "../config/command.ts";
import { documentOf } from "../config/document.ts";
import { Fields } from "../config/fields.ts";
import { COMMAND_METHODS } from "../config/model.ts";
import { libbpfVersion } from "../../ffi/libbpf.ts";
import { type LibraryName, libraryOrigins } from "../../ffi/library.ts";
import { VERSION } from "../config/version.ts";
import type { Engine } from "./engine.ts";
import { Captures } from "./capture.ts";
import { explain } from "./explain.ts";
import type { Handing } from "./handing.ts";
import { reportAll } from "./offload.ts";
import type { ApplyParams, ImportParams, Method, Methods, ShowVersion, StopParams } from "./protocol.ts";
import type { Asker } from "./rpc_answer.ts";
import type { Handler } from "./rpc_server.ts";
import {
  showInterfaces,
  showKu,
  showNodeCounters,
  type ShowParts,
  showVips,
  showVipsVerbose,
} from "./shows.ts";
import { Taps } from "./taps.ts";
import { Trace } from "./trace.ts";
import { listSessions, showSessions } from "./session_list.ts";

type Handlers = {
  [M in Method]: (params: unknown, asker: Asker) => Promise<Methods[M]["result"]> | Methods[M]["result"];
};

/** One handler for every method of the protocol. */
export function makeHandlers(
  parts: ShowParts & { engine: Engine; handing: Handing; onStop: (params: StopParams) => void },
): Record<string, Handler> {
  const taps = new Taps(parts.workers);
  const trace = new Trace(parts, taps);
  const captures = new Captures(parts, taps);
  const commands = Object.fromEntries(COMMAND_METHODS.map((method) => [
    method,
    async (params: unknown) => {
      await parts.engine.execute(decodeCommand(method, params));
      return null;
    },
  ]));
  const questions: Omit<Handlers, typeof COMMAND_METHODS[number]> = {
    batch: (params) => {
      const { commands, atomic } = decodeBatch(params);
      return parts.engine.batch(commands, atomic);
    },
    apply: (params) => parts.engine.apply(decodeApply(params)),
    import: (params) => parts.engine.import(decodeImport(params)),
    getConfig: () => documentOf(parts.state),
    clearNodeCounters: () => {
      for (const worker of parts.workers) worker.counters.node.fill(0);
      return null;
    },
    stop: (params, asker) => {
      const fields = new Fields(params, "", "params");
      const keep = fields.boolean("keep") ?? false;
      fields.end();
      asker.stay();
      parts.onStop({ keep });
      return null;
    },
    handOver: (params) => {
      const fields = new Fields(params, "", "params");
      const format = fields.number("format") ?? 0;
      const commit = fields.boolean("commit") ?? false;
      fields.end();
      return commit ? parts.handing.give(format) : parts.handing.offer(format);
    },
    show: () => showKu(parts),
    showVip: async (params) => {
      if (!isVerbose(params)) return showVips(parts);
      await reportAll(parts.workers);
      return showVipsVerbose(parts);
    },
    showNodeCounters: () => showNodeCounters(parts),
    showSessions: async () => {
      await reportAll(parts.workers);
      return showSessions(parts);
    },
    traceAdd: (params) => trace.add(params),
    traceClear: () => trace.clear(),
    showTrace: () => trace.show(),
    captureStart: (params) => captures.start(params),
    captureRead: (params) => captures.read(params),
    captureStop: (params) => captures.stop(params),
    explain: (params) => explain(parts, params),
    listSessions: (params) => listSessions(parts, params),
    showOffload: () => parts.offload.show(parts.workers),
    showInterface: () => showInterfaces(parts),
    version: showVersion,
  };
  return { ...commands, ...questions };
}

function decodeApply(params: unknown): ApplyParams {
  const fields = new Fields(params, "", "params");
  const decoded = {
    document: fields.raw("document"),
    prune: fields.boolean("prune") ?? true,
    dryRun: fields.boolean("dryRun") ?? false,
  };
  fields.end();
  return decoded;
}

function decodeImport(params: unknown): ImportParams {
  const fields = new Fields(params, "", "params");
  // What is in it is judged when it is read as a configuration.
  const document = fields.raw("document") as ImportParams["document"];
  const dryRun = fields.boolean("dryRun") ?? false;
  fields.end();
  return { document, dryRun };
}

function isVerbose(params: unknown): boolean {
  return typeof params === "object" && params !== null && "verbose" in params && params.verbose === true;
}

function showVersion(): ShowVersion {
  const { deno, v8 } = Deno.version;
  const libbpf = `${libbpfVersion()} (${originOf("libbpf.so.1")})`;
  return { ku: VERSION, deno, v8, libbpf, libxdp: originOf("libxdp.so.1") };
}

/** "embedded", or the file on the node (whose name has the version: libxdp has no function that tells it). */
function originOf(name: LibraryName): string {
  const library = libraryOrigins().find((each) => each.name === name);
  return library?.path ?? library?.origin ?? "not loaded";
}
