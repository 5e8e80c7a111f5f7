/**
 * A worker: one thread that owns one UMEM, its sockets and its session tables, and moves packets between them.
 *
 * Its life alternates between the burst loop, which is synchronous and sees no messages, and the event loop, to which
 * it returns whenever the control plane has posted something (`control_words.ts`). Idle, it sleeps in poll(2); the
 * control plane's eventfd is among the descriptors.
 *
 * @module
 */

import { drainEventFd } from "../../ffi/event_fd.ts";
import { PollSet } from "../../ffi/poll.ts";
import {
  WORD_ACTIVE_GENERATION,
  WORD_BURSTS,
  WORD_FREE_FRAMES,
  WORD_SENT,
  WORD_SLEEPS,
} from "./control_words.ts";
import { flushAll, receiveBursts, releaseExpired } from "./burst.ts";
import { nowSeconds } from "./clock.ts";
import { HOLD_MS } from "./held_frames.ts";
import type { WorkerMessage, WorkerReply } from "./messages.ts";
import { WorkerState } from "./state.ts";

/** Session entries looked at for expiry each second: a share of the table, so that a round takes about half a minute. */
const SWEEP_ROUND_SECONDS = 32;
/** Longest sleep: expiry goes on while nothing comes. */
const IDLE_MS = 1000;
/** Flows of the kernel looked at in one turn: all of them, a slice at a time, each second. */
const FOLLOW_SLICE = 2048;
/** Empty looks at the rings before the worker goes to sleep. */
const EMPTY_LOOKS = 2;
/** Least time between two reports of unknown neighbors. */
const UNRESOLVED_MS = 10;

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<WorkerMessage>) => void) | null;
  postMessage(reply: WorkerReply): void;
  close(): void;
};

let handled = 0;
/** What `takeUnresolved` fills, and when the control plane was last told. */
const unresolved = new Int32Array(6);
let toldAt = -Infinity;
let wake: () => void = () => {};
let state: WorkerState | null = null;

scope.onmessage = (event) => {
  const message = event.data;
  try {
    if (message.kind === "start") {
      state = new WorkerState(message);
      live(state).catch((error: Error) => scope.postMessage({ fatal: error.stack ?? error.message }));
      scope.postMessage({ id: message.id, result: null });
    } else if (state === null) {
      throw new Error("the worker has not been started");
    } else {
      scope.postMessage({ id: message.id, result: state.handle(message) });
    }
  } catch (error) {
    scope.postMessage({ id: message.id, error: (error as Error).message });
  }
  handled = (handled + 1) | 0;
  wake();
};

/** Burst loop and event loop in turn, until a stop request has been handled. */
async function live(own: WorkerState): Promise<void> {
  while (!own.stopped) {
    if (Atomics.load(own.words, WORD_SENT) === handled) burstLoop(own);
    // Something has been posted: let the event loop deliver it.
    while (!own.stopped && Atomics.load(own.words, WORD_SENT) !== handled) {
      await new Promise<void>((resolve) => wake = resolve);
    }
  }
  scope.close();
}

/** Moves packets until the control plane has posted something. */
function burstLoop(own: WorkerState): void {
  const { context, words } = own;
  const polled = new PollSet();
  polled.set([own.wakeFd, ...context.receivers.map((port) => port.socket.fd)]);
  let empty = 0;
  let swept = nowSeconds();
  let following = 0;
  for (;;) {
    const now = nowSeconds();
    context.processor.now = now;
    if (Atomics.load(words, WORD_ACTIVE_GENERATION) !== own.generation) runActiveGeneration(own);
    context.processor.readReports();
    let count = 0;
    for (let i = 0; i < context.receivers.length; i++) count += receiveBursts(context, context.receivers[i]);
    if (context.held.count > 0) releaseExpired(context, performance.now());
    flushAll(context);
    if (context.processor.takeWakes()) own.wakeOthers();
    if (context.processor.takeUnresolved(unresolved)) tellUnresolved(own);
    if (Atomics.load(words, WORD_SENT) !== handled) return;
    if (own.suspended) {
      following = 0;
    } else if (now !== swept) {
      following = context.processor.followOffload(0, FOLLOW_SLICE);
      sweep(own, now, now - swept);
      swept = now;
    } else if (following > 0) {
      following = context.processor.followOffload(following, FOLLOW_SLICE);
    }
    if (count > 0 || following > 0) {
      words[WORD_BURSTS]++;
      empty = 0;
      continue;
    }
    if (++empty < EMPTY_LOOKS) continue;
    empty = 0;
    words[WORD_FREE_FRAMES] = context.pool.count;
    words[WORD_SLEEPS]++;
    polled.wait(context.held.count > 0 ? HOLD_MS : IDLE_MS);
    if ((polled.events(0) & 1) !== 0) drainEventFd(own.wakeFd);
  }
}

/** At a burst boundary: the staged tables take the place of the running ones. */
function runActiveGeneration(own: WorkerState): void {
  own.runStaged();
  // NB: a message, not Atomics.notify: the runtime wakes its event loop for the one only.
  scope.postMessage({ running: own.generation });
}

/** Has the control plane ask the kernel for a neighbor, now and then; until it is found packets are punted. */
function tellUnresolved(own: WorkerState): void {
  const time = performance.now();
  if (time - toldAt < UNRESOLVED_MS) return;
  toldAt = time;
  const view = new DataView(new ArrayBuffer(16));
  for (let i = 0; i < 4; i++) view.setInt32(4 * i, unresolved[2 + i]);
  const address = new Uint8Array(view.buffer, 0, unresolved[1] === 4 ? 4 : 16);
  scope.postMessage({ unresolved: { generation: own.generation, adjacency: unresolved[0], address } });
}

/** Frees a share of the expired sessions. */
function sweep(own: WorkerState, now: number, seconds: number): void {
  own.words[WORD_FREE_FRAMES] = own.context.pool.count;
  own.sweep(now, Math.min(seconds, SWEEP_ROUND_SECONDS) / SWEEP_ROUND_SECONDS);
}
