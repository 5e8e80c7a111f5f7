/*
 * What the scenarios of steering_fixture.ts stand on: commands, keys, and a worker of a few lines. Runs inside of the
 * node's namespace; the client's is the second argument.
 */

import { assert, assertEquals } from "@std/assert";
import { interfaceIndex } from "../../ffi/if.ts";
import { PollSet } from "../../ffi/poll.ts";
import { XskSocket } from "../../mod/xdp/socket.ts";
import { type SteeredLink, Steering, type SteeringMode } from "../../mod/xdp/steering.ts";
import type { SteeringKey } from "../../mod/xdp/steering_keys.ts";
import { Umem } from "../../mod/xdp/umem.ts";
import { ipBytes } from "../packets/builder.ts";

export const client = Deno.args[1];
export const UPLINK = "n0";
export const SLOT = 7;
export const ALL = { protocol: 0, port: 0 };
/** The node's own address in ku's hands: the kernel answers its pings when they are given back, and else nobody. */
export const NODE = keyOf("10.77.0.1", ALL);
export const NODE6 = keyOf("fd77::1", ALL);
const FRAME_BYTES = 4096;
const RING_SIZE = 256;

/** A key of the steering maps. `prefixLength` counts the address's own bits. */
export function keyOf(
  address: string,
  of: { protocol: number; port: number },
  prefixLength?: number,
): SteeringKey {
  const bytes = ipBytes(address);
  if (bytes.length === 16) return { address: bytes, prefixLength: prefixLength ?? 128, ...of };
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes);
  return { address: mapped, prefixLength: 96 + (prefixLength ?? 32), ...of };
}

export async function run(command: string, ...args: string[]): Promise<{ success: boolean; text: string }> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  return { success, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

export async function ip(...args: string[]): Promise<void> {
  const { success, text } = await run("ip", ...args);
  assert(success, `ip ${args.join(" ")}: ${text}`);
}

/** Whether the client gets an answer to a ping within a second. */
export async function pings(address = "10.77.0.1", ...options: string[]): Promise<boolean> {
  const args = ["netns", "exec", client, "ping", "-c1", "-W1", ...options, address];
  return (await run("ip", ...args)).success;
}

export async function offloadsOf(namespace: string, name: string): Promise<string> {
  return (await run("ip", "netns", "exec", namespace, "ethtool", "-k", name)).text;
}

export function linkOf(name: string, flags: Partial<SteeredLink> = {}): SteeredLink {
  const text = Deno.readTextFileSync(`/sys/class/net/${name}/address`).trim();
  const mac = Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16));
  return {
    name,
    index: interfaceIndex(name),
    slot: SLOT,
    mac,
    mtuBytes: 1500,
    nat4: false,
    nat6: false,
    ...flags,
  };
}

/** A worker of a few lines: one socket that receives, one that only transmits, and a pool of frames. */
export class Rings {
  readonly umem = Umem.create(1024, FRAME_BYTES);
  readonly host: XskSocket;
  readonly port: XskSocket;
  readonly #free: number[] = [];
  #sent = 0;
  readonly #poll = new PollSet();

  constructor(mode: SteeringMode) {
    for (let i = 0; i < this.umem.frameCount; i++) this.#free.push(i * FRAME_BYTES);
    const options = { queue: 0, ringSize: RING_SIZE, zeroCopy: true };
    this.host = XskSocket.open(this.umem, { interfaceName: "ku1", receive: true, ...options });
    this.port = XskSocket.open(this.umem, { interfaceName: UPLINK, receive: mode !== "tc", ...options });
    this.#poll.set([this.host.fd, this.port.fd]);
    this.refill();
  }

