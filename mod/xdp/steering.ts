/**
 * Steering: which packets the kernel hands to ku's rings. Loads the programs of ffi/bpf/steering.bpf.c, fills their
 * maps, and attaches them to interfaces and to the pair ku0/ku1.
 *
 * Rules: only ku's traffic is taken; other people's programs stay; what an earlier ku left on an interface is
 * replaced. If this process dies its sockets go, and with them their entries in the steering map, so everything
 * passes to the kernel. Of what pods send, only what answers a session is taken: the workers count these in `filter`,
 * a map whose memory they share.
 *
 * References: ffi/bpf/maps.h (layouts); xdp_hook.ts and tc_hook.ts (how a program gets onto an interface).
 *
 * @module
 */

import { SystemError } from "../../ffi/errno.ts";
import { queuesOf, setTransmitChecksumOffload } from "../../ffi/ethtool.ts";
import { ARPHRD_ETHER, hardwareType, type InterfaceName, listInterfaces } from "../../ffi/if.ts";
import { closeBpfFd } from "../../ffi/libbpf.ts";
import type { Mapping } from "../../ffi/memory.ts";
import type { BpfMap } from "./bpf_map.ts";
import type { BpfObject } from "./bpf_object.ts";
import { LEAST_OFFLOAD_SESSIONS, offloadEntries, OffloadMaps } from "./offload_maps.ts";
import { findFormerMaps, type FormerMaps } from "./former_maps.ts";
import { LINK_BYTES, LinkMaps } from "./link_maps.ts";
import { loadPrograms } from "./steering_object.ts";
import { KEY_BYTES, KeyTable, LENGTHS_BYTES, lengthsValue } from "./steering_keys.ts";
import { ParkedSocket } from "./parked_socket.ts";
import {
  type Attachment,
  detachEverywhere,
  detachFrom,
  ownProgramsOn,
  steeringWays,
} from "./steering_ways.ts";
import { attachTc, detachOwnTc } from "./tc_hook.ts";
import { attachXdp, detachOwnXdp } from "./xdp_hook.ts";

export { queuesOf };
export { type Attachment, detachEverywhere, ownProgramsOn, steeringWays };

// ffi/bpf/maps.h
/** RX queues of one interface that can have sockets. */
export const QUEUES_PER_SLOT = 64;
/** Slots below this can have RX sockets; all can transmit. */
export const RX_SLOTS = 1024;
/** Slots are 1 … this; slot 0 is the pair. */
export const MAX_SLOT = 4094;
/** Ethernet header and one 802.1Q tag. */
const FRAME_HEADER_BYTES = 18;
const LINK_FLAG = { nat4: 1, nat6: 2, tc: 4, generic: 8 } as const;
const SLOT_BYTES = 8;
const CONF_BYTES = 8;
const FILTER_PAGE_BYTES = 4096;
const FILTER_PAGES = 1025;
const CONF_NODE_PORTS = 1;
const FIRST = new Uint8Array(new ArrayBuffer(4));

/** As asked for. */
export type SteeringMode = "auto" | "native" | "tc" | "generic";

/** An interface to steer. */
export interface SteeredLink extends InterfaceName {
  /** 1 … MAX_SLOT. */
  slot: number;
  /** Six bytes: native and generic take only what is addressed to it. */
  mac: Uint8Array;
  /** In mode generic, packets above it (uncut ones) go by tc. */
  mtuBytes: number;
  /** Pods answer from here. */
  nat4: boolean;
  nat6: boolean;
}

interface Attached {
  link: SteeredLink;
  attachment: Attachment;
  ownsQdisc: boolean;
}

/** The loaded programs and their maps. One per process; only the control plane's thread uses it. */
export class Steering {
  /** VIPs and node ports. */
  readonly match: KeyTable;
  /** Pods, by address, protocol and target port. */
  readonly pods: KeyTable;
  /** The sessions whose answers are awaited, as mod/table/filter.ts lays them out; all zero at first. Gone after `close`. */
  readonly filter: Mapping;
  /** Sessions that the programs repeat. */
  readonly offload: OffloadMaps;
  #object: BpfObject;
  readonly #xsks: BpfMap;
  readonly #links: LinkMaps;
  readonly #slots: BpfMap;
  readonly #locals: BpfMap;
  readonly #conf: BpfMap;
  readonly #attached = new Map<number, Attached>();
  readonly #localTexts = new Set<string>();
  #pair: { ku0: InterfaceName; ku1: InterfaceName } | null = null;
  #hasNodePorts = false;
  #parked: ParkedSocket | null = null;

