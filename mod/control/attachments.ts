/**
 * Attached interfaces: their slots, the workers' sockets on them, and the steering programs.
 *
 * An interface comes in three steps, so that no packet is steered to a worker that could not handle it: program and
 * sockets first (`bringUp`; the program passes everything while the maps do not know the interface), then the
 * published tables, then the entry in the steering maps (`activate`). It goes in the opposite order.
 *
 * An interface that vanishes keeps its configuration and slot, and is brought up again when it comes back.
 *
 * @module
 */

import type { InterfaceSpec } from "../config/model.ts";
import { ConfigError, MAX_INTERFACES } from "../config/model.ts";
import type { Link } from "../netlink/messages.ts";
import type { Mirror } from "../netlink/mirror.ts";
import type { XdpFeatures } from "../netlink/xdp_features.ts";
import type { PortOpened } from "../worker/messages.ts";
import {
  type Attachment as Steered,
  ownProgramsOn,
  QUEUES_PER_SLOT,
  queuesOf,
  RX_SLOTS,
  type Steering,
} from "../xdp/steering.ts";
import { type Attachment, macText, newAttachment, steeredLink } from "./attachment.ts";
import { IdPool } from "./id_pool.ts";
import type { Log } from "./log.ts";
import type { SlottedLink } from "./route_tables.ts";
import type { WorkerHandle } from "./worker_handle.ts";

/** Interfaces beyond this many send by ku1, with the slot in a tag, instead of by sockets of their own. */
const MAX_TX_SLOTS = 64;

export class Attachments {
  readonly #steering: Steering;
  readonly #workers: readonly WorkerHandle[];
  readonly #mirror: Mirror;
  readonly #features: XdpFeatures;
  readonly #log: Log;
  #lastTakers: ReadonlySet<number> = new Set();
  readonly #slots = new IdPool(1, MAX_INTERFACES + 1);
  readonly #byName = new Map<string, Attachment>();
  readonly #reserved = new Set<number>();
  #handedSlots: ReadonlyMap<string, number> = new Map();
  /** Mirror.linkDumps when they were last looked at. */
  #linkDumps: number;
  /** Sockets that packets are steered to with the first `activate`; null: at once from then on. */
  #waiting: { slot: number; queue: number; fd: number }[] | null = [];

  constructor(parts: {
    steering: Steering;
    workers: readonly WorkerHandle[];
    mirror: Mirror;
    features: XdpFeatures;
    log: Log;
  }) {
    this.#steering = parts.steering;
    this.#workers = parts.workers;
    this.#mirror = parts.mirror;
    this.#features = parts.features;
    this.#log = parts.log;
    this.#linkDumps = parts.mirror.linkDumps;
  }

