/**
 * The daemon's life: claim the network namespace, mirror the network, load the steering programs, start the workers, attach,
 * publish, serve commands; and on SIGTERM, SIGINT or `ku stop` take all of it away again, in the opposite order; or, if the kernel is to
 * go on, only what is the process's own.
 *
 * Rule: this is the only place that knows every part. What fails while starting is undone, and said in one line.
 *
 * @module
 */

import { SystemError } from "../../ffi/errno.ts";
import { closeFd, createEventFd } from "../../ffi/event_fd.ts";
import { scheduleInBatches } from "../../ffi/sched.ts";
import { ConfigError } from "../config/model.ts";
import type { RunOptions } from "../config/run_options.ts";
import type { ConfigState } from "../config/state.ts";
import { VERSION } from "../config/version.ts";
import { Mirror } from "../netlink/mirror.ts";
import { deletePair, ensurePair } from "../netlink/pair.ts";
import { RequestSocket } from "../netlink/request.ts";
import { nowSeconds } from "../worker/clock.ts";
import { XdpFeatures } from "../netlink/xdp_features.ts";
import { Steering } from "../xdp/steering.ts";
import { Attachments } from "./attachments.ts";
import { Engine } from "./engine.ts";
import { makeHandlers } from "./handlers.ts";
import { Handing } from "./handing.ts";
import { HostRoutes } from "./host_routes.ts";
import { Housekeeping } from "./housekeeping.ts";
import { initialState, notRead } from "./initial_state.ts";
import { Log } from "./log.ts";
import { serveMetrics } from "./metrics_server.ts";
import { NamespaceLock } from "./namespace_lock.ts";
import { Offload, offloadRoom } from "./offload.ts";
import type { StopParams } from "./protocol.ts";
import { Publisher } from "./publisher.ts";
import { type Handler, type RpcServer, serveRpc } from "./rpc_server.ts";
import { ServiceTables } from "./service_tables.ts";
import { StateFile } from "./state_file.ts";
import { SessionMemory } from "./session_memory.ts";
import { Upgrade } from "./upgrade.ts";
import type { WorkerHandle } from "./worker_handle.ts";
import { defaultWorkers, openPortsOfPair, pairRoom, startWorkers } from "./workers.ts";

/** What is done to a part that stays with the kernel. */
const KEEP = () => {};

/** Runs until a signal ends it. Throws ConfigError, with everything undone, when it cannot start. */
export async function runDaemon(options: RunOptions): Promise<void> {
  const log = new Log(options.logLevel, options.logFormat);
  const daemon = new Daemon(options, log);
  const stopped = stopSignal();
  try {
    await daemon.start();
    log.info(`ready : ku ${VERSION}, pid ${Deno.pid}, socket ${options.socket}`);
    const reason = await Promise.race([stopped, daemon.failed, daemon.asked]);
    log.info(`stopping : ${reason}`);
  } catch (error) {
    throw error instanceof SystemError ? configErrorOf(error) : error;
  } finally {
    await daemon.stop();
  }
  // A thread of the runtime may still sit in a system call; nothing of ours is left to wait for.
  Deno.exit(daemon.failure === null ? 0 : 1);
}

/** A system call's refusal in the form of all messages to the user. */
function configErrorOf({ call, object, code, advice }: SystemError): ConfigError {
  return new ConfigError(`cannot ${call}`, `${object} (${code})`, advice || "see the kernel's log (`dmesg`)");
}

/** Resolves with its name when a signal that asks to end arrives; a terminal that goes away asks so by SIGHUP. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const) {
      Deno.addSignalListener(signal, () => resolve(signal));
    }
  });
}

/** How a part is undone. */
interface Undo {
  name: string;
  action: () => Promise<void> | void;
  /** Instead, when the kernel is to go on. */
  keeping: () => Promise<void> | void;
}

class Daemon {
  readonly failed: Promise<string>;
  /** Somebody has asked by the socket to end. */
  readonly asked: Promise<string>;
  failure: string | null = null;
  readonly #options: RunOptions;
  readonly #log: Log;
  /** What has been set up, each with how it is undone; undone from the last to the first. */
  readonly #undo: Undo[] = [];
  /** Programs, maps, pair and routes stay when it ends. */
  #keeps = false;
  #fail: (reason: string) => void = () => {};
  #ask: (reason: string) => void = () => {};
  #lock: NamespaceLock | null = null;
  #server: RpcServer | null = null;
  #metrics: { close(): Promise<void> } | null = null;
  #stateFile: StateFile | null = null;

  constructor(options: RunOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.asked = new Promise((resolve) => this.#ask = resolve);
    this.failed = new Promise((resolve) => {
      this.#fail = (reason) => {
        this.failure ??= reason;
        log.error(reason);
        resolve(reason);
      };
    });
  }