  /** Slots that interfaces had when an earlier ku's maps were taken over, by interface index; empty when there were none. */
  readonly formerSlots: ReadonlyMap<number, number>;

  private constructor(object: BpfObject, offloadSessions: number, former: FormerMaps | null) {
    this.formerSlots = former?.slots ?? new Map();
    this.#object = object;
    this.#xsks = object.map("ku_xsks", 4, 4);
    this.#links = new LinkMaps(object);
    this.#slots = object.map("ku_slots", 4, SLOT_BYTES);
    this.#locals = object.map("ku_locals", 16, 4);
    this.#conf = object.map("ku_conf", 4, CONF_BYTES);
    const lens = object.map("ku_lens", 4, LENGTHS_BYTES);
    this.filter = object.map("ku_filter", 4, FILTER_PAGE_BYTES).mapValues(FILTER_PAGES);
    this.offload = new OffloadMaps(object, offloadSessions, former !== null);
    if (former !== null) this.#clearFormerWays();
    this.pods = new KeyTable(object.map("ku_pods", KEY_BYTES, 4));
    this.match = new KeyTable(object.map("ku_match", KEY_BYTES, 4), (lengths, hasNodePorts) => {
      lengths.forEach((list, family) => lens.update(keyOf(family), lengthsValue(list)));
      this.#hasNodePorts = hasNodePorts;
      this.#writeConf();
    });
  }

  /**
   * Loads the embedded programs, with room to repeat `offloadSessions`, or over the maps that an earlier ku left in this network namespace
   * (and then with theirs). Nothing is attached yet. Throws SystemError.
   */
  static load(offloadSessions = LEAST_OFFLOAD_SESSIONS): Steering {
    const former = findFormerMaps();
    const sessions = former?.sessions ?? offloadSessions;
    try {
      const object = loadPrograms(sessions, former?.fds);
      return new Steering(object, sessions, former);
    } finally {
      for (const fd of former?.fds.values() ?? []) closeBpfFd(fd);
    }
  }

  /** Names the pair to the programs, which are not on it yet: what they take goes to ku0. */
  namePair(ku0: InterfaceName, ku1: InterfaceName): void {
    this.#pair = { ku0, ku1 };
    this.#writeConf();
  }

