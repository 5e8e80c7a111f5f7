/**
 * The daemon's life: claim the network namespace, mirror the network, load the steering programs, start the workers, attach,
 * publish, serve commands; and on SIGTERM, SIGINT or `ku stop` take all of it away again, in the opposite order; or, if the kernel is to
 * go on, only what is the process's own.
 *
 * Rule: this is the only place that knows every part. What fails while starting is undone, and said in one line.
 *
 * @module
 */

import { LINE_MEMORY } from "../../ffi/memory.ts";
import { SystemError } from "../../ffi/errno.ts";
import { closeFd, createEventFd } from "../../ffi/event_fd.ts";
import { ConfigError } from "../config/model.ts";
import { loadConfig } from "../config/file.ts";
import type { RunOptions } from "../config/run_options.ts";
import { type Checks, ConfigState } from "../config/state.ts";
import { VERSION } from "../config/version.ts";
import { Counters } from "../metrics/counters.ts";
import { Mirror } from "../netlink/mirror.ts";
import { deletePair, ensurePair, KU1 } from "../netlink/pair.ts";
import { RequestSocket } from "../netlink/request.ts";
import type { PortOpened } from "../worker/messages.ts";
import { nowSeconds } from "../worker/clock.ts";
import { XdpFeatures } from "../netlink/xdp_features.ts";
import { queuesOf, Steering } from "../xdp/steering.ts";
import { Attachments } from "./attachments.ts";
import { Engine } from "./engine.ts";
import { makeHandlers } from "./handlers.ts";
import { HostRoutes } from "./host_routes.ts";
import { Housekeeping } from "./housekeeping.ts";
import { Log } from "./log.ts";
import { serveMetrics } from "./metrics_server.ts";
import { NamespaceLock } from "./namespace_lock.ts";
import { Offload, offloadRoom } from "./offload.ts";
import type { StopParams } from "./protocol.ts";
import { Publisher } from "./publisher.ts";
import { type RpcServer, serveRpc } from "./rpc_server.ts";
import { MAX_POD_IDS, MAX_SERVICE_IDS, ServiceTables } from "./service_tables.ts";
import { StateFile } from "./state_file.ts";
import { SessionMemory } from "./session_memory.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** What is done to a part that stays with the kernel. */
const KEEP = () => {};

