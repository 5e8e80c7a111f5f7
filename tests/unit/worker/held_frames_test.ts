/** Early fragments in a worker: kept, released behind their first one or when their time is over, and no frame is lost. */

import { assertEquals } from "@std/assert";
import { HELD_FRAMES, HOLD_MS } from "../../../mod/worker/held_frames.ts";
import { BurstContext, receiveBurst, releaseExpired } from "../../../mod/worker/burst.ts";
import { FramePool } from "../../../mod/worker/frame_pool.ts";
import { Port } from "../../../mod/worker/port.ts";
import type { XskSocket } from "../../../mod/xdp/socket.ts";
import { fragments, pattern, udp } from "../../packets/builder.ts";
import { FAMILIES, type Family, nodeSpec, PODS, UPLINK } from "../../packets/node.ts";
import { FRAME_BYTES, HEADROOM, World } from "../../packets/world.ts";

const FRAMES = 256;

/** A socket whose rings are lists: what is received is put in, what is sent is read out. */
class FakeSocket {
  readonly received: { at: number; length: number }[] = [];
  readonly sent: { at: number; length: number }[] = [];
  readonly rx = {
    peek: (most: number) => Math.min(most, this.received.length),
    readAll: (count: number, ats: Int32Array, lengths: Int32Array) => {
      this.received.slice(0, count).forEach(({ at, length }, i) => [ats[i], lengths[i]] = [at, length]);
    },
    release: (count: number) => void this.received.splice(0, count),
  };
  readonly tx = {
    reserve: (count: number) => count,
    write: (_: number, at: number, length: number) => void this.sent.push({ at, length }),
    writeAll: (_: number, ats: Int32Array, lengths: Int32Array, from: number, end: number) => {
      for (let i = from; i < end; i++) this.sent.push({ at: ats[i], length: lengths[i] });
    },
  };
}

class Worker {
  readonly world: World;
  readonly context: BurstContext;
  readonly uplink = new FakeSocket();
  readonly pods = new FakeSocket();
  readonly host = new FakeSocket();
  readonly port = new Port(UPLINK, this.uplink as unknown as XskSocket, true);

  constructor(f: Family) {
    this.world = new World({ ...nodeSpec(f), frames: FRAMES });
    const { view, processor, counters, tables } = this.world;
    this.context = new BurstContext(
      view,
      FRAME_BYTES,
      new FramePool(FRAMES, FRAME_BYTES),
      processor,
      counters,
    );
    this.context.interfaces = tables.interfaces;
    this.context.add(this.port);
    this.context.add(new Port(PODS, this.pods as unknown as XskSocket, false));
    this.context.add(new Port(0, this.host as unknown as XskSocket, false));
  }

  receive(...frames: Uint8Array[]): void {
    for (const frame of frames) {
      const at = this.context.pool.take() + HEADROOM;
      this.world.memory.set(frame, at);
      this.uplink.received.push({ at, length: frame.length });
    }
    while (this.uplink.received.length > 0) receiveBurst(this.context, this.port);
  }

  count(reason: string): number {
    return this.world.nodeCounts()[`ku-fragment: ${reason}`] ?? 0;
  }

  /** Nothing is lost: every frame is free, held, or in a ring, and in one of them alone. */
  checkFrames(): void {
    const { pool, held } = this.context;
    const queued = [...this.pods.sent, ...this.host.sent, ...this.uplink.sent].map(({ at }) =>
      at & -FRAME_BYTES
    );
    const kept = [...held.frameStarts.subarray(0, held.count)];
    assertEquals(new Set([...queued, ...kept]).size, queued.length + kept.length);
    assertEquals(pool.count + queued.length + kept.length, FRAMES);
  }
}

const offsetOf = (f: Family, frame: DataView, at: number) =>
  f.ip === 4 ? (frame.getUint16(at + 20) & 0x1fff) << 3 : frame.getUint16(at + 56) & 0xfff8;

for (const f of FAMILIES) {
  const pieces = (id: number, length = 4000) =>
    fragments(
      { src: f.client, dst: f.vip, id },
      udp({ srcPort: 4000, dstPort: 80, payload: pattern(length) }),
      1440,
    );

  Deno.test(`receiveBurst: ${f.name}: early fragments leave behind their first one, as they came`, () => {
    const worker = new Worker(f);
    const [first, second, third] = pieces(1);
    const [otherFirst, otherSecond] = pieces(2);
    worker.receive(third, otherSecond, second);
    assertEquals([worker.context.held.count, worker.pods.sent.length], [3, 0]);
    worker.receive(first);
    const offsets = () => worker.pods.sent.map(({ at }) => offsetOf(f, worker.world.view, at));
    assertEquals(offsets(), [0, 2880, 1440]);
    assertEquals(worker.context.held.count, 1);
    worker.checkFrames();
    worker.receive(otherFirst);
    assertEquals(offsets(), [0, 2880, 1440, 0, 1440]);
    assertEquals([worker.context.held.count, worker.count("early fragment held")], [0, 3]);
    worker.checkFrames();
  });

  Deno.test(`releaseExpired: ${f.name}: those whose first one does not come are the kernel's`, () => {
    const worker = new Worker(f);
    worker.receive(...pieces(1).slice(1));
    const { held } = worker.context;
    releaseExpired(worker.context, held.since[0] + HOLD_MS - 1);
    assertEquals(held.count, 2);
    held.since.set([1000, 1001]);
    releaseExpired(worker.context, held.since[0] + HOLD_MS);
    assertEquals([held.count, worker.host.sent.length], [1, 1]);
    releaseExpired(worker.context, held.since[0] + HOLD_MS);
    assertEquals([held.count, worker.host.sent.length, worker.count("fragment of no known packet")], [
      0,
      2,
      2,
    ]);
    worker.checkFrames();
    worker.receive(pieces(2)[1], ...pieces(3));
    assertEquals([held.count, worker.pods.sent.length], [1, 3], "and there is room again");
    worker.checkFrames();
  });

  Deno.test(`receiveBurst: ${f.name}: no more than ${HELD_FRAMES} are held`, () => {
    const worker = new Worker(f);
    for (let id = 0; id < 100; id++) worker.receive(pieces(id, 2000)[1]);
    assertEquals(worker.context.held.count, HELD_FRAMES);
    assertEquals(worker.host.sent.length, 100 - HELD_FRAMES);
    worker.checkFrames();
    worker.receive(pieces(5, 2000)[0]);
    assertEquals(worker.pods.sent.length, 2);
    worker.receive(pieces(200, 2000)[1]);
    assertEquals(worker.context.held.count, HELD_FRAMES);
    worker.checkFrames();
  });

  Deno.test(`receiveBurst: ${f.name}: what is refused or the kernel's does not keep others waiting`, () => {
    const worker = new Worker(f);
    const refused = fragments(
      { src: f.client, dst: f.vipEmpty },
      udp({ dstPort: 80, payload: pattern(2000) }),
      1440,
    );
    const alien = fragments(
      { src: f.client, dst: f.vip },
      udp({ dstPort: 81, payload: pattern(2000) }),
      1440,
    );
    worker.receive(refused[1], alien[1], alien[0], refused[0]);
    assertEquals([worker.context.held.count, worker.count("first fragment went no further")], [0, 1]);
    assertEquals(worker.host.sent.length, 2);
    worker.checkFrames();
  });
}
