/** A daemon without packets: the real state and socket behind canned shows, for tests of the command line. */

import { decodeBatch, decodeCommand } from "../../../mod/config/command.ts";
import { COMMAND_METHODS, ConfigError } from "../../../mod/config/model.ts";
import { BatchError, ConfigState } from "../../../mod/config/state.ts";
import type { BatchResult, ShowVip } from "../../../mod/control/protocol.ts";
import { type Handler, type RpcServer, serveRpc } from "../../../mod/control/rpc_server.ts";
import { INTERFACES, KU, NODE_COUNTERS, SESSIONS, VERSIONS, VIPS } from "./samples.ts";

export class FakeDaemon implements AsyncDisposable {
  readonly state = new ConfigState({ interfaceExists: (name) => !name.startsWith("nowhere") });
  /** Names of the methods that were called, in order. */
  readonly calls: string[] = [];
  #server?: RpcServer;

  private constructor(readonly directory: string) {}

  get socket(): string {
    return `${this.directory}/ku.sock`;
  }

  static async start(more: Record<string, Handler> = {}): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(await Deno.makeTempDir({ prefix: "ku-cli-" }));
    const handlers = { ...daemon.#handlers(), ...more };
    const counted = Object.entries(handlers).map((
      [method, handler],
    ): [string, Handler] => [method, (params) => {
      daemon.calls.push(method);
      return handler(params, { stay: () => {} });
    }]);
    daemon.#server = await serveRpc({ path: daemon.socket, handlers: Object.fromEntries(counted) });
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.close();
    await this.#server?.finished;
    await Deno.remove(this.directory, { recursive: true });
  }

  #handlers(): Record<string, Handler> {
    const handlers: Record<string, Handler> = {
      batch: (params) => this.#batch(params),
      show: () => KU,
      showVip: (params) => (params as { verbose: boolean }).verbose ? VIPS : this.#vips(),
      showNodeCounters: () => NODE_COUNTERS,
      showSessions: () => SESSIONS,
      showInterface: () => INTERFACES,
      clearNodeCounters: () => null,
      version: () => VERSIONS,
    };
    for (const method of COMMAND_METHODS) {
      handlers[method] = (params) => {
        this.state.apply(decodeCommand(method, params));
      };
    }
    return handlers;
  }

  #batch(params: unknown): BatchResult {
    const { commands, atomic } = decodeBatch(params);
    if (atomic) {
      try {
        this.state.applyAll(commands);
        return { applied: commands.length, failed: null };
      } catch (error) {
        if (!(error instanceof BatchError)) throw error;
        return { applied: 0, failed: { index: error.index, message: error.message } };
      }
    }
    for (const [index, command] of commands.entries()) {
      try {
        this.state.apply(command);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        return { applied: index, failed: { index, message: error.message } };
      }
    }
    return { applied: commands.length, failed: null };
  }

  /** The VIPs of the state as they are now. */
  #vips(): ShowVip[] {
    return [...this.state.vips.values()].map(({ pods, revision: _, ...vip }) => ({
      ...vip,
      podCount: pods.size,
    }));
  }
}