  /**
   * Keeps the slots that an earlier ku's interfaces have, or its flows leave by, from others: a slot that is given to another
   * interface leads there what the kernel still repeats. `handed`: those that it told of, by name. To be called before the first `sync`.
   */
  reserveFormerSlots(handed: ReadonlyMap<string, number> = new Map()): void {
    const { formerSlots, offload } = this.#steering;
    this.#handedSlots = handed;
    for (const slot of [...handed.values(), ...formerSlots.values(), ...offload.slots()]) {
      this.#reserved.add(slot);
    }
    for (const slot of this.#reserved) this.#slots.reserve(slot);
  }

  /** Those that no attached one has are to be had again. To be called when no former flow is left. */
  freeFormerSlots(): void {
    const used = new Set(this.list().map(({ slot }) => slot));
    for (const slot of this.#reserved) if (!used.has(slot)) this.#slots.put(slot);
    this.#reserved.clear();
  }

  /** In the order of attaching. */
  list(): Attachment[] {
    return [...this.#byName.values()];
  }

  /** Those that are there now, for the route tables. */
  slotted(): SlottedLink[] {
    const takers = this.#takers();
    this.#lastTakers = takers;
    const slotted: SlottedLink[] = [];
    for (const { slot, spec, link } of this.#byName.values()) {
      const current = link === null ? undefined : this.#mirror.links.get(link.index);
      if (current === undefined) continue;
      slotted.push({ slot, spec, link: current, takesXdp: takers.has(slot) });
    }
    return slotted;
  }

  /** Whether other interfaces than `slotted` last said take frames from XDP programs now. Nobody else tells. */
  takersChanged(): boolean {
    const takers = this.#takers();
    return takers.size !== this.#lastTakers.size || [...takers].some((slot) => !this.#lastTakers.has(slot));
  }

  /** Slots of interfaces to which an XDP program may redirect; none, while no interface has one. */
  #takers(): Set<number> {
    const attached = this.list().filter(({ link }) => link !== null);
    if (!attached.some(({ mode }) => mode === "native")) return new Set();
    const indexes = this.#features.takers();
    // Kernels that do not say: a NIC on which native XDP runs has queues to send from, too.
    const takes = ({ mode, link }: Attachment) =>
      indexes === null ? mode === "native" && link!.kind !== "veth" : indexes.has(link!.index);
    return new Set(attached.filter(takes).map(({ slot }) => slot));
  }

  /**
   * Brings the attachments to `specs`: removes, changes and adds, up to (not including) `activate`. Throws a ConfigError
   * for the first interface that cannot be attached; those before it stay attached, and syncing back to the former specs undoes it.
   */
  async sync(specs: ReadonlyMap<string, InterfaceSpec>): Promise<void> {
    for (const attachment of this.list()) {
      const spec = specs.get(attachment.name);
      if (spec === undefined) {
        await this.#takeDown(attachment);
        this.#forget(attachment);
        continue;
      }
      if (spec.mode !== attachment.spec.mode && attachment.link !== null) {
        await this.#switchMode(attachment, attachment.link, spec);
      }
      if (spec.nat4 !== attachment.spec.nat4 || spec.nat6 !== attachment.spec.nat6) attachment.active = false;
      attachment.spec = spec;
    }
    for (const spec of specs.values()) {
      const known = this.#byName.get(spec.name);
      const attachment = known ?? this.#add(spec);
      const link = this.#mirror.linkByName(spec.name);
      if (attachment.link !== null || link === undefined) continue;
      try {
        await this.#bringUp(attachment, link);
      } catch (error) {
        if (known === undefined) this.#forget(attachment);
        throw error;
      }
    }
  }

  /**
   * Takes down what has gone, also if another interface of the same name and index has come in its place. True if any has: then flows by
   * their slots have to end (a publication) before `follow`, or they would find the other one.
   */
  async followGone(): Promise<boolean> {
    const unsure = this.#linkDumps !== this.#mirror.linkDumps;
    this.#linkDumps = this.#mirror.linkDumps;
    let changed = false;
    for (const attachment of this.list()) {
      const { link, name, born } = attachment;
      if (link === null) continue;
      const current = this.#mirror.linkByName(name);
      const same = current?.index === link.index && this.#mirror.bornOf(link.index) === born;
      if (same && !(unsure && ownProgramsOn(link.index).length === 0)) continue;
      this.#log.warn(`interface ${name} : is gone, waiting for it to come back`);
      await this.#takeDown(attachment);
      changed = true;
    }
    return changed;
  }

  /** Follows links that have come back, or changed their MAC. Errors are logged: nobody is there to be told. */
  async follow(): Promise<void> {
    for (const attachment of this.list()) {
      const current = this.#mirror.linkByName(attachment.name);
      if (attachment.link === null && current !== undefined) {
        try {
          await this.#bringUp(attachment, current);
          this.#log.info(
            `interface ${attachment.name} : attached, ${attachment.mode} (${attachment.reason})`,
          );
        } catch (error) {
          attachment.reason = (error as Error).message;
          this.#log.error(`interface ${attachment.name} : ${attachment.reason}`);
        }
      } else if (attachment.link !== null && current !== undefined) {
        const { mtuBytes } = attachment.link;
        if (macText(attachment.link) !== macText(current) || mtuBytes !== current.mtuBytes) {
          attachment.active = false;
        }
        attachment.link = current;
      }
    }
  }

  /** Tells the steering programs of what has been brought up. From here on they take packets. */
  activate(): void {
    for (const { slot, queue, fd } of this.#waiting ?? []) this.#steering.setSocket(slot, queue, fd);
    this.#waiting = null;
    for (const attachment of this.#byName.values()) {
      if (attachment.active || attachment.link === null) continue;
      this.#steering.update(steeredLink(attachment, attachment.link));
      attachment.active = true;
    }
  }

  /** Attaches all of them again, and opens their sockets, which somebody else has closed: up to (not including) `activate`. */
  async reopen(): Promise<void> {
    this.#waiting = [];
    for (const attachment of this.list()) {
      const { link, mode } = attachment;
      if (link === null || mode === null) continue;
      this.#steering.attach(steeredLink(attachment, link), mode);
      await this.#openPorts(attachment, link, mode);
      attachment.active = false;
    }
  }

  /** Removes everything from every interface. */
  async detachAll(): Promise<void> {
    for (const attachment of this.list()) await this.#takeDown(attachment);
    this.#byName.clear();
  }

  #add(spec: InterfaceSpec): Attachment {
    // What the kernel repeats leaves by slots: an interface that an earlier ku had keeps its own.
    const index = this.#mirror.linkByName(spec.name)?.index;
    const former = this.#handedSlots.get(spec.name) ??
      (index === undefined ? undefined : this.#steering.formerSlots.get(index));
    const isFree = former !== undefined && this.#reserved.has(former) &&
      !this.list().some(({ slot }) => slot === former);
    const slot = isFree ? former : this.#slots.take();
    if (!isFree) {
      this.#steering.offload.clearLinkCounts(slot);
      for (const worker of this.#workers) worker.clearInterface(slot);
    }
    const attachment = newAttachment(spec, slot);
    this.#byName.set(spec.name, attachment);
    return attachment;
  }

  #forget(attachment: Attachment): void {
    this.#byName.delete(attachment.name);
    this.#slots.put(attachment.slot);
  }

  async #bringUp(attachment: Attachment, link: Link): Promise<void> {
    const { name, spec } = attachment;
    if (link.mac === null || link.loopback) {
      throw new ConfigError(
        "interface",
        name,
        "has no Ethernet addresses: ku attaches to Ethernet devices only",
      );
    }
    try {
      const { mode, reason } = this.#steering.attach(steeredLink(attachment, link), spec.mode);
      attachment.link = link;
      attachment.born = this.#mirror.bornOf(link.index);
      attachment.mode = mode;
      attachment.reason = reason;
      await this.#openPorts(attachment, link, mode);
      const master = this.#mirror.links.get(link.masterIndex);
      if (master?.kind === "bridge") {
        this.#log.warn(
          `interface ${name} : is a port of bridge ${master.name}, packets for the bridge's address pass ku by, attach ${master.name}`,
        );
      }
    } catch (error) {
      await this.#takeDown(attachment);
      if (error instanceof ConfigError) throw error;
      throw new ConfigError("interface", name, (error as Error).message);
    }
  }