  async start(): Promise<void> {
    const options = this.#options;
    if (Deno.uid() !== 0) {
      throw new ConfigError(
        "run",
        `user ${Deno.uid()}`,
        "run it as root: it attaches programs to interfaces",
      );
    }
    // A worker that took the CPU from a client or server for each packet would find one packet each time; and the runtime's compiler
    // would take it from the worker.
    scheduleInBatches();
    // Whoever asked to end sees its connection closed when all else is done.
    this.#onStop("connections", async () => {
      this.#server?.release();
      await this.#server?.finished;
    });
    this.#onStop("namespace lock", () => this.#lock?.release());
    const upgrade = options.upgrade ? await Upgrade.begin(options.socket) : null;
    if (upgrade === null) this.#lock = await NamespaceLock.claim(options.socket);
    else {
      // The old daemon goes on with all of it if this one ends now.
      this.#keeps = true;
      this.#onStop("upgrade", () => upgrade.close());
    }
    const mirror = await Mirror.open();
    this.#onStop("network mirror", () => mirror.close());
    mirror.done.catch((error: Error) => this.#fail(`network mirror : ${error.message}`));
    const state = await this.#loadState(mirror, upgrade);

    const workerCount = options.workers ?? upgrade?.offer.workers ?? defaultWorkers(state);
    const requests = new RequestSocket();
    this.#onStop("netlink", () => requests.close());
    if (upgrade !== null) {
      upgrade.checkPair(requests, workerCount);
      const { ku, workers } = upgrade.offer;
      this.#log.info(`upgrade : from ku ${ku}, ${workers} workers`);
      if (options.config !== undefined) this.#log.info(notRead(options.config));
    }
    const pair = ensurePair(requests, workerCount, undefined, pairRoom(workerCount));
    this.#onStop("ku0 and ku1", () => deletePair(requests), KEEP);
    const hostRoutes = new HostRoutes(requests, pair.ku0.index, this.#log);
    this.#onStop("host routes", () => hostRoutes.clear(), KEEP);
    const steering = Steering.load(offloadRoom(state.conf, workerCount));
    this.#onStop("steering maps", () => steering.close());
    this.#onStop("steering programs", () => steering.detachAll(), KEEP);
    steering.namePair(pair.ku0, pair.ku1);

    const { conf } = state;
    const sessions = new SessionMemory(workerCount, conf, steering.filter);
    const offload = new Offload(steering, workerCount, conf);
    if (upgrade === null) offload.ready();
    const workers = await this.#startWorkers(workerCount, sessions, offload);
    const openHostPorts = () => openPortsOfPair(workers, steering);
    const features = new XdpFeatures();
    this.#onStop("interface features", () => features.close());
    const attachments = new Attachments({ steering, workers, mirror, features, log: this.#log });
    this.#onStop("interfaces", () => attachments.detachAll(), KEEP);
    const services = new ServiceTables();
    const publisher = new Publisher({
      state,
      services,
      attachments,
      mirror,
      steering,
      workers,
      ku0: pair.ku0,
      hostRoutes,
    });
    if (upgrade !== null) {
      // All that takes time, while the old daemon still works: nothing is attached yet.
      await publisher.publish();
      this.#lock = await upgrade.take(state);
      this.#addInterfaces(state);
      offload.ready();
      const { sessions, lost } = await upgrade.restore({ state, services, offload, workers });
      this.#log.info(`upgrade : took over ${sessions} sessions`);
      if (lost > 0) this.#log.warn(`upgrade : ${lost} sessions did not fit and go on untracked`);
      publisher.networkChanged();
    }
    await openHostPorts();
    publisher.onNext = async () => {
      const sessions = await offload.adopt(workers);
      if (sessions !== null) {
        this.#log.info(`offload : took over ${sessions} sessions that the kernel repeats`);
      }
    };
    attachments.reserveFormerSlots(upgrade?.slots);
    await attachments.sync(state.interfaces);
    if (upgrade === null) this.#removeLeftovers(steering);
    await publisher.publish();
    attachments.freeFormerSlots();
    // Routes of an earlier ku may lead to the pair: nothing is to come to a worker that has no tables.
    steering.attachPair();
    if (upgrade !== null) {
      this.#log.info(`upgrade : packets are taken again after ${Math.round(upgrade.elapsedMs)} ms`);
      this.#removeLeftovers(steering);
    }
    this.#stateFile = this.#openStateFile(state);
    this.#onStop("state file", () => this.#stateFile?.close());
    const onChanged = () => this.#stateFile?.save();
    const parts = {
      state,
      services,
      attachments,
      publisher,
      sessions,
      offload,
      workers,
      mirror,
      log: this.#log,
      onChanged,
    };
    const engine = new Engine(parts);
    await engine.followConf(conf); // which may have changed while an old daemon was still working
    await engine.makeOffloadRoom(); // an earlier ku may have left less
    onChanged();

    const housekeeping = new Housekeeping({
      ...parts,
      engine,
      requests,
      hostRoutes,
      pair,
      onLost: (reason) => this.#fail(reason),
    });
    this.#onStop("housekeeping", () => housekeeping.stop());
    const shown = { ...parts, startedSeconds: nowSeconds() };
    const serveAll = () => {
      if (options.metrics !== undefined) this.#metrics = serveMetrics(options.metrics, shown);
    };
    serveAll();
    this.#onStop("metrics", () => this.#metrics?.close());
    const handing = new Handing({
      ...parts,
      engine,
      steering,
      socketPath: options.socket,
      openHostPorts,
      letGo: () => this.#letGo(),
      takeBack: async () => {
        this.#lock = await NamespaceLock.succeed(options.socket);
        serveAll();
        this.#stateFile = this.#openStateFile(state);
        if (!this.#server!.isThere()) await this.#serve(handlers, true);
      },
      leave: () => {
        this.#log.info("stopping : another process has taken over");
        Deno.exit(0);
      },
      onLost: (reason) => this.#fail(reason),
    });
    const onStop = ({ keep }: StopParams) => {
      this.#keeps = keep;
      this.#ask(keep ? "asked to, the kernel goes on" : "asked to");
    };
    const handlers = makeHandlers({ ...shown, engine, handing, onStop });
    await this.#serve(handlers, upgrade !== null);
    this.#onStop("control socket", () => this.#server?.close());
    for (const { name, mode, reason } of attachments.list()) {
      this.#log.info(`interface ${name} : attached, ${mode} (${reason})`);
    }
    if (mirror.foreignRuleCount > 0) {
      this.#log.warn(
        `policy routing : ${mirror.foreignRuleCount} rules are not followed, ku routes by the main table`,
      );
    }
    await upgrade?.done();
    this.#keeps = false;
  }

  /** Undoes what `start` did, all of it even when a step fails. */
  async stop(): Promise<void> {
    for (const { name, action, keeping } of this.#undo.reverse()) {
      try {
        await (this.#keeps ? keeping : action)();
      } catch (error) {
        this.#log.error(`stopping ${name} : ${(error as Error).message}`);
        this.failure ??= name;
      }
    }
    this.#undo.length = 0;
  }

  #onStop(name: string, action: Undo["action"], keeping = action): void {
    this.#undo.push({ name, action, keeping });
  }

  async #loadState(mirror: Mirror, upgrade: Upgrade | null): Promise<ConfigState> {
    const checks = {
      interfaceExists: (name: string) => mirror.linkByName(name) !== undefined,
    };
    const state = upgrade?.state(checks) ?? await initialState(this.#options, checks, this.#log);
    this.#addInterfaces(state);
    ServiceTables.checkRoom(state.vips.values());
    return state;
  }

  /** Those of the command line. */
  #addInterfaces(state: ConfigState): void {
    for (const name of new Set(this.#options.interfaces)) {
      if (!state.interfaces.has(name)) state.apply({ method: "interface", params: { name } });
    }
  }

  #openStateFile(state: ConfigState): StateFile | null {
    const { stateDir } = this.#options;
    return stateDir === undefined ? null : new StateFile(stateDir, state, this.#log);
  }

  #removeLeftovers(steering: Steering): void {
    for (const name of steering.removeLeftovers()) {
      this.#log.info(`interface ${name} : removed programs that an earlier ku left`);
    }
  }

  async #serve(handlers: Record<string, Handler>, replaces: boolean): Promise<void> {
    const onInternalError = (method: string, error: unknown) =>
      this.#log.error(`${method} : ${(error as Error).stack ?? error}`);
    const path = this.#options.socket;
    this.#server = await serveRpc({ path, handlers, onInternalError, replaces });
  }

  /** Gives up what only one daemon can have. */
  async #letGo(): Promise<void> {
    await this.#stateFile?.close();
    this.#stateFile = null;
    await this.#metrics?.close();
    this.#metrics = null;
    this.#lock?.release();
    this.#lock = null;
  }

  async #startWorkers(count: number, sessions: SessionMemory, offload: Offload): Promise<WorkerHandle[]> {
    const workers: WorkerHandle[] = [];
    const wakeFds = Array.from({ length: count }, () => createEventFd());
    this.#onStop("workers", async () => {
      await Promise.all(workers.map((worker) => worker.stop()));
      wakeFds.forEach(closeFd);
    });
    const onFatal = (reason: string) => this.#fail(reason);
    await startWorkers(workers, wakeFds, { sessions, offload, onFatal });
    return workers;
  }
}
