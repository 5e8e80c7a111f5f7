/**
 * Sessions to a table of another size.
 *
 * Rule: the filter counts them in the new table before it stops counting them in the old one, so that none looks ended meanwhile.
 * Other threads may go on reading the old table.
 */

import type { OverflowTable } from "./overflow.ts";
import {
  SESSION_OFFLOAD,
  SESSION_ORIGINAL,
  SESSION_POD,
  SESSION_SERVICE,
  SESSION_STATE_CLOSING,
  SESSION_STATE_TRANSITORY,
  type SessionTable,
} from "./session.ts";

/**
 * Gives the timeouts and the live sessions of `old` to `next` (same address width, empty); returns how many did not fit. `old` must not
 * be written after this. Those that did not fit are noted in `overflow`.
 */
export function moveSessions(
  old: SessionTable,
  next: SessionTable,
  now: number,
  overflow: OverflowTable | null = null,
): number {
  if (old.addressWords !== next.addressWords) throw new TypeError("session tables of different width");
  next.timeouts.set(old.timeouts);
  // Where there is not room for all, what is about to end stays behind.
  const lost = moveThose(old, next, now, overflow, false) + moveThose(old, next, now, overflow, true);
  old.leaveFilter();
  return lost;
}

/** Moves the sessions that are closing or not yet established (`passing`), or the others. Returns how many did not fit. */
function moveThose(
  old: SessionTable,
  next: SessionTable,
  now: number,
  overflow: OverflowTable | null,
  passing: boolean,
): number {
  let lost = 0;
  old.forEach(now, (from) => {
    const state = old.state(from);
    const isPassing = state === SESSION_STATE_TRANSITORY || state === SESSION_STATE_CLOSING;
    if (isPassing !== passing) return;
    for (let i = 0; i < next.key.length; i++) {
      next.key[i] = old.words[from + SESSION_ORIGINAL + i];
      next.replyKey[i] = old.words[from + next.replyAt + i];
    }
    const to = next.insert(old.protocol(from), now);
    const flow = old.words[from + SESSION_OFFLOAD];
    if (to < 0) {
      lost++;
      if (flow > 0) next.ending?.end(flow - 1);
      if (overflow !== null) noteLost(old, from, overflow, now);
    } else {
      for (let i = 0; i < SESSION_ORIGINAL; i++) next.words[to + i] = old.words[from + i];
      if (flow > 0) next.ending?.rename(flow - 1, to);
    }
  });
  return lost;
}

/** What had no room goes on untracked: its replies are known from the start, not only after the client's next packet. */
function noteLost(old: SessionTable, from: number, overflow: OverflowTable, now: number): void {
  for (let i = 0; i < overflow.key.length; i++) {
    overflow.original[i] = old.words[from + SESSION_ORIGINAL + i];
    overflow.key[i] = old.words[from + old.replyAt + i];
  }
  overflow.note(old.protocol(from), old.words[from + SESSION_SERVICE], old.words[from + SESSION_POD], now);
}