  /**
   * Another mode for an interface that is up. Its packets are steered all the while, by the old way until the new one stands: an
   * answer that slipped through would reach its client with the pod's address, and end the connection.
   */
  async #switchMode(attachment: Attachment, link: Link, spec: InterfaceSpec): Promise<void> {
    if (attachment.mode !== "tc" && (spec.mode === "native" || spec.mode === "generic")) {
      // XDP has room for one of the two: tc stands in between.
      await this.#switchMode(attachment, link, { ...spec, mode: "tc" });
    }
    const before = attachment.mode!;
    const attach = () => {
      const { mode, reason } = this.#steering.attach(steeredLink(attachment, link), spec.mode);
      attachment.mode = mode;
      attachment.reason = reason;
      this.#steering.update(steeredLink(attachment, link));
      return mode;
    };
    const reopen = async (mode: Steered["mode"]) => {
      for (const worker of this.#workers) await worker.request({ kind: "closePort", slot: attachment.slot });
      await this.#openPorts(attachment, link, mode);
    };
    try {
      if (before === "tc" && (spec.mode === "native" || spec.mode === "generic")) {
        await reopen(spec.mode); // what is sent meanwhile goes by ku1
        attach();
      } else if (attach() !== before) {
        await reopen(attachment.mode!);
      }
    } catch (error) {
      if (this.#steering.attachmentOf(link.index)?.mode === before) await reopen(before);
      else await this.#takeDown(attachment);
      if (error instanceof ConfigError) throw error;
      throw new ConfigError("interface", attachment.name, (error as Error).message);
    }
    attachment.active = false;
  }

  /**
   * Follows the number of queues (`ethtool -L`), of which the kernel tells nobody. Those that came get sockets. Some can only go as long as
   * they have none (net/ethtool/channels.c refuses), or with the interface brought down by its driver: then all are opened anew.
   */
  async followQueues(): Promise<void> {
    for (const attachment of this.list()) {
      const { name, link, mode } = attachment;
      if (link === null || mode === null) continue;
      const { rx, tx } = queuesOf(link.name);
      if (rx === attachment.rxQueues && tx === attachment.txQueues) continue;
      this.#log.info(
        `interface ${name} : queues changed, rx ${attachment.rxQueues} to ${rx}, tx ${attachment.txQueues} to ${tx}`,
      );
      try {
        const shrinks = (mode === "tc" ? tx : rx) < attachment.queues;
        if (shrinks) {
          for (const worker of this.#workers) {
            await worker.request({ kind: "closePort", slot: attachment.slot });
          }
        }
        await this.#openPorts(attachment, link, mode, shrinks ? 0 : attachment.queues);
      } catch (error) {
        this.#log.error(`interface ${name} : ${(error as Error).message}`);
      }
    }
  }

