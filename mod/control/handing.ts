/**
 * The daemon that leaves: hands everything to its successor (`ku run --upgrade`), and goes on itself if that one does not make it.
 *
 * From the moment its sockets are closed nobody takes packets: what the kernel repeats goes on, and the rest is dropped, never passed to the
 * kernel, where a pod's answer would find its way to the client with the pod's own address and end the connection. The steering programs
 * drop what they redirect to a socket that belongs elsewhere, which one on ku0 does.
 *
 * The successor listens at an abstract socket; the connection to it tells whether it lives. "done" on it: the successor has everything.
 * Its end without that word: this one goes on. A successor that stands still is ended.
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";
import type { ConfigState } from "../config/state.ts";
import { documentOf } from "../config/document.ts";
import { VERSION } from "../config/version.ts";
import { AffinityTable } from "../table/affinity.ts";
import { nowSeconds } from "../worker/clock.ts";
import type { OffloadCounts, Suspended } from "../worker/messages.ts";
import type { Steering } from "../xdp/steering.ts";
import type { Attachments } from "./attachments.ts";
import type { Engine } from "./engine.ts";
import {
  HANDOVER_FORMAT,
  type HandoverOffer,
  handoverPath,
  packInterfaces,
  packNodeCounts,
  packServices,
  packWorker,
  unknownFormat,
  writeHandover,
} from "./handover.ts";
import type { Log } from "./log.ts";
import { SUCCESSOR_NAME } from "./namespace_lock.ts";
import type { Offload } from "./offload.ts";
import type { Publisher } from "./publisher.ts";
import type { ServiceTables } from "./service_tables.ts";
import type { SessionMemory } from "./session_memory.ts";
import { ownersOf } from "./socket_owners.ts";
import type { WorkerHandle } from "./worker_handle.ts";

/** What a successor has for taking over. It needs some milliseconds, and seconds with very many services on a busy machine. */
const PATIENCE_MS = 20_000;

export interface HandingParts {
  state: ConfigState;
  engine: Engine;
  workers: readonly WorkerHandle[];
  sessions: SessionMemory;
  services: ServiceTables;
  offload: Offload;
  attachments: Attachments;
  publisher: Publisher;
  steering: Steering;
  socketPath: string;
  log: Log;
  /** Gives up what only one process can have: the namespace's lock, the address of metrics, the state file. */
  letGo: () => Promise<void>;
  /** Takes it back. */
  takeBack: () => Promise<void>;
  /** Opens the workers' sockets on ku1. */
  openHostPorts: () => Promise<void>;
  /** The successor has everything: nothing is to be undone. */
  leave: () => void;
  /** Neither the successor nor this one can go on. */
  onLost: (reason: string) => void;
}

export class Handing {
  readonly #parts: HandingParts;

  constructor(parts: HandingParts) {
    this.#parts = parts;
  }

  /** What there is to be had. Throws a ConfigError for a successor that speaks another format. */
  offer(format: number): HandoverOffer {
    if (format !== HANDOVER_FORMAT) throw unknownFormat(format);
    const { workers, state } = this.#parts;
    return { ku: VERSION, workers: workers.length, document: documentOf(state) };
  }

  /** Resolves when the file is written and nothing is in the successor's way. Commands wait until it is decided who goes on. */
  give(format: number): Promise<null> {
    if (format !== HANDOVER_FORMAT) throw unknownFormat(format);
    const given = Promise.withResolvers<null>();
    this.#parts.engine.exclusive(async () => {
      const successor = await this.#connect();
      try {
        await this.#suspend();
        given.resolve(null);
      } catch (error) {
        successor.close();
        await this.#resume((error as Error).message);
        throw error;
      }
      const attempt = { isDone: false, isEnded: false };
      const patience = setTimeout(() => this.#endSuccessor(attempt), PATIENCE_MS);
      attempt.isDone = await isDone(successor);
      clearTimeout(patience);
      // A word that has come while its process was being ended counts for nothing.
      if (attempt.isDone && !attempt.isEnded) return this.#parts.leave();
      await this.#resume("the new process has ended");
    }).catch(given.reject);
    return given.promise;
  }

  async #connect(): Promise<Deno.UnixConn> {
    try {
      return await Deno.connect({ transport: "unix", path: SUCCESSOR_NAME });
    } catch {
      const remedy = "is not in this daemon's network namespace, or has ended: start it in the same one";
      throw new ConfigError("upgrade", "new process", remedy);
    }
  }

  /** Ends a successor that does not get on, as nobody takes packets meanwhile. Its connection ends with it. */
  async #endSuccessor(attempt: { isDone: boolean; isEnded: boolean }): Promise<void> {
    const { log } = this.#parts;
    const seconds = PATIENCE_MS / 1000;
    try {
      const pids = (await ownersOf(SUCCESSOR_NAME)).filter((pid) => pid !== Deno.pid);
      if (attempt.isDone) return;
      if (pids.length === 0) throw new Error("it is not to be seen from here");
      attempt.isEnded = true;
      for (const pid of pids) endProcess(pid);
      log.warn(`upgrade : the new process stood still for ${seconds} s, ended`);
    } catch (error) {
      log.error(
        `upgrade : the new process stands still for ${seconds} s, end it : ${(error as Error).message}`,
      );
    }
  }

  async #suspend(): Promise<void> {
    const { workers, sessions, services, offload, attachments, state, steering, socketPath, letGo } =
      this.#parts;
    steering.park();
    const suspended = await Promise.all(
      workers.map((worker) => worker.request<Suspended>({ kind: "suspend" })),
    );
    const count = (name: keyof OffloadCounts) => suspended.reduce((sum, one) => sum + one.offload[name], 0);
    const now = nowSeconds();
    await writeHandover(handoverPath(socketPath), {
      document: documentOf(state),
      services: packServices(services, workers),
      interfaces: packInterfaces(attachments, workers),
      nodeCounts: packNodeCounts(workers),
      offload: {
        begun: count("begun"),
        refused: count("refused"),
        packets: count("packets"),
        bytes: count("bytes"),
      },
      workers: workers.map((_, index) => {
        const affinity = new AffinityTable(sessions.affinity[index]);
        return packWorker(sessions, affinity, index, offload.firstFlowOf(index), suspended[index].told, now);
      }),
    });
    await letGo();
  }

  /** As it was before `suspend`, whatever the successor has done meanwhile. */
  async #resume(why: string): Promise<void> {
    const { workers, offload, attachments, publisher, steering, openHostPorts, takeBack, socketPath, log } =
      this.#parts;
    log.warn(`upgrade : ${why}, going on`);
    try {
      await Deno.remove(handoverPath(socketPath)).catch(() => {}); // if the other one did not come to read it
      await takeBack();
      await offload.restart(workers);
      await openHostPorts();
      steering.unpark();
      await attachments.reopen();
      steering.attachPair();
      steering.detachOthers(); // what the other one had begun to steer
      publisher.networkChanged();
      await publisher.publish();
    } catch (error) {
      this.#parts.onLost(`going on after an upgrade that failed : ${(error as Error).message}`);
    }
  }
}

function endProcess(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // it has just ended by itself
  }
}

/** Whether the successor says that it has everything; false when the connection ends without that. */
async function isDone(successor: Deno.UnixConn): Promise<boolean> {
  try {
    return await successor.read(new Uint8Array(16)) !== null;
  } catch {
    return false;
  } finally {
    successor.close();
  }
}