  refill(): void {
    for (const socket of [this.host, this.port]) {
      for (
        let count = socket.completion.peek(RING_SIZE);
        count > 0;
        count = socket.completion.peek(RING_SIZE)
      ) {
        for (let i = 0; i < count; i++) this.#free.push(socket.completion.frameAddr(i) & -FRAME_BYTES);
        socket.completion.release(count);
      }
    }
    for (const socket of [this.host, this.port]) {
      const count = Math.min(socket.fill.reserve(RING_SIZE), this.#free.length);
      for (let i = 0; i < count; i++) socket.fill.write(i, this.#free.pop()!);
      if (count > 0) socket.fill.submit(count);
    }
  }

  send(socket: XskSocket, at: number, length: number): void {
    assertEquals(socket.tx.reserve(1), 1);
    socket.tx.write(0, at, length);
    socket.tx.submit(1);
    assertEquals(socket.kick(), 0);
    this.#sent++;
  }

  /**
   * Gives every packet steered here to `handle` until `done` is settled; what it does not send is dropped. Returns how
   * many there were, without what the stack of ku0 itself sends (router solicitations and the like).
   */
  async pump<T>(done: Promise<T>, handle: (at: number, length: number) => void): Promise<[T, number]> {
    let settled = false, packets = 0;
    done.finally(() => settled = true);
    while (!settled) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.#poll.wait(1);
      for (const socket of [this.host, this.port]) {
        const count = socket.rx.peek(64);
        for (let i = 0; i < count; i++) {
          const at = socket.rx.frameAddr(i), sent = this.#sent;
          if (this.umem.view.getUint16(at) !== 0x3333) {
            handle(at, socket.rx.lengthBytes(i));
            packets++;
          }
          if (this.#sent === sent) this.#free.push(at & -FRAME_BYTES);
        }
        if (count > 0) socket.rx.release(count);
      }
      this.refill();
    }
    return [await done, packets];
  }

  /** Puts an 802.1Q tag in front of the frame. */
  tag(at: number, tci: number): number {
    this.umem.bytes.copyWithin(at - 4, at, at + 12);
    this.umem.view.setUint32(at + 8, (0x8100 << 16 | tci) >>> 0);
    return at - 4;
  }

  setDestination(at: number, mac: Uint8Array): void {
    this.umem.bytes.set(mac, at);
  }

  /** Turns an ICMP echo request over IPv4 (MACs, addresses, type) into its answer. */
  answerEcho(at: number): void {
    const { bytes, view } = this.umem;
    const swap = (a: number, b: number, length: number) => {
      const first = bytes.slice(a, a + length);
      bytes.copyWithin(a, b, b + length);
      bytes.set(first, b);
    };
    swap(at, at + 6, 6);
    swap(at + 26, at + 30, 4);
    assertEquals(view.getUint8(at + 34), 8);
    view.setUint8(at + 34, 0);
    const sum = view.getUint16(at + 36) + 0x0800; // the type went from 8 to 0
    view.setUint16(at + 36, (sum & 0xffff) + (sum >>> 16));
  }

  close(): void {
    // Every frame is in a ring or free; the kernel may hold one or two for itself (net/xdp/xsk_buff_pool.c free_list).
    const left = [...this.host.close(), ...this.port.close()].map((at) => at & -FRAME_BYTES);
    const frames = new Set([...left, ...this.#free]);
    assertEquals(frames.size, left.length + this.#free.length, "a frame in two places");
    assert(frames.size >= this.umem.frameCount - 4, `${frames.size} frames of ${this.umem.frameCount}`);
    this.umem.close();
  }
}

/** Pair, programs and sockets, steering all packets for the node's own addresses. */
export async function setUp(
  mode: SteeringMode,
): Promise<{ steering: Steering; rings: Rings; link: SteeredLink }> {
  await ip("link", "add", "ku0", "address", "02:6b:75:00:00:00", "type", "veth", "peer", "name", "ku1");
  await ip("link", "set", "ku0", "up");
  await ip("link", "set", "ku1", "up");
  const steering = Steering.load();
  const named = (name: string) => ({ name, index: interfaceIndex(name) });
  assertEquals(steering.setPair(named("ku0"), named("ku1")), "native");
  const link = linkOf(UPLINK);
  steering.match.replaceAll([NODE, NODE6]);
  assertEquals(steering.attach(link, mode).mode, mode === "auto" ? "tc" : mode);
  steering.update(link);
  assert(await pings(), "without a socket everything passes");
  const rings = new Rings(mode);
  steering.setSocket(0, 0, rings.host.fd);
  if (mode !== "tc") steering.setSocket(SLOT, 0, rings.port.fd);
  return { steering, rings, link };
}