  /**
   * Opens the queues from `first` on. Queue q belongs to worker q modulo the number of workers; in mode tc the sockets only send, and
   * no worker needs two. A worker that has none sends by ku1.
   */
  async #openPorts(attachment: Attachment, link: Link, mode: Steered["mode"], first = 0): Promise<void> {
    const receive = mode !== "tc";
    const { slot } = attachment;
    if (receive && slot >= RX_SLOTS) {
      throw new ConfigError("interface", attachment.name, `only ${RX_SLOTS} can have mode ${mode}, use tc`);
    }
    const { rx, tx } = queuesOf(link.name);
    attachment.rxQueues = rx;
    attachment.txQueues = tx;
    if (!receive && slot > MAX_TX_SLOTS) return;
    const queues = receive ? Math.min(rx, QUEUES_PER_SLOT) : Math.min(tx, this.#workers.length);
    if (first === 0) {
      attachment.zeroCopy = false;
      attachment.queueWorkers = [];
    }
    for (let queue = first; queue < queues; queue++) {
      const worker = this.#workers[queue % this.#workers.length];
      const opened = await worker.request<PortOpened>({
        kind: "openPort",
        slot,
        interfaceName: link.name,
        queue,
        receive,
        bind: mode === "native" ? "auto" : "copy",
      });
      attachment.zeroCopy ||= opened.zeroCopy;
      if (receive && this.#waiting !== null) this.#waiting.push({ slot, queue, fd: opened.fd });
      else if (receive) this.#steering.setSocket(slot, queue, opened.fd);
      attachment.queueWorkers.push(worker.index);
      attachment.queues = queue + 1;
    }
    attachment.queues = queues;
  }

  async #takeDown(attachment: Attachment): Promise<void> {
    const { link, slot } = attachment;
    if (link === null) return;
    this.#steering.detach(link.index);
    for (const worker of this.#workers) await worker.request({ kind: "closePort", slot });
    attachment.link = null;
    attachment.mode = null;
    attachment.queues = 0;
    attachment.queueWorkers = [];
    attachment.active = false;
    attachment.reason = "the interface is not there";
  }
}
