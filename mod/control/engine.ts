/**
 * Commands into effect: validates against the state, attaches and detaches, publishes, flushes; undoes all of it when a step
 * cannot be taken, so that an error leaves the node as it was.
 *
 * Rule: one command (or batch) at a time. A command is answered when packets see it.
 *
 * @module
 */

import { type Change, type Command, type Conf, ConfigError, vipKeyText } from "../config/model.ts";
import { pathOfInterface, reconcile, type Reconciled, reconcileImport } from "../config/reconcile.ts";
import { BatchError, ConfigState } from "../config/state.ts";
import type { Migrated } from "../worker/messages.ts";
import type { Attachments } from "./attachments.ts";
import type { Log } from "./log.ts";
import { type Offload, reportAll } from "./offload.ts";
import type { ApplyParams, ApplyResult, BatchResult, ImportParams } from "./protocol.ts";
import type { Publisher } from "./publisher.ts";
import { reportChanges } from "./report.ts";
import { ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import type { WorkerHandle } from "./worker_handle.ts";

export interface EngineParts {
  /** Told after every change of the state that took effect. */
  onChanged: () => void;
  state: ConfigState;
  services: ServiceTables;
  attachments: Attachments;
  publisher: Publisher;
  sessions: SessionMemory;
  offload: Offload;
  workers: readonly WorkerHandle[];
  log: Log;
}

export class Engine {
  readonly #parts: EngineParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** One after the other: `task` runs when all before it have ended. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Carries out one command; throws a ConfigError, with nothing changed. */
  execute(command: Command): Promise<void> {
    return this.exclusive(async () => {
      const result = await this.#batch([command], true);
      if (result.failed !== null) throw result.error;
    });
  }

  /** Carries out several; see BatchParams. Published once. */
  batch(commands: readonly Command[], atomic: boolean): Promise<BatchResult> {
    return this.exclusive(async () => {
      if (!atomic && commands.some(standsAlone)) return await this.#oneByOne(commands);
      const { applied, failed } = await this.#batch(commands, atomic);
      return { applied, failed };
    });
  }

  /** Brings the node to what a document describes, as one generation; throws a ConfigError that names the key, with nothing changed. */
  apply({ document, prune, dryRun }: ApplyParams): Promise<ApplyResult> {
    return this.#reach((state) => reconcile(state, document, prune), document, dryRun);
  }

  /** Replaces what the last import brought. */
  import({ document, dryRun }: ImportParams): Promise<ApplyResult> {
    return this.#reach((state) => reconcileImport(state, document), document, dryRun);
  }

  /** From the present state to the one that `plan` makes of it. */
  #reach(
    plan: (state: ConfigState) => Reconciled,
    document: unknown,
    dryRun: boolean,
  ): Promise<ApplyResult> {
    return this.exclusive(async () => {
      const { state, publisher } = this.#parts;
      const reconciled = plan(state);
      const { next, changes } = reconciled;
      ServiceTables.checkRoom(next.vips.values());
      const result = reportChanges(this.#parts, reconciled, dryRun);
      if (dryRun || changes.length === 0) return result;
      const before = new ConfigState(state.checks);
      before.replaceWith(state);
      state.replaceWith(next);
      try {
        await this.realize(changes);
      } catch (reason) {
        await this.#undo(before);
        if (!(reason instanceof ConfigError)) throw reason;
        const path = pathOfInterface(document, reason.value);
        throw path === null ? reason : new ConfigError(path, reason.value, reason.remedy);
      }
      return { ...result, generation: publisher.generation };
    });
  }

  /** Commands in whose success the kernel has a say: each takes effect before the next is looked at, so that those before a failed one stay. */
  async #oneByOne(commands: readonly Command[]): Promise<BatchResult> {
    for (const [index, command] of commands.entries()) {
      const { failed } = await this.#batch([command], true);
      if (failed !== null) return { applied: index, failed: { ...failed, index } };
    }
    return { applied: commands.length, failed: null };
  }

  async #batch(
    commands: readonly Command[],
    atomic: boolean,
  ): Promise<BatchResult & { error: Error | null }> {
    const { state } = this.#parts;
    // Commands that only touch tables cannot fail once they are applied; the others need a way back.
    const before = commands.some(needsUndo) ? state.clone() : null;
    const changes: Change[] = [];
    let applied = 0;
    let failed: BatchResult["failed"] = null;
    let error: Error | null = null;
    try {
      if (atomic && commands.length > 1) {
        changes.push(...state.applyAll(commands));
        applied = commands.length;
      } else {
        for (const command of commands) {
          changes.push(...state.apply(command));
          applied++;
        }
      }
    } catch (reason) {
      if (!(reason instanceof ConfigError)) throw reason;
      failed = { index: reason instanceof BatchError ? reason.index : applied, message: reason.message };
      error = reason;
      if (atomic) return { applied: 0, failed, error };
    }
    try {
      await this.realize(changes);
    } catch (reason) {
      if (!(reason instanceof ConfigError)) throw reason;
      if (before !== null) await this.#undo(before);
      return {
        applied: 0,
        failed: { index: indexOfRefused(commands, reason), message: reason.message },
        error: reason,
      };
    }
    return { applied, failed, error };
  }

  /** Makes the node follow what has been changed in the state. */
  async realize(changes: readonly Change[]): Promise<void> {
    const { state, attachments, publisher } = this.#parts;
    if (changes.length === 0) return;
    ServiceTables.checkRoom(state.vips.values());
    if (changes.some((change) => change.kind.startsWith("interface"))) {
      publisher.networkChanged();
      await attachments.sync(state.interfaces);
    }
    for (const change of changes) {
      if (change.kind === "conf") await this.#setConf(change.before, change.after);
    }
    const kept = changes.some((change) => !change.kind.startsWith("flush"));
    if (kept) await publisher.publish();
    await this.#flush(changes);
    if (kept) this.#parts.onChanged();
  }

  async #undo(before: ConfigState): Promise<void> {
    const { state, attachments, publisher, log } = this.#parts;
    state.replaceWith(before);
    publisher.networkChanged();
    try {
      await attachments.sync(state.interfaces);
    } catch (error) {
      log.error(`undoing a failed command : ${(error as Error).message}`);
    }
    await publisher.publish();
  }

  async #setConf(before: Conf, after: Conf): Promise<void> {
    const { sessions, offload, workers, log } = this.#parts;
    await this.#makeRoom(after);
    sessions.setTimeouts(after);
    await offload.setConf(after, workers);
    if (before.timeout !== after.timeout || before.tcpTimeout !== after.tcpTimeout) await reportAll(workers);
    if (before.buckets === after.buckets) return;
    const next = sessions.prepare(after);
    const all = <T>(kind: "watch" | "migrate" | "settle") =>
      Promise.all(workers.map((worker) => worker.request<T>({ kind, sessions: next.buffers })));
    await all("watch");
    const results = await all<Migrated>("migrate");
    sessions.adopt(next);
    await all("settle");
    const lost = results.reduce((sum, result) => sum + result.lost, 0);
    if (lost > 0) {
      log.warn(
        `conf buckets ${after.buckets} : ${lost} sessions did not fit and go on untracked, give more buckets`,
      );
    }
  }

  /** Goes by the state's configuration, where the parts were made by `before`. */
  async followConf(before: Conf): Promise<void> {
    const after = this.#parts.state.conf;
    if (JSON.stringify(before) !== JSON.stringify(after)) await this.#setConf(before, after);
  }

  /** Gives the kernel the memory that the configuration asks for, if it has less. */
  async makeOffloadRoom(): Promise<void> {
    const { state, publisher } = this.#parts;
    if (await this.#makeRoom(state.conf)) await publisher.publish();
  }

  /** Whether it took other memory, and sessions await another generation. */
  async #makeRoom(conf: Conf): Promise<boolean> {
    const { offload, workers, log } = this.#parts;
    const made = await offload.makeRoom(conf, workers);
    for (const name of made?.failed ?? []) {
      log.warn(`interface ${name} : the kernel repeats nothing that it receives, attach it anew`);
    }
    return made !== null;
  }

  /** Ends the sessions that a `flush` named, and those of a VIP that was deleted and added again in one batch. */
  async #flush(changes: readonly Change[]): Promise<void> {
    const { services, workers } = this.#parts;
    const serviceIds = new Set<number>();
    const podIds = new Set<number>();
    for (const change of changes) {
      if (change.kind === "flushVip" || change.kind === "vipRemoved") {
        const record = services.records.get(vipKeyText(change.key));
        if (record !== undefined) serviceIds.add(record.id);
      } else if (change.kind === "flushPod") {
        const pod = services.records.get(vipKeyText(change.key))?.pods.get(change.address);
        if (pod !== undefined) podIds.add(pod.id);
      }
    }
    const flush = (ids: { services: number[] | null; pods: number[] | null }) =>
      Promise.all(workers.map((worker) => worker.request({ kind: "flush", ...ids })));
    if (serviceIds.size > 0) await flush({ services: [...serviceIds], pods: null });
    if (podIds.size > 0) await flush({ services: null, pods: [...podIds] });
  }
}

/** Commands that often enough fail after they were applied to the state: the kernel has a say in them. */
function standsAlone({ method }: Command): boolean {
  return method === "interface" || method === "setInterface";
}

/** Commands that can: also those for which the kernel needs memory. */
function needsUndo(command: Command): boolean {
  return standsAlone(command) || takesMemory(command);
}

function takesMemory({ method, params }: Command): boolean {
  return method === "conf" && [params.offloadSessions, params.buckets, params.bucketsLog2].some(Boolean);
}

/** Position of the command that an error is about: it attached an interface, or asked for memory. */
function indexOfRefused(commands: readonly Command[], error: ConfigError): number {
  const index = commands.findIndex((command) =>
    (command.method === "interface" || command.method === "setInterface")
      ? command.params.name === error.value
      : takesMemory(command)
  );
  return Math.max(index, 0);
}