  /**
   * Attaches the pair's programs: ku0 takes back what the worker sends, ku1 gives everything to its sockets. What goes by way of ku0
   * has its checksums completed by the kernel, which is faster at it. Returns how ku1 is attached. Throws SystemError.
   */
  setPair(ku0: InterfaceName, ku1: InterfaceName): "native" | "generic" {
    setTransmitChecksumOffload(ku0.name, false);
    attachTc(ku0, this.#object.program("ku_host"));
    let mode: "native" | "generic" = "native";
    try {
      attachXdp(ku1, this.#object.program("ku_ring"), mode);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      mode = "generic";
      attachXdp(ku1, this.#object.program("ku_ring"), mode);
    }
    this.namePair(ku0, ku1);
    return mode;
  }

  /** The same for the pair that was named, on which another ku's programs may be. */
  attachPair(): void {
    if (this.#pair !== null) this.setPair(this.#pair.ku0, this.#pair.ku1);
  }

  /** From now on what ku1's sockets were to get is dropped: they may be closed, and nothing passes to the kernel. */
  park(): void {
    this.#parked ??= ParkedSocket.open(this.#pair!.ku0.name);
    this.setSocket(0, 0, this.#parked.fd);
  }

  /** ku1's sockets are back. */
  unpark(): void {
    this.#parked?.close();
    this.#parked = null;
  }

  /**
   * Puts the program on the interface, in place of whatever ku did there before. It takes packets once `update` has
   * named the interface (and, but in mode tc, once it has sockets). Throws SystemError, and leaves things as they were
   * as far as the kernel allows.
   */
  attach(link: SteeredLink, mode: SteeringMode): Attachment {
    if (hardwareType(link.name) !== ARPHRD_ETHER) {
      throw new Error(`Cannot attach interface : ${link.name}, it has no Ethernet header`);
    }
    const ways = mode === "auto" ? steeringWays(link.name) : [{ mode, reason: "as configured" }];
    let refused = "";
    for (const [i, way] of ways.entries()) {
      try {
        return this.#attachBy(link, { mode: way.mode, reason: way.reason + refused });
      } catch (error) {
        if (!(error instanceof SystemError) || i === ways.length - 1) throw error;
        refused += `; ${way.mode}: ${error.message}`;
      }
    }
    throw new Error("no way of steering"); // ways is never empty
  }

  #attachBy(link: SteeredLink, attachment: Attachment): Attachment {
    const before = this.#attached.get(link.index);
    let ownsQdisc = before?.ownsQdisc ?? false;
    this.#writeSlot(link, attachment.mode);
    try {
      if (attachment.mode === "tc") {
        ownsQdisc = attachTc(link, this.#object.program("ku_tc"));
        detachOwnXdp(link.index);
      } else {
        // Behind it, for what it lets pass; and first, so that nothing does while nobody is behind.
        ownsQdisc = attachTc(link, this.#object.program("ku_tc"));
        attachXdp(link, this.#object.program("ku_xdp"), attachment.mode);
      }
    } catch (error) {
      if (before) this.#writeSlot(before.link, before.attachment.mode);
      else this.#removeLink(link);
      throw error;
    }
    this.#attached.set(link.index, { link, attachment, ownsQdisc });
    return attachment;
  }

  /** How the interface is steered; null if it is not. */
  attachmentOf(interfaceIndex: number): Attachment | null {
    return this.#attached.get(interfaceIndex)?.attachment ?? null;
  }

  /** From now on the attached interface's packets are ku's, by this MAC, `nat4` and `nat6`. */
  update(link: SteeredLink): void {
    const attached = this.#attached.get(link.index);
    if (attached === undefined) throw new Error(`Interface ${link.name} is not attached`);
    attached.link = link;
    const value = new DataView(new ArrayBuffer(LINK_BYTES));
    value.setUint16(0, link.slot, true);
    value.setUint16(2, flagsOf(link, attached.attachment.mode), true);
    for (let i = 0; i < 6; i++) value.setUint8(4 + i, link.mac[i]);
    if (attached.attachment.mode === "generic") value.setUint16(10, link.mtuBytes + FRAME_HEADER_BYTES, true);
    this.#links.update(link.index, new Uint8Array(value.buffer));
  }

  /** Stops steering the interface. It may be gone already. */
  detach(interfaceIndex: number): void {
    const attached = this.#attached.get(interfaceIndex);
    if (attached === undefined) return;
    detachOwnXdp(interfaceIndex);
    detachOwnTc(interfaceIndex, attached.ownsQdisc);
    this.#removeLink(attached.link);
    this.#attached.delete(interfaceIndex);
  }

  /** Stops all steering, the pair's too. */
  detachAll(): void {
    for (const index of [...this.#attached.keys()]) this.detach(index);
    if (this.#pair === null) return;
    detachOwnTc(this.#pair.ku0.index, true);
    detachOwnXdp(this.#pair.ku1.index);
    this.#pair = null;
    this.#writeConf();
  }

  /**
   * Removes what an earlier ku left on interfaces that are not attached now: when everything configured is. Returns their names.
   */
  removeLeftovers(): string[] {
    for (const [index, slot] of this.formerSlots) {
      if (!this.#attached.has(index)) this.#removeLink({ index, slot });
    }
    return this.detachOthers();
  }

  /** Takes ku's programs off interfaces that are not attached now, whoever put them there. Returns their names. */
  detachOthers(): string[] {
    const kept = new Set(this.#attached.keys());
    if (this.#pair !== null) kept.add(this.#pair.ku0.index).add(this.#pair.ku1.index);
    return detachFrom(listInterfaces().filter(({ index }) => !kept.has(index)));
  }

  /** Makes `addresses` (16 bytes each) the node's own, where node ports are served. */
  setLocals(addresses: readonly Uint8Array[]): void {
    const wanted = new Map(addresses.map((address) => [address.join(), address]));
    for (const [text, address] of wanted) {
      if (this.#localTexts.has(text)) continue;
      this.#locals.update(new Uint8Array(address), keyOf(1));
      this.#localTexts.add(text);
    }
    for (const text of [...this.#localTexts]) {
      if (wanted.has(text)) continue;
      this.#locals.delete(Uint8Array.from(text.split(","), Number));
      this.#localTexts.delete(text);
    }
  }

  /** From now on packets of this slot and RX queue go to the AF_XDP socket `fd`. */
  setSocket(slot: number, queue: number, fd: number): void {
    if (slot >= RX_SLOTS || queue >= QUEUES_PER_SLOT) {
      throw new RangeError(`No place for a socket of slot ${slot} queue ${queue}`);
    }
    this.#xsks.update(keyOf(slot * QUEUES_PER_SLOT + queue), keyOf(fd));
  }

  /** The kernel gets them again. Closing the socket does the same. */
  clearSocket(slot: number, queue: number): void {
    this.#xsks.delete(keyOf(slot * QUEUES_PER_SLOT + queue));
  }

  /**
   * Gives the programs memory, all zero, to repeat another number of sessions: they are loaded anew over all the other maps, and attached in
   * place of those that run. The conf's epoch must be 0 and its layout written for the new memory before it is anything else. Returns the
   * former memory, which the caller unmaps when no worker uses it any more, and the names of interfaces that kept the former programs: there
   * nothing is repeated. Throws SystemError, with nothing changed, when the kernel has no room.
   */
  resizeOffload(sessions: number): { former: Mapping[]; failed: string[] } {
    const kept = this.#object.mapFds;
    for (const name of Object.keys(offloadEntries(sessions))) kept.delete(name);
    const former = this.#object;
    this.#object = loadPrograms(sessions, kept);
    const failed: string[] = [];
    const replace = (name: string, action: () => void) => {
      try {
        action();
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        failed.push(name);
      }
    };
    for (const { link, attachment: { mode } } of this.#attached.values()) {
      replace(link.name, () => {
        attachTc(link, this.#object.program("ku_tc"));
        if (mode !== "tc") attachXdp(link, this.#object.program("ku_xdp"), mode);
      });
    }
    const memory = this.offload.moveTo(this.#object, sessions);
    this.#object.succeed(former, new Set(kept.keys()));
    return { former: memory, failed };
  }

  /** Descriptor of one of the programs, for test runs (BPF_PROG_TEST_RUN). */
  programFd(name: "ku_xdp" | "ku_tc" | "ku_ring" | "ku_host"): number {
    return this.#object.program(name);
  }

  /** Closes the maps and programs, when no worker uses `filter` any more. What is attached stays attached. */
  close(): void {
    this.filter.unmap();
    this.offload.unmap();
    this.#object.close();
  }

  #writeSlot(link: SteeredLink, mode: Attachment["mode"]): void {
    const value = Uint32Array.of(link.index, flagsOf(link, mode));
    this.#slots.update(keyOf(link.slot), new Uint8Array(value.buffer));
    this.offload.setWay(link.slot, link.index);
  }

  /** Ways out by slots that no interface has any more. */
  #clearFormerWays(): void {
    const used = new Set(this.formerSlots.values());
    for (let slot = 0; slot <= MAX_SLOT; slot++) if (!used.has(slot)) this.offload.clearWay(slot);
  }

  #removeLink(link: Pick<SteeredLink, "index" | "slot">): void {
    this.offload.clearWay(link.slot);
    this.#links.delete(link.index);
    this.#slots.delete(keyOf(link.slot));
  }

  #writeConf(): void {
    const value = Uint32Array.of(this.#pair?.ku0.index ?? 0, this.#hasNodePorts ? CONF_NODE_PORTS : 0);
    this.#conf.update(FIRST, new Uint8Array(value.buffer));
  }
}

function flagsOf(link: SteeredLink, mode: Attachment["mode"]): number {
  return (link.nat4 ? LINK_FLAG.nat4 : 0) | (link.nat6 ? LINK_FLAG.nat6 : 0) | LINK_FLAG.tc |
    (mode === "generic" ? LINK_FLAG.generic : 0);
}

/** A u32 as a map's key or value. */
function keyOf(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Uint32Array.of(value).buffer);
}