/** Packet memory of a worker: 64 MiB. Rings of 2048 take a burst of some 2 ms at 1 M packets/s. */
const MEMORY = { frameCount: 16_384, frameBytes: 4096, ringSize: 2048 };

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
    // Whoever asked to end sees its connection closed when all else is done.
    let server: RpcServer | null = null;
    this.#onStop("connections", async () => {
      server?.release();
      await server?.finished;
    });
    const lock = await NamespaceLock.claim(options.socket);
    this.#onStop("namespace lock", () => lock.release());
    const mirror = await Mirror.open();
    this.#onStop("network mirror", () => mirror.close());
    mirror.done.catch((error: Error) => this.#fail(`network mirror : ${error.message}`));
    const state = await this.#loadState(mirror);

    const workerCount = options.workers ?? defaultWorkers(state);
    const requests = new RequestSocket();
    const pair = ensurePair(requests, workerCount);
    this.#onStop("netlink", () => requests.close());
    this.#onStop("ku0 and ku1", () => deletePair(requests), KEEP);
    const hostRoutes = new HostRoutes(requests, pair.ku0.index, this.#log);
    this.#onStop("host routes", () => hostRoutes.clear(), KEEP);
    const steering = Steering.load(offloadRoom(state.conf, workerCount));
    this.#onStop("steering maps", () => steering.close());
    this.#onStop("steering programs", () => steering.detachAll(), KEEP);
    steering.setPair(pair.ku0, pair.ku1);

    const sessions = new SessionMemory(workerCount, state.conf, steering.filter);
    const offload = new Offload(steering, workerCount, state.conf);
    const workers = await this.#startWorkers(workerCount, sessions, offload);
    await this.#openHostPorts(workers, steering);
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
      onFirst: async () => {
        const sessions = await offload.adopt(workers);
        if (sessions !== null) {
          this.#log.info(`offload : took over ${sessions} sessions that the kernel repeats`);
        }
      },
    });
    const stateFile = this.#openStateFile(state);
    const onChanged = () => stateFile?.save();
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
    await attachments.sync(state.interfaces);
    attachments.freeFormerSlots();
    for (const name of steering.removeLeftovers()) {
      this.#log.info(`interface ${name} : removed programs that an earlier ku left`);
    }
    await publisher.publish();
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
    if (options.metrics !== undefined) {
      const metrics = serveMetrics(options.metrics, shown);
      this.#onStop("metrics", () => metrics.close());
    }
    const onStop = ({ keep }: StopParams) => {
      this.#keeps = keep;
      this.#ask(keep ? "asked to, the kernel goes on" : "asked to");
    };
    server = await serveRpc({
      path: options.socket,
      handlers: makeHandlers({ ...shown, engine, onStop }),
      onInternalError: (method, error) => this.#log.error(`${method} : ${(error as Error).stack ?? error}`),
    });
    this.#onStop("control socket", () => server!.close());
    for (const { name, mode, reason } of attachments.list()) {
      this.#log.info(`interface ${name} : attached, ${mode} (${reason})`);
    }
    if (mirror.foreignRuleCount > 0) {
      this.#log.warn(
        `policy routing : ${mirror.foreignRuleCount} rules are not followed, ku routes by the main table`,
      );
    }
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

  /** The saved configuration, else the configuration file; and the interfaces of the command line. */
  async #loadState(mirror: Mirror): Promise<ConfigState> {
    const checks = {
      interfaceExists: (name: string) => mirror.linkByName(name) !== undefined,
    };
    const state = this.#restore(checks) ?? await this.#configured(checks);
    for (const name of new Set(this.#options.interfaces)) {
      if (!state.interfaces.has(name)) state.apply({ method: "interface", params: { name } });
    }
    ServiceTables.checkRoom(state.vips.values());
    return state;
  }

  /** What the last daemon saved. An interface that is not there any more waits for its return, as it would have under that daemon. */
  #restore(checks: Checks): ConfigState | null {
    const { stateDir, config } = this.#options;
    const text = stateDir === undefined ? null : StateFile.read(stateDir);
    if (stateDir === undefined || text === null) return null;
    const path = StateFile.pathIn(stateDir);
    const state = new ConfigState(checks);
    state.replaceWith(loadConfig(text, path));
    this.#log.info(`restored : ${state.vips.size} VIPs, ${state.interfaces.size} interfaces from ${path}`);
    if (config !== undefined) {
      this.#log.info(`config ${config} : not read, "ku apply -f ${config}" brings the node to it`);
    }
    for (const name of state.interfaces.keys()) {
      if (!checks.interfaceExists?.(name)) {
        this.#log.warn(`interface ${name} : is not there, waiting for it to come`);
      }
    }
    return state;
  }

  async #configured(checks: Checks): Promise<ConfigState> {
    const { config } = this.#options;
    if (config === undefined) return new ConfigState(checks);
    let text: string;
    try {
      text = await Deno.readTextFile(config);
    } catch (error) {
      throw new ConfigError("config", config, `cannot be read: ${(error as Error).message}`);
    }
    return loadConfig(text, config, checks);
  }

  #openStateFile(state: ConfigState): StateFile | null {
    const { stateDir } = this.#options;
    if (stateDir === undefined) return null;
    const file = new StateFile(stateDir, state, this.#log);
    this.#onStop("state file", () => file.close());
    return file;
  }

  async #startWorkers(count: number, sessions: SessionMemory, offload: Offload): Promise<WorkerHandle[]> {
    const workers: WorkerHandle[] = [];
    const wakeFds = Array.from({ length: count }, () => createEventFd());
    this.#onStop("workers", async () => {
      await Promise.all(workers.map((worker) => worker.stop()));
      wakeFds.forEach(closeFd);
    });
    for (let index = 0; index < count; index++) {
      const plan = {
        memory: MEMORY,
        sessions: sessions.buffers,
        overflow: sessions.overflowBuffers,
        mailboxes: sessions.mailboxes,
        wakeFds,
        affinity: sessions.affinity,
        filter: sessions.filter,
        offload: offload.plan(index),
        counters: Counters.create(MAX_SERVICE_IDS, MAX_POD_IDS, LINE_MEMORY).buffer as SharedArrayBuffer,
      };
      workers.push(await WorkerHandle.start(index, plan, (reason) => this.#fail(reason)));
    }
    return workers;
  }

  /** Slot 0: worker i receives on queue i of ku1. */
  async #openHostPorts(workers: readonly WorkerHandle[], steering: Steering): Promise<void> {
    for (const worker of workers) {
      const { fd } = await worker.request<PortOpened>({
        kind: "openPort",
        slot: 0,
        interfaceName: KU1,
        queue: worker.index,
        receive: true,
        bind: "copy",
      });
      steering.setSocket(0, worker.index, fd);
    }
  }
}

/** As many as the interfaces have RX queues, at most the cores. */
function defaultWorkers(state: ConfigState): number {
  let queues = 1;
  for (const name of state.interfaces.keys()) queues = Math.max(queues, queuesOf(name).rx);
  return Math.min(queues, navigator.hardwareConcurrency);
}
